#!/bin/bash
# Hook scripts: what they are told, what a veto leaves behind, and what they cannot do.
# shellcheck source=tests/ctl/vms.sh
. "$(dirname "$0")/vms.sh"

HOOKS=$NINJA_HOOKS_DIR
TOLD=$DIR/told
export TOLD

# hook NAME: a script of standard input.
hook() {
    mkdir -p "$HOOKS"
    { echo '#!/bin/sh'; cat; } >"$HOOKS/$1"
    chmod 755 "$HOOKS" "$HOOKS/$1"
}

# told: the stages that 10-tell was told of, in their order.
told() {
    jq -r .stage "$TOLD" | xargs
}

no_hooks() {
    rm -rf "$HOOKS" "$TOLD"
}

# all_at SITE DEVICE: all VMs run there, with the device or without, and their jobs run.
all_at() {
    expect 0 status --json
    holds "(.vms | map(.site == \"$1\" and .device_attached == $2) | all) and (.jobs[0].ranks | map(.state == \"RUNNING\") | all)"
}

start_vms 2
expect 0 plan eth --json
holds '.hooks.scripts == [] and .hooks.stages == []'
says_not '"problem"'

# Each stage of a migration, and what a script reads.
tell() {
    hook 10-tell <<'END'
[ "$1" = "$NINJA_STAGE" ] || exit 1
jq -c ". + {env: {migration: env.NINJA_MIGRATION, cluster: env.NINJA_CLUSTER, from: env.NINJA_FROM,
    to: env.NINJA_TO, vms: env.NINJA_VMS, veto: env.NINJA_MAY_VETO, outcome: env.NINJA_OUTCOME,
    file: env.NINJA_CLUSTER_FILE}}" >>"$TOLD"
END
}
tell
hook README.txt </dev/null
chmod 644 "$HOOKS/README.txt"
hook 20-say <<'END'
echo "stage $1 is seen"
echo 'and \033[31mred' >&2
END
expect 0 check eth
says "2 hook scripts in $HOOKS would be run"
expect 0 plan eth --json
holds '.hooks.scripts == ["10-tell", "20-say"] and .hooks.dir == "'"$HOOKS"'"'
PLANNED=$(jq -r '.hooks.stages[]' <<<"$OUT" | xargs)
expect 0 plan eth
says "Hooks in $HOOKS" "scripts  10-tell 20-say" "stages   pre-migrate pre-prepare post-prepare"
[ ! -e "$TOLD" ] || die "check or plan ran hooks"
expect 0 migrate eth
says "hook 20-say (pre-unplug): stage pre-unplug is seen" "hook 20-say (post-copy): and ?[31mred" "from ib to eth: done"
[ "$(told)" = "$PLANNED" ] || die "told of $(told), planned $PLANNED"
[ "$PLANNED" = "pre-migrate pre-prepare post-prepare pre-standby post-standby pre-detach post-detach pre-unplug post-unplug pre-copy post-copy pre-finish post-finish post-migrate" ] ||
    die "planned: $PLANNED"
ID=$(ninjactl list --json | jq -r '.migrations[0].id')
OUT=$(jq -s . "$TOLD")
holds "all(.[]; .version == 1 and .migration == \"$ID\" and .cluster == \"cluster\" and .from == \"ib\" and .to == \"eth\"
    and .mode == \"live\" and .rolling_back == false and (.transfer | has(\"bandwidth\")) and (.vms | length) == 2)"
holds "all(.[]; .env.migration == .migration and .env.cluster == .cluster and .env.from == .from and .env.to == .to
    and .env.vms == \"vm1 vm2\" and .env.file == \"$DIR/cluster.conf\" and .cluster_file == .env.file)"
holds 'map(select(.may_veto).stage) == ["pre-migrate", "pre-prepare", "pre-standby", "pre-detach", "pre-unplug", "pre-copy"]'
holds 'all(.[]; .env.veto == (if .may_veto then "yes" else "no" end) and .env.outcome == (.outcome // ""))'
holds 'all(.[]; (.stage | startswith("post-")) == has("outcome"))'
holds '.[-1].outcome == "done" and (.[-1] | has("reason") | not)'
holds '.[7] | .stage == "pre-unplug" and .vms[0].name == "vm1" and .vms[0].has_device and .vms[0].at == "ib" and .vms[0].moves
    and (.vms[0].leaves | startswith("e1000e")) and .vms[0].gets == null'
holds '.[10] | .stage == "post-copy" and (.vms | map(.at == "eth" and (.has_device | not)) | all)'
[ "$(ninjactl watch "$ID" | jq -r 'select(.type == "hook").hook' | xargs)" = "$PLANNED" ] || die "watch does not tell the hooks"

# To a site with a device; paused; and none where none are wanted.
rm "$TOLD" "$HOOKS/20-say"
expect 0 migrate ib --mode paused --timeout link=300
[ "$(told)" = "pre-migrate pre-prepare post-prepare pre-hold post-hold pre-copy post-copy pre-finish post-finish pre-plug post-plug pre-attach post-attach pre-link post-link pre-resume post-resume post-migrate" ] ||
    die "paused: $(told)"
rm "$TOLD"
expect 0 migrate eth --no-hooks
NINJA_HOOKS=no expect 0 migrate ib --timeout link=300
[ ! -e "$TOLD" ] || die "hooks were run: $(told)"

# A veto at each stage at which there can be one: VMs and job are as they were, and the reason tells who did not want it.
for stage in migrate prepare standby detach unplug copy; do
    no_hooks
    tell
    hook 20-veto <<END
[ "\$1" != pre-$stage ] || { echo 'one; not on'; echo "  the tape robot is busy: \$1" >&2; exit 3; }
END
    hook 30-never <<END
[ "\$1" != pre-$stage ] || touch "$DIR/never"
END
    start_vms 2
    case $stage in
    migrate | prepare | standby) outcome=refused code=2 ;;
    *) outcome=rolled-back code=3 ;;
    esac
    expect $code migrate eth
    says "$outcome: hook 20-veto (pre-$stage) ended with status 3:   the tape robot is busy: pre-$stage"
    all_at ib true
    [ ! -e "$DIR/never" ] || die "a script ran after the veto"
    OUT=$(jq -s . "$TOLD")
    holds ".[-1] | .stage == \"post-migrate\" and .outcome == \"$outcome\" and (.reason | contains(\"20-veto\"))"
    case $stage in
    migrate | prepare) holds 'all(.[]; .rolling_back | not)' ;;
    *) holds '(map(.stage) | index("pre-rollback") < index("post-rollback")) and (map(select(.rolling_back and .may_veto)) == [])' ;;
    esac
    # It can go there when nobody minds; after a refusal at the beginning even the receivers still wait.
    rm "$HOOKS/20-veto" "$HOOKS/30-never"
    case $stage in migrate | prepare) expect 0 migrate eth ;; esac
done
OUT=$(jq -s . "$TOLD")
holds 'map(.stage) | index("pre-rollback") < index("pre-plug") and index("post-link") < index("post-rollback")'

# Where no VM is to move and only devices are missing, too; and what is not done then has no hooks.
no_hooks
tell
hook 20-veto <<<'[ "$1" != pre-migrate ]'
start_vms 1 no_device=1
expect 2 migrate ib
says "refused: hook 20-veto (pre-migrate)"
all_at ib false
rm "$TOLD" "$HOOKS/20-veto"
expect 0 plan ib --json
PLANNED=$(jq -r '.hooks.stages[]' <<<"$OUT" | xargs)
expect 0 migrate ib --timeout link=300
[[ $(told) == "pre-migrate pre-plug post-plug "*post-migrate ]] && [ "$(told)" = "${PLANNED}" ] ||
    die "only devices: $(told), planned $PLANNED"

# A failure where there can be no veto is a warning, and nothing else.
for stage in post-prepare post-standby post-unplug post-copy pre-finish post-finish post-migrate; do
    no_hooks
    hook fails <<<"[ \"\$1\" != $stage ] || { echo 'no disk' >&2; exit 1; }"
    start_vms 1
    expect 0 migrate eth
    says "degraded: hook fails ($stage) ended with status 1: no disk"
    all_at eth false
done
start_vms 1
expect 1 migrate eth --strict

# Ended by a signal, and one that never ends: it and its children are ended.
no_hooks
hook dies <<'END'
[ "$1" != pre-copy ] || kill -SEGV $$
END
start_vms 1
expect 3 migrate eth
says "hook dies (pre-copy) was ended by signal 11"
no_hooks
hook hangs <<END
[ "\$1" != pre-unplug ] || { echo waiting >&2; trap '' TERM; sleep 1000 & echo \$! >"$DIR/child"; wait; sleep 1000; }
END
start_vms 1
NINJA_HOOK_TIMEOUT=300ms expect 3 migrate eth
says "rolled-back: hook hangs (pre-unplug) did not end within 0.3 s: waiting"
all_at ib true
has_ended() { ! kill -0 "$(cat "$DIR/child")" 2>/dev/null; }
wait_for has_ended

# Ctrl-C does not wait for it.
rm "$DIR/child"
start_vms 1
ninjactl migrate eth >"$DIR/out" 2>&1 &
PIDS+=($!)
wait_for test -s "$DIR/child"
kill -INT "$(ninjactl status 2>&1 | sed -n 's/.*(process \([0-9]*\)).*/\1/p')"
code=0
wait "${PIDS[-1]}" || code=$?
OUT=$(cat "$DIR/out")
[ $code -eq 3 ] || die "exit code $code after an interrupt"
says "rolled-back: aborted on request"
says_not "did not end within"
wait_for has_ended
all_at ib true

# One that leaves a daemon behind is over when it has ended.
no_hooks
hook daemon <<END
[ "\$1" != pre-migrate ] || { sleep 1000 & echo \$! >"$DIR/daemon"; }
END
start_vms 1
expect 0 migrate eth
kill "$(cat "$DIR/daemon")" || die "the daemon is gone"

# One that writes much, or does not read what it is told.
no_hooks
hook writes <<'END'
[ "$1" != pre-copy ] || { yes "much to say" | head -200000; head -c 100000 /dev/zero | tr '\0' x; }
[ "$1" != pre-unplug ] || { head -c 100000 /dev/zero | tr '\0' y; printf '\nzero\0byte\n\n \nunended'; } >&2
exec <&-
END
start_vms 1
expect 0 migrate eth
CUT=$(printf 'y%.0s' {1..480})
says "hook writes (pre-unplug): $CUT"$'\n' "hook writes (pre-unplug): zero?byte"$'\n' "hook writes (pre-unplug): unended"
[ "$(grep -c 'hook writes (pre-unplug)' <<<"$OUT")" -eq 3 ] || die "other lines are logged than three"
says "hook writes (pre-copy): much to say" "hook writes (pre-copy): further lines are left out"
[ ${#OUT} -lt 60000 ] || die "the log has ${#OUT} characters"

# Who else can write to a script, or to the directory, does not get it run, nor a migration without it.
no_hooks
hook 10-fine <<<"touch '$DIR/ran'"
hook 20-open <<<"touch '$DIR/ran'"
chmod 757 "$HOOKS/20-open"
start_vms 1
expect 2 migrate eth
says "refused: hook 20-open (pre-migrate) is not run: others may write to it (mode 757)"
expect 1 check eth
says "FAIL host: hook 20-open in $HOOKS is not run: others may write to it"
expect 2 plan eth
says "hook 20-open in $HOOKS is not run"
all_at ib true
chmod 755 "$HOOKS/20-open"
if [ "$(id -u)" -eq 0 ]; then
    chown 65534 "$HOOKS/20-open"
    expect 2 migrate eth
    says "hook 20-open (pre-migrate) is not run: it belongs to user 65534, not to root"
    chown 0 "$HOOKS/20-open"
fi
rm "$DIR/ran"
chmod 777 "$HOOKS"
expect 2 migrate eth
says "refused: the hooks in $HOOKS are not run: others may write to it (mode 777)"
expect 1 check eth
says "FAIL host: the hooks in $HOOKS are not run"
[ ! -e "$DIR/ran" ] || die "a script of an open directory was run"
expect 0 migrate eth --no-hooks
chmod 755 "$HOOKS"
printf '#!/no/such/shell\n' >"$HOOKS/20-open"
expect 2 migrate ib
says "hook 20-open (pre-migrate)" "/20-open: cannot be run: No such file"

# Taken on: nothing can be vetoed any more.
no_hooks
tell
hook 20-never <<<'exit 1'
hook 15-slow <<END
[ "\$1" != pre-copy ] || [ -e "$DIR/slow" ] || { echo \$\$ >"$DIR/slow"; exec sleep 1000; }
END
rm "$HOOKS/20-never"
start_vms 2
ninjactl migrate eth >"$DIR/out" 2>&1 &
PIDS+=($!)
wait_for test -s "$DIR/slow"
kill -KILL "$(ninjactl status 2>&1 | sed -n 's/.*(process \([0-9]*\)).*/\1/p')"
wait "${PIDS[-1]}" || true
kill "$(<"$DIR/slow")" # what the coordinator left behind
hook 20-never <<<'exit 1'
rm "$TOLD"
expect 3 abort
says "rolled-back" "hook 20-never (pre-recover) ended with status 1"
all_at ib true
OUT=$(jq -s . "$TOLD")
holds '.[0].stage == "pre-recover" and .[-1].stage == "post-migrate" and .[-1].outcome == "rolled-back"'
holds 'all(.[]; .may_veto == false and .taken_on_in == "DETACHING")'

# One that waits for an operator tells so; then it is taken on to its end.
no_hooks
tell
start_vms 1 copy_ms=4000 breaks=1 \
    'more=migration = { post-copy = 0; }; timeouts = { recover = 500; reconnect = 300; };'
expect 4 migrate eth
OUT=$(jq -s . "$TOLD")
holds '.[-1] | .stage == "post-migrate" and .outcome == "operator" and (.reason | contains("part of its memory"))'
rm "$TOLD"
expect 0 resume --timeout recover=60000
all_at eth false
[ "$(told)" = "pre-recover pre-copy post-copy pre-finish post-finish pre-best post-best post-migrate" ] || die "taken on: $(told)"

# The example.
no_hooks
mkdir "$HOOKS"
install -m 755 "$HERE/../../examples/hooks.d/10-log" "$HOOKS"
export NINJA_HOOK_LOG=$DIR/hook.log NINJA_HOOK_FREEZE=$DIR/freeze
start_vms 2
echo "the cooling is down" >"$NINJA_HOOK_FREEZE"
expect 2 migrate eth
says "no migrations now: $DIR/freeze is there (the cooling is down)"
rm "$NINJA_HOOK_FREEZE"
expect 0 migrate eth
[ "$(cut -d ' ' -f 3- "$NINJA_HOOK_LOG")" = $'cluster ib -> eth (vm1 vm2): refused\ncluster ib -> eth (vm1 vm2): done' ] ||
    die "$(cat "$NINJA_HOOK_LOG")"

# A switch.
no_hooks
tell
start_vms 1
expect 0 switch --btl vader,tcp,self
OUT=$(jq -s . "$TOLD")
holds 'map(.stage) == ["pre-switch", "post-switch"] and map(.may_veto) == [true, false] and .[1].outcome == "done" and .[1].stall_ms >= 0'
holds '.[0].reselect == "vader,tcp,self" and .[0].env.cluster == "cluster"'
hook 20-veto <<<'[ "$1" != pre-switch ] || { echo "not now" >&2; exit 1; }'
expect 2 switch
says "hook 20-veto (pre-switch) ended with status 1: not now"
hook 20-veto <<<'[ "$1" != post-switch ]'
expect 0 switch
says "warning: hook 20-veto (post-switch) ended with status 1"
all_at ib true
