#!/bin/bash
# Sites that have hosts: a VM goes to a host that has room, and gets a device that nobody has.
# shellcheck source=tests/ctl/vms.sh
. "$(dirname "$0")/vms.sh"

# at VM=HOST[:DEVICE]...: where VMs are, and with which device.
at() {
    local want vm place device
    expect 0 status --json
    for want in "$@"; do
        vm=${want%%=*} place=${want#*=} device=
        [[ $place != *:* ]] || { device=${place#*:}; place=${place%:*}; }
        holds ".vms[] | select(.name == \"$vm\") | .site == \"$place\" and (.device // \"\") == \"$device\""
    done
}

# Nothing was begun, and each device is where it was.
refused() {
    local code=$1 text=$2
    shift 2
    expect "$code" "$@"
    says "$text"
    [ -z "$(ls "$STATE"/*/journal 2>/dev/null)" ] || die "$*: a migration was begun"
}

start_vms 4 hosts=3
at vm1=ib1:hca0 vm2=ib1:hca1 vm3=ib2:hca0 vm4=ib2:hca1
expect 0 sites
says $'ib\n  ib1\n  ib2\n  ib3\neth\n  eth1\n  eth2'
expect 0 sites --json
holds '.sites == ["ib", "eth"] and (.hosts | map(.name)) == ["ib1", "ib2", "ib3", "eth1", "eth2"]'
holds '.hosts[0] == {name: "ib1", site: "ib", devices: 2, memory_mib: null, cpus: null}'

# Bad input.
refused 2 'no site or host "ib9"; there are: ib, ib1, ib2, ib3, eth, eth1, eth2' evacuate ib9
refused 2 'no site or host "ib9"' evacuate ib1 --to ib2,ib9
refused 2 'no site or host ""' evacuate ib1 --to ib2,
refused 64 'there is nothing else that VMs could go to when they leave "ib1"' evacuate ib1 --to ib1
refused 2 'nothing to do: no VM is at "ib3"' evacuate ib3
refused 64 'unexpected argument "ib2"' evacuate ib1 ib2
refused 64 'evacuate needs a HOST' evacuate
refused 64 'vm1 is named twice (vm1=ib2 and vm1=ib3)' migrate vm1=ib2 vm1=ib3
refused 2 'there is no room for vm1: ib2 has no free device (all 2 are in use); name another place' migrate vm1=ib2
refused 2 'there is no room for vm1: ib2 has no free device' plan vm1=ib2
refused 2 'there is no room for vm1: ib2 has no free device' evacuate ib1 --to ib2
refused 2 'there is no room together for the 3 VMs that are to move (free are: ib3 2 devices)' migrate vm1=ib3 vm2=ib3 vm3=ib3
refused 2 'vm1 is at "ib1" already; leave it out' migrate vm1=ib1
refused 2 'vm1 is at "ib1" already; leave it out' migrate vm1=ib
at vm1=ib1:hca0 vm2=ib1:hca1 vm3=ib2:hca0 vm4=ib2:hca1

# The plan says where VMs would go, and why.
expect 0 evacuate ib1 --dry-run
says "vm1 moves from ib1 to ib3" "vm3 stays at ib2" "Chosen, from what is free now" \
    "vm1      to ib3 (free at ib3 2 devices; 0 other VMs)"
expect 0 evacuate ib1 --dry-run --json
holds '.vms | map(.to) == ["ib3", "ib3", null, null] and (map(.gets // "" | match("id=[a-z0-9]*").string? // "") == ["id=hca0", "id=hca1", "", ""])'
holds '.vms | map(.why != null) == [true, true, false, false]'
expect 0 evacuate ib1 --to eth,ib3 --dry-run --json
holds '.vms | map(.to) == ["ib3", "ib3", null, null]'
expect 0 evacuate ib1 --to eth --dry-run --json
holds '.vms | map(.to) == ["eth1", "eth2", null, null] and map(.gets) == [null, null, null, null]'

# A host is emptied, and the others are left alone.
expect 0 evacuate ib1
at vm1=ib3:hca0 vm2=ib3:hca1 vm3=ib2:hca0 vm4=ib2:hca1
expect 0 report --json
holds '.outcome == "done" and .from == "ib1" and .to == "ib3"'
expect 0 migrate vm2=ib1
at vm2=ib1:hca0

# Two change places: each gets the device that the other one leaves.
expect 0 migrate vm2=ib2 vm3=ib1
at vm1=ib3:hca0 vm2=ib2:hca0 vm3=ib1:hca1 vm4=ib2:hca1

# All to one site with several hosts, and back: 3 hosts to 2, to 3.
expect 0 migrate eth
expect 0 report --json
holds '.outcome == "done" and .to == "eth" and (.vms | map(.at) | sort == ["eth1", "eth1", "eth2", "eth2"])'
expect 0 evacuate eth2 --to eth1
at vm1=eth1 vm2=eth1 vm3=eth1 vm4=eth1
expect 0 migrate ib
expect 0 report --json
holds '.outcome == "done" and (.vms | map(.at) | group_by(.) | map(length) | max) == 2'
holds '.vms | map(.device_after) == [true, true, true, true]'
expect 0 evacuate ib --to eth2
at vm1=eth2 vm2=eth2 vm3=eth2 vm4=eth2

# Room is memory and CPUs, too: each VM has 256 MiB and 2 CPUs.
start_vms 4 hosts=2 room_at_eth="memory = 600; cpus = 8;"
refused 2 'there is no room together for the 4 VMs' migrate vm1=eth1 vm2=eth1 vm3=eth1 vm4=eth1
expect 0 evacuate ib --to eth
at vm1=eth1 vm2=eth2 vm3=eth1 vm4=eth2
# Each device that a VM may get is asked for.
start_vms 1 hosts=1 unknown_device=igb \
    room_at_eth='devices = ( "e1000e,id=hca0,bus=rp1", "igb,id=hca1,bus=rp1" );'
expect 1 check eth --json
holds '.items | map(select(.item == "device" and .required and .about == "eth1") | .ok) == [true, false]'
holds '.items[] | select(.about == "eth1" and .ok == false) | .text | contains("Device '"'igb'"' not found")'
start_vms 4 hosts=2 room_at_eth="memory = 255;"
refused 2 'there is no room for vm1: eth1 has too little memory (255 of 255 MiB free, needed are 256)' evacuate ib1 --to eth
start_vms 4 hosts=2 room_at_eth="cpus = 1;"
refused 2 'eth1 has too few CPUs (1 of 1 free, needed are 2)' evacuate ib1 --to eth
start_vms 4 hosts=2 room="memory = 512;"
refused 2 'ib2 has no free device' evacuate ib1 --to ib2

# Whoever takes on a migration knows which device was chosen.
start_vms 4 hosts=3 copy_ms=3000
expect 0 migrate vm2=ib3 --detach
ID=$OUT
wait_for grep -qs '"state": *"COPYING"' "$STATE/$ID/journal"
kill -KILL "$(ninjactl status 2>&1 | sed -n 's/.*(process \([0-9]*\)).*/\1/p')"
wait_for may_look
expect 0 resume
at vm1=ib1:hca0 vm2=ib3:hca0
expect 0 migrate vm2=ib1 --detach
ID=$OUT
wait_for grep -qs '"state": *"COPYING"' "$STATE/$ID/journal"
expect 0 abort
ninjactl wait || true
at vm1=ib1:hca0 vm2=ib3:hca0
