#!/usr/bin/env bash
# ninjactl moves the VMs of a running job between two hosts by libvirt, there and back, in both modes; the job ends
# with the right result.
set -euo pipefail
# shellcheck source=tests/libvirt/cluster.sh
. "$(dirname "$0")/cluster.sh"
ITERATIONS=${ITERATIONS:-600}

moved() {
    ninjactl migrate "$(site_of "$1")" --mode "$2" --json >"$RUN/report" 2>"$RUN/output" ||
        { cat "$RUN/output" "$RUN/report"; die "the migration to host $1 failed"; }
    jq -e --arg mode "$2" '.outcome == "done" and .mode == $mode and
        all(.vms[]; .transferred_bytes > 0 and .downtime_ms > 0)' "$RUN/report" >/dev/null ||
        { cat "$RUN/report"; die "the report of the migration to host $1"; }
    all_at "$1"
    job_alive || job_explain "the job ended too early"
    job_advance 10
    say "moved to host $1 (mode $2); the job goes on"
}

cluster_up
ninjactl check || die "check finds fault with it"
ninjactl plan "$(site_of 2)" || die "no plan"
ninjactl devices | grep -q ua-bypass || die "the device is not among the devices"
job_start "$ITERATIONS" --mca crcp ninja --mca btl openib,tcp,vader,self
job_advance 10
moved 2 live
moved 1 live
moved 2 paused
moved 1 paused
job_wait
result=$(job_result) reference=$(job_reference "$ITERATIONS")
[[ $(jq -r .digest <<<"$result") == "$(jq -r .digest <<<"$reference")" ]] ||
    die "the result is $result, not $reference"
say "the job ended with the right result"
