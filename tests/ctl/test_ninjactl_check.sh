#!/bin/bash
# check, devices, plan: what ninjactl finds out before a migration.
# shellcheck source=tests/ctl/vms.sh
. "$(dirname "$0")/vms.sh"

PROTOCOL=$(sed -n 's/^#define NINJA_AGENT_PROTOCOL //p' "$HERE/../../common/agent_proto.h")

# item ABOUT ITEM: of the last check.
item() {
    jq -c ".items[] | select(.about == \"$1\" and .item == \"$2\")" <<<"$OUT"
}

# finds CODE ABOUT ITEM REQUIRED OK TEXT: in a check of the site eth.
finds() {
    local found
    expect "$1" check eth --json --sysfs "$DIR/sys"
    holds ".version == 1 and .cluster == \"cluster\" and .ok == ($1 == 0)"
    found=$(item "$2" "$3")
    [ "$(jq -s 'any(.[]; .required == '"$4"' and .ok == '"$5"' and (.ok or .mend != ""))' <<<"$found")" = true ] ||
        die "the item $3 of $2 is not required: $4, ok: $5: $found"
    [[ $found == *"$6"* ]] || die "expected \"$6\" in $found"
}

start_vms 2 disk=/srv/shared.img
finds 0 host cluster-file true true "2 VMs, 2 sites"
finds 0 host state-dir true true "can be written"
finds 0 host downtime-limit true true "300 ms"
finds 0 vm1 vmm-version true true "QEMU 7.2.0"
finds 0 vm1 blockers true true "nothing in it blocks"
finds 0 vm1 device true true "with its bypass device"
finds 0 vm2 agent true true "protocol $PROTOCOL"
finds 0 vm2 standby true true "network interface is up"
finds 0 vm2 link false false "no RDMA port is ACTIVE"
finds 0 jobs ranks true true "1 MPI job can be switched"
finds 0 jobs rank-version false false "rank 0 runs 0.0.1"
finds 0 eth receive true true "vm2 is received at tcp:127.0.0.2:4802"
finds 0 eth receiver true true "a QEMU waits for vm1"
finds 0 eth disk true true "/srv/shared.img there, too"
finds 0 eth device true true "vm1 gets no bypass device"
expect 0 check
says "ok   vm1: QEMU 7.2.0" "note vm1: has a bypass device" "to mend it: look at its driver" "0 missing, 3 to be looked at"

# Each thing that can be missing.
start_vms 1 'more=migration = { downtime-limit = 1; };'
finds 0 host downtime-limit false false "may never end"
start_vms 1 'more=migration = { bandwidth = 1; downtime-limit = 60000; }; timeouts = { copy = 1000; };'
finds 0 host downtime-limit false false "60.0 s"
finds 0 vm1 copy-time false false "256 s at 1 MiB/s"
start_vms 1 no_device=1
finds 0 vm1 device false false "without the device"
start_vms 1 no_device=1 blocked='non-migratable device: nvme'
finds 1 vm1 blockers true false "non-migratable device: nvme"
start_vms 1 blocked='VFIO device'
finds 0 vm1 blockers true true "and then can"
start_vms 1 protocol=1
finds 1 vm1 agent true false "same version of ninja-agent"
start_vms 1 no_receiver=1
finds 1 eth receiver true false "no QEMU answers there"
# A socket that cannot be connected, at a site to which a VM would go: each with its reason.
start_vms 1
finds 0 eth agent-socket true true "of vm1's agent can be connected"
rm "$DIR/eth-vm1.agent"
finds 1 eth agent-socket true false "eth-vm1.agent: there is no such socket"
: >"$DIR/eth-vm1.agent"
finds 1 eth agent-socket true false "eth-vm1.agent: it is a plain file, not a socket"
rm "$DIR/eth-vm1.agent"
socat "UNIX-LISTEN:$DIR/eth-vm1.agent,unlink-close=0" - </dev/null >/dev/null &
wait_for test -S "$DIR/eth-vm1.agent"
kill $! && wait $! 2>/dev/null || true
finds 1 eth agent-socket true false "eth-vm1.agent: nobody listens at this socket"
start_vms 1
rm "$DIR/eth-vm1.qmp" && : >"$DIR/eth-vm1.qmp"
finds 1 eth receiver true false "eth-vm1.qmp: it is a plain file, not a socket"
start_vms 1
sed -i "s|name = \"eth\";|& prepare = \"/bin/true\";|" "$DIR/cluster.conf"
rm "$DIR/eth-vm1.qmp" "$DIR/eth-vm1.agent"
finds 0 eth prepare true true "starts receivers"
: >"$DIR/eth-vm1.qmp"
: >"$DIR/eth-vm1.agent"
finds 1 eth receiver true false "eth-vm1.qmp: it is a plain file, not a socket"
finds 1 eth agent-socket true false "eth-vm1.agent: it is a plain file, not a socket"

# The same with the driver "local", which has nothing but the agents' sockets.
local_file() {
    printf '%s\n' 'driver = "local"; vms = ( { name = "vm1"; } );' \
        "sites = ( { name = \"ib\"; vms = ( { name = \"vm1\"; agent = \"$1\"; } ); }," \
        "{ name = \"eth\"; vms = ( { name = \"vm1\"; agent = \"$2\"; } ); } );" >"$DIR/cluster.conf"
}
start_vms 1
local_file "$DIR/ib-vm1.agent" "$DIR/nothing"
finds 1 eth agent-socket true false "nothing: there is no such socket"
local_file "$DIR/ib-vm1.agent" "$DIR"
finds 1 eth agent-socket true false "it is a directory, not a socket"
local_file "$DIR/nothing" "$DIR"
finds 1 vm1 vm true false "nothing: there is no such socket; $DIR: it is a directory, not a socket"
expect 2 migrate eth
says "nothing: there is no such socket" "it is a directory, not a socket"
says_not "start one"

# Too long for a socket: told by its line, before anybody looks.
long=/$(printf 'x%.0s' {1..107})
local_file "$DIR/ib-vm1.agent" "$long"
expect 65 check eth
says "cluster.conf:3: the path of a socket has at most 107 characters" "has 108"
local_file "$DIR/ib-vm1.agent" "${long%x}"
finds 1 eth agent-socket true false "there is no such socket"
for key in qmp agent; do
    start_vms 1
    sed -i "/eth-vm1/s|$key = \"[^\"]*\"|$key = \"$long\"|" "$DIR/cluster.conf"
    expect 65 check eth
    says "the path of a socket has at most 107 characters"
done
start_vms 1 "receive=unix:$long"
expect 65 check eth
says "the path of a socket has at most 107 characters"

start_vms 1 machine=pc-q35-6.0-machine
finds 1 eth receiver-machine true false "pc-q35-6.0-machine"
start_vms 1 receive=tcp:127.0.0.2:seaport
finds 1 eth receive true false "not a port"
start_vms 1 receive=tcp:nowhere.invalid:4801
finds 1 eth receive true false "is not known here"
start_vms 1 receive=tcp:0.0.0.0:4801
finds 1 eth receive true false "names no host"
start_vms 1 receive=unix:/nowhere/at/all
finds 1 eth receive true false "/nowhere/at"
start_vms 1 "receive=unix:$DIR/vm1.stream"
finds 0 eth receive true true "vm1.stream"
start_vms 1 'receive=exec:cat'
finds 0 eth receive false false "neither tcp"
start_vms 2 receive=tcp:127.0.0.2:4802
finds 1 eth receive true false "at the same address"

# A device of the host that is passed through.
start_vms 1 'eth=device = "vfio-pci,host=3b:00.1,id=hca0,bus=rp1";'
finds 0 eth host-device false false "no such device"
mkdir -p "$DIR/sys/bus/pci/devices/0000:3b:00.1" "$DIR/sys/bus/pci/drivers/mlx5_core" \
    "$DIR/sys/bus/pci/drivers/vfio-pci" "$DIR/sys/kernel/iommu_groups/12"
ln -s ../../drivers/mlx5_core "$DIR/sys/bus/pci/devices/0000:3b:00.1/driver"
finds 0 eth host-device false false "bound to mlx5_core"
ln -sfn ../../drivers/vfio-pci "$DIR/sys/bus/pci/devices/0000:3b:00.1/driver"
finds 0 eth host-device false false "in no IOMMU group"
ln -s ../../../../kernel/iommu_groups/12 "$DIR/sys/bus/pci/devices/0000:3b:00.1/iommu_group"
finds 0 eth host-device true true "IOMMU group 12"
expect 0 devices --sysfs "$DIR/sys"
says "vm1 runs at ib" "net  eth0 up" "QEMU hca0 e1000e (the bypass device)" \
    "e1000e,id=hca0,bus=rp1 (plugged in)" "on this host bound to vfio-pci, IOMMU group 12"
expect 0 devices --json --sysfs "$DIR/sys"
holds '.version == 1 and (.vms[0].vmm == [{"id": "hca0", "driver": "e1000e", "bypass": true}])'
holds '.vms[0].sites[1].host_device | .address == "0000:3b:00.1" and .present and .iommu_group == "12"'
holds '.vms[0].interconnects.net[0].name == "eth0"'

# A plan says only what there are figures for.
start_vms 2 copy_ms=300
expect 0 plan eth
says "1. vm1 moves from ib to eth" "256 MiB of RAM, at most all of it to send" "no figure of the rate" \
    "copy     no figure" "stall    no figure"
expect 0 plan eth --bandwidth 64 --json
holds '.version == 1 and .to == "eth" and .mode == "live" and (.steps | length) > 4'
holds '.vms[1] == {"name": "vm2", "from": "ib", "to": "eth", "moves": true, "leaves": "e1000e,id=hca0,bus=rp1", "gets": null, "receive": "tcp:127.0.0.2:4802", "stream": null, "why": null}'
holds '.estimate | .copy_ms == 4000 and .stall_ms == null and .vms[0].rate_from == "the limit"'
expect 0 migrate eth --dry-run
says "1. vm1 moves from ib to eth"
expect 0 migrate eth
expect 0 migrate ib
LAST=$(ninjactl list --json | jq -r '.migrations[-1].id')
FIRST=$(ninjactl list --json | jq -r '.migrations[0].id')
expect 0 plan eth --json
holds ".estimate | .vms[0].send_bytes == 5000000 and .vms[0].send_from == \"$LAST\""
holds ".estimate | .copy_ms >= 300 and .stall_ms >= 0 and .stall_from == \"$FIRST\""
expect 0 plan eth --mode paused
says "stall    no figure"
expect 0 plan eth --bandwidth 1
says "1.0 MiB/s, the limit" "copy     about 4.8 s"
expect 2 plan ib
says "nothing to do"
expect 2 plan nowhere
says 'no site "nowhere"'
