#!/usr/bin/env bash
# Transports on chosen interfaces, there and back while messages flow. A list that turns out not to
# connect falls back to what was there before, interfaces included; one that cannot be is refused before
# anything is touched.
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/lib.sh"

# switch_to STATUS WORDS LIST: whether it ends so, and says that.
switch_to() {
    local status=0
    ninjactl switch --btl "$3" "${@:4}" >"$DIR/switch.log" 2>&1 || status=$?
    [ $status -eq "$1" ] || die "$3: status $status instead of $1"
    grep -qF -- "$2" "$DIR/switch.log" || die "$3: does not say: $2"
}

# The addresses of this machine to which rank 0 has connections of MPI.
addresses_in_use() {
    ss -Htnp state established | awk -v pid="pid=$RANK," 'index($0, pid) {sub(/:[0-9]+$/, "", $3); print $3}' |
        sort -u | grep -v '^\[' || true
}

epoch() {
    ninjactl status --json | jq '[.. | .epoch? // empty] | max'
}

start_agent
other=$(ip -4 -o addr show up scope global | awk '{sub("/.*", "", $4); print $4; exit}')
start_job -np 3 --mca btl vader,tcp,self --mca btl_tcp_if_include lo "$BUILD/mpi/p2p" 1000000
wait_for 120 job_is_ready 3
RANK=$(ninjactl status --json | jq '[.. | objects | select(.rank? == 0) | .pid? // empty] | first')

# there and back, by name and by network
for _ in 1 2 3; do
    switch_to 0 "tcp:lo" tcp:lo,self
    switch_to 0 vader vader,tcp:lo,self
    switch_to 0 "tcp:127.0.0.0/8" tcp:127.0.0.0/8,self
    switch_to 0 tcp tcp,self
done
if [ -n "$other" ]; then
    net=${other%.*}.0/24
    switch_to 0 "$net" "tcp:$net,self"
    wait_for 20 eval '[ "$(addresses_in_use | grep -vx 127.0.0.1)" = "$other" ]'
    # another list fails: back to this network, not to that of the start
    switch_to 1 'the BTL tcp cannot use "nosuch0"' tcp:lo+nosuch0,self
    grep -q 'fell back to @previous' "$DIR/switch.log" || die "does not say that it fell back"
    wait_for 20 eval '[ "$(addresses_in_use | grep -vx 127.0.0.1)" = "$other" ]'
    # open it stays, unless the list says otherwise
    switch_to 0 @network tcp:lo,self --release network
    wait_for 20 eval '[ -z "$(addresses_in_use | grep -vx 127.0.0.1)" ]'
    switch_to 0 vader "vader,tcp:$net,self" --release vader
fi
switch_to 1 'the BTL tcp cannot use "198.51.100.0/24"' tcp:198.51.100.0/24,self
# nothing of that is here: seen only when the addresses of all are known
if ompi_info --parsable | grep -q '^mca:btl:openib:' && [ ! -e /sys/class/infiniband ]; then
    for set in best tcp:lo,self vader,self tcp,self; do
        switch_to 0 "$set" "$set"
        switch_to 1 'reached by no transport' openib,self
        grep -q 'fell back to @previous' "$DIR/switch.log" || die "does not say that it fell back"
    done
fi
switch_to 0 best best

# refused before anything is touched: the epoch has had a stop, and no rank has released anything
before=$(ninjactl status --json | jq -c '[.. | .transports? // empty]')
switch_to 2 'there is no BTL "nosuch"' nosuch,self
switch_to 2 'is no set of transports' ,
switch_to 2 'has no interfaces to choose from' vader:lo,self
switch_to 2 'an interface is missing' tcp:,self
switch_to 2 'an interface is missing' tcp:lo++eth0,self
switch_to 2 'reaches no other process' self
switch_to 2 'is no set of transports' @nosuch
switch_to 2 'cannot be released' tcp,self --release self,tcp
switch_to 2 'cannot be released' tcp,self --release tcp:lo
[ "$(ninjactl status --json | jq -c '[.. | .transports? // empty]')" = "$before" ] || die "the job was touched"
[ "$(ninjactl status --json | jq -r '[.. | .state? // empty | select(. == "RUNNING")] | length')" -eq 3 ] ||
    die "not every rank runs"
switch_to 0 tcp tcp,self
job_runs || die "the job ended"
grep -q WRONG "$DIR/job.log" && die "wrong bytes"
kill "$JOB"
