#!/usr/bin/env bash
# A firewall that leaves few ports to a job: switches go on one after the other all the same, though a port whose
# connection was closed on its side is held up for a minute.
[ -n "${OWN_NETWORK:-}" ] || exec unshare --net env OWN_NETWORK=yes "$0"
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/lib.sh"
RANKS=3

ip link set lo up
start_agent
start_job -np $RANKS --mca btl tcp,self --mca btl_tcp_if_include lo \
    --mca btl_tcp_port_min_v4 20000 --mca btl_tcp_port_range_v4 $RANKS "$BUILD/mpi/p2p" 100000000
wait_for 120 job_is_ready $RANKS
for i in {1..40}; do
    ninjactl switch --btl tcp,self >"$DIR/switch.log" 2>&1 || die "switch $i failed"
done
! grep -q WRONG "$DIR/job.log" || die "wrong bytes"
kill "$JOB"
