# What the tests of the driver "libvirt" share: a cluster with a host for each site, and where its VMs are.
# shellcheck shell=bash

cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit
# shellcheck source=testbed/testbed.sh
. testbed/testbed.sh
# shellcheck source=testbed/libvirt_cluster.sh
. testbed/libvirt_cluster.sh

# runs_only_at N: all VMs, by what libvirt itself says; with the device of that host in their configuration.
runs_only_at() {
    local vm n state
    for vm in "${VMS[@]}"; do
        for n in "${LIBVIRT_HOSTS[@]}"; do
            state=$(libvirt_virsh "$n" domstate "$vm" 2>/dev/null | head -1) || true
            if [[ $n == "$1" ]]; then
                [[ $state == running ]] || die "$vm is \"$state\" at host $n"
                libvirt_virsh "$n" dumpxml --inactive "$vm" >"$RUN/inactive.xml"
                [[ $(grep -c "bridge='$(bypass_of "$n")'" "$RUN/inactive.xml") == 1 &&
                    $(grep -c "ua-bypass" "$RUN/inactive.xml") == 1 ]] ||
                    { cat "$RUN/inactive.xml"; die "the configuration of $vm is not that of host $n"; }
            else
                [[ -z $state ]] || die "$vm is \"$state\" at host $n, too"
            fi
        done
    done
}

# all_at N: ninjactl says so, too, each with its device.
all_at() {
    runs_only_at "$1"
    ninjactl status --json >"$RUN/status" || { cat "$RUN/status"; die "no status"; }
    jq -e --arg site "$(site_of "$1")" 'all(.vms[]; .site == $site and .device_attached)' "$RUN/status" >/dev/null ||
        { cat "$RUN/status"; die "a VM is not at host $1 with its device"; }
}
