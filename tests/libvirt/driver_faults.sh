#!/usr/bin/env bash
# What happens in the middle of migrations between two hosts with libvirt:
#
#     tests/libvirt/driver_faults.sh [FAULT...]     default: every second of them
#
# Without arguments the first one is drawn by chance; NINJA_FIRST_FAULT, 1 or 2, says it again.
# tests/long/libvirt_faults.sh takes all. Afterwards the VMs run at one host only, by what libvirt itself says, with their
# devices, and the job goes on.
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
# shellcheck source=tests/libvirt/interrupted.sh
. "$(dirname "$0")/interrupted.sh"
ITERATIONS=1000000

# Nobody lets them run: they wait at host 2.
all_sent() {
    local vm
    for vm in "${VMS[@]}"; do
        [[ $(libvirt_virsh 1 domstate "$vm") == "shut off" && $(libvirt_virsh 2 domstate "$vm") == paused ]] || return 1
    done
}

kill_coordinator() {
    kill -KILL "$COORDINATOR"
    wait "$COORDINATOR" 2>/dev/null || true
}

post_copy_is_refused() {
    local status=0
    ninjactl migrate "$(site_of 2)" --postcopy >"$RUN/output" 2>&1 || status=$?
    ((status == 2 || status == 3)) && grep -q 'does post-copy from the beginning only' "$RUN/output" ||
        { cat "$RUN/output"; die "post-copy is not refused: $status"; }
}

aborted() {
    begin_copy "${SLOWLY[@]}"
    kill -INT "$COORDINATOR"
    ended 3
}

killed_and_resumed() {
    begin_held
    kill_coordinator
    { sleep 4; release; } &
    ninjactl resume >"$RUN/output" 2>&1 || { cat "$RUN/output"; die "resume: exit status $?"; }
    back_if_there 0
}

killed_and_aborted() {
    local status=0
    begin_copy "${SLOWLY[@]}"
    kill_coordinator
    ninjactl abort >"$RUN/output" 2>&1 || status=$?
    ((status == 3 || status == 0)) || { cat "$RUN/output"; die "abort: exit status $status"; }
    back_if_there "$status"
}

killed_and_too_late() {
    local status=0
    begin_held
    kill_coordinator
    release
    wait_for 300 "all to be sent" all_sent
    ninjactl migrate "$(site_of 2)" >"$RUN/output" 2>&1 || status=$?
    ((status == 2)) || { cat "$RUN/output"; die "another migration is not refused: $status"; }
    ninjactl abort >"$RUN/output" 2>&1 || { cat "$RUN/output"; die "abort: exit status $?"; }
    back_if_there 0
}

helper_killed() {
    begin_held
    kill -KILL "$(pgrep -P "$COORDINATOR")"
    sleep 2
    still_goes_on
    release
    ended 0
    back_if_there 0
}

destination_libvirtd_killed() {
    begin_copy "${SLOWLY[@]}"
    libvirt_kill_daemon 2
    ended 3
    libvirt_start_daemon 2
}

source_libvirtd_killed() {
    begin_copy "${SLOWLY[@]}"
    libvirt_kill_daemon 1
    sleep 3
    libvirt_start_daemon 1
    ended 3
}

source_libvirtd_killed_while_held() {
    begin_held
    libvirt_kill_daemon 1
    sleep 3
    libvirt_start_daemon 1
    release 2>/dev/null || true # libvirt may have ended them by now
    ended 3 0
    back_if_there "$STATUS"
}

destination_loses_power() {
    begin_copy "${SLOWLY[@]}"
    libvirt_crash 2
    ended 3
    libvirt_power_on 2
}

ALL=(post_copy_is_refused aborted killed_and_resumed killed_and_aborted killed_and_too_late helper_killed
    destination_libvirtd_killed source_libvirtd_killed source_libvirtd_killed_while_held destination_loses_power)
[[ "$*" != all ]] || set -- "${ALL[@]}"
if (($# == 0)); then
    first=${NINJA_FIRST_FAULT:-$((RANDOM % 2 + 1))}
    echo "NINJA_FIRST_FAULT=$first"
    for ((i = first - 1; i < ${#ALL[@]}; i += 2)); do set -- "$@" "${ALL[i]}"; done
fi

cluster_up
job_start "$ITERATIONS" --mca crcp ninja --mca btl openib,tcp,vader,self
job_advance 10
for fault in "$@"; do
    "$fault"
    all_well "$fault"
done
say "all as expected"
