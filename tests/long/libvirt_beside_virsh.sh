#!/usr/bin/env bash
# virsh beside us, as docs/real-cluster.md describes it. Two VMs run a job at host 1; somebody uses virsh:
#   migrates a VM with a device that cannot migrate       libvirt refuses, in QEMU's words
#   migrates a VM of a cluster, with our hook there       libvirt refuses, in the hook's words
#   takes the devices, migrates, gives others, all while the job is off the device by examples/hooks/off-device
#                                                         the job goes on, on the device of host 2; we find the VMs
#   pauses a VM                                           a migration is refused
#   migrates a VM that migrates                           libvirt refuses
#   aborts the copy                                       rolled back
#   pauses a VM in the copy                               done, and it runs
#   ends a VM in the copy                                 for the operator; virsh start brings it back
set -euo pipefail
# shellcheck source=tests/libvirt/cluster.sh
. "$(dirname "$0")/../libvirt/cluster.sh"
STUCK=ninja-stuck-$RUN_ID
LIBVIRT_DEVICES="<controller type='pci' model='pcie-root'/><controller type='pci' model='pcie-root-port'/>
    <controller type='pci' model='pcie-to-pci-bridge'/>" # for a device that is plugged by hand

# says STATUS TEXT COMMAND...: it ends with that, and says that.
says() {
    local want=$1 text=$2 status=0
    shift 2
    "$@" >"$RUN/output" 2>&1 || status=$?
    ((status == want)) && grep -qF -- "$text" "$RUN/output" || {
        cat "$RUN/output"
        die "$*: exit status $status, wanted $want and \"$text\""
    }
}

# virsh_migrates VM FROM TO
virsh_migrates() {
    libvirt_virsh "$2" migrate --live --p2p --persistent --undefinesource "$1" "$(libvirt_uri "$3")"
}

# The same; without KVM it is copied while it stands still, for the reason of cluster_copy_at_rest.
virsh_moves() {
    [[ $ACCEL == kvm ]] || libvirt_virsh "$2" suspend "$1"
    virsh_migrates "$@"
    [[ $ACCEL == kvm ]] || libvirt_virsh "$3" resume "$1"
}

# What nova or KubeVirt would do, and then what the guest's udev would.
somebody_moves() {
    local vm
    for vm in "${VMS[@]}"; do
        libvirt_virsh "$1" detach-device-alias "$vm" ua-bypass --live --config
        wait_for 60 "the device of $vm to go" libvirt_gone "$1" "$vm" ua-bypass
        virsh_moves "$vm" "$1" "$2"
        libvirt_virsh "$2" attach-device "$vm" "$RUN/$vm.device-$2.xml" --live --config
    done
    for vm in "${VMS[@]}"; do vm_root "$vm" 60 "/etc/ninja/agent.d/soft-roce attach ua-bypass"; done
}

# The coordinator's ninjad, which the hosts' hooks can reach, too.
service_up() {
    NINJA_LIBVIRT=$INSTALLED/usr/libexec/ninja-migration/ninja-libvirt \
        ip netns exec "$(libvirt_namespace 0)" "$INSTALLED/usr/sbin/ninjad" --cluster "$CLUSTER" \
        --state-dir "$RUN/state" --listen "$RUN/ninjad.sock" --ninjactl "$INSTALLED/usr/bin/ninjactl" \
        >"$RUN/ninjad.log" 2>&1 &
    disown
    export NINJA_SOCKET=$RUN/ninjad.sock
    wait_for 60 "ninjad" test -S "$NINJA_SOCKET"
}

# hook_install N: libvirtd looks for hooks when it starts.
hook_install() {
    mkdir -p "$(libvirt_dir "$1")/etc/hooks"
    printf '%s libvirt-%s\n' vm1 "$RUN_ID" vm2 "$RUN_ID" >"$RUN/domains"
    printf '#!/bin/sh\nexport NINJA_CALL=%s NINJA_SOCKET=%s NINJA_DOMAINS=%s\nexec %s "$@"\n' \
        "$TREE/examples/api/ninja-call" "$NINJA_SOCKET" "$RUN/domains" "$TREE/examples/hooks/libvirt-qemu" \
        >"$(libvirt_dir "$1")/etc/hooks/qemu"
    chmod +x "$(libvirt_dir "$1")/etc/hooks/qemu"
    libvirt_kill_daemon "$1" TERM
    wait_for 60 "libvirtd to end" eval "! libvirt_exec $1 pgrep libvirtd >/dev/null"
    libvirt_start_daemon "$1"
}

copy_begun() { grep -q -- '-> COPYING' "$RUN/migration"; }

# begin_copy N: to that host; returns in the middle of the copy, which takes two minutes.
begin_copy() {
    ninjactl migrate "$(site_of "$1")" --bandwidth 1 --downtime-limit 1 >"$RUN/migration" 2>&1 &
    COORDINATOR=$!
    wait_for 300 "the copy to begin" copy_begun
    wait_for 60 "vm1 to be copied" copies_at $((3 - $1))
}

copies_at() { libvirt_virsh "$1" domjobinfo vm1 | grep 'Memory processed: *[1-9]' >/dev/null; }

# ended STATUS [TEXT]
ended() {
    local status=0
    wait "$COORDINATOR" || status=$?
    ((status == $1)) && grep -qF -- "${2:-}" "$RUN/migration" ||
        { cat "$RUN/migration"; die "exit status $status, wanted $1 and \"${2:-}\""; }
}

job_goes_on() {
    job_advance 10
    say "$1"
}

cluster_up
service_up
net_down() {
    libvirt_down
    rm -f "/dev/shm/$STUCK"
}
job_start 1000000 --mca crcp ninja --mca btl openib,tcp,vader,self
job_advance 10

cat >"$RUN/stuck.xml" <<END
<shmem name='$STUCK' role='peer'><model type='ivshmem-plain'/><size unit='M'>4</size><alias name='ua-stuck'/></shmem>
END
libvirt_virsh 1 attach-device vm1 "$RUN/stuck.xml"
says 1 "cannot migrate domain: Migration is disabled when using feature" virsh_migrates vm1 1 2
libvirt_virsh 1 detach-device-alias vm1 ua-stuck
wait_for 60 "the device to go" libvirt_gone 1 vm1 ua-stuck
all_at 1
job_goes_on "libvirt does not move a VM with a device that cannot migrate"

hook_install 2
says 1 "whose MPI job moves with all of its VMs or not at all" virsh_migrates vm1 1 2
all_at 1
says 0 "DONE" ninjactl migrate "$(site_of 2)"
all_at 2
job_goes_on "libvirt moves a VM that the hook holds for nobody but us"
printf '#!/bin/sh\n' >"$(libvirt_dir 2)/etc/hooks/qemu"

examples/hooks/off-device "libvirt-$RUN_ID" sh -c "touch $RUN/off; until [ -e $RUN/moved ]; do sleep 0.2; done" &
OFF_DEVICE=$!
wait_for 300 "the job to leave the device" test -e "$RUN/off"
somebody_moves 2 1
touch "$RUN/moved"
wait "$OFF_DEVICE" || die "off-device failed"
all_at 1
job_goes_on "somebody else moved the VMs, while the job was off the device"
ninjactl status | grep openib >/dev/null || { ninjactl status; die "the job is not back on the device"; }

libvirt_virsh 1 suspend vm1
says 2 "vm1 runs at no site (host1: paused (user)" ninjactl migrate "$(site_of 2)"
libvirt_virsh 1 resume vm1
job_goes_on "a VM that somebody paused is not moved"

begin_copy 2
says 1 "another migration job is already running" virsh_migrates vm1 1 2
libvirt_virsh 1 domjobabort vm1
ended 3
all_at 1
job_goes_on "somebody ended the copy: rolled back"

begin_copy 2
for vm in "${VMS[@]}"; do libvirt_virsh 1 suspend "$vm"; done
for vm in "${VMS[@]}"; do libvirt_virsh 1 migrate-setspeed "$vm" 1000; done
ended 0
all_at 2
job_goes_on "somebody paused VMs in the copy: they run at the destination"

begin_copy 1
libvirt_virsh 2 destroy vm1
ended 4 "it cannot be told where vm1 is to run on (host2: shutoff (destroyed); host1: absent)"
libvirt_virsh 2 start vm1
wait_for "$VM_BOOT_SECONDS" "vm1 to be there again" all_at 2
say "somebody ended a VM in the copy: virsh start brings it back"
