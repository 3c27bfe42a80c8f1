#!/usr/bin/env bash
# What stands between the two QEMUs of each VM is ended at the end of the copy: once when it still holds what the source
# has sent last, and once when the destination has everything and the source did not hear of it. Expected: the VMs are
# rolled back, run at one side alone, and the job goes on; the next migration works.
set -euo pipefail
# shellcheck source=tests/faults/vms.sh
. "$(dirname "$0")/../faults/vms.sh"
ITERATIONS=1000000
HELD=200000 # bytes; more than the state of the devices

# relay LISTEN TO FIFO held|mute: one connection. It keeps the last bytes, or brings none back.
relay() {
    local keep=(cat) back=$3
    [[ $4 != held ]] || keep=(head -c "-$HELD")
    [[ $4 != mute ]] || back=/dev/null
    rm -f "$3"
    mkfifo "$3"
    # shellcheck disable=SC2094
    socat - "TCP-LISTEN:$1,reuseaddr" <>"$3" | "${keep[@]}" |
        socat -t 600 - "TCP:$2,retry=600,interval=0.2" >"$back"
}
export -f relay

# relays_up KIND: each listens where the source looks for the receiver, in the source's namespace.
relays_up() {
    local vm port
    RELAYS=()
    for vm in "${VMS[@]}"; do
        port=480$(vm_number "$vm")
        HELD=$HELD net_exec ib bash -c 'relay "$@"' relay "$port" "$(net_host_address eth):$port" \
            "$RUN/$vm.back" "$1" >"$RUN/relay" 2>&1 &
        RELAYS+=($!)
    done
}

relays_end() {
    local pid
    for pid in "${RELAYS[@]}"; do
        # shellcheck disable=SC2046
        kill -KILL $(descendants "$pid") "$pid" 2>/dev/null || true
    done
}

# What all of them have read until now, in bytes.
relays_read() {
    local relay pid sum=0 n
    for relay in "${RELAYS[@]}"; do
        for pid in $(descendants "$relay"); do
            n=$(awk '/^rchar/ {print $2}' "/proc/$pid/io" 2>/dev/null) && sum=$((sum + ${n:-0}))
        done
    done
    echo "$sum"
}

# Something was sent, and nothing comes any more.
relays_quiet() {
    local before now
    before=$(relays_read)
    sleep 3
    now=$(relays_read)
    ((before > 20000000 && now == before))
}

end_when_quiet() {
    wait_for 120 "all to be sent" relays_quiet
    relays_end
}

# ended_at_the_end KIND WHAT
ended_at_the_end() {
    relays_up "$1"
    when_journal_says '"step":"copy"' end_when_quiet
    STATUS=0
    ninjactl migrate eth >"$RUN/output" 2>&1 || STATUS=$?
    wait "$WATCHER" || { cat "$RUN/relay" "$RUN/output"; die "$2: the relays were not ended"; }
    ((STATUS == 3)) || { cat "$RUN/output"; die "$2: exit status $STATUS, not 3"; }
    whole "$2"
    [[ $SITE == ib ]] || die "$2: the VMs are at $SITE"
    say "$2: rolled back"
}

testbed_up
# What a receiver listens at is for the source its own host.
sed -i -E 's/tcp:[0-9.]+:480/tcp:0.0.0.0:480/' "$CLUSTER"
job_start "$ITERATIONS" --mca crcp ninja --mca btl openib,tcp,vader,self
job_advance 20
ended_at_the_end held "the end of the memory was lost on the way"
ended_at_the_end mute "all had arrived, and the source did not hear of it"
say "all as expected"
