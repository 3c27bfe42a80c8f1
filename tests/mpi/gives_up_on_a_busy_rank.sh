#!/usr/bin/env bash
# A rank that does not call MPI: the switch is given up in its time, the job runs on, and a later switch
# works.
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/lib.sh"
start_agent
start_job -np 4 --mca btl vader,tcp,self "$BUILD/mpi/busy" 14000
wait_for 120 job_is_ready 4
begin=$SECONDS
status=0
ninjactl switch --btl tcp,self --timeout quiesce=500 --timeout resume=500 >"$DIR/switch.log" 2>&1 || status=$?
[ $status -eq 3 ] || die "status $status instead of 3 (taken back)"
[ $((SECONDS - begin)) -le 11 ] || die "giving up took $((SECONDS - begin)) s"
grep -qiE 'rank 0|time' "$DIR/switch.log" || die "does not say what it waited for"
job_runs || die "the job ended"
ninjactl switch --btl tcp,self --timeout quiesce=30000 >"$DIR/switch.log" 2>&1 ||
    [ "$(cat "$DIR/job.log")" = "sum 4 of 4" ] || die "the second switch failed"
end_job
[ "$(cat "$DIR/job.log")" = "sum 4 of 4" ] || die "wrong result"
