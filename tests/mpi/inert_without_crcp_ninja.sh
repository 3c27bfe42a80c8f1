#!/usr/bin/env bash
# The installed components do nothing unless they are asked for, and without an agent the job runs.
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/lib.sh"
start_agent
"${MPIRUN[@]}" -np 2 "$BUILD/mpi/busy" 1500 >"$DIR/job.log" 2>&1 &
JOB=$!
PIDS+=("$JOB")
wait_for 10 pgrep -P "$JOB" -x busy >"$DIR/pids"
sleep 0.7
for pid in $(pgrep -P "$JOB" -x busy); do
    ! grep -q mca_crcp_ninja "/proc/$pid/maps" || die "crcp/ninja is loaded without being asked for"
done
end_job
[ "$(cat "$DIR/job.log")" = "sum 2 of 2" ] || die "wrong result"
! grep -q "job" "$DIR/agent.log" || die "a rank came to the agent"

"${MPIRUN[@]}" --mca crcp ninja --mca crcp_ninja_agent "$DIR/nobody.sock" -np 2 \
    "$BUILD/mpi/busy" 100 >"$DIR/job.log" 2>&1 || die "the job failed without an agent"
grep -q "sum 2 of 2" "$DIR/job.log" || die "wrong result without an agent"
[ "$(grep -c "no ninja-agent at $DIR/nobody.sock" "$DIR/job.log")" = 1 ] ||
    die "does not say once that there is no agent"
