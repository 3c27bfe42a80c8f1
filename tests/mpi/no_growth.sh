#!/usr/bin/env bash
# After 800 switches a rank has as many descriptors as after 200, and hardly more memory: Open MPI registers
# the classes of a component whenever it is loaded, and forgets none, which is half a kilobyte a switch. What messages
# that arrive unexpectedly once took stays allocated, too, but does not grow each time: the smallest growth counts.
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/lib.sh"
LIMIT_KB_PER_SWITCH=2
start_agent
start_job -np 2 "${TRANSPORTS[@]}" "$BUILD/mpi/p2p" 1000000
wait_for 120 job_is_ready 2
rank=$(pgrep -x p2p -P "$(pgrep -P "$JOB" -x 'mpirun|orterun|mpirun.openmpi' | head -1)" | head -1)

switches() {
    for _ in $(seq "$(($1 / 2))"); do
        ninjactl switch --btl tcp,self >"$DIR/switch.log" 2>&1 || die "a switch failed"
        ninjactl switch --btl best >"$DIR/switch.log" 2>&1 || die "a switch failed"
    done
}
descriptors() {
    find "/proc/$rank/fd" -mindepth 1 | wc -l
}
kilobytes() {
    awk '/^VmRSS/ {print $2}' "/proc/$rank/status"
}

switches 200
fd=$(descriptors) least=
for _ in 1 2 3; do
    kb=$(kilobytes)
    switches 200
    growth=$(($(kilobytes) - kb))
    echo "descriptors $fd -> $(descriptors), resident $kb + $growth kB in 200 switches"
    [[ -n $least && $least -le $growth ]] || least=$growth
done
[ "$(descriptors)" -le $((fd + 2)) ] || die "descriptors grow"
[ "$least" -le $((200 * LIMIT_KB_PER_SWITCH)) ] || die "memory grows"
kill "$JOB"
