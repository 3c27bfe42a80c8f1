# shellcheck shell=bash
# An agent, a cluster file of the local driver, MPI jobs, and switches while they run. Everything
# is in one temporary directory and ends with the script.

set -euo pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

DIR=$(mktemp -d "${TMPDIR:-/tmp}/ninja-mpi.XXXXXX")
PIDS=()
HARASS=()

cleanup() {
    local pid
    for pid in "${PIDS[@]}"; do
        kill "$pid" 2>/dev/null || true
    done
    wait 2>/dev/null || true
    rm -rf "$DIR"
}
trap cleanup EXIT

# What is wrong comes last, as only the end of a long output is shown.
die() {
    for log in agent job switch; do
        [ -f "$DIR/$log.log" ] && { echo "--- $log"; tail -30 "$DIR/$log.log"; }
    done
    echo "--- $*"
    exit 1
}

start_agent() {
    "$BUILD/guest-agent/ninja-agent" --listen "$DIR/agent.sock" --socket "$DIR/ranks.sock" \
        --scripts "$DIR/scripts" --verbose >"$DIR/agent.log" 2>&1 &
    AGENT=$!
    PIDS+=("$AGENT")
    wait_for 10 test -S "$DIR/ranks.sock"
    cat >"$DIR/cluster.conf" <<EOF
driver = "local";
vms = ( { name = "here"; } );
sites = ( { name = "local"; vms = ( { name = "here"; agent = "$DIR/agent.sock"; } ); } );
EOF
}

# bypass_cluster [SETTING...]: in its place one with a site that has a bypass device, and one without, so that
# there is something to migrate. Settings are further ones of the cluster file.
bypass_cluster() {
    local site="vms = ( { name = \"here\"; agent = \"$DIR/agent.sock\";"
    cat >"$DIR/cluster.conf" <<EOF
driver = "local";
vms = ( { name = "here"; } );
$*
sites = ( { name = "with-bypass"; $site device = "none,id=bypass"; } ); },
          { name = "without"; $site } ); } );
EOF
}

# wait_for SECONDS COMMAND...: until it succeeds.
wait_for() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $end ] || die "waited in vain for: $*"
        sleep 0.05
    done
}

ninjactl() {
    local command=$1
    shift
    timeout 100 "$BUILD/host/ninjactl" "$command" --cluster "$DIR/cluster.conf" \
        --state-dir "$DIR/state" "$@"
}

# with_children PID...: these processes and all that they started.
with_children() {
    local pid
    for pid in "$@"; do
        echo "$pid"
        # shellcheck disable=SC2046
        with_children $(pgrep -P "$pid")
    done
}

# What every mpirun here needs; --oversubscribe as the machine may be small.
MPIRUN=(mpirun --allow-run-as-root --oversubscribe)
MPIRUN+=(--mca mca_base_component_path
    "$(components_of "$BUILD"):SYSTEM_DEFAULT")
NINJA=(--mca crcp ninja --mca crcp_ninja_agent "$DIR/ranks.sock")

# start_job MPIRUN-ARGUMENT...: in the background; the output goes to job.log.
start_job() {
    timeout "${JOB_LIMIT:-300}" "${MPIRUN[@]}" "${NINJA[@]}" "$@" >"$DIR/job.log" 2>&1 &
    JOB=$!
    PIDS+=("$JOB")
}

job_runs() {
    kill -0 "$JOB" 2>/dev/null
}

# job_is_ready RANKS: that many have said hello.
job_is_ready() {
    job_runs || die "the job ended before it was ready"
    [ "$(ninjactl status --json 2>/dev/null | jq '[.. | objects | select(has("transports") or has("pid")) | .rank? // empty] | length')" -ge "$1" ]
}

end_job() {
    local status=0
    wait "$JOB" || status=$?
    [ $status -eq 0 ] || die "the job ended with $status"
}

# switch_while_running SET...: in turn, as fast as they complete, until the job ends. Sets DONE, and
# fails if one failed while the job ran.
switch_while_running() {
    local sets=("$@") status
    DONE=0
    while job_runs; do
        status=0
        ninjactl switch --btl "${sets[DONE % ${#sets[@]}]}" >"$DIR/switch.log" 2>&1 || status=$?
        case $status in
        0) DONE=$((DONE + 1)) ;;
        2) sleep 0.05 ;; # no job, or not ready: it starts or ends
        *) sleep 0.5; ! job_runs || die "a switch failed with $status" ;;
        esac
    done
}

# What the job of survive runs on, and between what it is switched: ob1 or ucx.
LAYER=${LAYER:-ob1}
# Without InfiniBand Open MPI's own pml/ucx must be told that this is meant.
ON_UCX=(--mca pml ucx --mca opal_common_ucx_tls any --mca opal_common_ucx_devices any)
case $LAYER in
ob1) TRANSPORTS=(--mca pml ob1 --mca btl "vader,tcp,self") SETS=("tcp,self" "vader,tcp,self") ;;
ucx) TRANSPORTS=("${ON_UCX[@]}") SETS=("tcp,self" "posix,self") ;;
esac

# survive PROGRAM RANKS ROUNDS LEAST-SWITCHES [SET...]: the program's result must not depend on switches.
# HARASS may have further options for the harasser; LINGER_MS is explained in check.h.
survive() {
    local program=$1 ranks=$2 rounds=$3 least=$4 reference switches
    local command=("${MPIRUN[@]}" -np "$ranks" "${TRANSPORTS[@]}" "$BUILD/mpi/$program" "$rounds")
    shift 4
    [ $# -gt 0 ] || set -- "${SETS[@]}"
    reference=$(LINGER_MS=0 timeout "${JOB_LIMIT:-300}" "${command[@]}")
    "$TOP/tests/harass" --build "$BUILD" --limit "${JOB_LIMIT:-300}" --sets "$(IFS=';'; echo "$*")" \
        "${HARASS[@]}" -- "${command[@]}" >"$DIR/job.log" || die "$program did not survive"
    tail -1 "$DIR/job.log"
    [ "$(head -n -1 "$DIR/job.log")" = "$reference" ] || die "result differs from: $reference"
    switches=$(tail -1 "$DIR/job.log" | jq .switches)
    [ "$switches" -ge "$least" ] || die "only $switches switches, $least wanted"
}
