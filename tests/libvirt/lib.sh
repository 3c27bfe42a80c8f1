# What the tests of ninja-libvirt share: talking to it, in the network of the coordinator.
# shellcheck shell=bash

cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit
# shellcheck source=testbed/testbed.sh
. testbed/testbed.sh
# shellcheck source=testbed/libvirt.sh
. testbed/libvirt.sh

ASK_SECONDS=120
ASKED= # the id of the last request of this shell; subshells ask as well, so it is the time in microseconds
SAID= # all that it said, a line each

# The program of this tree; it ends with the script.
helper_start() {
    SAID=$RUN/said
    mkfifo "$RUN/asked"
    libvirt_coordinator "${NINJA_LIBVIRT:-$INSTALLED/usr/libexec/ninja-migration/ninja-libvirt}" <"$RUN/asked" >"$SAID" &
    disown
    exec 7>"$RUN/asked"
}

# said FILTER: whether a line was said for which jq's filter is true.
said() { jq -e -n "[inputs | select($1)] | length > 0" "$SAID" >/dev/null 2>&1; }

# send COMMAND ARGUMENTS: does not wait; its id is $ASKED.
send() {
    ASKED=${EPOCHREALTIME/[.,]/}
    jq -nc "{execute: \"$1\", id: $ASKED, arguments: ({timeout_ms: ${ASK_SECONDS}000} + $2)}" >&7
}

# answer ID: waits for it, and prints it.
answer() {
    wait_for $((ASK_SECONDS + 5)) "the answer $1" said ".id == $1" || return 1
    jq -c "select(.id == $1)" "$SAID"
}

# ask COMMAND ARGUMENTS: prints the result; fails, with the error, if that is the answer.
ask() {
    send "$1" "$2"
    answer "$ASKED" >"$RUN/answer"
    jq -ce .return "$RUN/answer" || { cat "$RUN/answer" >&2; return 1; }
}

# expect WHAT FILTER: of the line on standard input.
expect() {
    local line
    line=$(cat)
    jq -e "$2" <<<"$line" >/dev/null || die "$1: it is $line"
    say "$1"
}

# event WHAT FILTER: waits for it.
event() {
    wait_for "$ASK_SECONDS" "$1" said ".event and ($2)"
    say "$1"
}

host_opened() { ask host-open "{host: \"h$1\", uri: \"$(libvirt_uri "$1")\"}"; }

# state HOST: of vm1.
state() { ask domain-look "{host: \"h$1\", vm: \"vm1\"}"; }

# ping HOST: a new channel to the agent of vm1, and an answer by it.
ping() {
    local socket=$RUN/agent-$1
    ask channel-open "{host: \"h$1\", vm: \"vm1\", socket: \"$socket\"}" >/dev/null
    { printf '\377{"execute": "guest-ping", "id": 77}\n'; sleep 5; } |
        timeout 60 socat -t 5 - "UNIX-CONNECT:$socket" | tr -d '\377' | grep -q '"id": *77' ||
        die "the agent does not answer at host $1"
    say "the agent answers at host $1"
}
