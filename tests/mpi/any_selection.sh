#!/usr/bin/env bash
# However the user selects transports for the job, or not at all, "best", "standby" and "all" work: what is
# installed may be of no use here (openib without a device), or refuse to be loaded (sm, which is vader's old name).
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/lib.sh"

# selected_by MPIRUN-ARGUMENT...
selected_by() {
    "$TOP/tests/harass" --build "$BUILD" --limit 300 --sets 'best;tcp;standby;best;vader,tcp' -- \
        "${MPIRUN[@]}" -np 3 "$@" "$BUILD/mpi/mixed" 15 >"$DIR/job.log" || die "failed with: $*"
    tail -1 "$DIR/job.log" | jq -e '.switches >= 15 and .given_up == 0' >/dev/null || die "too few switches with: $*"
}

selected_by
selected_by --mca btl ^openib,ofi
selected_by --mca btl openib,vader,tcp,self
"$TOP/tests/harass" --build "$BUILD" --limit 300 --sets 'all;tcp' -- \
    "${MPIRUN[@]}" -np 2 "$BUILD/mpi/p2p" 300 >"$DIR/job.log" || die "failed with all transports"
