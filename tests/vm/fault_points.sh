#!/usr/bin/env bash
# Walks fault points (common/fault.h) of migrations of VMs, one migration for each:
#
#     tests/vm/fault_points.sh [WHO:CLASS:KIND...]     default: some steps of the coordinator
#
# WHO is coordinator, or agent@VM. Without arguments it takes one of three points, from one drawn by chance on, which
# NINJA_FIRST_POINT says again. tests/faults/vms_walk.sh walks all of them, and many more.
set -euo pipefail
# shellcheck source=tests/faults/vms.sh
. "$(dirname "$0")/../faults/vms.sh"
MAX_POINTS=200

FIRST=1 EVERY=1
if (($# == 0)); then
    FIRST=${NINJA_FIRST_POINT:-$((RANDOM % 3 + 1))} EVERY=3
    set -- coordinator:step:{crash,error}
fi
echo "from point $FIRST on, one of $EVERY"

vms_up
SITE=ib
total=0
for walk in "$@"; do
    IFS=: read -r who class kind <<<"$walk"
    n=$FIRST reached=0
    while one_fault "$who:$class:$n:$kind" paused; do
        say "$walk, point $n: exit status $STATUS, all at $SITE"
        n=$((n + EVERY)) reached=$((reached + 1))
        ((n <= MAX_POINTS)) || die "$walk: no end"
    done
    say "$walk: $reached points"
    total=$((total + reached))
done
job_down
say "$total fault points"
((total > 0)) || die "no point was reached"
