#!/usr/bin/env bash
# examples/demo --libvirt: without libvirt's packages it says how to install them, and installs nothing; with them
# the job moves from a host with RDMA to one with Ethernet and back, and its result is right.
set -euo pipefail
cd "$(dirname "$0")/../.."

die() {
    echo "$*"
    exit 1
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# To the demo, nothing is installed.
mkdir -p "$work/admin"/{info,updates}
touch "$work/admin"/{status,available}
! DPKG_ADMINDIR=$work/admin examples/demo --libvirt >"$work/said" 2>&1 || die "it begins without libvirt"
grep -q '^install them, and try again: .*libvirt-daemon' "$work/said" ||
    die "it does not say how to install libvirt: $(cat "$work/said")"
! grep -q '^installing' "$work/said" || die "it installs packages by itself"

examples/demo --libvirt --report "$work/report" >"$work/said" 2>&1 || die "$(cat "$work/said")"
for host in 1 2; do
    grep -q "virsh -c qemu+tcp://10.79.0.$host/system list: vm1 vm2\$" "$work/said" ||
        die "it does not show the VMs at host $host: $(cat "$work/said")"
done
jq -e '.cycles[0].migrations | length == 2' "$work/report/report.json" >/dev/null || die "there is no report"
! grep 'NOT OK' "$work/said" || exit 1
