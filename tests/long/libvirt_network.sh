#!/usr/bin/env bash
# The network is cut in the middle of a migration between two hosts with libvirt. Whatever is lost, no VM comes to run
# at both hosts, by what libvirt itself says, and the job goes on.
#   the hosts lose each other in the copy                       rolled back
#   what the destination answers is lost when all was sent      rolled back
#   the coordinator loses both hosts, and all is sent then      done
set -euo pipefail
# shellcheck source=tests/libvirt/interrupted.sh
. "$(dirname "$0")/../libvirt/interrupted.sh"
ITERATIONS=1000000
VMS=(vm1)

# on_network N RULE...: iptables at host N, or 0: where the coordinator is.
on_network() { ip netns exec "$(libvirt_namespace "$1")" iptables -w "${@:2}"; }

# runs_at N: what libvirt says of the VM there. A host that cannot be reached is asked from within.
runs_at() { [[ $(libvirt_exec "$1" virsh -q domstate vm1 2>/dev/null) == running ]]; }

# never_twice: until the migration has ended, the VM is not seen to run at both hosts.
never_twice() {
    while kill -0 "$COORDINATOR" 2>/dev/null; do
        # The source last: one that left it between two looks does not come back.
        if runs_at 2 && runs_at 1; then die "the VM runs at both hosts"; fi
        sleep 0.5
    done
    if runs_at 2 && runs_at 1; then die "the VM runs at both hosts"; fi
}

cluster_up
sed -i 's/^timeouts = { /&reconnect = 60000; /' "$CLUSTER"
job_start "$ITERATIONS" --mca crcp ninja --mca btl openib,tcp,vader,self
job_advance 10
runs_at 1 && ! runs_at 2 || die "the VM is not seen where it is"

begin_copy "${SLOWLY[@]}"
ip -n "$(libvirt_namespace 2)" link set uplink down
never_twice
ended 3
ip -n "$(libvirt_namespace 2)" link set uplink up
wait_for "$LIBVIRT_SECONDS" "host 2 to answer" libvirt_answers 2
! runs_at 2 || die "the VM runs at the host that was cut off"
libvirt_virsh 2 destroy vm1 >/dev/null 2>&1 || true # as the log tells
all_well "the hosts lost each other in the copy: rolled back"

begin_held
on_network 2 -A OUTPUT -p tcp --sport 16509 -d "$(libvirt_address 1)" -j DROP
release
never_twice
ended 3
on_network 2 -F OUTPUT
all_well "the destination's answers were lost when all was sent: rolled back"

begin_held
on_network 0 -A INPUT -i mgmt -j DROP
release
sleep 45
! runs_at 2 || die "the VM was let run without the coordinator"
on_network 0 -F INPUT
never_twice
ended 0
back_if_there 0
all_well "the coordinator lost both hosts when all was sent: done"
say "all as expected"
