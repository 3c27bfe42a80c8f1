#!/usr/bin/env bash
# A rank that hangs in a step, in what Open MPI brings: the switch says which and what it does, and does not wait in
# silence. When the rank comes round, the job can be taken on.
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/lib.sh"
RANKS=3

start_agent
# the sixth step is `connect`, or one near it
NINJA_FAULT=rank1:step:6:stall=25000 start_job -np $RANKS --mca btl tcp,self --mca btl_tcp_if_include lo \
    --mca crcp_ninja_watchdog 3 "$BUILD/mpi/p2p" 100000000
wait_for 120 job_is_ready $RANKS
status=0
ninjactl switch --btl tcp,self --timeout reselect=8000 --timeout quiesce=8000 >"$DIR/switch.log" 2>&1 || status=$?
[ $status -eq 0 ] || die "status $status"
grep -q 'rank 1 of job .*: a part of Open MPI has not returned for 3 s, and it waits for something' "$DIR/switch.log" ||
    die "does not say that the rank hangs"
ninjactl switch --btl tcp,self >"$DIR/switch.log" 2>&1 || die "the next switch failed"
job_runs || die "the job ended"
! grep -q WRONG "$DIR/job.log" || die "wrong bytes"
kill "$JOB"
