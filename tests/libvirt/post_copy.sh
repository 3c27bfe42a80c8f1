#!/usr/bin/env bash
# Post-copy between two hosts with libvirt, of the VM of a running job: there, with the network cut for a while when its
# memory is on both sides; back, with a coordinator that is killed then; and with the connection between the two QEMUs
# broken then, which libvirt resumes, unless the QEMU that has the VM waits for memory itself. No VM ever runs at both
# hosts, by what libvirt itself says.
set -euo pipefail
# shellcheck source=tests/libvirt/cluster.sh
. "$(dirname "$0")/cluster.sh"
ITERATIONS=1000000
VMS=(vm1)

says() { grep -q "$1" "$RUN/output"; }

# begin N OPTION...: a migration to host N in the background.
begin() {
    NINJA_LIBVIRT=$INSTALLED/usr/libexec/ninja-migration/ninja-libvirt \
        ip netns exec "$(libvirt_namespace 0)" "$INSTALLED/usr/bin/ninjactl" migrate "$(site_of "$1")" "${@:2}" \
        --cluster "$CLUSTER" --state-dir "$RUN/state" >"$RUN/output" 2>&1 &
    COORDINATOR=$!
}

over() { ! kill -0 "$COORDINATOR" 2>/dev/null; }

# at N WHAT: where the VMs are.
at() {
    all_at "$1"
    job_advance 10
    say "$2"
}

# done_at N WHAT: the migration ended well.
done_at() {
    local status=0
    wait_for 240 "the migration to end" over
    wait "$COORDINATOR" || status=$?
    ((status == 0)) || { cat "$RUN/output"; die "$2: exit status $status"; }
    at "$1" "$2"
}

# split_at N OPTION...: begins a migration to host N whose memory comes slowly; returns when a VM has changed sides.
split_at() {
    begin "$1" --postcopy-bandwidth 8 "${@:2}"
    wait_for 120 "a VM to change sides" says "runs at $(site_of "$1"), and the rest"
}

# break_connections: those by which QEMUs send memory.
break_connections() {
    local n
    for n in "${LIBVIRT_HOSTS[@]}"; do
        ip netns exec "$(libvirt_namespace "$n")" ss -K -t \
            '( sport >= :49152 and sport <= :49215 ) or ( dport >= :49152 and dport <= :49215 )' >/dev/null
    done
}

cluster_up
sed -i '/^migration = /d' "$CLUSTER"
echo 'migration = { post-copy = 1; };' >>"$CLUSTER"
ninjactl check --json >"$RUN/output" 2>&1 && die "what libvirt cannot do safely is not refused"
says "post-copy from the beginning only" || { cat "$RUN/output"; die "check does not name it"; }
sed -i 's/post-copy = 1/post-copy = 0/' "$CLUSTER"
ninjactl check || die "check finds fault with it"
job_start "$ITERATIONS" --mca crcp ninja --mca btl openib,tcp,vader,self
job_advance 10

split_at 2
ip -n "$(libvirt_namespace 2)" link set uplink down
sleep 5
ip -n "$(libvirt_namespace 2)" link set uplink up
done_at 2 "the network was cut for a while: nothing was lost"

split_at 1
kill -KILL "$COORDINATOR"
wait "$COORDINATOR" 2>/dev/null || true
ninjactl abort >"$RUN/output" 2>&1 || { cat "$RUN/output"; die "not taken on"; }
at 1 "the coordinator was killed: it went on, as it was too late to go back"

split_at 2 --timeout recover=15s
sleep 4
break_connections
wait_for 120 "the broken connection to be seen" says "is being made anew"
status=0
wait_for 240 "the migration to end" over
wait "$COORDINATOR" || status=$?
if ((status == 0)); then
    at 2 "the connection of the memory broke: libvirt resumed the copy"
else
    ((status == 4)) && says "could not be made again in time" || { cat "$RUN/output"; die "exit status $status"; }
    [[ $(libvirt_virsh 1 domstate vm1) == paused ]] || die "the VM runs at the host that it has left"
    say "the connection of the memory broke, and libvirt could not resume the copy: the operator is asked"
fi
say "all as expected"
