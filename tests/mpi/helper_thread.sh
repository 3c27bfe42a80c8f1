#!/usr/bin/env bash
# A rank that computes for long without calling MPI is switched at once if it has a helper thread, and
# the application meets a shut gate only where it calls MPI.
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/lib.sh"
start_agent
helped() {
    start_job -np 4 --mca btl vader,tcp,self --mca crcp_ninja_helper_thread 1 "$@"
    wait_for 120 job_is_ready 4
    for set in tcp,self best tcp,self; do
        ninjactl switch --btl "$set" >"$DIR/switch.log" 2>&1 || die "not switched"
    done
    job_runs || die "rank 0 had finished to compute"
    end_job
    [ "$(cat "$DIR/job.log")" = "sum 4 of 4" ] || die "wrong result"
}
helped "$BUILD/mpi/busy" 15000 threads
helped -x OMPI_MPI_THREAD_LEVEL=3 "$BUILD/mpi/busy" 15000

# without MPI_THREAD_MULTIPLE it says so
start_job -np 2 --mca btl tcp,self --mca crcp_ninja_helper_thread 1 "$BUILD/mpi/busy" 10
end_job
grep -q "no helper thread: it needs MPI_THREAD_MULTIPLE" "$DIR/job.log" || die "no word of it"
