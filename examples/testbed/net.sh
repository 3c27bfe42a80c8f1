# The networks: a network namespace for each site.
#
#       site ib                          site eth
#       rdma bridge: a tap for each VM
#       mgmt bridge: a tap for each VM --- mgmt bridge: a tap for each VM
#
# The management network spans both sites, so a VM keeps its address; the RDMA network is at
# the site ib only. Names of namespaces are this run's own.
# shellcheck shell=bash disable=SC2034

NET_SITES=(ib eth)
NET_PREFIX=10.77.0

net_namespace() { printf 'ninja-%s-%s' "$1" "$RUN_ID"; }

# The address of a site's host on the management network.
net_host_address() {
    case $1 in
    ib) printf '%s.1' "$NET_PREFIX" ;;
    eth) printf '%s.2' "$NET_PREFIX" ;;
    esac
}

net_bridge() {
    local ns=$1 bridge=$2 vm
    ip -n "$ns" link add "$bridge" type bridge
    ip -n "$ns" link set "$bridge" up
    for vm in "${VMS[@]}"; do
        ip -n "$ns" tuntap add "$bridge-$vm" mode tap
        ip -n "$ns" link set "$bridge-$vm" master "$bridge" up
    done
}

net_up() {
    local site ns
    say "making the networks of the sites ${NET_SITES[*]}"
    for site in "${NET_SITES[@]}"; do
        ns=$(net_namespace "$site")
        ip netns add "$ns"
        ip -n "$ns" link set lo up
        net_bridge "$ns" mgmt
        ip -n "$ns" addr add "$(net_host_address "$site")/24" dev mgmt
    done
    net_bridge "$(net_namespace ib)" rdma
    ip -n "$(net_namespace ib)" link add trunk type veth peer name trunk netns "$(net_namespace eth)"
    for site in "${NET_SITES[@]}"; do
        ip -n "$(net_namespace "$site")" link set trunk master mgmt up
    done
}

net_down() {
    local site
    for site in "${NET_SITES[@]}"; do
        ip netns del "$(net_namespace "$site")" 2>/dev/null || true
    done
}

# net_exec SITE COMMAND...
net_exec() {
    local ns
    ns=$(net_namespace "$1")
    shift
    ip netns exec "$ns" "$@"
}
