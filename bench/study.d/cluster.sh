# A virtual cluster as a part of the study wants it, a job in it that measures itself, and migrations of both.
#
# The job is examples/jacobi.c with one rank a VM, preloaded with bench/npb/stall.c. What a migration did to it is
# taken from four places: ninjactl's report; the job's own MPI calls, by the guest's clock; the times at which its
# lines of progress came out of the VM, by the host's clock; and how much the guest's clock lost, which is how
# long the VM stood still. A guest's clock stands still with the VM, so neither the calls nor anything else
# inside can see that.
# shellcheck shell=bash disable=SC2034

NET_SITES=(ib ib2 eth eth2)
HOLD_LEAST_US=20000 # shorter calls of MPI are not kept
STOP_FILE=/tmp/stop
STEADY=15           # iterations between two migrations

# In place of the demo's job, while the test bed is prepared.
job_build() {
    JOB_PROGRAM=$RUN/jacobi
    mpicc -O2 -ffp-contract=off -o "$JOB_PROGRAM" "$TREE/examples/jacobi.c" -lm
    quietly "$RUN/npb.log" "$TREE/bench/npb/build" "$RUN/npb"
    gcc -O2 -Wall -Wextra -Werror -o "$RUN/writer" "$TREE/bench/study.d/writer.c"
    IMAGE_PROGRAMS=("$RUN/npb/libstall.so" "$RUN/writer")
}

# cluster_use VMS MIB: that many VMs of one CPU at the site ib, and no job in them. Those that a part left behind are
# used again.
cluster_use() {
    VM_CPUS=1 VM_MEMORY=$2 JOB_RANKS=$1 JOB_RANKS_A_VM=1 CLUSTER=$RUN/cluster.conf
    mapfile -t VMS < <(seq -f 'vm%g' "$1")
    if [[ -e $RUN/cluster && $(<"$RUN/cluster") == "$1 $2" ]]; then
        vms_at ib || ninjactl migrate ib >"$RUN/migrate.log" 2>&1
        return
    fi
    cluster_end
    settings_write
    net_up
    cluster_write
    vms_boot
    printf '%s' "$1 $2" >"$RUN/cluster"
}

cluster_end() {
    rm -f "$RUN/cluster"
    end_pidfiles
    net_down
    rm -f "$RUN"/{ib,eth}*-vm*
}

# each_vm COMMAND: in all VMs, as root.
each_vm() {
    local vm
    for vm in "${VMS[@]}"; do vm_root "$vm" 120 "$1" >/dev/null || return; done
}

job_begin() {
    each_vm "rm -rf $STOP_FILE /tmp/holds; mkdir -m 777 /tmp/holds"
    JOB_PROGRESS=1 JOB_ARGUMENTS="--until $STOP_FILE"
    rm -f "$RUN/moves"
    job_start 9999999 --mca crcp ninja --mca btl openib,tcp,vader,self -x LD_PRELOAD=/usr/local/bin/libstall.so \
        -x NPB_STALL_DIR=/tmp/holds -x "NPB_STALL_MIN_US=$HOLD_LEAST_US"
    job_advance "$STEADY"
}

# clocks: for each VM how far the host's clock is ahead of the guest's, in ms, as JSON. What it took to ask is the error.
clocks() {
    local vm before uptime
    for vm in "${VMS[@]}"; do
        before=$(now_ms)
        uptime=$(vm_root "$vm" 60 "cut -d' ' -f1 /proc/uptime") || return
        printf '"%s" %s %s %s\n' "$vm" "$before" "$(now_ms)" "$uptime"
    done | awk '{printf "%s%s: %.0f", (NR > 1 ? ", " : "{"), $1, ($2 + $3) / 2 - $4 * 1000} END {print "}"}'
}

# move MODE SITE FACTS [OPTION...]: one migration, kept for job_end with these facts about it, a JSON object.
move() {
    local mode=$1 site=$2 facts=$3 before after begin end
    shift 3
    before=$(clocks)
    begin=$(now_ms)
    ninjactl migrate "$site" --mode "$mode" --json "$@" >"$RUN/report.json" 2>"$RUN/migrate.log" || {
        cat "$RUN/migrate.log" >&2
        return 1
    }
    end=$(now_ms)
    wait_for 60 "the VMs to run at $site" vms_at "$site"
    job_advance "$STEADY"
    after=$(clocks)
    jq -c --argjson facts "$facts" --argjson before "$before" --argjson after "$after" --argjson began "$begin" \
        --argjson ended "$end" '{facts: $facts, begin: $began, end: $ended, clock_before: $before, clock_after: $after,
            report: (. | del(.vms[].interconnects, .jobs_before, .jobs_after))}' "$RUN/report.json" >>"$RUN/moves"
    say "    $(jq -r '"\(.mode) \(.from) -> \(.to): \(.outcome), stall \(.stall_total_ms) ms"' "$RUN/report.json") $facts"
}

# calls: the MPI calls of all ranks that were kept: VM, begin and end by the guest's clock, ms.
calls() {
    local vm
    for vm in "${VMS[@]}"; do
        vm_root "$vm" 120 "cat /tmp/holds/*" |
            awk -v vm="$vm" '$1 == "offset" {offset = $2; next}
                NF == 2 {printf "%s %.1f %.1f\n", vm, ($1 - offset) / 1000, ($2 - offset) / 1000}'
    done
}

# job_end FILE: ends the job, which must have computed what it computes where nothing moves, and adds a line to FILE for
# each migration.
job_end() {
    local result reference
    vm_root vm1 60 "touch $STOP_FILE" >/dev/null
    job_wait
    JOB_PID=
    result=$(job_result)
    reference=$(job_reference "$(jq .iterations <<<"$result")")
    [[ $(jq .digest <<<"$result") == "$(jq .digest <<<"$reference")" ]] ||
        job_explain "the job's result is not that of a run that never moved"
    calls >"$RUN/calls"
    [[ -s $RUN/calls ]] || job_explain "the job did not say what calls of MPI took long"
    grep -E '^[0-9]+ iteration ' "$JOB_LOG" | cut -d' ' -f1,3 >"$RUN/iterations"
    jq -c -L "$TREE/bench/study.d" --rawfile calls "$RUN/calls" --rawfile iterations "$RUN/iterations" \
        'include "stall"; stalls($calls; $iterations)' "$RUN/moves" >>"$1"
}
