#!/usr/bin/env bash
# One job in two VMs that leaves RDMA and comes back, many times, without a warning: vm_switches.sh [ROUNDS]
set -euo pipefail
# shellcheck source=/dev/null
. "$(dirname "$0")/../../testbed/testbed.sh"
ROUNDS=${1:-200}
# shellcheck disable=SC2034
JOB_LIMIT=7200
ITERATIONS=$((ROUNDS * 100))

switched() {
    ninjactl switch "$@" >"$RUN/output" 2>&1 && ! grep -q ' warning: ' "$RUN/output" ||
        { cat "$RUN/output"; die "round $round: ninjactl switch $*"; }
}

testbed_up
reference=$(job_reference "$ITERATIONS")
job_start "$ITERATIONS" --mca crcp ninja --mca btl openib,tcp,vader,self
job_advance 20
for ((round = 1; round <= ROUNDS; round++)); do
    switched --btl standby
    job_advance 10
    switched
    job_advance 10
    ((round % 10)) || say "round $round of $ROUNDS: iteration $(job_iteration)"
done
job_wait
[[ $(jq .digest <<<"$(job_result)") == $(jq .digest <<<"$reference") ]] || die "wrong result"
say "$((2 * ROUNDS)) switches, the result is that of a run that never switched"
