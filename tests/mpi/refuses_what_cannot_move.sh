#!/usr/bin/env bash
# A window on a component that holds its transport: refused with its name, and the job runs on
# untouched.
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/lib.sh"
start_agent

refused() {
    local what=$1 status=0
    shift
    start_job -np 2 --mca btl vader,tcp,self "$@"
    wait_for 120 job_is_ready 2
    ninjactl switch --btl tcp,self >"$DIR/switch.log" 2>&1 || status=$?
    [ $status -eq 2 ] || die "status $status instead of 2 (refused)"
    grep -q "$what" "$DIR/switch.log" || die "does not name $what"
    end_job
    [ "$(cat "$DIR/job.log")" = "sum 2 of 2" ] || die "wrong result"
}

refused "the test's window" --mca osc rdma "$BUILD/mpi/busy" 3000 window

# osc/pt2pt does not work with MPI_THREAD_MULTIPLE, so the program gets a window that cannot move
refused "the test's window.* MPI_THREAD_MULTIPLE" "$BUILD/mpi/busy" 3000 threads,window

# the component's own defaults put the window on one that can move
start_job -np 2 --mca btl vader,tcp,self "$BUILD/mpi/busy" 3000 window
wait_for 120 job_is_ready 2
ninjactl switch --btl tcp,self --timeout quiesce=30000 >"$DIR/switch.log" 2>&1 || die "not switched"
end_job
[ "$(cat "$DIR/job.log")" = "sum 2 of 2" ] || die "wrong result"
