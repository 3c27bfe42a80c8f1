#!/usr/bin/env bash
# All ranks compute for long without calling MPI: a switch is given up in its time, says that nobody stood still, does not wait
# for ranks that never stopped, and locks nobody out: a later switch with more time waits for them.
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/lib.sh"
start_agent
start_job -np 2 --mca btl vader,tcp,self "$BUILD/mpi/busy" 25000 all
wait_for 120 job_is_ready 2

begin=$SECONDS
status=0
ninjactl switch --btl tcp,self --timeout quiesce=500 --json >"$DIR/switch.log" 2>"$DIR/switch.err" || status=$?
[ $status -eq 3 ] || die "status $status instead of 3 (taken back)"
# three attempts of half a second and the pauses between them; `resume` alone may take 10 s
[ $((SECONDS - begin)) -lt 9 ] || die "giving up took $((SECONDS - begin)) s"
grep -q "was not done in time" "$DIR/switch.err" || die "does not say what it waited for"
jq -e '[.given_up[] | .stall_ms == 0 and .start_ms == null] | length == 3 and all' "$DIR/switch.log" >/dev/null ||
    die "says that ranks which computed stood still: $(jq -c .given_up "$DIR/switch.log")"
job_runs || die "the job ended"

# again, and with more time: neither is refused for its epoch, and the last one is done
ninjactl switch --btl tcp,self --timeout quiesce=500 >"$DIR/switch.log" 2>&1 && die "done by ranks that compute"
! grep -q epoch "$DIR/switch.log" || die "locked out"
ninjactl switch --btl tcp,self --timeout quiesce=60s --json >"$DIR/switch.log" 2>"$DIR/switch.err" ||
    die "not switched: $(cat "$DIR/switch.err")"
jq -e '.outcome == "done" and .attempts == 1 and .stall_ms < .steps[0].ms' "$DIR/switch.log" >/dev/null ||
    die "the ranks computed while they were waited for: $(jq -c . "$DIR/switch.log")"
end_job
[ "$(cat "$DIR/job.log")" = "sum 2 of 2" ] || die "wrong result"
