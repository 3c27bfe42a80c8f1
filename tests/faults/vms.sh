# shellcheck shell=bash
# Migrations of the test bed's VMs that meet a fault, and what an operator does then.
#
# Whatever fails, afterwards every VM runs on exactly one side, all on the same, with the device that
# this side gives; nothing is interrupted any more; and the job, which is started anew when it has come to its
# end, goes on or has the result of a run that never moved.
# shellcheck source=/dev/null
. "$(dirname "${BASH_SOURCE[0]}")/../../testbed/testbed.sh"

ITERATIONS=2500
FAULT_OF_RANK=()
# A copy while the VM runs, which takes longer than a test needs; none of them comes to its end.
SLOWLY=(--bandwidth 4 --downtime-limit 1)

vms_up() {
    testbed_up
    REFERENCE=$(job_reference "$ITERATIONS" | jq -c .digest)
    job_up
}

job_up() {
    job_start "$ITERATIONS" --mca crcp ninja --mca btl openib,tcp,vader,self "${FAULT_OF_RANK[@]}"
    job_advance 20
}

job_ended_well() {
    job_wait
    [[ $(job_result | jq -c .digest) == "$REFERENCE" ]] || die "$1: wrong result"
}

job_down() {
    vm_user vm1 20 'kill $(pidof mpirun)' >/dev/null
    wait "$JOB_PID" || true
}

# job_goes_on WHAT: or has ended well, and another one is begun.
job_goes_on() {
    local to=$(($(job_iteration) + 10))
    wait_for "$JOB_LIMIT" "the job to go on after $1" job_reached "$to" || return 1
    if ! job_alive; then
        job_ended_well "$1"
        job_up
    fi
}

fault_reached() {
    grep -qs 'fault point: ' "$JOB_LOG" "$RUN/output" || consoles_have_more_faults
}

consoles_have_more_faults() { (($(faults_on_consoles) > FAULTS_BEFORE)); }

# A VM's console goes on in the file of the site where it arrives.
faults_on_consoles() { cat "$RUN"/*.console | grep -c 'fault point: ' || true; }

# agent_with FAULT VM: its agent, started anew, is to meet a fault; none, if that is empty.
agent_with() {
    vm_root "$2" 60 "echo '$1' >/run/ninja/fault; kill \$(pidof ninja-agent)" >/dev/null
    wait_for 120 "the agents and ranks to be there" all_ranks_run
}

all_ranks_run() {
    ninjactl status --json 2>/dev/null |
        jq -e '(.jobs | length) == 1 and ([.jobs[].ranks[].state] | length == 4 and all(. == "RUNNING"))' >/dev/null
}

site_of_vms() {
    ninjactl status --json >"$RUN/status" || return 1
    jq -re '[.vms[].site] | unique | select(length == 1)[0]' "$RUN/status"
}

# With what the side gives. Reads what site_of_vms wrote.
devices_are_there() {
    jq -e 'all(.vms[]; .device_attached == (.site == "ib"))' "$RUN/status" >/dev/null
}

# whole WHAT: all is where it should be, and works. Sets SITE.
whole() {
    local other vm
    SITE=$(site_of_vms) || { cat "$RUN/status" "$RUN/output"; die "$1: the VMs are not on one side"; }
    other=$(other_site)
    jq -e '.interrupted == null' "$RUN/status" >/dev/null && devices_are_there ||
        { cat "$RUN/status" "$RUN/output"; die "$1: interrupted, or a device is not where it should be"; }
    for vm in "${VMS[@]}"; do
        vm_runs_at "$vm" "$SITE" || die "$1: $vm does not run at $SITE"
        ! vm_runs_at "$vm" "$other" 2>/dev/null || die "$1: $vm runs on both sides"
    done
    job_goes_on "$1"
}

other_site() { if [[ $SITE == ib ]]; then echo eth; else echo ib; fi; }

is_interrupted() { ninjactl status --json 2>/dev/null | jq -e '.interrupted' >/dev/null; }

# taken_to_an_end WHAT: what an operator does who was told that it did not succeed.
taken_to_an_end() {
    local status=0 site
    if is_interrupted; then
        ninjactl resume >"$RUN/resume" 2>&1 || status=$?
        ((status == 0 || status == 3)) || { cat "$RUN/output" "$RUN/resume"; die "$1: resume ended with $status"; }
    fi
    if ((STATUS)); then
        ninjactl switch >"$RUN/resume" 2>&1 || { cat "$RUN/output" "$RUN/resume"; die "$1: no switch afterwards"; }
    fi
    site=$(site_of_vms) || return 0
    if ! devices_are_there; then
        ninjactl migrate "$site" >"$RUN/resume" 2>&1 || { cat "$RUN/output" "$RUN/resume"; die "$1: not mended"; }
    fi
}

# migrate_with FAULT MODE OPTION...: to the other side; sets STATUS.
migrate_with() {
    local fault=$1 mode=$2
    shift 2
    STATUS=0
    NINJA_FAULT=$fault ninjactl migrate "$(other_site)" --mode "$mode" "$@" >"$RUN/output" 2>&1 || STATUS=$?
}

# one_fault WHO:CLASS:N:KIND MODE: false if the point was not reached. WHO may be agent@VM, too.
one_fault() {
    local fault=$1 mode=$2 what="$1 ($2)" vm='' of_coordinator=''
    FAULTS_BEFORE=$(faults_on_consoles)
    case $fault in
    coordinator:*) of_coordinator=$fault ;;
    agent@*) vm=${fault%%:*}; vm=${vm#*@}; agent_with "agent:${fault#*:}" "$vm" ;;
    rank*) job_down; FAULT_OF_RANK=(-x "NINJA_FAULT=$fault"); job_up ;;
    esac
    migrate_with "$of_coordinator" "$mode"
    local hit=1
    ! fault_reached || hit=0
    case $STATUS in
    0 | 1 | 2 | 3) ;;
    4 | 137) ;; # what follows shows whether it can be put right
    *) cat "$RUN/output"; die "$what: migrate ended with $STATUS" ;;
    esac
    taken_to_an_end "$what"
    [[ -z $vm ]] || agent_with '' "$vm"
    if ((${#FAULT_OF_RANK[@]})); then
        FAULT_OF_RANK=()
        job_down
        job_up
    fi
    whole "$what"
    return $hit
}

qemu_pid() { cat "$(vm_file "$1" "$2" pid)"; }

# The journal of the migration that was begun last has a line with this text.
journal_says() {
    local journal
    journal=$(find "$RUN/state" -name journal -newer "$RUN/before" | head -1)
    [[ -n $journal ]] && grep -q "$1" "$journal"
}

# when_journal_says TEXT COMMAND...: in the background, for the next migration.
when_journal_says() {
    local text=$1
    shift
    touch "$RUN/before"
    sleep 0.02
    { wait_for 120 "the journal to say $text" journal_says "$text" && "$@"; } &
    WATCHER=$!
}

network() { ip -n "$(net_namespace eth)" link set trunk "$1"; }

# one_outage receiver|network MODE: in the middle of the copy.
one_outage() {
    local to
    to=$(other_site)
    case $1 in
    receiver) when_journal_says '"step":"copy"' eval "sleep 0.\$((RANDOM % 10)); kill -KILL \$(qemu_pid $to vm$((RANDOM % 2 + 1)))" ;;
    network) when_journal_says '"step":"copy"' network down ;;
    esac
    migrate_with '' "$2" "${SLOWLY[@]}" --timeout copy=8000
    wait "$WATCHER"
    network up
    ((STATUS == 3)) || { cat "$RUN/output"; die "$1 ($2): migrate ended with $STATUS"; }
    taken_to_an_end "$1"
    whole "$1 ($2)"
}
