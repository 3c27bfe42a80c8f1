#!/usr/bin/env bash
# Switches of a job on UCX that are taken back, from each state from which that can be, between others that are not:
# the result is the same, whatever was synchronous, and whatever nobody had received.
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/mpi/by_hand.sh
. "$(dirname "$0")/by_hand.sh"
start_agent
export LINGER_MS=20

taken_back() {
    local program=$1 ranks=$2 rounds=$3 reference turns=0 state
    reference=$(LINGER_MS=0 timeout 300 "${MPIRUN[@]}" -np "$ranks" "${ON_UCX[@]}" "$BUILD/mpi/$program" "$rounds")
    start_job -np "$ranks" "${ON_UCX[@]}" "$BUILD/mpi/$program" "$rounds"
    wait_for 60 job_is_ready "$ranks"
    hand_opens
    while job_runs; do
        for state in QUIESCING QUIET QUIET RUNNING_AGAIN; do
            # the job may end at any moment
            (take_to $state && { [ $state = RUNNING_AGAIN ] || goes_on; }) >"$DIR/switch.log" 2>&1 || break 2
            EPOCH=$((EPOCH + 1)) # of the subshell
            turns=$((turns + 1))
        done
    done
    hand_closes
    end_job
    [ "$(cat "$DIR/job.log")" = "$reference" ] || die "$program: the result differs from $reference"
    echo "$program: $turns turns"
    [ $turns -ge 3 ] || die "only $turns turns"
}

taken_back sendmodes 3 252
