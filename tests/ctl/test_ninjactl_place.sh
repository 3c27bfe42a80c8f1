#!/bin/bash
# migrate and plan with VM=SITE: each VM that is named goes to its own site, the others stay.
# shellcheck source=tests/ctl/vms.sh
. "$(dirname "$0")/vms.sh"

# at VM SITE
at() {
    expect 0 status --json
    holds ".vms[] | select(.name == \"$1\").site == \"$2\""
}

# What cannot be meant is refused with its name, before anything is touched.
start_vms 3
refused() {
    local code=$1 text=$2 command
    shift 2
    for command in migrate plan; do
        expect "$code" "$command" "$@"
        says "$text"
    done
    [ -z "$(ls "$STATE"/*/journal 2>/dev/null)" ] || die "$*: a migration was begun"
}
refused 64 "vm1 is named twice (vm1=eth and vm1=ib); name it once" vm1=eth vm1=ib
refused 64 "vm1 is named twice" vm1=eth vm2=eth vm1=eth
refused 64 'expected one SITE for all VMs, or VM=SITE for each VM that is to move; found "eth"' vm1=eth eth
refused 64 'found "eth" among others' eth ib
refused 2 'no VM "vm9"; there are: vm1, vm2, vm3' vm9=eth
refused 2 'no VM ""' =eth
refused 2 'no site "ether"; there are: ib, eth' vm1=ether
refused 2 'no site ""' vm1=
refused 2 'vm2 is at "ib" already; leave it out' vm1=eth vm2=ib
expect 64 check vm1=eth vm2=eth
for vm in vm1 vm2 vm3; do
    at $vm ib
done

# The plan knows who moves.
expect 0 plan vm2=eth --json
holds '.to == "eth" and (.vms | map(.to) == [null, "eth", null]) and (.vms | map(.moves) == [false, true, false])'
holds '.estimate.vms | map(.name) == ["vm2"]'
expect 0 plan vm2=eth
says "vm1 stays at ib" "vm2 moves from ib to eth" "vm3 stays at ib"

# One of three moves, and the job runs on; then another one, and the first one comes back.
expect 0 migrate vm2=eth
expect 0 report --json
holds '.outcome == "done" and .from == "ib" and .to == "eth"'
holds '.vms | map([.to, .at, .moved, .device_after]) == [[null, "ib", false, true], ["eth", "eth", true, false], [null, "ib", false, true]]'
at vm1 ib
at vm2 eth
expect 0 migrate vm2=ib vm3=eth
expect 0 report --json
holds '.outcome == "done" and .from == "several" and .to == "several"'
holds '.vms | map([.to, .at, .device_after]) == [[null, "ib", true], ["ib", "ib", true], ["eth", "eth", false]]'
expect 0 list
says "several"
expect 0 report
says "several"

# All to one site, wherever they are.
expect 0 migrate ib
expect 0 report --json
holds '.vms | map([.to, .at]) == [["ib", "ib"], ["ib", "ib"], ["ib", "ib"]]'

# The one who takes on knows who was to go where.
start_vms 2 copy_ms=3000
expect 0 migrate vm1=eth --detach
ID=$OUT
wait_for grep -qs '"state": *"COPYING"' "$STATE/$ID/journal"
kill -KILL "$(ninjactl status 2>&1 | sed -n 's/.*(process \([0-9]*\)).*/\1/p')"
wait_for may_look
expect 0 status --json
holds '.interrupted.to == "eth"'
expect 2 migrate vm2=eth
says "migration $ID was interrupted"
expect 0 resume
expect 0 report --json
holds '.vms | map([.to, .at]) == [["eth", "eth"], [null, "ib"]]'
at vm1 eth
at vm2 ib
