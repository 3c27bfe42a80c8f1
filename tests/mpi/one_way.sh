#!/usr/bin/env bash
# Messages go one way only, and there are more of them than half of what a count can tell, or as many as a count can tell
# exactly: none is lost in a switch, on ob1 and on UCX.
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/lib.sh"
start_agent

all_are_sent() {
    job_runs || die "the job ended"
    grep -qx sent "$DIR/job.log"
}

stops() { grep -c -e '-> STOP$' "$DIR/agent.log" || true; }
is_stopping() { [ "$(stops)" -gt "$1" ]; }

# survives N LIST MPIRUN-ARGUMENT...
survives() {
    local n=$1 list=$2 before
    shift 2
    rm -f "$DIR"/at.*
    GO_AT=$DIR/at start_job -np 2 "$@" "$BUILD/mpi/one_way" "$n"
    wait_for 60 all_are_sent
    wait_for 60 job_is_ready 2
    before=$(stops)
    ninjactl switch --btl "$list" --timeout quiesce=60000 >"$DIR/switch.log" 2>&1 &
    switch=$!
    wait_for 60 is_stopping "$before"
    touch "$DIR/at.away"
    wait "$switch" || die "$n messages: the switch ended with $?"
    ninjactl switch --btl tcp,self >"$DIR/switch.log" 2>&1 || die "$n messages: another switch ended with $?"
    touch "$DIR/at.sent"
    end_job
    [ "$(tail -1 "$DIR/job.log")" = "done" ] || die "$n messages: wrong result"
}

for n in 50000 65536; do
    survives "$n" vader,tcp,self --mca pml ob1 --mca btl vader,tcp,self
    survives "$n" posix,self "${ON_UCX[@]}"
done
