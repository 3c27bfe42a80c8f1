#!/bin/bash
# list, watch, wait, and migrate --detach: migrations seen from outside.
# shellcheck source=tests/ctl/vms.sh
. "$(dirname "$0")/vms.sh"

expect 1 list
says "No such file" "--state-dir"
# copies ID: the QEMUs of both VMs have begun to; what is killed before that is rolled back.
copies() {
    [ "$(grep -c 'qmp: event MIGRATION$' "$STATE/$1/log")" = 2 ]
}

start_vms 2 copy_ms=4000 copy_looks=10
mkdir -p "$STATE"
expect 0 list --json
holds '. == {"version": 1, "migrations": []}'
expect 1 wait
says "no migration here yet"

# Refused before the plan is accepted: in the foreground, and nothing is left behind.
expect 2 migrate nowhere --detach
says 'no site "nowhere"'
expect 2 migrate ib --detach
says "nothing to do"
expect 0 list
[ -z "$OUT" ] || die "a refused migration is in the list"

# Detached: the command ends at once, though a reader waits for its output to be closed.
began=$SECONDS
ID=$(ninjactl migrate eth --detach 2>"$DIR/err" | cat)
[ $((SECONDS - began)) -le 60 ] && [[ $ID =~ ^[0-9]{8}-[0-9]{6}-[0-9]+$ ]] || die "no ID: $ID $(cat "$DIR/err")"
expect 0 list --json
holds ".migrations[0] | .id == \"$ID\" and .from == \"ib\" and .to == \"eth\" and .mode == \"live\""
expect 5 wait "$ID" --timeout 0
says "has not ended within 0 s; it goes on"
expect 0 watch "$ID"
OUT=$(jq -s . <<<"$OUT")
holds "all(.[]; .version == 1 and .id == \"$ID\")"
holds '.[0].type == "begin" and (.[-1].type == "outcome" or .[-1].type == "progress")'
holds '[.[] | select(.type == "outcome").outcome] == ["done"]'
holds '[.[] | select(.type == "state").state] | index("COPYING") < index("DONE")'
holds '[.[] | select(.type == "vm")] | map(.vm) | sort == ["vm1", "vm2"]'
holds '[.[] | select(.type == "progress").vms[0] | select(.stage == "copy" and .total == 268435456)] | length > 0'
grep -q "COPYING -> ATTACHING" "$STATE/$ID/log" || die "the log lacks the states"
grep -q "(live) from ib to eth: done" "$STATE/$ID/log" || die "the log lacks the report"
expect 0 wait --json
holds ".id == \"$ID\" and .outcome == \"done\" and .stall_ms >= 0 and .duration_ms >= 4000"

# The exit code of wait is that of the migration, and the report is there when it returns.
expect 0 migrate ib --detach --json
holds '.version == 1 and (.id | length) > 10'
SECOND=$(jq -r .id <<<"$OUT")
wait_for grep -q COPYING "$STATE/$SECOND/journal"
expect 2 abort "$ID" # another one than that which runs
says "migration $SECOND is running, not \"$ID\"; nothing is aborted"
expect 2 abort 20000101-000000-1
says "migration $SECOND is running"
expect 2 abort ../"$SECOND"
expect 2 resume "$ID"
says "running already"
expect 0 list --last 1 --json
holds '.migrations[0].outcome == "running"'
expect 0 abort "$SECOND" --json
holds '.told > 0'
expect 3 wait "$SECOND" --timeout 100
says "rolled-back: aborted on request"
[ -s "$STATE/$SECOND/report.json" ] || die "wait returned before there was a report"
expect 3 watch --strict
expect 0 list
says "$ID" "ib -> eth" "done" "$SECOND" "eth -> ib" "rolled-back" "aborted on request"
expect 0 list --last 1
says_not "$ID"

# A coordinator that dies leaves a migration that is interrupted.
expect 0 migrate ib --detach
THIRD=$OUT
wait_for copies "$THIRD"
kill -KILL "$(ninjactl status 2>&1 | sed -n 's/.*(process \([0-9]*\)).*/\1/p')"
expect 4 watch
says '"type":"interrupted"' "ninjactl resume $THIRD"
expect 4 wait "$THIRD"
expect 0 list --json
holds '.migrations | map(.outcome) == ["done", "rolled-back", "interrupted"]'
holds '.migrations[2] | .stall_ms == null and .end == null'
for command in abort resume; do
    expect 2 $command "$ID"
    says "migration $ID has ended"
    expect 2 $command 20000101-000000-1
done
expect 0 list --last 1 --json
holds '.migrations[0].outcome == "interrupted"'

# One that waits for an operator has ended for its coordinator, and can be taken on.
start_vms 1 copy_ms=10000 breaks=1000 \
    'more=migration = { post-copy = 0; }; timeouts = { recover = 500; reconnect = 300; };'
expect 4 migrate eth
expect 4 wait
says "needs an operator: vm1 has one part of its memory at ib" "ninjactl resume"
expect 4 watch
says '"type":"interrupted"' '"state":"NEEDS_OPERATOR"'
expect 0 list --json
holds '.migrations | map(.outcome) == ["operator"] and (.[0].reason | contains("stands still"))'
start_vms 2 copy_ms=4000
expect 0 migrate eth
expect 0 migrate ib --detach
THIRD=$OUT
wait_for copies "$THIRD"
kill -KILL "$(ninjactl status 2>&1 | sed -n 's/.*(process \([0-9]*\)).*/\1/p')"
expect 4 wait

# Who may not ask for the lock is not told that anything was interrupted.
if [ "$(id -u)" -eq 0 ]; then
    cp "$NINJACTL" "$DIR/ninjactl"
    chmod 755 "$DIR"
    OUT=$(setpriv --reuid 65534 --regid 65534 --clear-groups "$DIR/ninjactl" list --state-dir "$STATE" --json)
    holds '.migrations | map(.outcome) == ["done", "unknown"]'
    OUT=$(setpriv --reuid 65534 --regid 65534 --clear-groups "$DIR/ninjactl" status --state-dir "$STATE" \
        --cluster "$DIR/cluster.conf" 2>&1) && die "status as another user"
    says "Permission denied" "run it as the user who migrates"
fi

# Taken on in the background, too.
start_vms 2 copy_ms=4000
expect 0 migrate eth --detach
THIRD=$OUT
wait_for copies "$THIRD"
kill -KILL "$(ninjactl status 2>&1 | sed -n 's/.*(process \([0-9]*\)).*/\1/p')"
expect 4 wait "$THIRD"
expect 0 resume "$THIRD" --detach --json
holds ".id == \"$THIRD\""
expect 0 wait "$THIRD"
grep -q "is taken on" "$STATE/$THIRD/log" || die "the log lacks the resume"
expect 2 resume "$THIRD" --detach
says "$THIRD has ended"

# A key is used once, whatever became of its migration.
expect 0 migrate ib --key slurm:1234/drain-1 --detach
FOURTH=$OUT
expect 2 migrate ib --key slurm:1234/drain-1 --detach
wait_for grep -q COPYING "$STATE/$FOURTH/journal"
expect 0 abort
expect 3 wait "$FOURTH"
expect 0 list --last 1 --json
holds '.migrations[0].key == "slurm:1234/drain-1"'
expect 2 migrate ib --key slurm:1234/drain-1
says "migration $FOURTH was begun with the key" "ninjactl wait"
expect 64 migrate ib --key "a b"
says "expected 1 to 128 letters"

# What has no meaning.
expect 1 wait 20000101-000000-1
says "there is no migration" "ninjactl list"
expect 1 watch ../../etc
expect 64 wait --timeout soon
expect 64 list --last x
OUT=$(timeout 20 "$NINJACTL" watch --state-dir "$STATE" 2>/dev/null | head -1) || true
[ -n "$OUT" ] || die "watch said nothing"
