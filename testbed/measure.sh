# Which transport carries the job, measured in the guests' kernels: RDMA packets and connected
# queue pairs of the soft-RoCE device, and bytes sent by the management interface.
#
# A measurement is two snapshots with iterations of the job in between. Neighbours in different VMs
# send each other a row of the grid in each iteration, so it is known how many bytes must
# go somewhere.
# shellcheck shell=bash disable=SC2034

MEASURE_ROW_BYTES=4096
MEASURE_ITERATIONS=40

measure_vm() { vm_root "$1" 30 /usr/lib/testbed/measure; }

measure_snapshot() {
    local vm
    for vm in "${VMS[@]}"; do
        jq -n --arg vm "$vm" --argjson n "$(measure_vm "$vm")" '{($vm): $n}'
    done | jq -s --argjson i "$(job_iteration)" 'add | {iteration: $i, vms: .}'
}

# measure_transport: what the job used during the next iterations, as JSON with a verdict.
measure_transport() {
    local before after
    before=$(measure_snapshot) || return 1
    job_advance "$MEASURE_ITERATIONS" || return 1
    after=$(measure_snapshot) || return 1
    jq -n --argjson a "$before" --argjson b "$after" --argjson row "$MEASURE_ROW_BYTES" '
        ($b.iteration - $a.iteration) as $n | ($n * $row / 2) as $least |
        [$b.vms | keys[] | {(.): {
            rdma_devices: $b.vms[.].rdma_devices,
            queue_pairs: $b.vms[.].queue_pairs,
            rdma_packets: ($b.vms[.].rdma_packets - ($a.vms[.].rdma_packets)),
            ethernet_bytes: ($b.vms[.].ethernet_bytes - $a.vms[.].ethernet_bytes)}}] | add |
        {iterations: $n, vms: .,
         transport: (
            if all(.[]; .queue_pairs > 0 and .rdma_packets >= $n and .ethernet_bytes < $least)
            then "openib"
            elif all(.[]; .rdma_packets <= 0 and .queue_pairs == 0 and .ethernet_bytes >= $least)
            then "tcp" else "unclear" end)}'
}

# measure_runs_on TRANSPORT: ends the script if the next iterations are carried by another one.
measure_runs_on() {
    measure_transport >"$RUN/measured.json"
    jq -e --arg it "$1" '.transport == $it' "$RUN/measured.json" >/dev/null ||
        { cat "$RUN/measured.json"; die "the job is not on $1"; }
}

# measure_show MEASUREMENT: one readable line.
measure_show() {
    jq -r '"carried by \(.transport) in \(.iterations) iterations (" + ([.vms | to_entries[] |
        "\(.key): \(.value.rdma_packets) RDMA packets, \(.value.queue_pairs) queue pairs, \(.value.ethernet_bytes) Ethernet bytes"]
        | join("; ")) + ")"' <<<"$1"
}
