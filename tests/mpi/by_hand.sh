# shellcheck shell=bash
# A coordinator in shell, that takes a job to a state and leaves it there: docs/protocol.md. Needs lib.sh.

AGENT_PROTOCOL=$(sed -n 's/^#define NINJA_AGENT_PROTOCOL //p' "$TOP/common/agent_proto.h")
# Those from connect to resume.
LAST_STEPS=$(sed -n 's/^ *X([A-Z]*, "\(.*\)").*/\1/p' "$TOP/common/switch_steps.h" | sed '1,/^connect$/d; /^resume$/,$d')
EPOCH=0

hand_opens() {
    coproc HAND { exec socat -t 60 - "UNIX-CONNECT:$DIR/agent.sock"; }
    # shellcheck disable=SC2153 # coproc sets it
    PIDS+=("$HAND_PID")
    exec {TO_AGENT}>&"${HAND[1]}" {FROM_AGENT}<&"${HAND[0]}" # those of a coproc are closed in subshells
    tell ninja-hello "{\"protocol\": $AGENT_PROTOCOL, \"version\": \"by hand\"}" >/dev/null
}

hand_closes() {
    local pid=$HAND_PID
    exec {TO_AGENT}>&- {FROM_AGENT}<&-
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
}

# line_from_agent FILTER: waits for a line for which the jq filter gives something, which it prints.
line_from_agent() {
    local line found
    while IFS= read -r -t 60 -u "$FROM_AGENT" line; do
        found=$(jq -c "$1 // empty" <<<"$line")
        [ -z "$found" ] || { echo "$found"; return; }
    done
    die "the agent did not say $1"
}

# tell COMMAND ARGUMENTS: prints what it returns.
tell() {
    local answer
    jq -cn --argjson arguments "$2" "{execute: \"$1\", \$arguments}" >&"$TO_AGENT"
    answer=$(line_from_agent 'if has("return") or has("error") then . else null end')
    jq -ce 'select(has("return")) | .return' <<<"$answer" || die "$1: $answer"
}

the_job() {
    tell ninja-jobs '{}' | jq -r '.jobs[0].job'
}

# step STEP ROUND [ARGUMENTS]: gives it, and prints the event that ends it; all ranks must report ok.
step() {
    local arguments=${3:-'{}'} event
    arguments=$(jq -cn --argjson more "$arguments" "{job: \"$NAME\", epoch: $EPOCH, round: $2, step: \"$1\", \"timeout-ms\": 30000} + \$more")
    tell ninja-step "$arguments" >/dev/null
    event=$(line_from_agent "select(.event == \"NINJA_STEP\" and .data.step == \"$1\" and .data.epoch == $EPOCH and .data.round == $2) | .data")
    jq -ce 'select(all(.ranks[]; .status == "ok"))' <<<"$event" || die "$1: $event"
}

# Pairs [PEER, COUNT] of each rank, turned round: for each PEER, pairs [RANK, COUNT].
TURNED='[.ranks[] as $r | $r[$table] // [] | .[] | {to: .[0], pair: [$r.rank, .[1]]}] | group_by(.to) |
    map({key: (.[0].to | tostring), value: map(.pair)}) | from_entries | {tables: .}'

# with_counts EVENT: the event on standard input, with the counts of this one where they are the same.
with_counts() {
    jq -c --argjson before "$1" '.ranks |= map(.rank as $rank |
        if .same then .a = ($before.ranks[] | select(.rank == $rank) | .a // []) else . end)'
}

counts() {
    jq -c '[.ranks[] | {rank, a}] | sort_by(.rank)'
}

# What an agent gets for connect, of what the ranks said for open, as common/address_list.c has it.
ADDRESS_LIST='
import base64, json, sys, zlib
pieces = [base64.b64decode(r["addresses"]) for r in sorted(json.load(sys.stdin)["ranks"], key=lambda r: r["rank"])]
plain = b"".join(len(p).to_bytes(4, "big") for p in pieces)
for place in range(max(map(len, pieces))):
    bytes_there = [p[place] for p in pieces if place < len(p)]
    plain += bytes((b - a) & 255 for a, b in zip([0] + bytes_there, bytes_there))
packed = len(plain).to_bytes(4, "big") + zlib.compress(plain)
print(json.dumps({"addresses": base64.b64encode(packed).decode()}))
'

# take_to STATE: the only job that there is, from RUNNING.
take_to() {
    local round=1 sent before event addresses name
    NAME=$(the_job)
    EPOCH=$((EPOCH + 1))
    [ "$1" != RUNNING ] || return 0
    event=$(step stop 0 '{"lease-ms": 60000, "release": "@all", "open": "tcp,self"}')
    [ "$1" != QUIESCING ] || return 0
    sent=$(counts <<<"$event")
    while true; do
        before=$sent
        event=$(step drain $round "$(jq -c --arg table a "$TURNED" <<<"$event")" | with_counts "$event")
        event=$(step settle $round "$(jq -c --arg table b "$TURNED" <<<"$event")" | with_counts "$event")
        sent=$(counts <<<"$event")
        [ "$sent" != "$before" ] || break
        round=$((round + 1))
    done
    [ "$1" != QUIET ] || return 0
    step release $round '{"transports": "@all"}' >/dev/null
    [ "$1" != RELEASED ] || return 0
    event=$(step open $round '{"transports": "tcp,self"}')
    [ "$1" != OPENED ] || return 0
    addresses=$(python3 -c "$ADDRESS_LIST" <<<"$event")
    step connect $round "$addresses" >/dev/null
    [ "$1" != CONNECTED ] || return 0
    for name in $LAST_STEPS; do
        step "$name" $round >/dev/null
    done
}

goes_on() {
    step resume 99 >/dev/null
}
