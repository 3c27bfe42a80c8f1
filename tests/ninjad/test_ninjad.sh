#!/bin/bash
# ninjad as a resource manager uses it: looks, migrations, keys, its end in the middle of a migration.
# shellcheck source=tests/ninjad/ninjad.sh
. "$(dirname "$0")/ninjad.sh"

id_of_answer() {
    jq -r '.return.id' <<<"$OUT"
}

is_copying() {
    grep -qs COPYING "$STATE/$1/journal"
}

start_vms 2 copy_ms=4000
start_ninjad

# Looks.
ask version
gives '.api == 1 and .access == "full" and (.commands | index("migrate"))'
ask clusters
gives '.clusters == ["cluster"]'
ask sites
gives '.sites == ["ib", "eth"] and .vms == ["vm1", "vm2"] and .driver == "qmp"'
ask list
gives '.migrations == []'
ask status
gives '.version == 1 and (.vms | map(.site)) == ["ib", "ib"] and .jobs[0].ranks[3].vm == "vm2"'
ask check '{"site": "eth"}'
gives '.items | length > 5'
ask plan '{"site": "eth", "mode": "paused"}'
gives '.to == "eth" and .mode == "paused" and (.steps | length) > 3'
ask devices
gives '.vms[0].sites[0].plugged'
for command in show report watch wait abort resume; do
    ask $command
    refuses NotFound "there is no migration"
done

# A migration, its key, and what is told of it.
ask plan '{"site": "ib"}'
refuses Refused "nothing to do"
ask migrate '{"site": "nowhere"}'
refuses NotFound 'no site \"nowhere\"' "ib, eth"
ask migrate '{"site": "eth", "key": "rm/1", "timeouts": {"copy": 600000}, "bandwidth": 100, "compress": "none", "parallel": 0, "postcopy": false}'
gives '.repeated == false and (.id | test("^[0-9]{8}-[0-9]{6}-[0-9]+$"))'
ID=$(id_of_answer)
ask migrate '{"site": "eth", "key": "rm/1"}'
gives ".id == \"$ID\" and .repeated"
ask migrate '{"site": "ib", "key": "rm/1"}'
refuses Conflict "rm/1" "migrate eth" "choose another"
ask show "{\"id\": \"$ID\"}"
gives '.outcome == "running" and .to == "eth" and .key == "rm/1" and (.state | length) > 3'
ask status
refuses Refused "a migration or switch of" "is running"
ask resume
refuses Busy "is running"
ask wait '{"timeout": 0}'
gives '.outcome == "running"'
wait_for is_copying "$ID"
OUT=$(converse "$SOCKET" <<<'{"execute": "watch", "id": ["any", 1]}' | jq -s .)
holds "all(.[]; .id == [\"any\", 1]) and .[0].return.id == \"$ID\""
holds '.[1].event == "begin" and .[-1].event == "end" and .[-1].data.outcome == "done"'
holds '[.[].event] | index("state") and index("progress") and index("outcome") and index("vm")'
holds "all(.[1:][]; .data.id == \"$ID\")"
ask wait
gives ".id == \"$ID\" and .outcome == \"done\" and .stall_ms >= 0"
ask report "{\"id\": \"$ID\", \"cluster\": \"cluster\"}"
gives '.version == 1 and .outcome == "done" and .key == "rm/1"'
ask abort
refuses Ended "has ended: done"

# A switch, from a request in pieces, several in a packet, and without an end of the line.
ask switch '{"btl": "tcp,self"}'
gives '.outcome == "done" and .reselect == "tcp,self" and .leaving == null'
ask switch '{"vms": ["vm2"]}'
gives '.outcome == "done" and .leaving == ["vm2"]'
ask switch '{"vms": ["vm9"]}'
refuses Refused 'has no VM'
OUT=$({
    printf '{"execute": "lis'
    sleep 0.3
    printf 't"}{"execute": "clusters"}\n\n{"execute": "version"}'
} | converse "$SOCKET" | jq -s .)
holds '(.[0].return.migrations | length) == 1 and .[1].return.clusters and .[2].return.api == 1'

# A client that is killed in the middle, and one that leaves before the answer: the migration goes on.
jq -cn '{execute: "migrate", arguments: {site: "ib", key: "rm/2"}}' >"$DIR/request"
socat -u "OPEN:$DIR/request" "UNIX-CONNECT:$SOCKET"
has_two() { [ "$(ninjactl list --json | jq '.migrations | length')" = 2 ]; }
wait_for has_two
ask show
ID=$(id_of_answer)
gives '.key == "rm/2" and .to == "ib"'
mkfifo "$DIR/fifo"
exec 9<>"$DIR/fifo"
echo '{"execute": "watch"}' >&9
socat - "UNIX-CONNECT:$SOCKET" <"$DIR/fifo" >"$DIR/watched" &
WATCHER=$!
PIDS+=("$WATCHER")
wait_for grep -q begin "$DIR/watched"
kill -KILL "$WATCHER"
wait "$WATCHER" 2>/dev/null || true

# The daemon is killed in the middle: the migration goes on, and the next daemon knows it.
wait_for is_copying "$ID"
stop_ninjad KILL
[ "$(ninjactl list --json | jq -r '.migrations[1].outcome')" = running ] || die "the migration ended with the daemon"
start_ninjad
ask show
gives ".id == \"$ID\" and .outcome == \"running\""
ask migrate '{"site": "ib", "key": "rm/2"}'
gives ".id == \"$ID\" and .repeated"
ask wait
gives ".id == \"$ID\" and .outcome == \"done\""

# SIGTERM leaves it alone as well.
ask migrate '{"site": "eth", "cluster": "cluster"}'
FIRST=$ID
ID=$(id_of_answer)
stop_ninjad TERM
[ ! -e "$SOCKET" ] || die "the socket was left behind"
start_ninjad
wait_for is_copying "$ID"
ask abort "{\"id\": \"$FIRST\"}" # another one than that which runs
refuses Ended "$FIRST has ended"
ask abort "{\"id\": \"$ID\"}"
gives ".id == \"$ID\" and .told > 0"
ask wait "{\"id\": \"$ID\"}"
gives '.outcome == "rolled-back" and (.reason | contains("aborted on request"))'

# The coordinator dies: told in the log, the status and the list; taken on when asked, or with --resume.
ask migrate '{"site": "eth"}'
ID=$(id_of_answer)
wait_for is_copying "$ID"
coordinator() { ninjactl status 2>&1 | sed -n 's/.*(process \([0-9]*\)).*/\1/p'; }
kill -KILL "$(coordinator)"
ask wait
gives '.outcome == "interrupted"'
ask migrate '{"site": "eth"}'
refuses Refused "was interrupted while it was" "ninjactl resume $ID"
ask resume "{\"id\": \"$ID\"}"
gives ".id == \"$ID\""
ask wait "{\"id\": \"$ID\"}"
gives '.outcome == "done" or .outcome == "rolled-back"'
start_vms 2 copy_ms=4000
stop_ninjad
start_ninjad
ask migrate '{"site": "eth"}'
ID=$(id_of_answer)
wait_for is_copying "$ID"
kill -KILL "$(coordinator)"
stop_ninjad
start_ninjad
wait_for grep -q "migration $ID of cluster was interrupted" "$LOG"
ask show
gives '.outcome == "interrupted" and .state == "COPYING"'
stop_ninjad
start_ninjad --resume
ask wait "{\"id\": \"$ID\"}"
gives '.outcome == "done" or .outcome == "rolled-back"'
grep -q "is taken on" "$STATE/$ID/log" || die "it was not taken on"

# What needs an operator is never taken on unasked.
start_vms 1 copy_ms=10000 breaks=1000 \
    'more=migration = { post-copy = 0; }; timeouts = { recover = 500; reconnect = 300; };'
expect 4 migrate eth
stop_ninjad
start_ninjad --resume
ask show
gives '.outcome == "operator" and .state == "NEEDS_OPERATOR"'
wait_for grep -q "needs an operator" "$LOG"
ask wait
gives '.outcome == "operator"'
! grep -q taken_on_in "$STATE"/*/journal || die "it was taken on unasked"

# The cluster file changes: it is not taken for another cluster, until the daemon is told.
sed -i '1i name = "other";' "$DIR/cluster.conf"
ask status
refuses ClusterFile "now describes the cluster" "systemctl reload ninjad"
ask clusters
gives '.clusters == ["cluster"]'
kill -HUP "$DAEMON"
reread() { ask clusters; [[ $OUT == *other* ]]; }
wait_for reread
ask status '{"cluster": "cluster"}'
refuses NotFound "there are: other"
sed -i 's/^driver/dirver/' "$DIR/cluster.conf"
ask sites
refuses ClusterFile "cluster.conf:" "dirver"
kill -HUP "$DAEMON"
ask clusters
gives '.clusters == ["other"]'

# Its settings: the group of its name, and what goes before that.
printf 'log-level = "warning";\nninjad = { max-workers = 3; max-clients = 5; };\nninjactl = { strict = true; };\n' >"$DIR/ninja.conf"
OUT=$(NINJA_CONFIG=$DIR/ninja.conf NINJA_MAX_CLIENTS=6 "$NINJAD" --dump-config --max-workers=4 --metrics=/m.prom)
says "max-workers = 4;  # --max-workers" "max-clients = 6;  # NINJA_MAX_CLIENTS" 'metrics = "/m.prom"' "ninja.conf:1"
echo 'ninjad = { max-workers = 0; };' >"$DIR/ninja.conf"
code=0
OUT=$(NINJA_CONFIG=$DIR/ninja.conf timeout 20 "$NINJAD" --listen="$DIR/x" 2>&1) || code=$?
[ $code -eq 78 ] || die "a wrong setting: exit code $code"
says "ninja.conf:1" "from 1 to 64"

# Metrics replace a plain file, or that which a link leads to, and nothing else.
stop_ninjad
: >"$LOG"
metrics_to() {
    start_ninjad --metrics "$1"
    "${@:2}"
    stop_ninjad
}
refused_as() { wait_for grep -qF "metrics: it is $1, not a plain file; metrics are not written" "$LOG"; }
metrics=$DIR/metrics
mkfifo "$metrics"
metrics_to "$metrics" refused_as "a FIFO"
[ -p "$metrics" ] || die "metrics replaced a FIFO"
rm "$metrics"
mkdir "$metrics"
metrics_to "$metrics" refused_as "a directory"
rmdir "$metrics"
if [ "$(id -u)" -eq 0 ] && mknod "$metrics" c 1 3; then
    metrics_to "$metrics" refused_as "a character device"
    [ -c "$metrics" ] || die "metrics replaced a device"
    rm "$metrics"
fi
echo old >"$DIR/victim"
ln -s "$DIR/victim" "$metrics.new" # the name of a file beside it cannot be foreseen
ln -s "$DIR/real.prom" "$metrics"
metrics_to "$metrics" wait_for grep -qs ninjad_info "$DIR/real.prom"
[ -L "$metrics" ] || die "metrics replaced a link"
[ "$(cat "$DIR/victim")" = old ] || die "metrics were written through a link beside them"
start_ninjad

# Wrong usage.
for wrong in "--listen=" "--exit-idle=x" "--max-workers=0" "--nothing" "word" "--exit-idle=5 --listen=$DIR/x"; do
    code=0
    # shellcheck disable=SC2086
    OUT=$(timeout 20 "$NINJAD" $wrong --state-dir "$STATE" 2>&1) || code=$?
    [ $code -eq 64 ] || die "ninjad $wrong: exit code $code"
done
code=0
OUT=$(timeout 20 "$NINJAD" --listen "$SOCKET" 2>&1) || code=$?
[ $code -eq 69 ] || die "a second daemon: exit code $code"
says "another program listens on"
code=0
OUT=$(timeout 20 "$NINJAD" --state-dir "$STATE" 2>&1) || code=$?
[ $code -eq 64 ] || die "without a socket: exit code $code"
says "ninjad.socket" "--listen PATH"
