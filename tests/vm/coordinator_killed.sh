#!/usr/bin/env bash
# The coordinator is killed in the middle of migrations between real QEMUs, and another one takes over:
# the VMs run on exactly one side, the device is where it should be, the job goes on.
set -euo pipefail
# shellcheck source=/dev/null
. "$(dirname "$0")/../../testbed/testbed.sh"
ITERATIONS=1000000

last_journal() {
    find "$RUN/state" -name journal -newer "$RUN/before" | head -1
}

journal_says() {
    local journal
    kill -0 "$COORDINATOR" 2>/dev/null || return 0
    journal=$(last_journal)
    [[ -n $journal ]] && grep -q "$1" "$journal"
}

# migrate_and_kill LINE: begins a migration to eth, and kills the coordinator when its journal has that.
migrate_and_kill() {
    touch "$RUN/before"
    sleep 0.02
    "$INSTALLED/usr/bin/ninjactl" migrate eth --cluster "$CLUSTER" --state-dir "$RUN/state" \
        >"$RUN/output" 2>&1 &
    COORDINATOR=$!
    wait_for 120 "the journal to say $1" journal_says "$1"
    kill -KILL "$COORDINATOR" 2>/dev/null || die "the migration ended before it was killed"
    wait "$COORDINATOR" 2>/dev/null || true
    say "killed at $1"
}

# taken_on VERB WANTED...: ninjactl VERB ends with one of these exit codes.
taken_on() {
    local verb=$1 status=0
    shift
    ninjactl migrate eth >"$RUN/output" 2>&1 || status=$?
    ((status == 2)) && grep -q "was interrupted while" "$RUN/output" ||
        die "another migration is not refused: $status, $(cat "$RUN/output")"
    status=0
    ninjactl "$verb" >"$RUN/output" 2>&1 || status=$?
    [[ " $* " == *" $status "* ]] || { cat "$RUN/output"; die "$verb: exit status $status, not $*"; }
    case $status in
    0) vms_at eth || die "the VMs are not at eth" ;;
    3) vms_at ib || die "the VMs are not back at ib" ;;
    esac
    job_advance 10
    say "$verb: exit status $status, the job goes on"
    ((status == 3)) || ninjactl migrate ib >"$RUN/output" 2>&1 || { cat "$RUN/output"; die "not back"; }
    ninjactl status --json | jq -e 'all(.vms[]; .site == "ib" and .device_attached)' >/dev/null ||
        die "a VM is not at ib with its device"
}

testbed_up
job_start "$ITERATIONS" --mca crcp ninja --mca btl openib,tcp,vader,self
job_advance 20
migrate_and_kill '"state":"RELEASING"'
taken_on resume 3
migrate_and_kill '"step":"copy"'
taken_on abort 3 0
migrate_and_kill '"step":"copy"'
taken_on resume 0 3
migrate_and_kill '"runs_at"'
taken_on resume 0
say "all as expected"
