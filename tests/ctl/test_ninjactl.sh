#!/bin/sh
# What ninjactl says, and how it exits, when it is used wrongly or finds nothing.
set -u
ninjactl=${NINJACTL:-$(dirname "$0")/../../host/ninjactl}
dir=$(mktemp -d) || exit 99
export NINJA_CONFIG='' XDG_CONFIG_HOME="$dir/no-config" NINJA_HOOKS_DIR="$dir/hooks.d"
holder=
listener=
# shellcheck disable=SC2317 # called by the trap
cleanup() {
    [ -z "$holder" ] || kill "$holder" 2>/dev/null
    [ -z "$listener" ] || kill "$listener" 2>/dev/null
    rm -rf "$dir"
}
trap cleanup EXIT
failed=0

# expect CODE TEXT ARGUMENT...: the exit code, and a text somewhere in the output.
expect() {
    code=$1
    text=$2
    shift 2
    out=$(timeout 30 "$ninjactl" "$@" 2>&1)
    got=$?
    if [ "$got" -ne "$code" ]; then
        echo "ninjactl $*: exit code $got, expected $code: $out"
        failed=1
    fi
    case $out in
    *"$text"*) ;;
    *)
        echo "ninjactl $*: expected \"$text\", found: $out"
        failed=1
        ;;
    esac
}

cat >"$dir/good.conf" <<END
driver = "local";
vms = ( { name = "here"; } );
sites = ( { name = "a"; vms = ( { name = "here"; agent = "$dir/agent.sock"; } ); },
          { name = "b"; vms = ( { name = "here"; agent = "$dir/agent.sock"; } ); } );
timeouts = { connect = 300; };
END
printf 'driver = "local";\nvm = ( { name = "x"; } );\n' >"$dir/bad.conf"
good="--cluster $dir/good.conf --state-dir $dir/state"

expect 64 "Usage: ninjactl COMMAND"
expect 0 "Usage: ninjactl COMMAND" --help
expect 0 "ninjactl 0." --version
expect 64 'no command "fly"' fly
for command in check plan migrate switch status abort resume report list watch wait sites devices; do
    expect 0 "Usage: ninjactl $command" $command --help
    expect 0 "Exit codes:" $command --help
    expect 0 "Example:" $command --help
done
expect 64 "unrecognized option" status --nonsense
expect 64 "needs a SITE" migrate
expect 64 'unexpected argument "c"' check b c
expect 64 "--mode: expected one of live|paused, found \"fast\"" migrate b --mode fast
expect 64 "expected a whole number" migrate b --bandwidth much
# shellcheck disable=SC2086
{
    expect 64 'no time-out "cpy"' migrate b $good --timeout cpy=1
    expect 64 "expected copy=MS" migrate b $good --timeout copy=soon
    expect 64 "expected copy=MS" migrate b $good --timeout copy=3h
    expect 2 "agent.sock: there is no such socket; start one" migrate b $good --timeout copy=30s --timeout link=2min --timeout quit=5ms
    expect 2 "agent.sock: there is no such socket; start one" migrate b $good --dry-run
    expect 64 "expected none, zlib or zstd" migrate b $good --compress gzip
    expect 64 "post-copy does not work" migrate b $good --compress zstd --postcopy
    expect 64 "post-copy does not work" migrate b $good --parallel 2 --postcopy-after-precopy
    expect 64 "--postcopy-bandwidth: expected a whole number" migrate b $good --postcopy-bandwidth -1
    expect 64 "--downtime-limit: expected a whole number from 1 to 2000000" migrate b $good --downtime-limit 0
    expect 64 "from 0 to 64" migrate b $good --parallel 100
    expect 2 "agent.sock: there is no such socket; start one" migrate b $good --parallel 4 --compress zlib
    expect 2 'no site "c"; there are: a, b' migrate c $good
    expect 2 "agent.sock: there is no such socket; start one" migrate b $good
    expect 2 "agent.sock: there is no such socket; start one" switch $good
    expect 1 "agent.sock: there is no such socket; start one" status $good
    expect 1 "to mend it" check $good
    expect 2 "no migration of" abort $good
    expect 1 "no report" report $good
    expect 1 "no report" report $good --html
    expect 0 "" list $good
    expect 0 "b" sites $good
    expect 0 '"driver": "local"' sites $good --json
}
expect 65 "bad.conf:2: unknown key \"vm\"" status --cluster "$dir/bad.conf"
expect 65 "none.conf: No such file" status --cluster "$dir/none.conf"
expect 1 "/proc/none" migrate b --cluster "$dir/good.conf" --state-dir /proc/none

# error CLASS TEXT ARGUMENT...: what it says of that to the program that started it, in one line.
error() {
    class=$1
    text=$2
    shift 2
    NINJA_ERROR_FD=7 timeout 30 "$ninjactl" "$@" 7>"$dir/error" >/dev/null 2>&1
    if [ "$(wc -l <"$dir/error")" -ne 1 ] || [ "$(jq -r .error.class "$dir/error")" != "$class" ] ||
        ! jq -r .error.desc "$dir/error" | grep -qF -e "$text"; then
        echo "ninjactl $*: expected the error $class, $text, found: $(cat "$dir/error")"
        failed=1
    fi
}
# shellcheck disable=SC2086
{
    error BadArgument 'no command "fly"' fly
    error BadArgument "status: unrecognized option '--nonsense'" status --nonsense
    error BadArgument "status: unrecognized option '-x'" status -x
    error BadArgument "switch: option '--btl' requires an argument" switch --btl
    error BadArgument "status: option '--json' takes no argument" status --json=1
    error BadArgument "needs a SITE" migrate
    error BadArgument "--json or --html, not both" report --json --html
    error BadArgument 'no time-out "cpy"' migrate b $good --timeout cpy=1
    error ClusterFile 'bad.conf:2: unknown key "vm"' status --cluster "$dir/bad.conf"
    error Refused 'no site "c"; there are: a, b' migrate c $good
    error Refused 'no site "c"; there are: a, b' migrate c $good --detach
    error Failed "/proc/none" migrate b --cluster "$dir/good.conf" --state-dir /proc/none --detach
    error Failed "no report" report $good
    NINJA_MODE=fast error Config "NINJA_MODE: expected one of" list
}
NINJA_ERROR_FD=7 "$ninjactl" sites --cluster "$dir/good.conf" 7>"$dir/error" >/dev/null
[ ! -s "$dir/error" ] || { echo "success is no error: $(cat "$dir/error")"; failed=1; }
for wrong in "" x 2 -1 99 99999999999999999999; do
    NINJA_ERROR_FD=$wrong expect 78 "NINJA_ERROR_FD: expected the number of an open descriptor" sites
done

# Someone else holds the lock: a migration that waits for the answer of an agent.
mkdir -p "$dir/state"
socat -u "UNIX-LISTEN:$dir/agent.sock,fork" OPEN:/dev/null &
listener=$!
i=0
until [ -S "$dir/agent.sock" ] || [ $i -ge 100 ]; do
    i=$((i + 1))
    sleep 0.1
done
# shellcheck disable=SC2086
"$ninjactl" switch $good --timeout connect=60000 >/dev/null 2>&1 &
holder=$!
pid=$holder
i=0
# shellcheck disable=SC2086
until "$ninjactl" status $good 2>&1 | grep -q "process $pid" || [ $i -ge 100 ]; do
    i=$((i + 1))
    sleep 0.1
done
# shellcheck disable=SC2086
{
    expect 2 "process $pid" migrate b $good
    expect 2 "process $pid" switch $good
    expect 2 "process $pid" status $good
    expect 2 "process $pid switches the jobs" abort 20000101-000000-1 $good
    expect 0 "process $pid was told to abort" abort $good
}
exit $failed
