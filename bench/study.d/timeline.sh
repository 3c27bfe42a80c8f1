# One job before, during and after: RDMA, the standby transport while it moves, Ethernet, and RDMA again. What goes to a
# VM over Ethernet is shaped, as emulated RDMA is no faster than emulated Ethernet.
# shellcheck shell=bash disable=SC2154

TIMELINE_KBIT=2000

# shape: the VMs' Ethernet at all sites. The copy of the memory goes past it.
shape() {
    local site vm
    for site in "${NET_SITES[@]}"; do
        for vm in "${VMS[@]}"; do
            net_exec "$site" tc qdisc "$1" dev "mgmt-$vm" root \
                tbf rate "${TIMELINE_KBIT}kbit" burst 16kb latency 500ms
        done
    done
}

part_timeline() {
    local seconds=15
    [[ $QUICK != yes ]] || seconds=5
    cluster_use 2 384
    job_begin
    shape add
    sleep "$seconds"
    move live eth "{\"to\": \"eth\", \"kbit\": $TIMELINE_KBIT}"
    sleep "$seconds"
    move live ib "{\"to\": \"ib\", \"kbit\": $TIMELINE_KBIT}"
    sleep "$seconds"
    job_end "$1"
    shape del
    awk '{printf "{\"ms\": %s, \"iteration\": %s}\n", $1, $2}' "$RUN/iterations" >>"$1"
}
