#!/usr/bin/env bash
# A resource manager asks ninjad, by the example client, to migrate a real job there and back, and follows it.
# The daemon is killed in the middle of one migration; the program checks every byte all the time.
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/lib.sh"

start_agent
bypass_cluster 'name = "job-1"; timeouts = { link = 300; };'

start_ninjad() {
    "$BUILD/ninjad/ninjad" --cluster "$DIR/cluster.conf" --state-dir "$DIR/state" --listen "$DIR/ninjad.sock" \
        --ninjactl "$BUILD/host/ninjactl" >>"$DIR/switch.log" 2>&1 &
    DAEMON=$!
    PIDS+=("$DAEMON")
    # Its socket's file alone may have been left by a daemon that was killed.
    wait_for 20 call status
}
call() {
    timeout 100 "$TOP/examples/api/ninja-call" --socket "$DIR/ninjad.sock" "$@"
}

start_job -np 4 --mca btl vader,tcp,self --mca crcp_ninja_bypass vader "$BUILD/mpi/p2p" 100000000
wait_for 120 job_is_ready 4
start_ninjad
[ "$(call status | jq '.jobs[0].ranks | length')" = 4 ] || die "the daemon does not see the job"
[ "$(call check | jq .ok)" = true ] || die "check: $(call check)"

for ((i = 0; i < 4; i++)); do
    id=$(call migrate "{\"cluster\": \"job-1\", \"site\": \"without\", \"key\": \"round-$i\"}" | jq -r .id)
    if [ $i = 2 ]; then
        kill -KILL "$DAEMON"
        wait "$DAEMON" 2>/dev/null || true
        start_ninjad
        [ "$(call migrate '{"site": "without", "key": "round-2"}' | jq -r .id)" = "$id" ] || die "the key was forgotten"
    fi
    call watch "{\"id\": \"$id\"}" >"$DIR/watched"
    outcome=$(jq -r 'select(.event == "end").data.outcome' "$DIR/watched")
    [ "$outcome" = "done" ] || die "round $i ended $outcome: $(tail -1 "$DIR/watched")"
    jq -r 'select(.event == "state").data.state' "$DIR/watched" >"$DIR/states"
    grep -qx RELEASING "$DIR/states" || die "nothing was switched"
    [ "$(call report "{\"id\": \"$id\"}" | jq -r '.jobs_after[0].ranks | length')" = 4 ] || die "the report lacks the ranks"
    job_runs || die "the job ended"
done
[ "$(call status | jq '[.jobs[].ranks[] | select(.state != "RUNNING")] | length')" = 0 ] || die "a rank does not run"
[ "$(call list | jq '[.migrations[] | select(.outcome == "done")] | length')" = 4 ] || die "list: $(call list)"
kill "$JOB"
