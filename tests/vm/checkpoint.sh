#!/usr/bin/env bash
# Two VMs with a job on RDMA are saved; all QEMUs are killed, and both are restarted at the Ethernet site. There they are
# saved while they run, killed again, and restarted where they have RDMA. The job's result is that of an undisturbed run.
set -euo pipefail
# shellcheck source=/dev/null
. "$(dirname "$0")/../../testbed/testbed.sh"
# shellcheck source=testbed/saved_job.sh
. "$TESTBED/saved_job.sh"
ITERATIONS=${ITERATIONS:-500}

# holds FILTER: what the last command printed is JSON of which that is true.
holds() {
    jq -e "$1" "$RUN/output" >/dev/null || { cat "$RUN/output"; die "does not hold: $1"; }
}

# refused STATUS TEXT COMMAND...
refused() {
    local status=0 expected=$1 text=$2
    shift 2
    ninjactl "$@" >"$RUN/output" 2>&1 || status=$?
    ((status == expected)) && grep -q "$text" "$RUN/output" || { cat "$RUN/output"; die "$*: exit status $status"; }
}

# ninja COMMAND...: what it says of a checkpoint or restart that must be done.
ninja() {
    ninjactl "$@" --json 2>"$RUN/said" >"$RUN/output" || { cat "$RUN/said" "$RUN/output"; die "$*"; }
    holds '.outcome == "done"'
    say "$*: the VMs stood still for $(jq -c '[.vms[].stood_ms]' "$RUN/output") ms; stall $(jq .stall_total_ms "$RUN/output") ms, states $(jq -c '[.states[] | "\(.state) \(.ms)"]' "$RUN/output")"
}

# on TRANSPORT: what the ranks connected by after the restart.
on() { holds "[.jobs_after[].ranks[].transports | has(\"$1\")] | length == 4 and all"; }

testbed_up
reference=$(job_reference "$ITERATIONS")
saved_job_start "$ITERATIONS"
wait_for "$JOB_LIMIT" "the job to begin" saved_job_reached 10

ninja checkpoint first --mode paused
holds '[.vms[] | .at == "ib" and .device_after] | all'
saved_job_advance 20 "after the first checkpoint"
refused 2 'there is a checkpoint "first" already' checkpoint first
refused 2 'is there already' restart first --site eth
ninjactl checkpoints verify first
saved=$(saved_job_iteration)

vms_lose_power ib
ninja restart first --site eth
on tcp
holds '[.vms[] | .at == "eth" and .moved] | all'
(($(saved_job_iteration) <= saved)) || say "the job is further already than when it was killed"
saved_job_advance 20 "at the site eth"

(umask 077 && head -c 32 /dev/urandom >"$RUN/key")
ninja checkpoint second --mode live --key-file "$RUN/key"
saved_job_advance 20 "after the live checkpoint"
vms_lose_power eth
refused 2 'is encrypted with the key' restart second --site ib
ninja restart second --site ib --set-clock --key-file "$RUN/key"
on openib
for vm in "${VMS[@]}"; do
    behind=$(($(date +%s) - $(vm_root "$vm" 60 'date +%s')))
    ((behind < 60 && behind > -60)) || die "the clock of $vm is $behind s behind"
done
holds '[.vms[] | .at == "ib" and .device_after] | all'

saved_job_wait
[[ $(saved_job_result | jq .digest) == $(jq .digest <<<"$reference") ]] || { saved_job_output; die "wrong result"; }
[[ $(ninjactl checkpoints --json | jq -c '[.checkpoints[].state]') == '["complete","complete"]' ]] || die "not both are there"
say "all as expected"
