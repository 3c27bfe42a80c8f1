# shellcheck shell=bash
# For tests of ninjad as a whole: the scripted VMs of vms.sh, a daemon, and its answers.
# shellcheck source=tests/ctl/vms.sh
. "$(dirname "${BASH_SOURCE[0]}")/../ctl/vms.sh"

SOCKET=$DIR/ninjad.sock
LOG=$DIR/ninjad.log
DAEMON=

# start_ninjad [OPTION]...: on $SOCKET, with the cluster of start_vms.
start_ninjad() {
    "$NINJAD" --cluster "$DIR/cluster.conf" --state-dir "$STATE" --listen "$SOCKET" --ninjactl "$NINJACTL" \
        --verbose "$@" 2>>"$LOG" &
    DAEMON=$!
    PIDS+=("$DAEMON")
    wait_for answers "$SOCKET"
}

answers() {
    socat -u OPEN:/dev/null "UNIX-CONNECT:$1" 2>/dev/null
}

# stop_ninjad [SIGNAL]
stop_ninjad() {
    kill "-${1:-TERM}" "$DAEMON"
    wait "$DAEMON" 2>/dev/null || true
}

# converse SOCKET: sends standard input, and shows all that comes until the daemon has answered it all.
converse() {
    timeout 100 socat -t 100 - "UNIX-CONNECT:$1" | grep -v '"event":"hello"'
}

# ask COMMAND [ARGUMENTS]: its answer in $OUT, for holds().
ask() {
    local request
    request=$(jq -cn --arg c "$1" --argjson a "${2:-null}" '{execute: $c, id: 7} + if $a == null then {} else {arguments: $a} end')
    OUT=$(converse "$SOCKET" <<<"$request") || die "no answer to $request"
}

# gives FILTER: the last answer is no error, and holds.
gives() {
    holds "(.return // error) | $1"
}

# refuses CLASS TEXT...: the last answer is such an error, which says all of the texts.
refuses() {
    holds ".error.class == \"$1\" and .id == 7"
    shift
    says "$@"
}
