# shellcheck shell=bash
# For tests of ninjactl as a whole: a cluster of scripted VMs (fake_vms), and checks of what it says.
# Everything is in one temporary directory and ends with the script.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
NINJACTL=${NINJACTL:-$HERE/../../host/ninjactl}
NINJAD=${NINJAD:-$HERE/../../ninjad/ninjad}
FAKE_VMS=${FAKE_VMS:-$HERE/../unit/fake_vms}
DIR=$(mktemp -d "${TMPDIR:-/tmp}/ninja-ctl.XXXXXX")
STATE=$DIR/state
VMS=
PIDS=()
OUT=
unset NO_COLOR NINJA_HOOKS
# No settings of this machine or of who runs the tests.
export NINJA_CONFIG='' XDG_CONFIG_HOME=$DIR/no-config NINJA_HOOKS_DIR=$DIR/hooks.d

cleanup() {
    local pid
    for pid in "${PIDS[@]}" $VMS; do
        kill "$pid" 2>/dev/null || true
    done
    wait 2>/dev/null || true
    rm -rf "$DIR"
}
trap cleanup EXIT

# What is wrong comes last, as only the end of a long output is shown.
die() {
    [ -z "$OUT" ] || printf 'it said: %s\n' "$OUT"
    echo "$*"
    exit 1
}

# wait_for COMMAND...: until it succeeds, at most a minute.
wait_for() {
    local end=$((SECONDS + 60))
    until "$@"; do
        [ $SECONDS -lt $end ] || die "waited in vain for: $*"
        sleep 0.05
    done
}

# start_vms N [KEY=VALUE]...: as fake_vms.c says; ends those before, and forgets their migrations.
start_vms() {
    [ -z "$VMS" ] || { kill "$VMS"; wait "$VMS" 2>/dev/null || true; }
    rm -rf "$STATE" "$DIR/ready"
    "$FAKE_VMS" "$DIR" "$@" >"$DIR/ready" &
    VMS=$!
    wait_for grep -qs ready "$DIR/ready"
}

ninjactl() {
    local command=$1
    shift
    timeout 120 "$NINJACTL" "$command" --state-dir "$STATE" --cluster "$DIR/cluster.conf" "$@"
}

# expect CODE COMMAND ARGUMENT...: runs it, with what it says in $OUT.
expect() {
    local want=$1 code=0
    shift
    OUT=$(ninjactl "$@" 2>&1) || code=$?
    [ "$code" -eq "$want" ] || die "ninjactl $*: exit code $code, expected $want"
}

# For wait_for: nobody works on the cluster any more.
may_look() {
    ninjactl status >/dev/null 2>&1
}

# says TEXT...: each is in what the last command said.
says() {
    local text
    for text in "$@"; do
        [[ $OUT == *"$text"* ]] || die "expected \"$text\""
    done
}

says_not() {
    [[ $OUT != *"$1"* ]] || die "did not expect \"$1\""
}

# holds FILTER: what the last command said is JSON of which that is true.
holds() {
    jq -e "$1" <<<"$OUT" >/dev/null || die "does not hold: $1"
}
