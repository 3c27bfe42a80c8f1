# More and more VMs, of one CPU and little memory each, all on this machine.
# shellcheck shell=bash disable=SC2154

part_scale() {
    local n run sizes=(2 4 8)
    [[ $QUICK != yes ]] || sizes=(2 3)
    for n in "${sizes[@]}"; do
        cluster_use "$n" 384
        job_begin
        for ((run = 1; run <= RUNS; run++)); do
            move live eth "{\"run\": $run, \"vms\": $n, \"kind\": \"RDMA to Ethernet\"}"
            move live ib "{\"run\": $run, \"vms\": $n, \"kind\": \"Ethernet to RDMA\"}"
        done
        job_end "$1"
    done
    cluster_end
}
