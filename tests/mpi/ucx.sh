#!/usr/bin/env bash
# A job that would run on pml/ucx, in whatever way that was chosen, runs on our PML over UCX and can be switched; what
# cannot be switched is refused with its name, and the job runs on untouched.
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/lib.sh"
start_agent

# switch_ends STATUS TEXT LIST: what it prints has the text.
switch_ends() {
    local status=0
    ninjactl switch --btl "$3" --timeout quiesce=30000 >"$DIR/switch.log" 2>&1 || status=$?
    [ "$status" -eq "$1" ] || { cat "$DIR/switch.log"; die "\"$3\": status $status instead of $1"; }
    grep -q -- "$2" "$DIR/switch.log" || { cat "$DIR/switch.log"; die "\"$3\": does not say \"$2\""; }
}

# runs_over TRANSPORT: each rank reaches the other one by it.
runs_over() {
    ninjactl status --json | jq -e --arg name "$1" \
        '[.jobs[0].ranks[].transports[$name]] | length == 2 and all(. == 1)' >/dev/null || die "does not run over $1"
}

begins() {
    start_job -np 2 "$@" "$BUILD/mpi/p2p" 100000000
    wait_for 60 job_is_ready 2
}

ends() {
    job_runs || die "the job ended"
    kill "$JOB"
    wait "$JOB" 2>/dev/null || true
    ! grep -qE "WRONG|ninja" "$DIR/job.log" || die "a word about nothing, or wrong bytes"
}

# windowed STATUS TEXT MPIRUN-ARGUMENT...: a switch of a job with a window ends like this, and the job well.
windowed() {
    local status=$1 text=$2
    shift 2
    start_job -np 2 "${ON_UCX[@]}" "$@" "$BUILD/mpi/busy" 3000 window
    wait_for 60 job_is_ready 2
    switch_ends "$status" "$text" tcp,self
    end_job
    [ "$(cat "$DIR/job.log")" = "sum 2 of 2" ] || die "wrong result"
}

begins "${ON_UCX[@]}"
for _ in 1 2; do
    switch_ends 0 'done' posix,self
    runs_over posix
    switch_ends 0 'done' tcp:lo,self
    runs_over tcp
done
switch_ends 0 'done' best
switch_ends 0 'done' standby
switch_ends 2 'UCX has no transport "vader"' vader,self
switch_ends 2 'there is no device "nosuch0"' tcp:nosuch0
switch_ends 2 'no transport of the list reaches another process' self
[ -d /sys/class/infiniband ] && [ -n "$(ls /sys/class/infiniband)" ] ||
    switch_ends 2 'no transport of the list reaches another process' rc_verbs,self
switch_ends 0 'done' posix,self
ends

windowed 2 "the test's window.*mca_osc_ucx" --mca osc ucx
windowed 2 "the test's window.*--mca pml ob1" # what it is on by default

# the other ways to choose it
is_moved() {
    begins "$@"
    switch_ends 0 'done' tcp,self
    ends
}
OMPI_MCA_pml=ucx is_moved
printf 'pml = ucx\n' >"$DIR/mca-params.conf"
is_moved --mca mca_base_param_files "$DIR/mca-params.conf"
is_moved --mca pml ninja_ucx
