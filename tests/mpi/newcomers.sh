#!/usr/bin/env bash
# Interfaces that come up while a job runs, and carry nothing between its nodes: the job goes on over those that do,
# whatever list a switch was given.
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/mpi/nodes.sh
. "$TOP/tests/mpi/nodes.sh"
RANKS=2

nodes_up
start_job_on_nodes $RANKS --mca btl tcp,self "$BUILD/mpi/p2p" 100000000
switch_ends 0 'done' tcp,self
job_goes_on 4

# what each container engine gives its bridge, on every machine
no_cable docker0 172.17.0.1/16 172.17.0.1/16
for list in tcp,self @best @standby tcp,self; do
    switch_ends 0 'done' "$list"
    job_goes_on 4
done

# a port of another network: packets are lost in silence
no_cable eth1 10.97.0.1/24 10.97.0.2/24
switch_ends 0 'goes on without tcp on eth1' tcp,self
job_goes_on 4
# who names it is told, and the job is where it was
switch_ends 1 'fell back to @previous' tcp:eth0+eth1,self --timeout reselect=5000
job_goes_on 4
# in one node only
on node2 ip link del eth1
switch_ends 0 'done' @best
job_goes_on 4

# a second cable is used, and left out again when it leads nowhere
on node1 ip link del eth1
cable eth2 10.96.0.1/24 10.96.0.2/24
switch_ends 0 'done' tcp,self
wait_for 60 eval '[ "$(packets node1 eth2)" -gt 200 ]'
switch_ends 0 'done' tcp:eth0,self
on node2 ip link set eth2 down
switch_ends 0 'goes on without tcp on eth2' tcp,self
job_goes_on 4

# what the job falls back to has no newcomers, not even good ones
on node1 ip link del eth2
on node1 ip link del docker0
on node2 ip link del docker0
switch_ends 0 'done' tcp,self
cable eth3 10.95.0.1/24 10.95.0.2/24
switch_ends 1 'fell back to @previous' tcp:nosuch0,self
job_goes_on 4
before=$(packets node1 eth3)
job_goes_on 4
[ $(($(packets node1 eth3) - before)) -lt 50 ] || die "@previous took an interface that the job did not have"
switch_ends 0 'done' tcp,self
wait_for 60 eval '[ "$(packets node1 eth3)" -gt 1000 ]'
! grep -q WRONG "$DIR/job.log" || die "wrong bytes"
kill "$JOB"
