#!/usr/bin/env bash
# How memory is sent is chosen by what real VMs write: an idle one by pre-copy, one that writes faster than its memory is
# sent by post-copy, and that one is moved.
set -euo pipefail
# shellcheck source=/dev/null
. "$(dirname "$0")/../../testbed/testbed.sh"
MIB=80 # that vm1 writes, again and again

# holds FILTER: of the last plan or report.
holds() { jq -e "$1" "$RUN/said.json" >/dev/null || { cat "$RUN/said.json"; die "does not hold: $1"; }; }

plan() { ninjactl plan "$@" --json >"$RUN/said.json" 2>"$RUN/errors" || { cat "$RUN/errors"; die "no plan"; }; }

# write_in VM: until its file is removed.
write_in() {
    vm_user "$1" 60 "cd /tmp; touch writes; { while test -e writes; do dd if=/dev/urandom of=data bs=1M count=$MIB conv=notrunc; \
        done; } >/dev/null 2>&1 </dev/null &"
}

writes() { vm_user "$1" 60 "test -e /tmp/data && test \$(stat -c %s /tmp/data) -ge $((MIB << 20))"; }

testbed_up
sed -i '/^migration = /d' "$CLUSTER"

plan eth --auto
holds 'all(.methods[]; .name == "pre-copy" and .why == "too little is known for a forecast" and .written_1s >= 0)'
plan eth --auto --bandwidth 16
holds 'all(.methods[]; .name == "pre-copy" and .written_3s < 32 * 1048576 and .ways[0].ends)'
say "idle VMs are sent by pre-copy"

write_in vm1
wait_for 240 "vm1 to write" writes vm1
plan eth --auto --bandwidth 4
holds '.methods.vm1 | .written_3s > 16 * 1048576 and (.ways[0].ends | not) and .why == "a pre-copy would not end"'
holds '.methods.vm2.name == "pre-copy"'
say "vm1 writes $(jq '.methods.vm1 | .written_1s, .written_3s | . / 1048576 | floor' "$RUN/said.json" | paste -sd ' ') MiB in 1 s and in 3 s"

ninjactl migrate vm1=eth --bandwidth 4 --max-downtime 500 --priority network >"$RUN/output" 2>&1 ||
    { cat "$RUN/output"; die "vm1 does not move"; }
vm_runs_at vm1 eth || die "vm1 is not at eth"
ninjactl report --json >"$RUN/said.json"
holds '.vms[0].method | .name == "post-copy" and .priority == "network" and .why == "a pre-copy would not end"'
grep -q 'changes sides' "$RUN/output" || { cat "$RUN/output"; die "that was no post-copy"; }
say "and is sent by post-copy"
vm_user vm1 60 "rm /tmp/writes"
