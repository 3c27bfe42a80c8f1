#!/usr/bin/env bash
# Interfaces that are chosen by a network of IPv6, which tcp itself cannot read: in a network namespace with
# two of them, there and back while messages flow.
[ "${1:-}" = --in-namespace ] || exec unshare --net "$0" --in-namespace
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/lib.sh"

ip link set lo up
ompi_info --parsable | grep -q 'ipv6:yes' || { echo "this Open MPI is built without IPv6"; exit 77; }
[ -e /proc/net/if_inet6 ] || { echo "this kernel has no IPv6"; exit 77; }
for n in 1 2; do
    ip link add "one$n" type veth peer name "other$n"
    ip link set "other$n" up
    ip addr add "10.77.$n.1/24" dev "one$n"
    ip -6 addr add "fd77:$n::1/64" dev "one$n" nodad
    ip link set "one$n" up
done

# switch_to STATUS WORDS LIST: whether it ends so, and says that.
switch_to() {
    local status=0
    ninjactl switch --btl "$3" >"$DIR/switch.log" 2>&1 || status=$?
    [ $status -eq "$1" ] || die "$3: status $status instead of $1"
    grep -qF -- "$2" "$DIR/switch.log" || die "$3: does not say: $2"
}

# The interfaces, by number, to which rank 0 has connections of MPI; those of mpirun are over lo.
interfaces_in_use() {
    ss -Htnp state established | awk -v pid="pid=$RANK," 'index($0, pid) {print $3}' |
        sed -n 's/^\[*\(10\.77\.\|fd77:\)\([12]\)[.:].*/\2/p' | sort -u | xargs
}
on_interface() {
    wait_for 20 eval '[ "$(interfaces_in_use)" = '"$1"' ]'
}

start_agent
start_job -np 3 --mca oob_tcp_if_include lo --mca btl vader,tcp,self "$BUILD/mpi/p2p" 1000000
wait_for 120 job_is_ready 3
RANK=$(ninjactl status --json | jq '[.. | objects | select(.rank? == 0) | .pid? // empty] | first')
for _ in 1 2; do
    switch_to 0 "tcp:fd77:1::/64" tcp:fd77:1::/64,self
    on_interface 1
    switch_to 0 "tcp:fd77:2::/64" tcp:fd77:2::/64,self
    on_interface 2
    switch_to 0 vader vader,tcp:fd77:2::/65+fd77:1::/64,self
    switch_to 0 "tcp:one1" tcp:one1,self
    on_interface 1
done
# What is no such network is refused, and the list from before is there again.
switch_to 0 "fd77:2::/48" tcp:fd77:2::/48,self
switch_to 1 'the BTL tcp cannot use "fd77:3::/64"' tcp:fd77:3::/64,self
grep -q 'has no such interface' "$DIR/switch.log" || die "does not say why"
grep -q 'fell back to @previous' "$DIR/switch.log" || die "does not say that it fell back"
on_interface 2
for wrong in fd77:2:0:0:8000::/65 fd77::/129 fd77::/ fd77::/+1 fd77::/x fd77:1::1 fd77:::/64; do
    switch_to 1 'has no such interface' "tcp:$wrong,self"
done
switch_to 0 tcp tcp,self
job_runs || die "the job ended"
grep -q WRONG "$DIR/job.log" && die "wrong bytes"
kill "$JOB"
