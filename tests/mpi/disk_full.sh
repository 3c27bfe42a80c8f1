#!/usr/bin/env bash
# A journal that cannot be written: the migration is taken back, as nobody could take it on. Afterwards, with
# room again, it is dealt with like one that was interrupted.
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/lib.sh"
start_agent
bypass_cluster 'timeouts = { link = 300; };'
start_job -np 2 --mca btl vader,tcp,self --mca crcp_ninja_bypass vader "$BUILD/mpi/p2p" 100000000
wait_for 120 job_is_ready 2

# A limit of a file's size stands for the full disk. What is printed goes through a pipe.
status=0
prlimit --fsize=600 "$BUILD/host/ninjactl" migrate without --mode paused \
    --cluster "$DIR/cluster.conf" --state-dir "$DIR/state" 2>&1 | cat >"$DIR/switch.log" || status=$?
[ $status -eq 3 ] || die "status $status instead of 3 (taken back)"
grep -q "journal: File too large" "$DIR/switch.log" || die "does not say why"
grep -q "error: .*journal: File too large" "$DIR/switch.log" || die "was not stopped by it"

status=0
ninjactl switch >"$DIR/switch.log" 2>&1 || status=$?
[ $status -eq 2 ] || die "a switch after it ended with $status instead of 2 (refused)"
status=0
ninjactl abort >"$DIR/switch.log" 2>&1 || status=$?
[ $status -eq 3 ] || die "abort ended with $status instead of 3 (taken back)"
ninjactl switch --btl tcp,self >"$DIR/switch.log" 2>&1 || die "the switch afterwards failed"
job_runs || die "the job ended"
kill "$JOB"
