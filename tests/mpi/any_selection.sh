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

# what can only be used one-sided, or not at all, does not connect: back to what was before, and the job runs on
status=0
"$TOP/tests/harass" --build "$BUILD" --limit 300 --every 300 --sets 'vader;ofi' -- \
    "${MPIRUN[@]}" -np 3 "$BUILD/mpi/mixed" 5 >"$DIR/job.log" 2>"$DIR/switch.log" || status=$?
[ $status -eq 1 ] || die "status $status instead of 1"
tail -1 "$DIR/job.log" | jq -e '.switches > 1 and .failed > 1 and .exit == 0' >/dev/null || die "$(tail -1 "$DIR/job.log")"
grep -q "mixed: ok" "$DIR/job.log" || die "wrong result"
grep -q "reached by no transport.*fell back to @previous" "$DIR/switch.log" || die "does not tell that it fell back"
