#!/usr/bin/env bash
# Three hosts, two of them with a pool of RDMA devices, and a job in two VMs: a host is emptied, then
# the other one, so that both VMs are on one host; and then they are spread again.
set -euo pipefail
# shellcheck source=/dev/null
. "$(dirname "$0")/../../testbed/testbed.sh"
ITERATIONS=3000
# shellcheck disable=SC2034
{
    JOB_LIMIT=1200
    NET_SITES=(ib1 ib2 eth1)
    NET_RDMA_SPANS=yes
}

# pool_device HOST N: as after QEMU's -device. A function of a host, whoever has it.
pool_device() {
    printf 'virtio-net-pci,id=vf%s,bus=rp1,netdev=rdma,mac=52:54:00:78:0%s:0%s' "$2" "${1#ib}" "$2"
}

# cluster_host HOST [KEYS]
cluster_host() {
    printf '    { name = "%s"; qmp = "%s/{host}-{vm}.qmp"; agent = "%s/{host}-{vm}.agent";\n' "$1" "$RUN" "$RUN"
    printf '      receive = "tcp:%s:48{n}"; %s }' "$(net_host_address "$1")" "${2:-}"
}

# In place of the test bed's, which are without hosts.
cluster_sites() {
    local host separator=
    printf '  { name = "ib"; prepare = "%s %s {host} {vm}"; hosts = (\n' "$TESTBED/receive" "$RUN"
    for host in ib1 ib2; do
        printf '%s%s' "$separator" \
            "$(cluster_host "$host" "devices = ( \"$(pool_device "$host" 0)\", \"$(pool_device "$host" 1)\" );")"
        separator=$',\n'
    done
    printf ' ); },\n  { name = "eth"; prepare = "%s %s {host} {vm}"; hosts = (\n%s ); }' \
        "$TESTBED/receive" "$RUN" "$(cluster_host eth1 "memory = $((2 * VM_MEMORY)); cpus = $((2 * VM_CPUS));")"
}

vms_boot() {
    local i
    for i in 1 2; do vm_qemu "ib$i" "vm$i" -device "$(pool_device "ib$i" 0)"; done
    for i in 1 2; do vm_wait_ready "ib$i" "vm$i"; done
}

# at HOST:DEVICE HOST:DEVICE: where the VMs are, and with which device of the host.
at() {
    ninjactl status --json >"$RUN/status"
    jq -e --arg at "$*" '(.vms | map("\(.site):\(.device // "")") | join(" ")) == $at' "$RUN/status" >/dev/null ||
        { cat "$RUN/status"; die "the VMs are not at $*"; }
}

# moves COMMAND...: and it is done, with all that was asked.
moves() {
    say "ninjactl $*"
    ninjactl "$@" --json >"$RUN/output"
    jq -e '.outcome == "done"' "$RUN/output" >/dev/null || { cat "$RUN/output"; die "$*: not done"; }
}

testbed_up
reference=$(job_reference "$ITERATIONS")
job_start "$ITERATIONS" --mca crcp ninja --mca btl openib,tcp,vader,self
job_advance 20
at ib1:vf0 ib2:vf0
measure_runs_on openib
ninjactl evacuate ib1 --to eth1 --dry-run --json | jq -e '.vms | map(.to) == ["eth1", null]' >/dev/null ||
    die "the plan is another one"
moves evacuate ib1
at ib2:vf1 ib2:vf0
measure_runs_on openib
moves evacuate ib2 --to eth
at eth1: eth1:
measure_runs_on tcp
moves migrate ib
at ib1:vf0 ib2:vf0
measure_runs_on openib
job_wait
[[ $(job_result | jq .digest) == $(jq .digest <<<"$reference") ]] || die "wrong result: $(job_result)"
say "all as expected"
