#!/usr/bin/env bash
# Post-copy between real QEMUs: there and back; with the network cut while the memory is on both sides; and
# with a coordinator that is killed then.
set -euo pipefail
# shellcheck source=/dev/null
. "$(dirname "$0")/../../testbed/testbed.sh"
ITERATIONS=1000000

network() {
    ip -n "$(net_namespace eth)" link set trunk "$1"
}

says() { grep -q "$1" "$RUN/output"; }

# begin SITE OPTION...: a migration in the background.
begin() {
    "$INSTALLED/usr/bin/ninjactl" migrate "$1" --cluster "$CLUSTER" --state-dir "$RUN/state" "${@:2}" \
        >"$RUN/output" 2>&1 &
    COORDINATOR=$!
}

over() { ! kill -0 "$COORDINATOR" 2>/dev/null; }

# ends_with STATUS WHAT
ends_with() {
    local status=0
    wait_for 240 "$2 to end" over
    wait "$COORDINATOR" || status=$?
    ((status == $1)) || { cat "$RUN/output"; die "$2: exit status $status, not $1"; }
}

at() {
    vms_at "$1" || die "the VMs are not at $1"
    job_advance 10
    say "$2"
}

# cut_while_split: begins a migration to eth whose memory comes slowly, and cuts the network in the midst.
cut_while_split() {
    begin eth --postcopy-bandwidth 6 "$@"
    wait_for 120 "a VM to change sides" says "runs at eth"
    sleep 2
    network down
}

testbed_up
# Without KVM nothing should be copied while the VM runs at the source (cluster_copy_at_rest).
sed -i '/^migration = /d' "$CLUSTER"
sed -i 's/^timeouts = { /&reconnect = 20000; /' "$CLUSTER"
echo 'migration = { post-copy = 0; bandwidth = 1; };' >>"$CLUSTER"
job_start "$ITERATIONS" --mca crcp ninja --mca btl openib,tcp,vader,self
job_advance 20

begin eth --strict
ends_with 0 "there"
says "changes sides" || die "that was no post-copy"
at eth "there, by post-copy"
begin ib --strict
ends_with 0 "back"
at ib "and back"

cut_while_split --strict
wait_for 120 "the broken connection to be seen" says "is being made anew"
network up
ends_with 0 "a migration whose network was cut"
at eth "the network was cut for a while: nothing was lost"
ninjactl migrate ib >"$RUN/output" 2>&1 || die "not back: $(cat "$RUN/output")"

begin eth --postcopy-bandwidth 6
wait_for 120 "a VM to change sides" says "runs at eth"
kill -KILL "$COORDINATOR"
wait "$COORDINATOR" 2>/dev/null || true
ninjactl abort >"$RUN/output" 2>&1 || die "not taken on: $(cat "$RUN/output")"
at eth "the coordinator was killed: it went on, as it was too late to go back"
say "all as expected"
