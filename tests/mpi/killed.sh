#!/usr/bin/env bash
# A rank is killed in each state of a switch: mpirun ends the job as it does without us, no process is
# left, and the agent is ready for the next job. Then the same under a coordinator, which reports it.
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/mpi/by_hand.sh
. "$(dirname "$0")/by_hand.sh"
start_agent

start_long_job() {
    start_job -np 4 --mca btl vader,tcp,self "$@" "$BUILD/mpi/p2p" 100000000
}

pids() {
    jq -r '.jobs[0].ranks | sort_by(.rank)[] | .pid'
}

all_ended() {
    local pid
    for pid in "$@"; do
        [ ! -d "/proc/$pid" ] || return 1
    done
}

# job_ended_as_expected PID...: those were its ranks.
job_ended_as_expected() {
    local status=0
    wait_for 60 eval '! job_runs'
    wait "$JOB" || status=$?
    [ $status -eq 137 ] || die "mpirun ended with $status instead of 137"
    wait_for 60 all_ended "$@"
    grep -q 'exited on signal 9' "$DIR/job.log" || die "mpirun does not tell that a rank was killed"
}

no_job_by_hand() {
    [ "$(tell ninja-jobs '{}' | jq '.jobs | length')" = 0 ]
}

hand_opens
jobs_there() {
    [ "$(tell ninja-jobs '{}' | jq '[.jobs[].ranks[]] | length')" = 4 ]
}
for state in RUNNING QUIESCING QUIET RELEASED OPENED CONNECTED READY; do
    start_long_job
    wait_for 120 jobs_there
    mapfile -t ranks < <(tell ninja-jobs '{}' | pids)
    EPOCH=0
    take_to $state
    states=$(tell ninja-jobs '{}' | jq -r '[.jobs[0].ranks[].state] | unique | join(" ")')
    [ "$states" = $state ] || die "the ranks are $states instead of $state"
    kill -KILL "${ranks[RANDOM % 4]}"
    job_ended_as_expected "${ranks[@]}"
    wait_for 60 no_job_by_hand
done
hand_closes

# Held up by a rank that does not answer, the coordinator learns that another one is gone.
start_long_job
wait_for 120 job_is_ready 4
mapfile -t ranks < <(ninjactl status --json | pids)
kill -STOP "${ranks[1]}"
ninjactl switch --btl tcp,self >"$DIR/switch.log" 2>&1 &
switch=$!
sleep 1
kill -KILL "${ranks[2]}"
status=0
wait $switch || status=$?
[ $status -ne 0 ] || die "the switch succeeded without a rank"
grep -q 'rank [0-9] .*its connection ended' "$DIR/switch.log" || die "does not say that a rank is gone"
job_ended_as_expected "${ranks[@]}"

# A migration for which the job is held without transports; a rank is killed meanwhile.
bypass_cluster
mkdir "$DIR/scripts"
printf '#!/bin/sh\ntouch %s\nsleep 3\n' "$DIR/held" >"$DIR/scripts/hold"
chmod +x "$DIR/scripts/hold"
start_long_job --mca crcp_ninja_bypass vader
wait_for 120 job_is_ready 4
mapfile -t ranks < <(ninjactl status --json | pids)
ninjactl migrate without --mode paused >"$DIR/switch.log" 2>&1 &
switch=$!
wait_for 30 test -e "$DIR/held"
kill -KILL "${ranks[3]}"
wait $switch || die "a migration failed as its only job ended"
grep -q 'ended in the middle' "$DIR/switch.log" || die "does not say that the job is gone"
job_ended_as_expected "${ranks[@]}"

# and the agent works
rm -r "$DIR/scripts"
start_long_job
wait_for 120 job_is_ready 4
ninjactl switch --btl tcp,self >"$DIR/switch.log" 2>&1 || die "the switch of the next job failed"
kill "$JOB"
