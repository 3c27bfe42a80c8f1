#!/usr/bin/env bash
# 1,000 switches at random moments in one job of 8 ranks with all kinds of traffic: nothing hangs, no byte is
# wrong, and no rank has more descriptors, or much more memory, than after the first half.
# many_switches.sh [SWITCHES [RANKS]]
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/../mpi/lib.sh"
SWITCHES=${1:-1000}
RANKS=${2:-8}
export GROWTH_KB=5
case $LAYER in
ob1) lists='tcp;vader,tcp;best;standby;vader;vader,tcp;tcp;best' ;;
ucx) lists='tcp;posix,tcp;best;standby;sysv;posix;tcp;best' ;;
esac
"$TOP/tests/harass" --build "$BUILD" --limit 7200 --every 20 \
    --sets "$lists" -- \
    "${MPIRUN[@]}" -np "$RANKS" "${TRANSPORTS[@]}" "$BUILD/mpi/mixed" "$SWITCHES" \
    >"$DIR/job.log" || die "the job did not survive"
cat "$DIR/job.log"
tail -1 "$DIR/job.log" | jq -e ".switches >= $SWITCHES and .refused == 0 and .given_up * 100 <= .switches" >/dev/null ||
    die "not enough switches, or too many given up"
