#!/bin/bash
# --auto: how memory is sent is chosen by what VMs write, within limits, and the report tells.
# shellcheck source=tests/ctl/vms.sh
. "$(dirname "$0")/vms.sh"

FAST=(--bandwidth 100) # MiB/s, so that a VM of 256 MiB takes 2.56 s

method() { holds ".$1 | .name == \"$2\" and (.why | test(\"$3\"))"; }

start_vms 2
expect 0 plan eth --auto --json
method methods.vm1 pre-copy "too little is known"
holds '.methods.vm1.written_1s == 0 and .methods.vm1.ways == []'
expect 0 plan eth --auto "${FAST[@]}"
says "pre-copy: no other one is clearly better" "written  0 MiB in 1 s, 0 MiB in 3 s"
expect 0 plan eth "${FAST[@]}" --json
holds 'has("methods") | not'
expect 64 plan eth --auto --postcopy
says "--auto chooses between pre-copy and post-copy"
expect 64 migrate eth --priority speed
says 'expected latency, throughput or network, found "speed"'
expect 64 migrate eth --max-downtime 0
expect 2 migrate eth "${FAST[@]}" --max-total 2
says "no way to send the memory of vm1 within the limits: --max-total"

# It writes faster than it is sent.
start_vms 2 writes=500
expect 0 plan eth --auto "${FAST[@]}"
says "post-copy after one pass: a pre-copy would not end" "does not end, as the VM writes as fast"
expect 2 migrate eth --auto "${FAST[@]}" --parallel 2
says "writes as fast as its memory is sent, and post-copy cannot be had"
expect 0 migrate eth --max-bytes 600 "${FAST[@]}"
says "post-copy: the least is sent" "foreseen  2.5" "measured"
expect 0 report --json
holds 'all(.vms[]; .at == "eth" and .method.name == "post-copy" and (.method.ways | length) == 3)'
expect 0 report --html
says "Ways of the memory" "chosen, foreseen</td>" ">the least is sent</td>" ">measured</td>"
expect 0 plan ib --auto --json
holds ".methods.vm2.ways[2].bytes == 5000000" # as then

# Its VMM cannot measure it, which is no reason not to move it.
start_vms 1 writes=-1
expect 0 migrate eth --auto "${FAST[@]}"
says "what vm1 writes cannot be measured"
expect 0 report --json
method 'vms[0].method' pre-copy "too little is known"
holds '.vms[0].method.written_1s == null'

# Whoever takes it on goes on as it was begun.
start_vms 2 writes=500 copy_ms=3000
code=0
NINJA_FAULT=coordinator:step:8:crash ninjactl migrate eth --auto "${FAST[@]}" >/dev/null 2>&1 || code=$?
[ $code -gt 128 ] || die "it was not killed: $code"
expect 0 resume
expect 0 report --json
method 'vms[0].method' "post-copy after one pass" "would not end"
