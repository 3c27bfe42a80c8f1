#!/bin/bash
# Where messages go: standard error, the journal with its fields, and one file a migration.
# shellcheck source=tests/ctl/vms.sh
. "$(dirname "$0")/vms.sh"

last_log() {
    echo "$STATE/$(ninjactl list --last 1 --json | jq -r '.migrations[0].id')/log"
}

# Each migration has its log, at the debug level, whatever is shown.
start_vms 2
expect 0 migrate eth --log-level error
says_not "PLANNED ->"
LOG=$(last_log)
grep -Eq '^20[0-9-]{8} [0-9:]{8}\.[0-9]{3} info: PLANNED -> ' "$LOG" || die "the log lacks a state: $(cat "$LOG")"
grep -q 'debug: step copy' "$LOG" || die "the log lacks debug messages"
grep -Eq 'debug: vm2: copy: [0-9]+ ms' "$LOG" || die "the log lacks the stages of a VM"
expect 0 migrate ib -v
says "debug: step copy"

# Detached: all that would be on the terminal, and each message once.
expect 0 migrate eth --detach
expect 0 wait
LOG=$(last_log)
grep -q "(live) from ib to eth: done" "$LOG" || die "the log lacks the report"
[ "$(grep -c "PLANNED -> QUIESCING" "$LOG")" -eq 1 ] || die "a message is there twice: $(cat "$LOG")"

# Taken on: it goes on in the same file.
start_vms 2 copy_ms=4000
expect 0 migrate eth --detach
ID=$OUT
wait_for grep -q COPYING "$STATE/$ID/journal"
kill -KILL "$(ninjactl status 2>&1 | sed -n 's/.*(process \([0-9]*\)).*/\1/p')"
expect 4 wait
expect 0 resume
[ "$(grep -c "is taken on\|migration $ID of cluster to eth, live" "$STATE/$ID/log")" -eq 2 ] || die "$(cat "$STATE/$ID/log")"

# It is bounded, and a migration does not fail where it cannot be written.
mkdir -p "$DIR/hooks.d"
printf '#!/bin/sh\n[ "$1" != post-prepare ] || ln -sf /dev/full "%s"/*/log\n' "$STATE" >"$DIR/hooks.d/fill"
chmod 755 "$DIR/hooks.d" "$DIR/hooks.d/fill"
start_vms 1
expect 0 migrate eth
rm -r "$DIR/hooks.d"
LOG=$(last_log)
rm -f "$LOG"
expect 0 migrate ib
LOG=$(last_log)
truncate -s $((16 * 1024 * 1024 - 200)) "$LOG"
rm -f "${LOG%/*}/report.json"
sed -i '/"outcome"/d' "${LOG%/*}/journal"
expect 0 resume --timeout link=300
[ "$(stat -c %s "$LOG")" -lt $((16 * 1024 * 1024 + 3000)) ] || die "the log has $(stat -c %s "$LOG") bytes"
tail -c 100 "$LOG" | grep -q "the log is full; what follows is left out" || die "$(tail -c 300 "$LOG")"
(
    # The same with a limit on the size of files, which is an error like a full disk.
    ulimit -f 16384
    rm -f "${LOG%/*}/report.json"
    sed -i '/"outcome"/d' "${LOG%/*}/journal"
    expect 0 resume --timeout link=300
)

# Without a journal it is said so, and nothing is done.
if [ ! -e /run/systemd/journal/socket ]; then
    code=0
    OUT=$(NINJA_LOG=journal ninjactl list 2>&1) || code=$?
    [ "$code" -eq 78 ] || die "log to a journal that is not there: exit code $code"
    says "messages cannot go to the journal: /run/systemd/journal/socket: No such file"
fi

# In a mount namespace of its own, somebody listens where the journal would.
unshare -m true 2>/dev/null || { echo "no mount namespace can be made here: the journal was not tried"; exit 77; }
cat >"$DIR/with-journal" <<'END'
set -eu
mount -t tmpfs none /run
mkdir -p /run/systemd/journal
socat -u UNIX-RECV:/run/systemd/journal/socket CREATE:"$1" &
listener=$!
trap 'kill $listener' EXIT
until [ -S /run/systemd/journal/socket ]; do sleep 0.05; done
shift
exec 2>"$1"
shift
# shellcheck disable=SC2155
[ "${NINJA_LOG:-}" != auto ] || export JOURNAL_STREAM=$(stat -Lc %d:%i /proc/self/fd/2)
code=0
"$@" || code=$?
exit $code
END
# in_journal ARGUMENT...: what ninjactl says to the journal is in $DIR/journal, in lines; and to others in $OUT.
in_journal() {
    local code=0
    rm -f "$DIR/journal"
    OUT=$(unshare -m sh "$DIR/with-journal" "$DIR/journal" "$DIR/stderr" timeout 120 "$NINJACTL" "$@" \
        --state-dir "$STATE" --cluster "$DIR/cluster.conf") || code=$?
    OUT+=$(cat "$DIR/stderr")
    [ $code -eq 0 ] || die "exit code $code in a namespace"
}
for target in journal auto; do
    start_vms 1
    NINJA_LOG=$target in_journal migrate eth
    says_not "PLANNED ->"
    says "(live) from ib to eth: done"
    ID=$(ninjactl list --json | jq -r '.migrations[0].id')
    # Of the message of a state: its fields stand together.
    fields=$(grep -a -A 8 '^MESSAGE=COPYING -> ATTACHING' "$DIR/journal" | sed '1!{/^MESSAGE=/,$d}')
    for field in PRIORITY=6 SYSLOG_IDENTIFIER=ninjactl "NINJA_MIGRATION=$ID" NINJA_CLUSTER=cluster NINJA_STAGE=copy; do
        grep -qx "$field" <<<"$fields" || die "the journal lacks $field: $fields"
    done
    grep -q "debug: step copy" "$STATE/$ID/log" || die "no log in the file"
    ! grep -qa "step copy" "$DIR/journal" || die "debug messages in the journal"
done
start_vms 1
NINJA_LOG=journal in_journal migrate eth -v
grep -a -A 8 '^MESSAGE=vm1: copy: ' "$DIR/journal" | grep -qx NINJA_VM=vm1 || die "the journal lacks the VM"
grep -a -A 8 '^MESSAGE=vm1: copy: ' "$DIR/journal" | grep -qx PRIORITY=7 || die "the journal lacks the priority"

# A stream that is not standard error is none.
start_vms 1
OUT=$(JOURNAL_STREAM=1:1 ninjactl migrate eth 2>&1) || die "with another stream"
says "ninjactl: info: PLANNED ->"
