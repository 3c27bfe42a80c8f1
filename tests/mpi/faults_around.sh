#!/usr/bin/env bash
# What goes wrong around a job. Expected, unless it says otherwise: the job runs on, and the next switch works.
#   a rank is stopped (SIGSTOP)                the switch is given up in its time, and names the rank
#   the agent is stopped                       refused in its time, and names the VM
#   mpirun is killed in the midst of switches  the job ends, nothing of it is left, the next one can be switched
#   a second coordinator                       refused while the first one is at work
#   clocks that jump by a day                  nothing: no wait and no time of the report depends on them
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/lib.sh"
start_agent

# expect STATUS NINJACTL-ARGUMENT...
expect() {
    local wanted=$1 status=0
    shift
    ninjactl "$@" >"$DIR/switch.log" 2>&1 || status=$?
    [ $status -eq "$wanted" ] || die "ninjactl $*: $status instead of $wanted"
}

all_run() {
    ninjactl status --json 2>/dev/null |
        jq -e '(.jobs | length) == 1 and ([.jobs[].ranks[].state] | unique == ["RUNNING"])' >/dev/null
}

start_traffic() {
    start_job -np 4 --mca btl vader,tcp,self "$@" "$BUILD/mpi/p2p" 100000000
    wait_for 120 job_is_ready 4
}

no_job() {
    [ "$(ninjactl status --json 2>/dev/null | jq '.jobs | length')" = 0 ]
}

# --- a rank is stopped
start_traffic
rank=$(ninjactl status --json | jq '.jobs[0].ranks[] | select(.rank == 2) | .pid')
kill -STOP "$rank"
expect 3 switch --btl tcp,self --timeout quiesce=700 --timeout resume=3000
grep -q "rank 2" "$DIR/switch.log" || die "the rank is not named"
kill -CONT "$rank"
wait_for 60 all_run
expect 0 switch --btl tcp,self

# --- the agent is stopped
kill -STOP "$AGENT"
expect 2 switch --btl vader,tcp,self --timeout connect=1500 --timeout command=1500
grep -q "here" "$DIR/switch.log" || die "the VM is not named"
kill -CONT "$AGENT"
expect 0 switch --btl vader,tcp,self

# --- a second coordinator: the first one waits for a rank that is stopped
kill -STOP "$rank"
ninjactl switch --btl tcp,self --timeout quiesce=10000 >"$DIR/first.log" 2>&1 &
FIRST=$!
wait_for 20 eval 'tail -4 "$DIR/agent.log" | grep -q "RUNNING -> QUIESCING"'
expect 2 switch --btl tcp,self
grep -q "process" "$DIR/switch.log" || die "it is not said who is at work"
kill -CONT "$rank"
wait $FIRST || die "the first one failed: $(cat "$DIR/first.log")"
expect 0 switch --btl vader,tcp,self

# --- mpirun is killed
mapfile -t ranks < <(ninjactl status --json | jq '.jobs[0].ranks[].pid')
mpirun=$(pgrep -P "$JOB")
for i in {1..100}; do
    ninjactl switch --btl "$( ((i % 2)) && echo tcp,self || echo vader,tcp,self)" >"$DIR/switch.log" 2>&1 || break
    [ $i -ne 3 ] || { sleep 0.0$((RANDOM % 10)); kill -KILL "$mpirun"; }
done
[ $i -lt 100 ] || die "100 switches of a job whose mpirun is dead"
gone() {
    local pid
    for pid in "${ranks[@]}"; do [ ! -d "/proc/$pid" ] || return 1; done
}
wait_for 60 gone
wait "$JOB" 2>/dev/null || true
wait_for 60 no_job

# --- clocks that jump
kill "$AGENT"
wait "$AGENT" 2>/dev/null || true
library=$(dpkg -L libfaketime | grep '/libfaketimeMT\.so')
echo +0 >"$DIR/clock"
export FAKETIME_TIMESTAMP_FILE=$DIR/clock FAKETIME_DONT_FAKE_MONOTONIC=1 FAKETIME_NO_CACHE=1
LD_PRELOAD=$library start_agent
start_traffic -x "LD_PRELOAD=$library" -x FAKETIME_TIMESTAMP_FILE -x FAKETIME_DONT_FAKE_MONOTONIC -x FAKETIME_NO_CACHE
begin=$SECONDS
for i in {1..12}; do
    { sleep 0.0$((RANDOM % 10)); echo "$( ((i % 2)) && echo +86400 || echo -86400)" >"$DIR/clock"; } &
    LD_PRELOAD=$library ninjactl switch --btl "$( ((i % 2)) && echo tcp,self || echo vader,tcp,self)" --json \
        >"$DIR/switch.json" 2>"$DIR/switch.log" || die "a switch failed when the clock jumped"
    wait $!
    jq -e '.stall_ms < 60000 and .stall_ms >= 0' "$DIR/switch.json" >/dev/null || die "a stall of a day"
done
[ $((SECONDS - begin)) -lt 200 ] || die "12 switches took $((SECONDS - begin)) s"
wait_for 60 all_run
kill "$JOB"
wait "$JOB" 2>/dev/null || true
! grep -q WRONG "$DIR/job.log" || die "a wrong byte"
