#!/usr/bin/env bash
# The coordinator is killed at random moments of a migration and of a switch: the next command says so,
# ninjactl resume or abort brings the job to run again. The program checks every byte all the time.
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/lib.sh"
RANDOM=${1:-$SRANDOM}
echo "seed $RANDOM"
WANTED=8

start_agent
bypass_cluster 'timeouts = { link = 300; };'
start_job -np 4 --mca btl vader,tcp,self --mca crcp_ninja_bypass vader "$BUILD/mpi/p2p" 100000000
wait_for 120 job_is_ready 4

# killed_within MS NINJACTL-ARGUMENT...: kills it, unless it ends before.
killed_within() {
    local moment pid
    printf -v moment '0.%03d' $((RANDOM % $1))
    shift
    "$BUILD/host/ninjactl" "$1" --cluster "$DIR/cluster.conf" --state-dir "$DIR/state" "${@:2}" \
        >"$DIR/switch.log" 2>&1 &
    pid=$!
    sleep "$moment"
    kill -KILL $pid 2>/dev/null || true
    wait $pid 2>/dev/null || true
}

all_run() {
    [ "$(ninjactl status --json | jq '[.jobs[].ranks[] | select(.state != "RUNNING")] | length')" = 0 ]
}

interrupted=0 rounds=0
while [ $interrupted -lt $WANTED ]; do
    rounds=$((rounds + 1))
    [ $rounds -le 200 ] || die "only $interrupted of 200 were interrupted in the middle: the moments are badly chosen"
    job_runs || die "the job ended"
    if [ $((RANDOM % 3)) = 0 ]; then
        killed_within 60 switch --btl tcp,self
        all_run || interrupted=$((interrupted + 1))
    else
        modes=(live paused)
        killed_within 150 migrate without --mode "${modes[RANDOM % 2]}"
        status=0
        ninjactl switch >"$DIR/switch.log" 2>&1 || status=$?
        if [ $status -eq 2 ] && grep -q 'was interrupted while' "$DIR/switch.log"; then
            interrupted=$((interrupted + 1))
            verbs=(resume abort)
            verb=${verbs[RANDOM % 2]}
            status=0
            ninjactl "$verb" >"$DIR/switch.log" 2>&1 || status=$?
            [ $status -eq 3 ] || die "$verb ended with $status instead of 3 (taken back)"
        fi
    fi
    status=0
    ninjactl switch --btl best >"$DIR/switch.log" 2>&1 || status=$?
    [ $status -eq 0 ] || die "the switch afterwards ended with $status"
    all_run || die "a rank does not run"
done
echo "$interrupted of $rounds were interrupted in the middle"
ninjactl list >"$DIR/list.log"
[ "$(grep -c rolled-back "$DIR/list.log")" -ge 1 ] || die "no migration was taken back"
kill "$JOB"
