#!/bin/bash
# ninjad as a systemd service: its units, activation by a socket, notifications, and its metrics.
# shellcheck source=tests/ninjad/ninjad.sh
. "$(dirname "$0")/ninjad.sh"

TREE=$HERE/../..
NINJAD_SERVICE=${NINJAD_SERVICE:-$HERE/../../ninjad/ninjad.service}

for program in systemd-analyze systemd-socket-activate; do
    command -v $program >/dev/null || { echo "$program is not installed"; exit 77; }
done

# The units.
mkdir "$DIR/units"
cp "$NINJAD_SERVICE" "$TREE"/ninjad/*.socket "$DIR/units"
sed -i "s|^ExecStart=[^ ]*|ExecStart=$NINJAD|" "$DIR/units/ninjad.service"
systemd-analyze verify --man=no "$DIR"/units/* 2>"$DIR/verify" || { cat "$DIR/verify"; exit 1; }
! grep -F ninjad "$DIR/verify" || exit 1
# 0 is the best of 100. Without a sandbox it is 96.
systemd-analyze security --offline=true --threshold=25 "$DIR/units/ninjad.service" >"$DIR/security" ||
    { cat "$DIR/security"; exit 1; }
tail -1 "$DIR/security"

# A notification socket of ours, as systemd's.
start_vms 1 copy_ms=2000
socat -u "UNIX-RECV:$DIR/notify" "OPEN:$DIR/notified,creat,append" &
PIDS+=($!)
wait_for test -S "$DIR/notify"

# Started by the first client, with two sockets, of which one is for looking only.
systemd-socket-activate -l "$SOCKET" -l "$DIR/ro.sock" --fdname=ninjad:readonly \
    -E "NOTIFY_SOCKET=$DIR/notify" -E WATCHDOG_USEC=1000000 \
    "$NINJAD" --cluster "$DIR/cluster.conf" --state-dir "$STATE" --ninjactl "$NINJACTL" --metrics "$DIR/ninjad.prom" \
    --exit-idle 2 2>"$LOG" &
DAEMON=$!
PIDS+=("$DAEMON")
wait_for test -S "$DIR/ro.sock"
[ ! -e "$DIR/ninjad.prom" ] || die "it was started before a client came"
ask version
gives '.access == "full"'
OUT=$(converse "$DIR/ro.sock" <<<'{"execute": "version"}')
holds '.return.access == "read-only"'
wait_for grep -q "READY=1" "$DIR/notified"
wait_for grep -q "WATCHDOG=1" "$DIR/notified"
wait_for grep -q "STATUS=[0-9]* clients, 0 running" "$DIR/notified"
kill -HUP "$DAEMON"
wait_for grep -q "RELOADING=1" "$DIR/notified"
ask migrate '{"site": "eth", "key": "k"}'
gives '.repeated == false'
ID=$(jq -r .return.id <<<"$OUT")

# What systemd told it about itself is not passed on.
environment=$(tr '\0' '\n' <"/proc/$(ninjactl status 2>&1 | sed -n 's/.*(process \([0-9]*\)).*/\1/p')/environ")
! grep -E '^(NOTIFY_SOCKET|LISTEN_|WATCHDOG_)' <<<"$environment" || die "a worker was told of systemd"

# It ends when nobody needs it, while the migration runs.
wait "$DAEMON" || die "it ended with $?"
grep -q "nobody needed it" "$LOG" || die "it did not end by itself: $(tail -3 "$LOG")"
wait_for grep -q "STOPPING=1" "$DIR/notified"
expect 0 wait "$ID"

# The metrics, as the format of Prometheus wants them: each family once, with HELP and TYPE before its
# samples, in which names and labels are well formed and counters end in _total.
check_metrics() {
    awk -v label='[a-zA-Z_][a-zA-Z0-9_]*="([^"\\\\]|\\\\["\\\\n])*"' '
        function fail(what) { print FILENAME ":" FNR ": " what ": " $0; failed = 1 }
        /^# HELP / { if (seen[$3]++) fail("a family twice"); help = $3; next }
        /^# TYPE / { if ($3 != help) fail("TYPE without HELP"); family = $3
                     if ($4 != "counter" && $4 != "gauge") fail("type")
                     if (($4 == "counter") != ($3 ~ /_total$/)) fail("the name of a counter"); next }
        { if ($0 !~ "^[a-z_]+(\\{" label "(," label ")*\\})? [0-9.e+-]+$") fail("no sample")
          name = $0; sub(/[{ ].*/, "", name); if (name != family) fail("a sample of another family")
          id = $0; sub(/ [^ ]*$/, "", id); if (samples[id]++) fail("a sample twice") }
        END { if (NR < 20) fail("too few lines"); exit failed }' "$1"
}
check_metrics "$DIR/ninjad.prom" || die "the metrics are not well formed"

# metric NAME VALUE: what the file says now, or soon.
metric() {
    local want="$1 $2"
    wait_for grep -qxF -- "$want" "$DIR/ninjad.prom"
}
rm -f "$SOCKET" "$DIR/ro.sock" "$DIR/ninjad.prom"
start_ninjad --metrics "$DIR/ninjad.prom"
metric 'ninja_migrations_total{outcome="done"}' 1
metric 'ninja_migrations_running' 0
ask nothing
ask migrate '{"site": "ib"}'
ID=$(jq -r .return.id <<<"$OUT")
metric 'ninja_migrations_running' 1
ask wait "{\"id\": \"$ID\"}"
metric 'ninja_migrations_total{outcome="done"}' 2
metric 'ninja_last_migration_transferred_bytes{cluster="cluster"}' 5000000
duration=$(jq .return.duration_ms <<<"$OUT")
metric 'ninja_last_migration_duration_seconds{cluster="cluster"}' "$(jq -n "$duration / 1000")"
metric 'ninjad_requests_total{command="none",result="error"}' 1
metric 'ninjad_requests_total{command="migrate",result="ok"}' 1
ask migrate '{"site": "eth"}'
ID=$(jq -r .return.id <<<"$OUT")
wait_for grep -qs COPYING "$STATE/$ID/journal"
kill -KILL "$(ninjactl status 2>&1 | sed -n 's/.*(process \([0-9]*\)).*/\1/p')"
metric 'ninja_migrations_interrupted' 1
metric 'ninja_migrations_running' 0
check_metrics "$DIR/ninjad.prom" || die "the metrics are not well formed"
[ "$(stat -c %a "$DIR/ninjad.prom")" = 644 ] || die "the collector cannot read the metrics"
stop_ninjad

# The capabilities that the unit leaves it are enough, also for a QEMU and an agent of another user.
[ "$(id -u)" -eq 0 ] || { echo "its capabilities: needs root"; exit 77; }
setpriv --bounding-set=-all true 2>/dev/null || { echo "capabilities cannot be dropped here"; exit 77; }
start_vms 1
kept=$(sed -n 's/^CapabilityBoundingSet=//p' "$NINJAD_SERVICE" | tr ' ' '\n' | sed 's/^CAP_/,+/' | tr -d '\n' |
    tr '[:upper:]' '[:lower:]')
chown 65534 "$DIR"/*.qmp "$DIR"/*.agent
chmod 600 "$DIR"/*.qmp "$DIR"/*.agent
cat >"$DIR/bound" <<END
#!/bin/sh
exec setpriv --bounding-set=-all$kept --inh-caps=-all --no-new-privs $NINJAD "\$@"
END
chmod 755 "$DIR/bound"
NINJAD=$DIR/bound
start_ninjad
ask migrate '{"site": "eth"}'
gives '.id'
ask wait
gives '.outcome == "done"'
