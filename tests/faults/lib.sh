# shellcheck shell=bash
# One migration on the local driver that meets a fault point (common/fault.h), and what an operator does then.
#
# Whatever fails, afterwards all ranks run (or mpirun has ended the job, if a rank was killed), nothing is
# interrupted any more, a switch succeeds, and the program, which checks every byte, has found no wrong one.
# What is killed is started again: the agent as systemd would, the coordinator by an operator who says resume.
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../mpi/lib.sh"

# The agent, started again whenever it dies. FAULT is for its first life.
keep_agent() {
    local fault=$1
    while :; do
        NINJA_FAULT=$fault "$BUILD/guest-agent/ninja-agent" --listen "$DIR/agent.sock" \
            --socket "$DIR/ranks.sock" --scripts "$DIR/scripts" --verbose >>"$DIR/agent.log" 2>&1 &
        echo $! >"$DIR/agent.pid"
        wait $! || true
        fault=
        [ ! -e "$DIR/enough" ] || return 0
    done
}

agent_up() {
    rm -f "$DIR/enough"
    : >"$DIR/agent.log"
    keep_agent "$1" 2>/dev/null &
    KEEPER=$!
    wait_for 20 agent_answers
}

agent_answers() {
    ninjactl status --json >/dev/null 2>&1
}

agent_down() {
    touch "$DIR/enough"
    kill "$(cat "$DIR/agent.pid")" 2>/dev/null || true
    wait "$KEEPER" 2>/dev/null || true
    KEEPER=
}

job_up() {
    start_job -np 3 --mca btl vader,tcp,self --mca crcp_ninja_bypass vader "${FAULT_OF_RANK[@]}" \
        "$BUILD/mpi/p2p" 100000000
    wait_for 120 job_is_ready 3
}

job_down() {
    kill "$JOB" 2>/dev/null || true
    wait "$JOB" 2>/dev/null || true
    ! grep -q WRONG "$DIR/job.log" || die "a wrong byte"
    wait_for 30 job_is_gone
}

job_is_gone() {
    [ "$(ninjactl status --json 2>/dev/null | jq '.jobs | length')" = 0 ]
}

all_run() {
    ninjactl status --json 2>/dev/null |
        jq -e '(.jobs | length) == 1 and ([.jobs[].ranks[].state] | . == ["RUNNING", "RUNNING", "RUNNING"])' >/dev/null
}

reached() {
    grep -qs 'fault point: ' "$DIR/job.log" "$DIR/agent.log" "$DIR/switch.log"
}

# one WHO CLASS KIND N MODE: false if the point was not reached.
one() {
    local status=0 what="$1:$2:$4:$3 ($5)" fault=$1:$2:$4:$3
    FAULT_OF_RANK=()
    case $1 in
    agent) agent_up "$fault" ;;
    rank*) FAULT_OF_RANK=(-x "NINJA_FAULT=$fault") ;;
    esac
    job_runs 2>/dev/null || job_up
    : >"$DIR/switch.log"
    [ "$1" = coordinator ] || fault=
    NINJA_FAULT=$fault ninjactl migrate without --mode "$5" >"$DIR/switch.log" 2>&1 || status=$?
    local hit=1
    # what a rank says comes by way of mpirun, and a little later
    [ $status -eq 0 ] || for _ in {1..50}; do ! reached || break; sleep 0.1; done
    ! reached || hit=0
    [ $hit = 0 ] || [ $status -eq 0 ] || die "$what: not reached, but status $status"
    case $status in
    0 | 1 | 2 | 3) ;;
    4 | 137) ;; # what follows shows whether it can be put right
    *) die "$what: migrate ended with $status" ;;
    esac
    if [ $hit = 1 ] && [ "$1" != coordinator ]; then
        : # the point is still to come, and must not in what follows
    elif [ "$1:$3" = "${1%%[0-9]*}${1##*[a-z]}:crash" ] && [ "${1%%[0-9]*}" = rank ] && [ $hit = 0 ]; then
        wait_for 60 job_is_over
        JOB=
        wait_for 60 job_is_gone
        [ $status -ne 137 ] || die "$what: the coordinator died"
        recover "$what"
    else
        job_runs || die "$what: the job ended"
        recover "$what"
        status=0
        ninjactl switch --btl best >"$DIR/switch.log" 2>&1 || status=$?
        [ $status -eq 0 ] || die "$what: the switch afterwards ended with $status"
        wait_for 20 all_run
    fi
    case $1 in
    agent) job_down; agent_down; JOB= ;;
    rank*) [ -z "$JOB" ] || job_down; JOB= ;;
    esac
    return $hit
}

job_is_over() {
    ! kill -0 "$JOB" 2>/dev/null
}

# What an operator would do.
recover() {
    local status=0
    if ninjactl status --json 2>/dev/null | jq -e '.interrupted' >/dev/null; then
        ninjactl resume >"$DIR/resume.log" 2>&1 || status=$?
        case $status in
        0 | 3) ;;
        *) cat "$DIR/resume.log"; die "$1: resume ended with $status" ;;
        esac
    fi
    ! ninjactl status --json | jq -e '.interrupted' >/dev/null || die "$1: still interrupted"
}

bypass_cluster 'quiesce-pause = 100;
timeouts = { link = 200; quiesce = 1500; release = 1500; reselect = 1500; retry = 0; resume = 1500; command = 1500;
    connect = 3000; jobs = 5000; detach = 2000; attach = 2000; };'

trap 'touch "$DIR/enough"; kill "$(cat "$DIR/agent.pid" 2>/dev/null)" 2>/dev/null || true; cleanup' EXIT
JOB='' KEEPER=''
