# A cluster with the driver "libvirt": VMs with a job, ninjactl where the coordinator is, and its cluster file. Each
# host is a site, and the VMs are at the first one. A site whose name begins with "eth" has no bypass device; all
# others have one, on bridges of different names.
#
# It is sourced after testbed.sh, some of whose functions are about sites without libvirt, and are replaced here.
# shellcheck shell=bash disable=SC2034

# shellcheck source=testbed/libvirt.sh
. "$TESTBED/libvirt.sh"

LIBVIRT_SITES=([1]=host1 [2]=host2)

# The VMs are on the hosts' network, where the coordinator is, too.
NET_PREFIX=$LIBVIRT_PREFIX
net_exec() {
    shift
    libvirt_coordinator "$@"
}

# site_of N: its name.
site_of() { printf '%s' "${LIBVIRT_SITES[$1]}"; }

# host_of SITE: its number.
host_of() {
    local n
    for n in "${!LIBVIRT_SITES[@]}"; do
        [[ ${LIBVIRT_SITES[n]} != "$1" ]] || printf '%s' "$n"
    done
}

vm_runs_at() { [[ $(libvirt_virsh "$(host_of "$2")" domstate "$1" 2>/dev/null) == running ]]; }

has_bypass() { [[ $(site_of "$1") != eth* ]]; }

bypass_of() { if [[ $1 == 1 ]]; then echo bypass; else echo "bypass$1"; fi; }

# cluster_entry N VM
cluster_entry() {
    local file=$RUN/$2.device-$1.xml
    has_bypass "$1" || { printf '{ name = "%s"; }' "$2" && return; }
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

# cluster_fabric: one network of the bypass devices of all hosts, by a bridge where the coordinator is.
cluster_fabric() {
    local n hub
    hub=$(libvirt_namespace 0)
    ip -n "$hub" link add fabric type bridge
    ip -n "$hub" link set fabric up
    for n in "${LIBVIRT_HOSTS[@]}"; do
        ip -n "$hub" link add "fabric$n" type veth peer name fabric netns "$(libvirt_namespace "$n")"
        ip -n "$hub" link set "fabric$n" master fabric up
        ip -n "$(libvirt_namespace "$n")" link set fabric master "$(bypass_of "$n")" up
    done
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
