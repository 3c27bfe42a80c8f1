#!/usr/bin/env bash
# Three hosts by libvirt, two of them with a pool of RDMA devices, and a job in two VMs: a host is emptied, then the
# one that they went to, and then they come back, paused. A host without room is refused with its name, and nobody goes
# to one that does not answer. The job ends with the right result.
set -euo pipefail
# shellcheck source=tests/libvirt/cluster.sh
. "$(dirname "$0")/cluster.sh"
ITERATIONS=${ITERATIONS:-1200}
# shellcheck disable=SC2034
{
    LIBVIRT_HOSTS=(1 2 3)
    LIBVIRT_SITES=([1]=ib1 [2]=ib2 [3]=eth1)
}

pool_mac() { printf '52:54:00:79:1%s:0%s' "$1" "$2"; }

# pool_device N I: a device of host N, whoever has it.
pool_device() {
    cat <<END
<interface type='bridge'><mac address='$(pool_mac "$1" "$2")'/><source bridge='$(bypass_of "$1")'/>
<model type='virtio'/><alias name='ua-vf$2'/></interface>
END
}

# In place of the test bed's: what a VM has when it is started at the first host.
libvirt_device_xml() { pool_device 1 $(($(vm_number "$1") - 1)); }

# cluster_host N [KEYS]
cluster_host() { printf '    { name = "%s"; uri = "%s"; %s }' "$(site_of "$1")" "$(libvirt_uri "$1")" "${2:-}"; }

# In place of the test bed's, which are sites.
cluster_hosts() {
    local n i separator=
    printf '  { name = "ib"; hosts = (\n'
    for n in 1 2; do
        for i in 0 1; do pool_device $n $i >"$RUN/pool-$n-$i.xml"; done
        printf '%s%s' "$separator" "$(cluster_host $n "devices = ( \"$RUN/pool-$n-0.xml\", \"$RUN/pool-$n-1.xml\" );")"
        separator=$',\n'
    done
    printf ' ); },\n  { name = "eth"; hosts = (\n%s ); }' "$(cluster_host 3)"
}

# has_device N VM DEVICE: that one and no other, also in what it is started with the next time.
has_device() {
    local kind
    for kind in '' --inactive; do
        # shellcheck disable=SC2086
        libvirt_virsh "$1" dumpxml $kind "$2" >"$RUN/domain.xml"
        [[ $(sed -n "s/.*<alias name='\(ua-[^']*\)'.*/\1/p" "$RUN/domain.xml") == "$3" ]] &&
            { [[ -z $3 ]] || grep -q "<mac address='$(pool_mac "$1" "${3#ua-vf}")'" "$RUN/domain.xml"; } ||
            { cat "$RUN/domain.xml"; die "$2 at host $1 has not the device \"$3\""; }
    done
}

# at HOST:DEVICE HOST:DEVICE: where the VMs are, and nowhere else.
at() {
    local want n state i=0
    for want in "$@"; do
        for n in "${LIBVIRT_HOSTS[@]}"; do
            state=$(libvirt_virsh "$n" domstate "${VMS[i]}" 2>/dev/null | head -1) || true
            if [[ $(site_of "$n") == "${want%:*}" ]]; then
                [[ $state == running ]] || die "${VMS[i]} is \"$state\" at $want"
                has_device "$n" "${VMS[i]}" "${want#*:}"
            else
                [[ -z $state ]] || die "${VMS[i]} is \"$state\" at $(site_of "$n"), too"
            fi
        done
        i=$((i + 1))
    done
    ninjactl status --json >"$RUN/status" || { cat "$RUN/status"; die "no status"; }
    jq -e --arg at "$*" '(.vms | map("\(.site):\(.device // "")") | join(" ")) == $at' "$RUN/status" >/dev/null ||
        { cat "$RUN/status"; die "the VMs are not at $*"; }
}

# moves COMMAND...: and it is done, with all that was asked.
moves() {
    say "ninjactl $*"
    ninjactl "$@" --json >"$RUN/report" 2>"$RUN/output" || { cat "$RUN/report" "$RUN/output"; die "$*: it failed"; }
    jq -e '.outcome == "done" and all(.vms[]; .transferred_bytes > 0 and .downtime_ms > 0)' "$RUN/report" >/dev/null ||
        { cat "$RUN/report"; die "the report of $*"; }
    job_alive || job_explain "the job ended too early"
}

# planned FILTER COMMAND...
planned() {
    local filter=$1
    shift
    ninjactl "$@" --dry-run --json >"$RUN/plan" || die "no plan for $*"
    jq -e "$filter" "$RUN/plan" >/dev/null || { cat "$RUN/plan"; die "the plan for $* is another one"; }
}

# A VM that no cluster file has, and that has touched none of its memory.
other_up() {
    cat >"$RUN/other.xml" <<END
<domain type='$([[ $ACCEL == kvm ]] && echo kvm || echo qemu)'><name>other</name><memory unit='MiB'>$2</memory>
<os><type arch='x86_64' machine='q35'>hvm</type></os></domain>
END
    libvirt_virsh "$1" create --paused "$RUN/other.xml" >/dev/null
}

cluster_up
ROOM=$((2 * VM_MEMORY + 100))
libvirt_memory 3 $ROOM $ROOM
other_up 3 $((VM_MEMORY + 10))
ninjactl check || die "check finds fault with it"
ninjactl devices | grep -q ua-vf1 || die "the device is not among the devices"
job_start "$ITERATIONS" --mca crcp ninja --mca btl openib,tcp,vader,self
job_advance 10
at ib1:ua-vf0 ib1:ua-vf1
measure_runs_on openib

status=0
ninjactl evacuate ib1 --to eth1 >"$RUN/output" 2>&1 || status=$?
[[ $status == 2 ]] && grep -q "no room together for the 2 VMs.*(free are: eth1 $((ROOM - VM_MEMORY - 10)) MiB" "$RUN/output" ||
    { cat "$RUN/output"; die "there is room at eth1: $status"; }
libvirt_virsh 3 destroy other
other_up 3 $((2 * VM_MEMORY))
status=0
ninjactl migrate vm1=eth1 >"$RUN/output" 2>&1 || status=$?
[[ $status == 2 ]] && grep -q "room for vm1: eth1 has too little memory (100 of $ROOM MiB free, needed are $VM_MEMORY)" "$RUN/output" ||
    { cat "$RUN/output"; die "there is room for vm1 at eth1: $status"; }
[[ -z $(ls "$RUN"/state/*/journal 2>/dev/null) ]] || die "a migration was begun"
at ib1:ua-vf0 ib1:ua-vf1
job_advance 10
say "a host without room is refused"

planned '.vms | map([.to, .gets]) == [["ib2", "ua-vf0"], ["ib2", "ua-vf1"]] and
    all(.[]; .why | test("^free at ib2 2 devices [0-9]+ MiB [0-9]+ CPUs; 0 other VMs"))' evacuate ib1
moves evacuate ib1
at ib2:ua-vf0 ib2:ua-vf1
measure_runs_on openib

libvirt_virsh 3 destroy other
planned '.methods | length == 2 and all(.[]; .written_1s >= 0 and .written_3s >= 0 and .name == "pre-copy" and
    (.ways | map(.possible) == [true, false, true]))' evacuate ib2 --auto
moves evacuate ib2 --to eth
at eth1: eth1:
measure_runs_on tcp

libvirt_kill_daemon 2
planned '.vms | map(.to) == ["ib1", "ib1"]' migrate ib
moves migrate ib --mode paused
at ib1:ua-vf0 ib1:ua-vf1
say "nobody went to the host that does not answer; the job is at iteration $(job_iteration)"

job_wait
result=$(job_result) reference=$(job_reference "$ITERATIONS")
[[ $(jq -r .digest <<<"$result") == "$(jq -r .digest <<<"$reference")" ]] ||
    die "the result is $result, not $reference"
say "the job ended with the right result"
