# Where the time of a migration goes: two VMs around four sites, two of them with RDMA, so that each kind of site is
# left for each kind.
# shellcheck shell=bash disable=SC2154

part_stages() {
    local run
    cluster_use 2 384
    job_begin
    for ((run = 1; run <= RUNS; run++)); do
        move live ib2 "{\"run\": $run, \"kind\": \"RDMA to RDMA\"}"
        move live eth "{\"run\": $run, \"kind\": \"RDMA to Ethernet\"}"
        move live eth2 "{\"run\": $run, \"kind\": \"Ethernet to Ethernet\"}"
        move live ib "{\"run\": $run, \"kind\": \"Ethernet to RDMA\"}"
    done
    job_end "$1"
}
