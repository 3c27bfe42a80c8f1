#!/usr/bin/env bash
# Walks fault points (common/fault.h) of migrations of VMs, one migration for each:
#
#     tests/vm/fault_points.sh [WHO:CLASS:KIND...]     default: each step of the coordinator
#
# WHO is coordinator, or agent@VM. tests/faults/vms_walk.sh walks many more.
set -euo pipefail
# shellcheck source=tests/faults/vms.sh
. "$(dirname "$0")/../faults/vms.sh"
MAX_POINTS=200

[ $# -gt 0 ] || set -- coordinator:step:{crash,error}

vms_up
SITE=ib
total=0
for walk in "$@"; do
    IFS=: read -r who class kind <<<"$walk"
    n=1
    while one_fault "$who:$class:$n:$kind" paused; do
        say "$walk, point $n: exit status $STATUS, all at $SITE"
        n=$((n + 1))
        ((n <= MAX_POINTS)) || die "$walk: no end"
    done
    say "$walk: $((n - 1)) points"
    total=$((total + n - 1))
done
job_down
say "$total fault points"
((total > 0)) || die "no point was reached"
