#!/usr/bin/env bash
# A debugger sees the same message queues after a switch as before, by Open MPI's own library for that.
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/lib.sh"
mapfile -t include < <(mpicc --showme:incdirs | tr ' ' '\n')
mpicc -D_GNU_SOURCE -O2 -Wall -Wextra -Wno-unused-parameter -Werror -I"${include[0]}/openmpi" -o "$DIR/queues" \
    "$TOP/tests/mpi/debugger/queues.c" -ldl
mpicc -O2 -Wall -Wextra -Werror -o "$DIR/posted" "$TOP/tests/mpi/debugger/posted.c"
library=$(find "$(dirname "$(realpath "$(ldd "$DIR/posted" | awk '/libmpi\.so/ {print $3}')")")"/ -name libompi_dbg_msgq.so | head -1)
[ -n "$library" ] || { echo "Open MPI has no libompi_dbg_msgq.so here"; exit 77; }

# queues_of NAME: of both ranks, to the file NAME.
queues_of() {
    local pid
    for pid in $(ninjactl status --json | jq '.jobs[0].ranks | sort_by(.rank)[].pid'); do
        timeout 60 "$DIR/queues" "$library" "$pid" 2>"$DIR/queues.err" || die "no queues: $(cat "$DIR/queues.err")"
    done >"$1"
}

start_agent
start_job -np 2 --mca btl vader,tcp,self "$DIR/posted" "$DIR/enough"
wait_for 120 job_is_ready 2
wait_for 60 grep -q posted "$DIR/job.log"
queues_of "$DIR/before"
# 3 receives and 3 sends of each rank
for what in receive send; do
    [ "$(grep -c ": $what, " "$DIR/before")" -eq 6 ] || die "not 6 times $what: $(cat "$DIR/before")"
done
grep -q '^copy: receive, .*tag 12,' "$DIR/before" || die "not what was posted: $(cat "$DIR/before")"
for set in tcp,self vader,tcp,self tcp,self; do
    ninjactl switch --btl $set >"$DIR/switch.log" 2>&1 || die "the switch to $set failed"
    queues_of "$DIR/after"
    diff "$DIR/before" "$DIR/after" || die "the queues are not the same after a switch to $set"
done
touch "$DIR/enough"
end_job
grep -q "all right" "$DIR/job.log" || die "wrong data"
