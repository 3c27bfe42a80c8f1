#!/usr/bin/env bash
# 1,000 switches in one job of 8 ranks, without one given up.
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/../mpi/lib.sh"
JOB_LIMIT=3600
start_agent
start_job -np 8 --mca btl vader,tcp,self "$BUILD/mpi/p2p" 100000000
wait_for 60 job_is_ready 8
for i in $(seq 1000); do
    set=tcp,self
    [ $((i % 2)) = 1 ] || set=best
    ninjactl switch --btl "$set" >"$DIR/switch.log" 2>&1 || die "switch $i failed"
done
job_runs || die "the job ended"
kill "$JOB"
