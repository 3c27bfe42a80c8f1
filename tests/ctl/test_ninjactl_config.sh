#!/bin/bash
# ninjactl's settings: their layers, what is wrong in a file, and what --dump-config says of it.
# shellcheck source=tests/ctl/vms.sh
. "$(dirname "$0")/vms.sh"

mkdir -p "$DIR/home/.config/ninja" "$DIR/xdg/ninja"
SYSTEM=$DIR/system.conf
USER_FILE=$DIR/home/.config/ninja/ninja.conf
export HOME=$DIR/home NINJA_CONFIG=$SYSTEM
unset XDG_CONFIG_HOME NINJA_HOOKS_DIR

# dump ARGUMENT...: what is in force, as JSON in $OUT.
dump() {
    OUT=$("$NINJACTL" --dump-config --json "$@" 2>&1) || die "--dump-config $*: exit code $?"
}

# is NAME VALUE ORIGIN WHERE: so the last dump says.
is() {
    holds ".settings[] | select(.name == \"$1\") | .value == $2 and .origin == \"$3\" and .where == \"$4\""
}

# refused TEXT...: no command runs with these settings.
refused() {
    local code=0
    OUT=$("$NINJACTL" list --state-dir "$DIR" 2>&1) || code=$?
    [ "$code" -eq 78 ] || die "exit code $code, expected 78"
    says "$@"
}

# wrong TEXT EXPECTED: a system file of that text is refused.
wrong() {
    printf '%s\n' "$1" >"$SYSTEM"
    refused "ninjactl: $SYSTEM:$2"
}

# Nothing is said anywhere.
NINJA_CONFIG='' dump
is mode '"live"' default ""
is strict false default ""
is hook-timeout 60000 default ""
is cluster-file '"/etc/ninja/cluster.conf"' default ""
holds '.version == 1 and (.files | map(.read) == [false])'

# Each layer goes before those below it.
printf 'mode = "paused";\nlog-level = "error";\nstate-dir = "/system";\nninjad = { anything = [1]; };\n' >"$SYSTEM"
dump
is mode '"paused"' system "$SYSTEM:1"
is state-dir '"/system"' system "$SYSTEM:3"
printf '# mine\nlog-level = "warning"; state-dir = "/user";\nhook-timeout = "30s";\n' >"$USER_FILE"
dump
is mode '"paused"' system "$SYSTEM:1"
is log-level '"warning"' user "$USER_FILE:2"
is hook-timeout 30000 user "$USER_FILE:3"
holds '.files | map(.read) == [true, true]'
NINJA_STATE_DIR=/environment NINJA_MODE='' dump
is state-dir '"/environment"' environment NINJA_STATE_DIR
is log-level '"warning"' user "$USER_FILE:2"
is mode '"paused"' system "$SYSTEM:1"
NINJA_STATE_DIR=/environment dump --state-dir /option -v --strict --mode live
is state-dir '"/option"' option --state-dir
is log-level '"debug"' option --verbose
is strict true option --strict
is mode '"live"' option --mode

# The user's file is where XDG says, if that is a whole path.
printf 'sysfs = "/xdg";\n' >"$DIR/xdg/ninja/ninja.conf"
XDG_CONFIG_HOME=$DIR/xdg dump
is sysfs '"/xdg"' user "$DIR/xdg/ninja/ninja.conf:1"
is log-level '"error"' system "$SYSTEM:2"
XDG_CONFIG_HOME=xdg dump
is log-level '"warning"' user "$USER_FILE:2"
HOME='' dump
is log-level '"error"' system "$SYSTEM:2"
holds '.files | length == 1'

# The group of the program goes before the top of the file, wherever it stands.
printf 'ninjactl = { log-level = "debug"; strict = true; };\nlog-level = "error";\n' >"$SYSTEM"
rm "$USER_FILE"
dump
is log-level '"debug"' system "$SYSTEM:1"
is strict true system "$SYSTEM:1"

# What is printed for people is a file that says the same, whatever is in a text.
printf 'cluster-file = "/a \\"b\\" \\\\c";\nhook-timeout = "2min";\nninjactl = { colours = false; };\n' >"$SYSTEM"
"$NINJACTL" --dump-config >"$DIR/dumped.conf" || die "--dump-config"
grep -qF "colours = false;  # $SYSTEM:3" "$DIR/dumped.conf" || die "$(cat "$DIR/dumped.conf")"
dump
was=$(jq -c '.settings | map([.name, .value])' <<<"$OUT")
NINJA_CONFIG=$DIR/dumped.conf dump
[ "$(jq -c '.settings | map([.name, .value])' <<<"$OUT")" = "$was" ] || die "not the same when read again"

# A command with the option does nothing else, and says what it would run with.
OUT=$("$NINJACTL" migrate --dump-config --mode paused 2>&1) || die "migrate --dump-config"
says 'mode = "paused";  # --mode'

# What they are for.
start_vms 1
printf 'cluster-file = "%s";\nstate-dir = "%s";\nmode = "paused";\n' "$DIR/cluster.conf" "$STATE" >"$SYSTEM"
OUT=$(timeout 120 "$NINJACTL" plan eth 2>&1) || die "plan with settings"
says "release all transports, wait"
OUT=$(timeout 120 "$NINJACTL" plan eth --mode live 2>&1) || die "plan with settings and an option"
says "run on over the standby ones"
OUT=$(NINJA_LOG_LEVEL=debug timeout 120 "$NINJACTL" migrate eth 2>&1) || die "migrate with settings"
says "debug: " "(paused) from ib to eth: done"
OUT=$(NINJA_LOG_LEVEL=error timeout 120 "$NINJACTL" migrate ib 2>&1) || die "migrate with settings"
says_not "info: "

# Mistakes in a file.
wrong 'mod = "live";' '1: there is no setting "mod" outside of a group; there are: cluster-file, state-dir, mode'
wrong $'\nstrict = true;' '2: there is no setting "strict" outside of a group'
wrong 'ninjactl = { socket = "x"; };' '1: there is no setting "socket" in this group'
wrong 'ninja = { };' '1: there is no program "ninja"'
wrong 'mode = "fast";' '1: mode: expected one of live|paused, found "fast"'
wrong 'mode = "live|paused";' '1: mode: expected one of live|paused'
wrong 'mode = 1;' '1: mode: expected one of live|paused'
wrong 'ninjactl = { strict = "yes"; };' '1: strict: expected true or false'
wrong 'hook-timeout = 0;' '1: hook-timeout: expected 1 to 86400000 ms'
wrong 'hook-timeout = 99999999999L;' '1: hook-timeout: expected 1 to 86400000 ms'
wrong 'hook-timeout = "soon";' '1: hook-timeout: expected 1 to 86400000 ms'
wrong 'hook-timeout = 1.5;' '1: hook-timeout: expected'
wrong 'state-dir = "";' '1: state-dir: expected a text'
wrong 'state-dir = "a\nb";' '1: state-dir: expected a text'
wrong 'state-dir = [ "a" ];' '1: state-dir: expected a text'
wrong $'mode = "live";\nstate-dir = ;' '2: syntax error before here'
wrong "@include \"$SYSTEM\"" '1: @include is not for this file'
printf 'mode = "live";\0' >"$SYSTEM"
refused "$SYSTEM:1: the file holds a NUL"
head -c 70000 /dev/zero | tr '\0' '#' >"$SYSTEM"
refused "$SYSTEM:1: the file is longer than"

# The mark that some editors begin UTF-8 with is no part of the text.
printf '\xEF\xBB\xBFmode = "paused";\n' >"$SYSTEM"
dump
is mode '"paused"' system "$SYSTEM:1"

# A file that cannot be trusted, or not be read.
printf 'mode = "live";\n' >"$SYSTEM"
chmod 664 "$SYSTEM"
refused "$SYSTEM: others may write to it (mode 664)"
chmod 644 "$SYSTEM"
rm "$SYSTEM"
refused "$SYSTEM: No such file"
mkdir "$SYSTEM"
refused "$SYSTEM: it is a directory, not a plain file"
rmdir "$SYSTEM"
mkfifo "$SYSTEM"
refused "$SYSTEM: it is a FIFO, not a plain file"
rm "$SYSTEM"
export NINJA_CONFIG=
mkdir "$USER_FILE"
refused "$USER_FILE: it is a directory, not a plain file"
rmdir "$USER_FILE"
if [ "$(id -u)" -eq 0 ]; then
    printf 'nonsense\n' >"$USER_FILE"
    chown 65534 "$USER_FILE"
    dump # as with sudo: the settings of somebody else are not those of root
    is mode '"live"' default ""
    holds '.files[0] | .read == false and .text == "passed over, as it belongs to user 65534"'
    NINJA_CONFIG=$USER_FILE refused "it belongs to user 65534"
    printf 'mode = "paused";\n' >"$DIR/mine.conf"
    chmod 600 "$DIR/mine.conf"
    cp "$NINJACTL" "$DIR/ninjactl"
    chmod 755 "$DIR"
    as_nobody() { setpriv --reuid 65534 --regid 65534 --clear-groups "$@"; }
    OUT=$(NINJA_CONFIG=$DIR/mine.conf as_nobody "$DIR/ninjactl" --dump-config 2>&1) && die "reads what it may not"
    says "$DIR/mine.conf: Permission denied"
    rm "$USER_FILE"
fi

# Mistakes elsewhere.
NINJA_MODE=fast refused "ninjactl: NINJA_MODE: expected one of live|paused, found \"fast\""
NINJA_STRICT=perhaps refused "NINJA_STRICT: expected true or false"
NINJA_CONFIG=$(printf '%02000d' 0) refused "NINJA_CONFIG: the path is too long"
expect 64 list --log-level loud
says "--log-level: expected one of error|warning|info|debug"
NINJA_MODE=fast expect 0 list --help
code=0
OUT=$("$NINJACTL" --json 2>&1) || code=$?
[ "$code" -eq 64 ] || die "an option alone: exit code $code"
says 'no command "--json"'
