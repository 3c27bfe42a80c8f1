#!/usr/bin/env bash
# One of three VMs moves to the Ethernet site and comes back while a job runs in all of them. The other two go on over
# RDMA among each other, by the queue pairs that they had.
# shellcheck disable=SC2034 # the test bed reads them
set -euo pipefail
# shellcheck source=/dev/null
. "$(dirname "$0")/../../testbed/testbed.sh"
VMS=(vm1 vm2 vm3)
JOB_RANKS=6
ITERATIONS=1500
JOB_LIMIT=1800

# queue_pairs VM FILE: its connected queue pairs, by their numbers at both ends.
queue_pairs() {
    { vm_root "$1" 30 'rdma res show qp' || true; } |
        sed -n 's/.* \(lqpn [0-9]* rqpn [0-9]*\) type RC state RTS.*/\1/p' | sort >"$RUN/$2"
}

# holds FILTER: what the last command printed is JSON of which that is true.
holds() {
    jq -e "$1" "$RUN/output" >/dev/null || { cat "$RUN/output"; die "does not hold: $1"; }
}

# has_all OF IN: every queue pair of one file is in the other.
has_all() {
    [[ -z $(comm -23 "$RUN/$1" "$RUN/$2") ]] || die "a queue pair of $1 is not there $2: $(paste "$RUN/$1" "$RUN/$2")"
}

testbed_up
reference=$(job_reference "$ITERATIONS")
job_start "$ITERATIONS" --mca crcp ninja --mca btl openib,tcp,vader,self
job_advance 20
queue_pairs vm1 before

ninjactl migrate vm3=eth --json >"$RUN/output"
holds '.outcome == "done" and (.vms | map(.at) == ["ib", "ib", "eth"])'
holds '.switches | map([.leaving, .pairs_kept]) == [[["vm3"], 6]]'
measure_transport >"$RUN/output"
holds '.vms.vm1.rdma_packets >= .iterations and .vms.vm2.rdma_packets >= .iterations'
holds '.vms.vm3.rdma_devices == 0 and .vms.vm3.ethernet_bytes > 0'
queue_pairs vm1 during
[[ -s $RUN/during ]] || die "vm1 and vm2 have no queue pairs while vm3 is away"
has_all during before

ninjactl migrate vm3=ib --json >"$RUN/output"
holds '.outcome == "done" and (.vms | map([.at, .device_after]) == [["ib", true], ["ib", true], ["ib", true]])'
holds '.switches | map([.leaving, .pairs_kept]) == [[["vm3"], 6]]'
measure_transport >"$RUN/output"
holds '.transport == "openib"'
queue_pairs vm1 after
has_all during after
job_wait
[[ $(job_result | jq .digest) == $(jq .digest <<<"$reference") ]] || die "wrong result: $(job_result)"
say "all as expected"
