#!/usr/bin/env bash
# Before a job goes on with new transports, they have carried a message: all connections are there by then, and
# transports that carry nothing, or cannot, are left again.
[ -n "${OWN_NETWORK:-}" ] || exec unshare --net env OWN_NETWORK=yes "$0"
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/mpi/by_hand.sh
. "$TOP/tests/mpi/by_hand.sh"
RANKS=3

# connections: of MPI, between its ranks.
connections() {
    local pids
    pids=$(tell ninja-jobs '{}' | jq -r '[.jobs[].ranks[].pid | "pid=\(.),"] | join("|")')
    ss -Htnp state established | grep -E "$pids" | awk '$3 ~ /^10\.99\./ {n++} END {print n / 2}'
}

# No way leads to the other ranks; the coordinator ends without telling what to do then.
fails_to_verify() {
    ip rule add pref 4 to 10.99.0.1 prohibit
    (step verify 50) >"$DIR/verify.log" 2>&1 && die "verified where no way leads"
    grep -q '"failed".*no message can be sent by tcp' "$DIR/verify.log" || die "$(cat "$DIR/verify.log")"
    ip rule del pref 4
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
        fails_to_verify
        hand_closes
        ninjactl switch --btl tcp:lo,self >"$DIR/switch.log" 2>&1 || die "not taken on from CONNECTED"
        grep -q 'taking it to its end' "$DIR/switch.log" || die "does not say that it takes it on"
    else
        goes_on
        hand_closes
    fi
    job_runs || die "the job ended"
    kill "$JOB"
    wait "$JOB" 2>/dev/null || true
    wait_for 60 no_job
}

no_job() {
    ninjactl status --json | jq -e '[.. | .rank? // empty] == []' >/dev/null
}

# switch_ends STATUS WORDS...: a switch to our network ends so, and says each of the words; the job is there.
switch_ends() {
    local status=0 words
    ninjactl switch --btl tcp:10.99.0.0/24,self --timeout reselect=6000 >"$DIR/switch.log" 2>&1 || status=$?
    [ $status -eq "$1" ] || die "status $status, not $1"
    for words in "${@:2}"; do grep -qE "$words" "$DIR/switch.log" || die "does not say: $words"; done
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
switch_ends 1 'verify failed: [12] of [12] connections are not there, that to rank [12] by tcp' 'fell back to @previous'
# to nowhere
ip rule add pref 4 to 10.99.0.1 prohibit
switch_ends 1 'verify failed: no message can be sent by tcp' 'fell back to @previous'
ip rule del pref 4
ip rule del pref 5
switch_ends 0 'done'
! grep -q WRONG "$DIR/job.log" || die "wrong bytes"
kill "$JOB"
