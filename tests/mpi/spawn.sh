#!/usr/bin/env bash
# A job that is connected to another one is not switched, with the communicator named, and both run on;
# after MPI_Comm_disconnect both can be switched again, and so can the one that is left.
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/lib.sh"
start_agent

comes_to() {
    job_runs || die "the job ended before it was $1"
    grep -qx "$1" "$DIR/job.log"
}

jobs_there() {
    [ "$(ninjactl status --json 2>/dev/null | jq '[.jobs[]? | select((.ranks | length) == .size)] | length')" = "$1" ]
}

switch_ends_with() {
    local status=0
    ninjactl switch --btl "$2" >"$DIR/switch.log" 2>&1 || status=$?
    [ $status -eq "$1" ] || die "a switch ended with $status instead of $1"
}

for way in spawn accept; do
    export GO_AT=$DIR/$way
    touch "$GO_AT.before"
    start_job -np 2 --mca btl vader,tcp,self "$BUILD/mpi/spawn" 0 $way
    for phase in bound connected; do
        wait_for 60 comes_to $phase
        wait_for 60 jobs_there 2
        sleep 0.5
        switch_ends_with 2 tcp,self
        grep -q '"between two jobs" reaches another job' "$DIR/switch.log" ||
            die "does not name the communicator"
        [ $phase = connected ] || touch "$GO_AT.$phase"
    done
    touch "$GO_AT.connected"
    wait_for 60 comes_to disconnected
    sleep 0.5
    switch_ends_with 0 tcp,self
    switch_ends_with 0 best
    jobs_there 2 || die "the other job ended"
    touch "$GO_AT.disconnected"
    wait_for 60 comes_to alone
    wait_for 60 jobs_there 1
    switch_ends_with 0 tcp,self
    switch_ends_with 0 best
    touch "$GO_AT.alone"
    end_job
    [ "$(tail -1 "$DIR/job.log")" = "done" ] || die "wrong result"
done

unset GO_AT
# At any moment: also while the jobs start, find each other and part.
for way in 'spawn 2' 'accept 3'; do
    read -ra way <<<"$way"
    "$TOP/tests/harass" --build "$BUILD" --limit 200 -- "${MPIRUN[@]}" -np 2 --mca btl vader,tcp,self \
        "$BUILD/mpi/spawn" 700 "${way[@]}" before >"$DIR/job.log" || die "${way[*]}: did not survive"
    tail -1 "$DIR/job.log"
    [ "$(tail -2 "$DIR/job.log" | head -1)" = "done" ] || die "${way[*]}: wrong result"
    [ "$(tail -1 "$DIR/job.log" | jq '.switches > 0')" = true ] ||
        die "${way[*]}: no switch was done"
done
