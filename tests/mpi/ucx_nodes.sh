#!/usr/bin/env bash
# A job on UCX over two nodes: it is switched between the links that they have, and a link that carries nothing makes
# it fall back to the one before.
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/mpi/nodes.sh
. "$TOP/tests/mpi/nodes.sh"

# goes_on_over INTERFACE: messages flow between the nodes by it.
goes_on_over() {
    local before
    before=$(packets node1 "$1")
    wait_for 60 eval "[ \$((\$(packets node1 $1) - $before)) -gt 200 ]"
}

# UCX takes both nodes for one, as they have one kernel: without tcp alone it would use shared memory
nodes_up
cable eth2 10.96.0.1/24 10.96.0.2/24
no_cable eth1 10.97.0.1/24 10.97.0.2/24
start_job_on_nodes 2 -x UCX_NET_DEVICES=eth0 -x UCX_TLS=tcp,self "${ON_UCX[@]}" "$BUILD/mpi/p2p" 100000000
goes_on_over eth0
switch_ends 0 'done' tcp:eth2
goes_on_over eth2
switch_ends 0 'done' @best
goes_on_over eth0
switch_ends 2 'no transport of the list reaches other nodes' posix,self
switch_ends 1 'fell back to @previous' tcp:eth1 --timeout reselect=10000
goes_on_over eth0
switch_ends 0 'done' tcp:eth2
goes_on_over eth2
! grep -q WRONG "$DIR/job.log" || die "wrong bytes"
kill "$JOB"
