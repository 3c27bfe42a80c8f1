#!/usr/bin/env bash
# What happens to QEMUs and their network in the middle of migrations. Expected, unless it says otherwise: the
# VMs are back at the site ib with their devices, the job goes on, and the next migration works.
#   QMP socket in use by somebody else           refused, and says so
#   receiver with less memory                    rolled back
#   receiver of another machine type             rolled back, or refused
#   receiver dies while memory is copied         rolled back
#   network cut while memory is copied           rolled back when the time-out "copy" has passed
#   source dies when the VM has left it          done
#   destination dies when the VM has arrived     for the operator; the source is kept, and can go on
set -euo pipefail
# shellcheck source=tests/faults/vms.sh
. "$(dirname "$0")/../faults/vms.sh"
ITERATIONS=1000000

# migrate_expecting STATUS... -- OPTION...
migrate_expecting() {
    local status=0 wanted=()
    while [[ $1 != -- ]]; do wanted+=("$1"); shift; done
    shift
    ninjactl migrate eth "$@" >"$RUN/output" 2>&1 || status=$?
    [[ " ${wanted[*]} " == *" $status "* ]] ||
        { cat "$RUN/output"; die "exit status $status, not ${wanted[*]}"; }
}

says() { grep -q "$1" "$RUN/output"; }

all_as_before() {
    ninjactl status --json >"$RUN/status"
    jq -e 'all(.vms[]; .site == "ib" and .device_attached)' "$RUN/status" >/dev/null ||
        { cat "$RUN/status" "$RUN/output"; die "a VM is not at ib with its device"; }
    job_advance 10
    say "$1"
}

# receiver_with SETTING=VALUE: what the receivers are started with, instead of what the VMs have.
receiver_with() {
    sed "/^${1%%=*}=/d" "$RUN/settings" >"$RUN/settings.new"
    echo "$1" >>"$RUN/settings.new"
    cp "$RUN/settings" "$RUN/settings.kept"
    mv "$RUN/settings.new" "$RUN/settings"
}

receiver_as_before() { mv "$RUN/settings.kept" "$RUN/settings"; }

in_the_copy() {
    sleep 2
    "$@"
}

# The sixth step, connect: the VMs run at the destination, and the QEMUs that they left are not ended yet.
AT_CONNECT=coordinator:step:6:stall=3000

kill_qemu() { kill -KILL "$(qemu_pid "$1" "$2")"; }

testbed_up
job_start "$ITERATIONS" --mca crcp ninja --mca btl openib,tcp,vader,self
job_advance 20

socat - "UNIX-CONNECT:$(vm_file ib vm1 qmp)" < <(sleep 600) >"$RUN/socat" 2>&1 &
HOLDER=$!
wait_for 20 "somebody to be at the QMP socket" grep -q QMP "$RUN/socat"
migrate_expecting 2 -- --timeout connect=3000
says "is another one connected" || die "it does not say why: $(cat "$RUN/output")"
kill "$HOLDER"
all_as_before "a QMP socket in use"

receiver_with VM_MEMORY=256
migrate_expecting 3 --
receiver_as_before
all_as_before "a receiver with less memory"

receiver_with VM_MACHINE=pc-i440fx-7.2
migrate_expecting 2 3 --
receiver_as_before
all_as_before "a receiver of another machine type"

when_journal_says '"step":"copy"' in_the_copy kill_qemu eth vm2
migrate_expecting 3 -- "${SLOWLY[@]}"
wait "$WATCHER"
all_as_before "a receiver that died"

when_journal_says '"step":"copy"' in_the_copy network down
migrate_expecting 3 -- "${SLOWLY[@]}" --timeout copy=8000
wait "$WATCHER"
network up
all_as_before "the network was cut"

when_journal_says '"vm":"vm1","runs_at"' kill_qemu ib vm1
NINJA_FAULT=$AT_CONNECT migrate_expecting 0 --
wait "$WATCHER"
vms_at eth || die "the VMs are not at eth"
ninjactl migrate ib >"$RUN/output" 2>&1 || { cat "$RUN/output"; die "not back"; }
all_as_before "a source that died when its VM had left"

when_journal_says '"vm":"vm1","runs_at"' kill_qemu eth vm1
NINJA_FAULT=$AT_CONNECT migrate_expecting 4 -- --timeout connect=5000
wait "$WATCHER"
says '"cont" is for the QEMU at ib' || die "it does not say what to do: $(cat "$RUN/output")"
vm_qmp ib vm1 cont >/dev/null
vm_runs_at vm1 ib || die "the source cannot go on"
say "a destination that died when its VM had arrived"
say "all as expected"
