#!/usr/bin/env bash
# The agent starts after the job, and is killed and started again: each time the ranks find it, and a
# switch works.
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/lib.sh"
start_job -np 2 --mca btl vader,tcp,self "$BUILD/mpi/p2p" 1000000
sleep 1
for try in 1 2; do
    start_agent
    wait_for 120 job_is_ready 2
    ninjactl switch --btl tcp,self >"$DIR/switch.log" 2>&1 || die "switch $try failed"
    ninjactl switch --btl best >"$DIR/switch.log" 2>&1 || die "switch $try back failed"
    kill -KILL "$AGENT"
    wait "$AGENT" 2>/dev/null || true
done
job_runs || die "the job ended"
kill "$JOB"
