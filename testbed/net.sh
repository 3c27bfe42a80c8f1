# The networks: a network namespace for each site.
#
#       site ib                          site eth
#       rdma bridge: a tap for each VM
#       mgmt bridge: a tap for each VM --- mgmt bridge: a tap for each VM
#
# The management network spans all sites, so a VM keeps its address; an RDMA network is there at a site
# whose name begins with "ib", and is that site's own, unless NET_RDMA_SPANS says that these are hosts
# of one site. Names of namespaces are this run's own.
# shellcheck shell=bash disable=SC2034

NET_SITES=(ib eth) # the first is where VMs boot
NET_RDMA_SPANS=
NET_PREFIX=10.77.0

net_namespace() { printf 'ninja-%s-%s' "$1" "$RUN_ID"; }

# The address of a site's host on the management network.
net_host_address() {
    local i
    for i in "${!NET_SITES[@]}"; do
        [[ ${NET_SITES[i]} != "$1" ]] || printf '%s.%s' "$NET_PREFIX" $((i + 1))
    done
}

net_has_rdma() { [[ $1 == ib* ]]; }

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
        ! net_has_rdma "$site" || net_bridge "$ns" rdma
    done
    for site in "${NET_SITES[@]:1}"; do
        net_trunk "${NET_SITES[0]}" "$site" mgmt trunk
        [[ -z $NET_RDMA_SPANS ]] || ! net_has_rdma "$site" || net_trunk "${NET_SITES[0]}" "$site" rdma fabric
    done
}

# net_trunk FROM SITE BRIDGE NAME: joins these bridges of both.
net_trunk() {
    local from to
    from=$(net_namespace "$1") to=$(net_namespace "$2")
    ip -n "$from" link add "$4-$2" type veth peer name "$4" netns "$to"
    ip -n "$from" link set "$4-$2" master "$3" up
    ip -n "$to" link set "$4" master "$3" up
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
