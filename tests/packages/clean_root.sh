#!/usr/bin/env bash
# tests/clean_root: a bare system with this tree in it, the exit status of the command, and nothing left behind, also
# when it is killed.
# shellcheck source=tests/packages/lib.sh
. "$(dirname "$0")/lib.sh"
export TMPDIR=$DIR/tmp
mkdir "$TMPDIR"

nothing_is_left() {
    [ -z "$(ls -A "$TMPDIR")" ] || die "left behind: $(ls -A "$TMPDIR")"
    ! grep -F "$TMPDIR" /proc/self/mountinfo || die "something is mounted"
}

# What is installed here is not there; / is a mount point; processes and devices are its own.
cat >"$DIR/look" <<'EOF_LOOK'
set -e
[ -x tests/run ] && [ -f examples/demo ] && [ ! -e build-tests ]
for program in git gcc mpirun jq python3; do ! command -v $program || exit 1; done
[ "$(dpkg-query -W | wc -l)" -lt 150 ]
grep -qE '^[0-9]+ [0-9]+ [0-9:]+ [^ ]+ / ' /proc/self/mountinfo
[ "$(ls -d /proc/[0-9]* | wc -l)" -lt 10 ]
mkdir /dev/only-there /run/only-there
(sleep "$1" &)
exit 42
EOF_LOOK
status=0
"$TOP/tests/clean_root" bash -c "$(cat "$DIR/look")" look "1000.$$" >"$DIR/log" 2>&1 || status=$?
[ $status -eq 42 ] || die "status $status: $(cat "$DIR/log")"
[ ! -e /dev/only-there ] && [ ! -e /run/only-there ] || die "it shares /dev or /run with this machine"
! pgrep -fx "sleep 1000.$$" || die "a process goes on"
nothing_is_left

# Killed.
"$TOP/tests/clean_root" sleep "1001.$$" >"$DIR/log" 2>&1 &
killed=$!
for ((i = 0; i < 1200; i++)); do
    ! sleeper=$(pgrep -fx "sleep 1001.$$") || break
    sleep 0.1
done
[ -n "$sleeper" ] || die "it did not begin: $(cat "$DIR/log")"
kill "$killed"
status=0
wait "$killed" || status=$?
[ $status -eq 143 ] || die "status $status after a SIGTERM: $(cat "$DIR/log")"
[ ! -d "/proc/$sleeper" ] || die "a process goes on"
nothing_is_left
