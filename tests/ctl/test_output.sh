#!/bin/bash
# Standard output that cannot be written: every command says so, and does not count it as success.
# shellcheck source=tests/ctl/vms.sh
. "$(dirname "$0")/vms.sh"

[ -c /dev/full ] || { echo "needs /dev/full"; exit 77; }
NINJA_AGENT=${NINJA_AGENT:-$HERE/../../guest-agent/ninja-agent}

# A pipe whose reader has left, as number 5.
mkfifo "$DIR/pipe"
exec 4<>"$DIR/pipe" 5>"$DIR/pipe" 4<&-

# code_of COMMAND...: its exit code, with what it said on standard error in $OUT.
code_of() {
    local code=0
    "$@" 2>"$DIR/err" || code=$?
    OUT=$(cat "$DIR/err")
    echo "$code" >"$DIR/code"
}
code() { cat "$DIR/code"; }

# says_lost PROGRAM WHY: or that not all could be written, if nothing was left to try again at its end.
says_lost() {
    [[ $OUT == *"$1: standard output: $2"* || $OUT == *"$1: standard output: not all of it could be written"* ]] ||
        die "it does not say: $1: standard output: $2"
}

# full CODE COMMAND...: what it prints is lost, so its exit code is that, and it says so, but not for a pipe.
full() {
    local want=$1 program=${2##*/}
    shift
    code_of "$@" >/dev/full
    [ "$(code)" -eq "$want" ] || die "$* with a full disk: exit code $(code), expected $want"
    says_lost "$program" "No space left on device"
}
left() { # or SIGPIPE ends it
    local want=$1
    shift
    code_of "$@" >&5
    [ "$(code)" -eq "$want" ] || [ "$(code)" -eq 141 ] || die "$* with a pipe that nobody reads: exit code $(code), expected $want"
    says_not "standard output"
}
closed() {
    local want=$1 program=${2##*/}
    shift
    code_of "$@" >&-
    [ "$(code)" -eq "$want" ] || die "$* with standard output closed: exit code $(code), expected $want"
    says_lost "$program" "Bad file descriptor"
}
lost() {
    full "$@"
    left "$@"
    closed "$@"
}

# What is no command: of all three programs.
lost 74 "$NINJACTL" --help
lost 74 "$NINJACTL" --version
lost 74 "$NINJACTL" --dump-config
lost 74 "$NINJACTL" --dump-config --json
for option in --help --version --dump-config; do
    lost 74 "$NINJAD" $option
done
if [ -x "$NINJA_AGENT" ]; then
    lost 74 "$NINJA_AGENT" --help
    lost 74 "$NINJA_AGENT" --version
fi

start_vms 2
expect 0 migrate eth

# All commands that there are, with all that makes them print: the exit code is that which they have
# otherwise, but not 0 if that would say that all was printed.
try() {
    local help plain want printed
    help=$("$NINJACTL" "$1" --help)
    for how in full left closed; do
        site
        code_of ninjactl "$@" ${WORD:+"$WORD"} >"$DIR/out"
        plain=$(code) printed=$(wc -c <"$DIR/out")
        [ "$printed" -gt 0 ] || return 0
        want=$plain
        if [ "$plain" -eq 0 ] && { grep -q '^  74 ' <<<"$help" || [[ "$*" == *--help* || "$*" == *--dump-config* ]]; }; then
            want=74
        fi
        site
        $how "$want" ninjactl "$@" ${WORD:+"$WORD"}
        tried=$((tried + 1))
    done
}
# A migration has its VMs where it begins.
site() {
    WORD=
    [[ $usage != *SITE* ]] || WORD=eth
    if [ "$command" = migrate ]; then
        start_vms 2
        OUT=
    elif [ "$command" = plan ]; then
        WORD=ib
    fi
}
tried=0
while read -r command usage; do
    for options in "" --json --html --help --dump-config; do
        "$NINJACTL" "$command" --help | grep -q -- "${options:-Usage}" || continue
        # shellcheck disable=SC2086
        try "$command" $options
    done
done < <("$NINJACTL" --help | sed -n 's/^  \([a-z][a-z]*\) \(SITE[^ ]*\|\[[A-Z]*\]\|\) .*/\1 \2/p')
[ "$tried" -ge 100 ] || die "only $tried commands were tried"

# A migration goes on, and the report is there, though nobody can see it; so does one that is aborted.
start_vms 1
full 0 ninjactl migrate eth
expect 0 list --json
holds '.migrations | length == 1 and .[0].outcome == "done"'
expect 0 report --json
holds '.outcome == "done"'

# Standard output that is closed is no file of the migration.
start_vms 1 copy_ms=2000
closed 0 ninjactl migrate eth --json
! grep -q '^  "' "$STATE"/*/journal || die "what was printed is in the journal"
expect 0 list --json
holds '.migrations[0].outcome == "done"'
full 0 ninjactl migrate ib --detach
wait_for grep -qs COPYING "$(printf '%s\n' "$STATE"/*/journal | tail -1)"
full 0 ninjactl abort
expect 3 wait
