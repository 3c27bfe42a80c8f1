#!/usr/bin/env bash
# Two jobs on one agent are switched together.
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/lib.sh"
start_agent
start_job -np 2 --mca btl vader,tcp,self "$BUILD/mpi/p2p" 3000
first=$JOB
mv "$DIR/job.log" "$DIR/first.log"
start_job -np 3 --mca btl vader,tcp,self "$BUILD/mpi/collectives" 400
switch_while_running tcp,self best
end_job
JOB=$first
switch_while_running tcp,self best
end_job
grep -q "p2p: ok" "$DIR/first.log" || die "wrong result of the first job"
grep -q "collectives: ok" "$DIR/job.log" || die "wrong result of the second job"
