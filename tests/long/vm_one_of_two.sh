#!/usr/bin/env bash
# One of two VMs moves to the Ethernet site and comes back, while a job runs in both; then its
# coordinator is killed on the way, and another one takes it on.
set -euo pipefail
# shellcheck source=/dev/null
. "$(dirname "$0")/../../testbed/testbed.sh"
ITERATIONS=3000

# holds FILTER: what the last command printed is JSON of which that is true.
holds() {
    jq -e "$1" "$RUN/output" >/dev/null || { cat "$RUN/output"; die "does not hold: $1"; }
}

# at VM1'S-SITE VM2'S-SITE
at() {
    vm_runs_at vm1 "$1" || die "vm1 is not at $1"
    vm_runs_at vm2 "$2" || die "vm2 is not at $2"
}

refuses_what_cannot_be_meant() {
    local words status=0
    for words in "vm1=ib" "vm1=eth vm1=ib" "vm3=eth" "vm1=nowhere"; do
        # shellcheck disable=SC2086
        ninjactl migrate $words 2>"$RUN/errors" || status=$?
        ((status == 2 || status == 64)) || die "migrate $words: exit status $status"
    done
    [[ $(ninjactl list --json | jq '.migrations | length') == 0 ]] || die "a migration was begun"
}

moves_one_and_back() {
    ninjactl migrate vm1=eth --json >"$RUN/output"
    holds '.outcome == "done" and (.vms | map([.to, .at, .device_after]) == [["eth", "eth", false], [null, "ib", true]])'
    at eth ib
    measure_runs_on tcp
    ninjactl migrate vm1=ib --json >"$RUN/output"
    holds '.outcome == "done" and (.vms | map([.to, .at, .device_after]) == [["ib", "ib", true], [null, "ib", true]])'
    at ib ib
    measure_runs_on openib
}

takes_on_one() {
    local id state=
    id=$(ninjactl migrate vm2=eth --detach --bandwidth 40)
    wait_for 60 "the copy to begin" copy_has_begun "$id"
    kill -KILL "$(ninjactl status 2>&1 | sed -n 's/.*(process \([0-9]*\)).*/\1/p')"
    ninjactl resume --json >"$RUN/output"
    state=$(jq -r .outcome "$RUN/output")
    [[ $state == "done" ]] || die "taken on, it ended as $state"
    holds '.vms | map([.to, .at]) == [[null, "ib"], ["eth", "eth"]]'
    at ib eth
    measure_runs_on tcp
}

copy_has_begun() { ninjactl list --json >/dev/null && grep -qs '"COPYING"' "$RUN"/state/"$1"/journal; }

testbed_up
reference=$(job_reference "$ITERATIONS")
job_start "$ITERATIONS" --mca crcp ninja --mca btl openib,tcp,vader,self
job_advance 20
refuses_what_cannot_be_meant
moves_one_and_back
takes_on_one
job_wait
[[ $(job_result | jq .digest) == $(jq .digest <<<"$reference") ]] || die "wrong result: $(job_result)"
say "all as expected"
