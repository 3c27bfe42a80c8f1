#!/usr/bin/env bash
# Switches that come while jobs start and end: no job hangs, none gives a wrong result.
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/lib.sh"
start_agent
total=0
for _ in $(seq 12); do
    start_job -np 4 --mca btl vader,tcp,self "$BUILD/mpi/busy" 400
    switch_while_running tcp,self best
    total=$((total + DONE))
    end_job
    [ "$(cat "$DIR/job.log")" = "sum 4 of 4" ] || die "wrong result"
done
echo "$total switches in jobs of a moment"
