# What tests share that interrupt a migration between two hosts with libvirt, from host 1 to host 2.
# shellcheck shell=bash disable=SC2034

# shellcheck source=tests/libvirt/cluster.sh
. "$(dirname "${BASH_SOURCE[0]}")/cluster.sh"

# It does not end while anybody waits for it.
SLOWLY=(--bandwidth 4 --downtime-limit 1)

copy_begun() {
    kill -0 "$COORDINATOR" 2>/dev/null || return 0
    local journal
    journal=$(find "$RUN/state" -name journal -newer "$RUN/before" | head -1)
    [[ -n $journal ]] && grep -q '"step":"copy"' "$journal"
}

# begin_migration OPTION...: to host 2.
begin_migration() {
    touch "$RUN/before"
    sleep 0.02
    NINJA_LIBVIRT=$INSTALLED/usr/libexec/ninja-migration/ninja-libvirt \
        ip netns exec "$(libvirt_namespace 0)" "$INSTALLED/usr/bin/ninjactl" migrate "$(site_of 2)" "$@" \
        --cluster "$CLUSTER" --state-dir "$RUN/state" >"$RUN/output" 2>&1 &
    COORDINATOR=$!
    wait_for 300 "the copy to begin" copy_begun || { cat "$RUN/output"; exit 1; }
}

still_goes_on() {
    kill -0 "$COORDINATOR" 2>/dev/null || { cat "$RUN/output"; die "the migration ended before its time"; }
    ! grep -q 'COPYING -> ' "$RUN/output" || { cat "$RUN/output"; die "the copy ended before its time"; }
}

# begin_copy OPTION...: the same; returns in the middle of the copy.
begin_copy() {
    begin_migration "$@"
    sleep 2
    still_goes_on
}

# receivers SIGNAL: to the QEMUs that receive at host 2.
receivers() {
    local vm
    for vm in "${VMS[@]}"; do libvirt_exec 2 bash -c "kill -$1 \$(</run/libvirt/qemu/$vm.pid)"; done
}

receivers_there() {
    local vm
    for vm in "${VMS[@]}"; do [[ -s $(libvirt_dir 2)/run/libvirt/qemu/$vm.pid ]] || return 1; done
}

# begin_held: the same, of a migration that cannot end before release, and ends then. Nothing is copied while a VM
# runs (cluster_copy_at_rest), so that nothing but the receivers can hold it up.
begin_held() {
    begin_migration
    wait_for 300 "QEMUs to receive" receivers_there || { cat "$RUN/output"; exit 1; }
    receivers STOP
    sleep 2
    still_goes_on
}

release() { receivers CONT; }

# ended STATUS...: the migration, with one of these.
ended() {
    local status=0
    wait "$COORDINATOR" || status=$?
    [[ " $* " == *" $status "* ]] || { cat "$RUN/output"; die "exit status $status, not $*"; }
    STATUS=$status
}

back_if_there() {
    [[ $1 == 3 ]] || { all_at 2; ninjactl migrate "$(site_of 1)" >"$RUN/output" 2>&1 || { cat "$RUN/output"; die "not back"; }; }
}

all_well() {
    all_at 1
    job_advance 10
    ! pgrep -f "^$INSTALLED/usr/libexec" >/dev/null || die "a ninja-libvirt is left behind"
    say "$1"
}
