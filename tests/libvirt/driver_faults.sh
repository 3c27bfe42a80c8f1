#!/usr/bin/env bash
# What happens in the middle of migrations between two hosts with libvirt. Afterwards the VMs run at one host only,
# by what libvirt itself says, with their devices, and the job goes on.
#   post-copy is asked for                       refused, nothing is touched
#   the operator aborts in the copy              rolled back
#   ninjactl is killed in the copy               ninjactl resume: done
#   ninjactl is killed in the copy               ninjactl abort: rolled back, or done if it was too late
#   ninjactl is killed, and all is sent then     ninjactl abort: done, as it was too late
#   ninja-libvirt is killed in the copy          done
#   libvirtd of the destination dies             rolled back
#   libvirtd of the source dies, and is back     rolled back
#   the same while the destination hangs         rolled back, or done
#   the destination loses its power              rolled back
set -euo pipefail
# shellcheck source=tests/libvirt/cluster.sh
. "$(dirname "$0")/cluster.sh"
ITERATIONS=1000000
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
    wait_for 300 "the copy to begin" copy_begun
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
    wait_for 300 "QEMUs to receive" receivers_there
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

# Nobody lets them run: they wait at host 2.
all_sent() {
    local vm
    for vm in "${VMS[@]}"; do
        [[ $(libvirt_virsh 1 domstate "$vm") == "shut off" && $(libvirt_virsh 2 domstate "$vm") == paused ]] || return 1
    done
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

cluster_up
job_start "$ITERATIONS" --mca crcp ninja --mca btl openib,tcp,vader,self
job_advance 10

status=0
ninjactl migrate "$(site_of 2)" --postcopy >"$RUN/output" 2>&1 || status=$?
((status == 2 || status == 3)) && grep -q 'cannot move a VM by post-copy' "$RUN/output" ||
    { cat "$RUN/output"; die "post-copy is not refused: $status"; }
all_well "post-copy is refused"

begin_copy "${SLOWLY[@]}"
kill -INT "$COORDINATOR"
ended 3
all_well "aborted in the copy: rolled back"

begin_held
kill -KILL "$COORDINATOR"
wait "$COORDINATOR" 2>/dev/null || true
{ sleep 4; release; } &
ninjactl resume >"$RUN/output" 2>&1 || { cat "$RUN/output"; die "resume: exit status $?"; }
back_if_there 0
all_well "ninjactl was killed in the copy: resumed"

begin_copy "${SLOWLY[@]}"
kill -KILL "$COORDINATOR"
wait "$COORDINATOR" 2>/dev/null || true
status=0
ninjactl abort >"$RUN/output" 2>&1 || status=$?
((status == 3 || status == 0)) || { cat "$RUN/output"; die "abort: exit status $status"; }
back_if_there "$status"
all_well "ninjactl was killed in the copy: aborted, exit status $status"

begin_held
kill -KILL "$COORDINATOR"
wait "$COORDINATOR" 2>/dev/null || true
release
wait_for 300 "all to be sent" all_sent
status=0
ninjactl migrate "$(site_of 2)" >"$RUN/output" 2>&1 || status=$?
((status == 2)) || { cat "$RUN/output"; die "another migration is not refused: $status"; }
ninjactl abort >"$RUN/output" 2>&1 || { cat "$RUN/output"; die "abort: exit status $?"; }
back_if_there 0
all_well "ninjactl was killed, and all was sent then: done"

begin_held
kill -KILL "$(pgrep -P "$COORDINATOR")"
sleep 2
still_goes_on
release
ended 0
back_if_there 0
all_well "ninja-libvirt was killed in the copy: done"

begin_copy "${SLOWLY[@]}"
libvirt_kill_daemon 2
ended 3
libvirt_start_daemon 2
all_well "libvirtd of the destination died in the copy: rolled back"

begin_copy "${SLOWLY[@]}"
libvirt_kill_daemon 1
sleep 3
libvirt_start_daemon 1
ended 3
all_well "libvirtd of the source died in the copy: rolled back"

begin_held
libvirt_kill_daemon 1
sleep 3
libvirt_start_daemon 1
release 2>/dev/null || true # libvirt may have ended them by now
ended 3 0
back_if_there "$STATUS"
all_well "libvirtd of the source died while the destination hung: exit status $STATUS"

begin_copy "${SLOWLY[@]}"
libvirt_crash 2
ended 3
libvirt_power_on 2
all_well "the destination lost its power: rolled back"
say "all as expected"
