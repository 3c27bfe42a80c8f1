#!/usr/bin/env bash
# One job through many migrations there and back: vm_migrations.sh [ROUNDS] [live|paused]
set -euo pipefail
# shellcheck source=/dev/null
. "$(dirname "$0")/../../testbed/testbed.sh"
ROUNDS=${1:-10}
MODE=${2:-live}
# shellcheck disable=SC2034
JOB_LIMIT=7200
ITERATIONS=$((ROUNDS * 600))

testbed_up
reference=$(job_reference "$ITERATIONS")
job_start "$ITERATIONS" --mca crcp ninja --mca btl openib,tcp,vader,self
job_advance 20
for ((round = 1; round <= ROUNDS; round++)); do
    for site in eth ib; do
        ninjactl migrate "$site" --mode "$MODE" --strict >"$RUN/output" 2>&1 ||
            { cat "$RUN/output"; die "round $round to $site failed"; }
        job_advance 20
    done
    say "round $round of $ROUNDS: iteration $(job_iteration)"
done
job_wait
[[ $(jq .digest <<<"$(job_result)") == $(jq .digest <<<"$reference") ]] || die "wrong result"
say "$((2 * ROUNDS)) migrations of ${#VMS[@]} VMs, the result is that of a run that never moved"
