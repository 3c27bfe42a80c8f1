#!/usr/bin/env bash
# A job of one user is switched while a process of another one does to the agent what it can.
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/lib.sh"
[ "$(id -u)" -eq 0 ] || { echo "needs root, to be two users"; exit 77; }
JOB_LIMIT=900
start_agent
chmod 755 "$DIR"
mkdir -m 777 "$DIR/villain"
cp "$TOP/tests/mpi/hostile_user.py" "$DIR/villain/program"
start_job -np 2 --mca btl vader,tcp,self "$BUILD/mpi/p2p" 100000000
wait_for 120 job_is_ready 2
name=$(ninjactl status --json | jq -r '[.. | .job? | strings][0]')
setpriv --reuid=65534 --regid=65534 --clear-groups /usr/bin/python3 "$DIR/villain/program" "$DIR/ranks.sock" "$name" \
    "$DIR/villain/rounds" >"$DIR/villain.log" 2>&1 &
VILLAIN=$!
PIDS+=("$VILLAIN")
villain_is_at_work() {
    kill -0 "$VILLAIN" 2>/dev/null || die "the villain has ended: $(cat "$DIR/villain.log")"
    [ -s "$DIR/villain/rounds" ]
}
wait_for 120 villain_is_at_work
switched=0
while [ $switched -lt 5 ]; do
    job_runs || die "the job ended after $switched switches"
    # Its own jobs come and go, and while one is leaving no switch begins.
    if ninjactl switch --btl "$([ $((switched % 2)) -eq 0 ] && echo tcp,self || echo @best)" >"$DIR/switch.log" 2>&1; then
        switched=$((switched + 1))
    fi
    sleep 0.05
done
villain_is_at_work
job_runs || die "the job ended too early"
echo "$switched switches, $(cat "$DIR/villain/rounds") rounds of the villain"
kill "$VILLAIN"
wait_for 20 eval '! kill -0 "$VILLAIN" 2>/dev/null'
wait_for 60 eval 'ninjactl switch --btl vader,tcp,self >"$DIR/switch.log" 2>&1'
kill "$JOB"
wait "$JOB" 2>/dev/null || true
! grep -q WRONG "$DIR/job.log" || die "a wrong byte"
