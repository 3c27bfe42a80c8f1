#!/usr/bin/env bash
# Switches at odd moments: a rank comes late to MPI_Init, or early to MPI_Finalize, or ends in the middle.
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/lib.sh"
start_agent

start_moment() {
    export GO_AT=$DIR/$1
    start_job -np 4 --mca btl vader,tcp,self "$BUILD/mpi/moments" 0 "$1"
}

# goes_on PHASE: which has lasted long enough.
goes_on() {
    touch "$GO_AT.$1"
}

# switch_ends_with STATUS [TEXT]: what a switch says.
switch_ends_with() {
    local status=0
    ninjactl switch --btl tcp,self >"$DIR/switch.log" 2>&1 || status=$?
    [ $status -eq "$1" ] || die "a switch ended with $status instead of $1"
    [ $# -lt 2 ] || grep -q "$2" "$DIR/switch.log" || die "the switch does not say \"$2\""
}

ends_as_done() {
    end_job
    [ "$(cat "$DIR/job.log")" = "done" ] || die "wrong result"
}

# A rank comes late: there is no job yet, then it can be switched.
start_moment late
sleep 1
switch_ends_with 2
goes_on late
wait_for 120 job_is_ready 4
switch_ends_with 0
goes_on work
ends_as_done

# A rank waits for the others in MPI_Finalize: it takes part all the same.
start_moment early
wait_for 120 job_is_ready 4
sleep 1
for _ in 1 2 3; do
    switch_ends_with 0
done
goes_on early
ends_as_done

# ends_as_without MOMENT: while the others are stopped for a switch, rank 0 ends the job.
ends_as_without() {
    local expected=0 status=0
    GO_AT=$DIR/expected
    touch "$GO_AT.work" "$GO_AT.end"
    timeout 60 "${MPIRUN[@]}" -np 4 --mca btl vader,tcp,self "$BUILD/mpi/moments" 0 "$1" \
        >/dev/null 2>&1 || expected=$?
    start_moment "$1"
    goes_on work
    wait_for 120 job_is_ready 4
    sleep 1 # it has sent its messages, and sleeps
    ninjactl switch --btl tcp,self >"$DIR/switch.log" 2>&1 &
    switch=$!
    sleep 1
    goes_on end
    wait $switch || status=$?
    [ $status -ne 0 ] || die "a switch was done with a rank that slept"
    grep -q 'rank' "$DIR/switch.log" || die "does not say that a rank is lost"
    wait_for 60 eval '! job_runs'
    status=0
    wait "$JOB" || status=$?
    [ $status -eq $expected ] || die "$1: mpirun ended with $status instead of $expected"
    ! pgrep -f "^$BUILD/mpi/moments 0 $1" >/dev/null || die "$1: a process is left"
    wait_for 60 no_job
    cat "$DIR/switch.log"
}

no_job() {
    ninjactl status --json 2>/dev/null | jq -e '.jobs == []' >/dev/null
}

ends_as_without abort
ends_as_without exit
