#!/usr/bin/env bash
# Jobs of one rank, which need never make progress: they are switched while they compute, and while they talk to
# themselves only; so are three singletons, also by a paused migration.
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/lib.sh"
start_agent

switch_each_way() {
    local set
    for set in tcp,self best self vader,tcp,self; do
        ninjactl switch --btl "$set" >"$DIR/switch.log" 2>&1 || die "not switched to $set"
    done
    job_runs || die "the job ended while it was switched"
}

ends_with() {
    end_job
    [ "$(cat "$DIR/job.log")" = "$1" ] || die "wrong result"
}

# it computes, and calls MPI not once meanwhile
start_job -np 1 --mca btl vader,tcp,self "$BUILD/mpi/busy" 15000
wait_for 120 job_is_ready 1
switch_each_way
ends_with "sum 1 of 1"

# it calls MPI all the time, and connects to another job when it has been switched
start_job -np 1 --mca btl vader,tcp,self "$BUILD/mpi/alone" 15000 spawn
wait_for 120 job_is_ready 1
for _ in 1 2 3 4 5; do
    switch_each_way
done
ends_with "wrong 0"

# singletons, each its own job
export OMPI_MCA_crcp=ninja OMPI_MCA_crcp_ninja_agent="$DIR/ranks.sock" OMPI_MCA_btl=vader,tcp,self
export OMPI_MCA_mca_base_component_path="${MPIRUN[5]}"
SINGLETONS=()
for program in busy alone busy; do
    "$BUILD/mpi/$program" 20000 >"$DIR/$program.log" 2>&1 &
    SINGLETONS+=($!)
done
PIDS+=("${SINGLETONS[@]}")
JOB=${SINGLETONS[0]}
wait_for 120 job_is_ready 3
switch_each_way
bypass_cluster
ninjactl migrate without --mode paused >"$DIR/switch.log" 2>&1 || die "not migrated"
job_runs || die "it waited for the end of the jobs"
for pid in "${SINGLETONS[@]}"; do
    wait "$pid" || die "a singleton ended with $?"
done
[ "$(cat "$DIR/busy.log")" = "sum 1 of 1" ] && [ "$(cat "$DIR/alone.log")" = "wrong 0" ] || die "wrong result"
