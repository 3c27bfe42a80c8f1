#!/usr/bin/env bash
# Before a job goes on with new transports, they have carried a message: all connections are there by then, and
# transports that carry nothing, or cannot, are left again.
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/mpi/by_hand.sh
. "$TOP/tests/mpi/by_hand.sh"
[ -n "${OWN_NETWORK:-}" ] || exec unshare --net env OWN_NETWORK=yes "$0"
RANKS=3

# connections: of MPI, between its ranks.
connections() {
    local pids
    pids=$(tell ninja-jobs '{}' | jq -r '[.jobs[].ranks[].pid | "pid=\(.),"] | join("|")')
    ss -Htnp state established | grep -E "$pids" | awk '$3 ~ /^10\.99\./ {n++} END {print n / 2}'
}

# by_hand STATE CONNECTIONS [MPIRUN-ARGUMENT...]: a job taken to that state has so many, and goes on.
by_hand() {
    local state=$1 wanted=$2 n
    shift 2
    start_job -np $RANKS --mca btl tcp,self --mca btl_tcp_if_include 10.99.0.0/24 "$@" "$BUILD/mpi/p2p" 100000000
    wait_for 120 job_is_ready $RANKS
    hand_opens
    EPOCH=0
    take_to "$state"
    n=$(connections)
    [ "$n" = "$wanted" ] || die "$state: $n connections, not $wanted"
    if [ "$state" = CONNECTED ]; then
        step verify 50 >/dev/null
    fi
    goes_on
    hand_closes
    kill "$JOB"
    wait "$JOB" 2>/dev/null || true
    wait_for 60 no_job
}

no_job() {
    ninjactl status --json | jq -e '[.. | .rank? // empty] == []' >/dev/null
}

# falls_back WORDS
falls_back() {
    local status=0
    ninjactl switch --btl tcp:10.99.0.0/24,self --timeout reselect=6000 >"$DIR/switch.log" 2>&1 || status=$?
    [ $status -eq 1 ] || die "status $status when tcp carries nothing"
    grep -qE "verify failed: $1" "$DIR/switch.log" || die "does not say: $1"
    grep -q 'fell back to @previous' "$DIR/switch.log" || die "does not say that it fell back"
    job_runs || die "the job ended"
}

# An address of this machine, to which packets can be sent elsewhere all the same.
ip link set lo up
ip link add ours type veth peer name theirs
ip addr add 10.99.0.1/24 dev ours
ip link set ours up
ip link set theirs up
ip rule add pref 10 lookup local
ip rule del pref 0

start_agent
by_hand CONNECTED 0
by_hand READY $((RANKS * (RANKS - 1) / 2))
by_hand READY 0 --mca crcp_ninja_verify 0

start_job -np $RANKS --mca btl tcp,self --mca btl_tcp_if_include lo "$BUILD/mpi/p2p" 100000000
wait_for 120 job_is_ready $RANKS
# into a cable whose other end listens to nobody
ip neigh add 10.99.0.1 lladdr 02:00:00:00:00:99 dev ours nud permanent
ip route add 10.99.0.1 dev ours src 10.99.0.1 table 100
ip rule add pref 5 to 10.99.0.1 lookup 100
falls_back '[12] of [12] connections are not there, that to rank [12] by tcp among them'
# to nowhere
ip rule add pref 4 to 10.99.0.1 prohibit
falls_back 'no message can be sent by tcp'
ip rule del pref 4
ip rule del pref 5
ninjactl switch --btl tcp:10.99.0.0/24,self >"$DIR/switch.log" 2>&1 || die "it does not go where a way is"
job_runs || die "the job ended"
! grep -q WRONG "$DIR/job.log" || die "wrong bytes"
kill "$JOB"
