# A job that can be saved with its VMs: no connection to the outside outlives a VM, so nobody outside waits for it, and
# its output goes to a file of vm1.
# shellcheck shell=bash

# saved_job_start ITERATIONS
saved_job_start() {
    vm_user vm1 60 "{ $(job_line --mca crcp ninja --mca btl openib,tcp,vader,self) --iterations $1 --progress $JOB_PROGRESS \
        >/tmp/job 2>&1; echo ended with \$? >>/tmp/job; } >/dev/null 2>&1 </dev/null &"
}

# What vm2 says at its end would be taken for the end of this command.
saved_job_output() { vm_user vm1 60 "grep -v '^exit status' /tmp/job"; }

saved_job_iteration() {
    local iteration
    iteration=$(saved_job_output | sed -n 's/^iteration \([0-9]*\) of .*/\1/p' | tail -n 1)
    printf '%s' "${iteration:-0}"
}

saved_job_has_ended() { [[ $(saved_job_output) == *"ended with"* ]]; }
saved_job_reached() { (($(saved_job_iteration) >= $1)) || saved_job_has_ended; }

# saved_job_advance N WHEN
saved_job_advance() {
    local to=$(($(saved_job_iteration) + $1))
    wait_for "$JOB_LIMIT" "the job to reach iteration $to $2" saved_job_reached "$to"
}

saved_job_wait() {
    wait_for "$JOB_LIMIT" "the job to end" saved_job_has_ended || { saved_job_output; die "the job does not end"; }
}

# The line with its result.
saved_job_result() { saved_job_output | grep '^{'; }

# vms_lose_power SITE
vms_lose_power() {
    local vm pids=()
    for vm in "${VMS[@]}"; do pids+=("$(<"$(vm_file "$1" "$vm" pid)")"); done
    kill -KILL "${pids[@]}"
    wait_for 60 "the QEMUs to be gone" vms_are_gone "${pids[@]}"
}

vms_are_gone() { ! kill -0 "$@" 2>/dev/null; }
