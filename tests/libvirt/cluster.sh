# What the tests of the driver "libvirt" share: VMs with a job, ninjactl where the coordinator is, and its cluster
# file. Each host is a site; both have a device, on bridges of different names.
# shellcheck shell=bash disable=SC2034

cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit
# shellcheck source=testbed/testbed.sh
. testbed/testbed.sh
# shellcheck source=testbed/libvirt.sh
. testbed/libvirt.sh

# The VMs are on the hosts' network, where the coordinator is, too.
NET_PREFIX=$LIBVIRT_PREFIX
net_exec() {
    shift
    libvirt_coordinator "$@"
}

# site_of N: its name.
site_of() { printf 'host%s' "$1"; }

bypass_of() { if [[ $1 == 1 ]]; then echo bypass; else echo "bypass$1"; fi; }

# cluster_entry N VM
cluster_entry() {
    local file=$RUN/$2.device-$1.xml
    libvirt_device_xml "$2" | sed "s/bridge='bypass'/bridge='$(bypass_of "$1")'/" >"$file"
    printf '{ name = "%s"; device = "%s"; }' "$2" "$file"
}

cluster_hosts() {
    local n vm separator=
    for n in "${LIBVIRT_HOSTS[@]}"; do
        printf '%s  { name = "%s"; uri = "%s"; vms = (' "$separator" "$(site_of "$n")" "$(libvirt_uri "$n")"
        separator=
        for vm in "${VMS[@]}"; do
            printf '%s\n    ' "$separator"
            cluster_entry "$n" "$vm"
            separator=,
        done
        printf ' ); }'
        separator=$',\n'
    done
}

cluster_write_libvirt() {
    local vm separator=
    CLUSTER=$RUN/cluster.conf
    mkdir -p "$RUN/state"
    {
        printf 'name = "libvirt-%s";\ndriver = "libvirt";\nvms = (' "$RUN_ID"
        for vm in "${VMS[@]}"; do
            printf '%s { name = "%s"; }' "$separator" "$vm"
            separator=,
        done
        printf ' );\nsites = (\n%s );\n' "$(cluster_hosts)"
        [[ $ACCEL == kvm ]] || cluster_copy_at_rest
        # VMs without KVM on a loaded machine are slow.
        printf 'timeouts = { connect = 60000; command = 60000; jobs = 120000; quiesce = 60000; '
        printf 'release = 60000; reselect = 120000;\n    resume = 60000; unplug = 120000; start = 60000; '
        printf 'plug = 60000; };\n'
    } >"$CLUSTER"
}

# The ninjactl of this tree, with its ninja-libvirt.
ninjactl() {
    local command=$1
    shift
    NINJA_LIBVIRT=$INSTALLED/usr/libexec/ninja-migration/ninja-libvirt libvirt_coordinator timeout --foreground "$NINJACTL_LIMIT" \
        "$INSTALLED/usr/bin/ninjactl" "$command" "$@" --cluster "$CLUSTER" --state-dir "$RUN/state"
}

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

# cluster_up: the hosts with the VMs at the first one, and the cluster file.
cluster_up() {
    local n
    testbed_libvirt_up "${VMS[@]}"
    for n in "${LIBVIRT_HOSTS[@]:1}"; do
        ip -n "$(libvirt_namespace "$n")" link add "$(bypass_of "$n")" type bridge
        ip -n "$(libvirt_namespace "$n")" link set "$(bypass_of "$n")" up
    done
    cluster_write_libvirt
}
