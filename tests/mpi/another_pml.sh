#!/usr/bin/env bash
# A job for which the user chose a PML that cannot be moved, in whatever way: it runs as without our components, and
# says once why it cannot be migrated and what to do. Where that PML is not possible, Open MPI's own message comes.
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/lib.sh"
start_agent

# is_left_alone PML MPIRUN-ARGUMENT...: it runs on that PML, and without crcp/ninja.
is_left_alone() {
    local pml=$1
    shift
    start_job -np 2 "$@" "$BUILD/mpi/busy" 3000
    wait_for 60 a_rank_has "mca_pml_$pml"
    sleep 0.5
    ! a_rank_has mca_crcp_ninja || die "crcp/ninja is loaded"
    end_job
    [ "$(grep -c "ninja" "$DIR/job.log")" = 1 ] || die "does not say once why"
    grep -q "leave that out, or choose --mca pml ob1" "$DIR/job.log" || die "does not say what to do"
    grep -q "sum 2 of 2" "$DIR/job.log" || die "wrong result"
    ! grep -q job "$DIR/agent.log" || die "a rank came to the agent"
}

a_rank_has() {
    local pid
    job_runs || die "the job ended before it was looked at"
    for pid in $(with_children "$JOB"); do
        ! grep -qs "$1" "/proc/$pid/maps" || return 0
    done
    return 1
}

# pml/cm needs an MTL; ofi, which works over tcp, is left out by Debian's defaults
is_left_alone cm --mca pml cm --mca mtl ofi
OMPI_MCA_pml=cm OMPI_MCA_mtl=ofi is_left_alone cm
printf 'pml = cm\nmtl = ofi\n' >"$DIR/mca-params.conf"
is_left_alone cm --mca mca_base_param_files "$DIR/mca-params.conf"
is_left_alone monitoring --mca pml_monitoring_enable 1

# impossible PML MESSAGE: as without our components, but for a word
impossible() {
    local pml=$1 said=$2 stock status=0
    timeout 60 "${MPIRUN[@]}" -np 2 --mca pml "$pml" "$BUILD/mpi/busy" 10 >"$DIR/job.log" 2>&1 || status=$?
    grep -q "$said" "$DIR/job.log" || die "Open MPI does not say \"$said\" by itself"
    stock=$status
    status=0
    timeout 60 "${MPIRUN[@]}" "${NINJA[@]}" -np 2 --mca pml "$pml" "$BUILD/mpi/busy" 10 >"$DIR/job.log" 2>&1 ||
        status=$?
    [ "$status" -eq "$stock" ] || die "$pml: status $status, without our components $stock"
    grep -q "$said" "$DIR/job.log" || die "$pml: Open MPI's own message is missing"
    [ "$(grep -c "ninja.*leave that out, or choose --mca pml ob1" "$DIR/job.log")" = 1 ] || die "$pml: no word of ours"
}
impossible cm "PML cm cannot be selected" # no MTL
impossible v "PML v cannot be selected"

# excluding others leaves ob1, which can be migrated
start_job -np 2 --mca pml ^cm,ucx "$BUILD/mpi/busy" 3000
wait_for 60 job_is_ready 2
end_job
! grep -q ninja "$DIR/job.log" || die "a word about nothing"
