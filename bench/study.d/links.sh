# What a link that trains for long costs the application: from RDMA to RDMA, paused and live. The guest brings the
# new link up that much later.
# shellcheck shell=bash disable=SC2154

part_links() {
    local run seconds mode site=ib trainings=(0 3 10 30)
    [[ $QUICK != yes ]] || trainings=(0 5)
    cluster_use 2 384
    job_begin
    for ((run = 1; run <= RUNS; run++)); do
        for seconds in "${trainings[@]}"; do
            each_vm "echo $seconds >/run/link-training"
            for mode in paused live; do
                if [[ $site == ib ]]; then site=ib2; else site=ib; fi
                move "$mode" "$site" "{\"run\": $run, \"training_s\": $seconds}"
            done
        done
    done
    each_vm "rm /run/link-training"
    job_end "$1"
}
