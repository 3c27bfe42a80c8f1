#!/usr/bin/env bash
# What goes wrong on purpose, on one pair of VMs:
#   what check, devices and plan find out on real VMs, before and after
#   a site whose device cannot be plugged: the VMs arrive, the job goes on over TCP
#   a site whose RDMA is up and carries nothing: the same; and on to RDMA once it does
#   a job without crcp ninja on the device: the migration is refused, naming it
#   the device unplugged all the same: the job dies, or the device does not go
# The last shows that the test bed really tests something.
set -euo pipefail
# shellcheck source=/dev/null
. "$(dirname "$0")/../../testbed/testbed.sh"
ITERATIONS=900

# expect WANTED WHAT COMMAND...: its exit status must be that. Output goes to $RUN/output, $RUN/errors.
expect() {
    local wanted=$1 what=$2 status=0
    shift 2
    "$@" >"$RUN/output" 2>"$RUN/errors" || status=$?
    cat "$RUN/errors"
    ((status == wanted)) || die "$what: exit status $status, not $wanted"
}

# holds FILTER: what the last command printed is JSON of which that is true.
holds() {
    jq -e "$1" "$RUN/output" >/dev/null || { cat "$RUN/output"; die "does not hold: $1"; }
}

finds_all_that_is_needed() {
    expect 0 "check" ninjactl check eth --json
    holds '.ok and ([.items[] | select(.item | IN("vmm-version", "blockers", "link", "standby", "agent")) | .ok] == [range(10) | true])'
    holds '.items | any(.[]; .item == "rank-version" and .ok)'
    expect 0 "devices" ninjactl devices --json
    holds '[.vms[].vmm[] | select(.bypass) | .driver] == ["virtio-net-pci", "virtio-net-pci"]'
    holds '[.vms[].interconnects.rdma[].state] == ["ACTIVE", "ACTIVE"]'
    expect 0 "plan" ninjactl plan eth --json --bandwidth 0
    holds ".estimate | .copy_ms == null and ([.vms[].ram_bytes] == [$VM_MEMORY, $VM_MEMORY | . * 1048576])"
}

falls_back_to_ethernet() {
    local result reference
    reference=$(job_reference "$ITERATIONS")
    job_start "$ITERATIONS" --mca crcp ninja --mca btl openib,tcp,vader,self
    job_advance 20
    finds_all_that_is_needed
    expect 0 "migration to a site without the device it asks for" ninjactl migrate eth --json
    jq -e '.outcome == "degraded"' "$RUN/output" >/dev/null ||
        die "the outcome is not \"degraded\""
    vms_at eth || die "the VMs are not at eth"
    measure_runs_on tcp
    job_wait
    result=$(job_result)
    [[ $(jq .digest <<<"$result") == $(jq .digest <<<"$reference") ]] || die "wrong result: $result"
    expect 0 "migration back, in the background" ninjactl migrate ib --detach --parallel 3 --compress zstd
    expect 0 "waiting for it" ninjactl wait "$(<"$RUN/output")" --timeout 300
    expect 0 "list" ninjactl list --json
    holds '.migrations | map(.outcome) == ["degraded", "done"] and all(.[]; .duration_ms > 0)'
    expect 0 "plan" ninjactl plan eth --json
    holds '.estimate | .copy_ms > 0 and .stall_ms > 0'
}

# rdma_isolated on|off: at the site ib, whether the VMs' RDMA reaches none of the others.
rdma_isolated() {
    local vm
    for vm in "${VMS[@]}"; do bridge -n "$(net_namespace ib)" link set dev "rdma-$vm" isolated "$1"; done
}

does_not_go_on_with_what_carries_nothing() {
    job_start 1000000 --mca crcp ninja --mca btl openib,tcp,vader,self
    job_advance 20
    expect 0 "migration to Ethernet" ninjactl migrate eth --json
    rdma_isolated on
    expect 0 "migration to RDMA that carries nothing" ninjactl migrate ib --json --timeout reselect=15000
    holds '.outcome == "degraded" and ([.reason, .warnings[]?] | any(contains("verify failed: ")))'
    vms_at ib || die "the VMs are not at ib"
    measure_runs_on tcp
    rdma_isolated off
    expect 0 "switch to RDMA that works again" ninjactl switch --btl best
    measure_runs_on openib
    end_process "$JOB_PID"
    JOB_PID=
}

refuses_an_unmanaged_job() {
    job_start 100000 --mca btl openib,vader,self
    job_advance 20
    expect 2 "migration with a job that is not ours" ninjactl migrate eth
    grep -q jacobi "$RUN/errors" || die "the refusal does not name the program"
    expect 1 "check with a job that is not ours" ninjactl check eth --json
    holds '.items | any(.[]; .item == "unmanaged" and .required and (.ok | not) and (.text | contains("jacobi")))'
    job_advance 10
}

unplugging_under_a_job_kills_it_or_hangs() {
    if vm_unplug ib vm1 30; then
        say "the device went; the job must not survive that"
        wait_for 60 "the job to die" job_is_over
    else
        say "the device did not go in 30 s while the job held it"
    fi
}

job_is_over() { ! job_alive; }

testbed_up "virtio-net-pci,id=bypass0,bus=no-such-bus,netdev=no-such-net"
falls_back_to_ethernet
does_not_go_on_with_what_carries_nothing
refuses_an_unmanaged_job
unplugging_under_a_job_kills_it_or_hangs
say "all as expected"
