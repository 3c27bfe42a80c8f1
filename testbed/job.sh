# The MPI job, started by mpirun in vm1 as an ordinary user.
#
# Its output goes to $JOB_LOG, each line after the host's milliseconds at which it came, which shows
# from outside of the VMs how long the program was silent.
# shellcheck shell=bash disable=SC2034

JOB_PROGRAM=
JOB_LOG=
JOB_PID=
JOB_RANKS=4
JOB_RANKS_A_VM=2
JOB_PROGRESS=10
JOB_LIMIT=${JOB_LIMIT:-600}
JOB_ARGUMENTS= # further ones of the program
JOB_SHOW= # show the output as it comes

job_build() {
    JOB_PROGRAM=$RUN/jacobi
    mpicc -O2 -ffp-contract=off -o "$JOB_PROGRAM" "$TREE/examples/jacobi.c" -lm
}

# job_line OPTION...: the mpirun command line.
job_line() {
    local vm hosts=()
    for vm in "${VMS[@]}"; do hosts+=("$vm:$JOB_RANKS_A_VM"); done
    printf 'mpirun -np %s --host %s %s jacobi' "$JOB_RANKS" "$(IFS=,; echo "${hosts[*]}")" "$*"
}

# The same program with the same number of ranks on the host, which never moves. It prints the result.
job_reference() {
    OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 timeout "$JOB_LIMIT" \
        mpirun -np "$JOB_RANKS" --oversubscribe --mca btl vader,self --mca pml ob1 \
        "$JOB_PROGRAM" --iterations "$1" 2>&1 | tail -n 1
}

# A run in the VMs over TCP that nothing disturbs; prints the result.
job_at_rest() {
    vm_user vm1 "$JOB_LIMIT" "$(job_line --mca btl tcp,vader,self) --iterations $1" |
        tee "$RUN/rest.log" | grep '^{' || {
        cat "$RUN/rest.log" >&2
        return 1
    }
}

job_follow() {
    local line status=0
    while IFS= read -r line; do
        printf '%s %s\n' "$(now_ms)" "$line" >>"$JOB_LOG"
        [[ -z $JOB_SHOW ]] || job_tell "$line"
    done < <(vm_user vm1 "$JOB_LIMIT" "$1" || echo "job ended with $?")
    grep -q ' job ended with ' "$JOB_LOG" && status=1
    return "$status"
}

# Not every line of progress is of interest to a reader.
job_tell() {
    if [[ $1 =~ ^iteration\ ([0-9]+)\ of ]] && ((BASH_REMATCH[1] % (JOB_PROGRESS * 10))); then
        return 0
    fi
    say "    job: $1"
}

# job_start ITERATIONS MPIRUN-OPTION...: in the background.
job_start() {
    local iterations=$1
    shift
    JOB_LOG=$RUN/job-$(now_ms).log
    : >"$JOB_LOG"
    # A process group of its own, so that all of it can be ended.
    set -m
    job_follow "$(job_line "$@") --iterations $iterations --progress $JOB_PROGRESS $JOB_ARGUMENTS" &
    JOB_PID=$!
    set +m
}

job_alive() { kill -0 "$JOB_PID" 2>/dev/null; }

job_iteration() {
    local iteration
    iteration=$(sed -n 's/^[0-9]* iteration \([0-9]*\) of .*/\1/p' "$JOB_LOG" | tail -n 1)
    printf '%s' "${iteration:-0}"
}

job_reached() { (($(job_iteration) >= $1)) || ! job_alive; }

# job_advance N: waits until the job is N iterations further; fails if it ended.
job_advance() {
    local to=$(($(job_iteration) + $1))
    wait_for "$JOB_LIMIT" "the job to reach iteration $to" job_reached "$to" || return 1
    job_alive || job_explain "the job ended too early"
}

job_explain() {
    printf '%s; its last lines:\n' "$1" >&2
    tail -n 15 "$JOB_LOG" | cut -d' ' -f2- >&2
    return 1
}

# Waits for the end of the job.
job_wait() {
    wait "$JOB_PID" || job_explain "the job failed"
}

job_result() { sed -n 's/^[0-9]* \({.*\)/\1/p' "$JOB_LOG" | tail -n 1; }

# The longest time between two lines of progress, in ms.
job_silence() {
    awk '$2 == "iteration" {if (last && $1 - last > most) most = $1 - last; last = $1}
        END {print most + 0}' "$JOB_LOG"
}
