# The same migration with more memory to copy, and with memory that is written to at a higher rate, once by pre-copy
# and once by post-copy. Most of the VMs' memory is in use by bench/study.d/writer.c.
# shellcheck shell=bash disable=SC2154

MEMORY_OF_THE_SYSTEM=400 # MiB that the writer leaves alone, in which the job runs

# write_memory MIB MIB-A-SECOND: in all VMs, until the next; returns when the memory is filled.
write_memory() {
    each_vm "killall writer; setsid writer $1 $2 >/tmp/writer.log 2>&1 </dev/null &" || return
    wait_for 300 "the VMs to fill $1 MiB" writers_have_filled
}

writers_have_filled() {
    local vm
    for vm in "${VMS[@]}"; do vm_root "$vm" 60 "grep -q filled /tmp/writer.log" >/dev/null || return; done
}

writers_live() {
    local vm
    for vm in "${VMS[@]}"; do
        vm_root "$vm" 60 "pidof writer >/dev/null || { dmesg | tail -n 5; false; }" || die "what writes in $vm has ended"
    done
}

# written: the rate that was reached, MiB/s, the least of all VMs.
written() {
    local vm
    for vm in "${VMS[@]}"; do vm_root "$vm" 60 "tail -n 1 /tmp/writer.log"; done | awk '
        $1 !~ /^[0-9.]+$/ {next} !n++ || $1 < least {least = $1} END {print least + 0}'
}

# there_and_back MIB RATE: by each way to send memory.
there_and_back() {
    local run facts
    sleep 2
    for ((run = 1; run <= RUNS; run++)); do
        facts="\"run\": $run, \"memory_mib\": $1, \"rate\": $2, \"reached\": $(written)"
        move live ib2 "{$facts, \"transfer\": \"pre-copy\"}"
        # without KVM nothing is to be copied before a VM changes sides, see testbed/ninja.sh
        sed 's/^migration = .*/migration = { post-copy = 0; };/' "$CLUSTER" >"$RUN/postcopy.conf"
        grep -q post-copy "$RUN/postcopy.conf" || echo 'migration = { post-copy = 0; };' >>"$RUN/postcopy.conf"
        CLUSTER=$RUN/postcopy.conf move live ib "{$facts, \"transfer\": \"post-copy\"}"
    done
}

# with_memory RAW MIB RATE...
with_memory() {
    local raw=$1 mib=$2 rate
    shift 2
    cluster_use 2 "$mib"
    job_begin
    for rate in "$@"; do
        write_memory $((mib - MEMORY_OF_THE_SYSTEM)) "$rate"
        there_and_back "$mib" "$rate"
    done
    writers_live
    job_end "$raw"
}

part_memory() {
    if [[ $QUICK == yes ]]; then
        with_memory "$1" 512 0 50
        with_memory "$1" 768 0
    else
        with_memory "$1" 512 0
        with_memory "$1" 1024 0 25 100
        with_memory "$1" 2048 0
    fi
}
