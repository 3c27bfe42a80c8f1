#!/bin/bash
# checkpoint, restart and checkpoints: what they do, and what they refuse before anything is touched.
# shellcheck source=tests/ctl/vms.sh
. "$(dirname "$0")/vms.sh"

KEPT=$DIR/checkpoints
export NINJA_CHECKPOINT_DIR=$KEPT

# checkpoints WORD...: with its exit code first.
checkpoints() {
    local want=$1 code=0
    shift
    OUT=$("$NINJACTL" checkpoints "$@" 2>&1) || code=$?
    [ "$code" -eq "$want" ] || die "checkpoints $*: exit code $code, expected $want"
}

# no_migration: nothing was begun.
no_migration() {
    [ -z "$(ls "$STATE"/*/journal 2>/dev/null)" ] || die "something was begun"
}

start_vms 2
checkpoints 0
says_not complete
checkpoints 0 --json
holds '.checkpoints == []'

# What cannot be meant, or cannot be written.
expect 64 checkpoint ../x
says "cannot be the name of a checkpoint"
expect 64 checkpoint .hidden
expect 64 checkpoint one two
: >"$DIR/file"
expect 2 checkpoint one --checkpoint-dir "$DIR/file"
says "$DIR/file"
expect 2 restart one
says 'there is no checkpoint "one"'
no_migration

expect 0 checkpoint one --dry-run
says "vm1 at ib" "to $KEPT/one/vm1.image; unplugged meanwhile: e1000e" "are free"
expect 0 checkpoint one --dry-run --json
holds '.dir == "'"$KEPT"'" and .free_bytes > 0 and (.vms | map([.name, .at]) == [["vm1", "ib"], ["vm2", "ib"]])'
expect 2 checkpoint one --dry-run --checkpoint-dir "$DIR/file"
says "$DIR/file: Not a directory"
[ ! -e "$KEPT" ] || die "something was made"
no_migration

# One is made, and is whole; the VMs run on.
expect 0 checkpoint one --mode paused
expect 0 report --json
holds '.outcome == "done" and .operation == "checkpoint" and (.vms | map([.at, .device_after]) == [["ib", true], ["ib", true]])'
holds '.vms | all(.stood_ms >= 0)'
checkpoints 0
says one complete
checkpoints 0 --json
holds '.checkpoints[0] | .name == "one" and .mode == "paused" and (.vms | map(.name) == ["vm1", "vm2"])'
checkpoints 0 verify one
says "one: whole"
[ "$(stat -c %a "$KEPT/one") $(stat -c %a "$KEPT/one/vm1.image")" = "700 600" ] || die "others could read it"
expect 0 report
says "Checkpoint $KEPT/one"
expect 0 list
says checkpoint
expect 0 checkpoint live --mode live --timeout link=300
expect 2 checkpoint one
says 'there is a checkpoint "one" already'

expect 2 checkpoint one --dry-run
says 'there is a checkpoint "one" already'

# A restart while the VMs run, or of other VMs.
begun=$(find "$STATE" -name journal | wc -l)
expect 2 restart one
says "is there already" "two copies of a VM must not run"
expect 64 restart one eth
says "one site for all is given by --site"
expect 64 restart one vm1=eth --site ib
expect 2 restart one vm9=eth
says 'no VM "vm9"'
expect 2 restart one --site moon
says 'no site "moon"'
cp -r "$KEPT/live" "$KEPT/cut"
truncate -s -1 "$KEPT/cut/vm1.image"
expect 2 restart cut --dry-run
says "is there already" "vm1.image is not the file that was written" # each reason
[ "$(find "$STATE" -name journal | wc -l)" -eq "$begun" ] || die "something was begun"
rm -r "$KEPT/cut"
start_vms 3
expect 2 restart one
says 'has no VM "vm3"'
start_vms 1
expect 2 restart one
says 'has 2 VMs, and the cluster file has 1'

# VMs that write to disks.
start_vms 2 disk=/var/lib/vm1.qcow2
expect 2 checkpoint two
says "vm1 writes to the disk /var/lib/vm1.qcow2" "--no-disks"
[ ! -e "$KEPT/two" ] || die "something was begun"
no_migration
expect 0 checkpoint two --no-disks

# Nobody removes one that is written. It is, while a hook waits after the images.
start_vms 2
mkdir "$DIR/hooks.d"
cat >"$DIR/hooks.d/wait" <<END
#!/bin/sh
[ "\$1" = post-save ] || exit 0
for i in \$(seq 600); do [ ! -e "$DIR/go" ] || exit 0; sleep 0.1; done
END
chmod +x "$DIR/hooks.d/wait"
is_listed_as() { "$NINJACTL" checkpoints --json | jq -e --arg name "$1" --arg state "$2" '.checkpoints[] | select(.name == $name).state == $state' >/dev/null; }
begin_slow() {
    rm -f "$DIR/go"
    "$NINJACTL" checkpoint slow --state-dir "$STATE" --cluster "$DIR/cluster.conf" >"$DIR/slow.log" 2>&1 &
    SLOW=$!
    PIDS+=("$SLOW")
    wait_for is_listed_as slow writing
}
begin_slow
checkpoints 2 remove slow
says "is in use"
checkpoints 2 verify slow
touch "$DIR/go"
wait "$SLOW" || die "$(cat "$DIR/slow.log")"
is_listed_as slow complete || die "it is not complete"
checkpoints 0 remove slow

# keep: all but the newest go, also those that were interrupted; not one that is written, nor another cluster's.
names() { "$NINJACTL" checkpoints --json | jq -r '[.checkpoints[].name] | join(" ")'; }
is_only() { [ "$(names)" = "$1" ] || die "there are \"$(names)\", expected \"$1\""; }
cp -r "$KEPT" "$DIR/kept"
expect 64 checkpoint three --keep 0
says "--keep: expected a whole number from 1"
checkpoints 64 keep 0 --cluster "$DIR/cluster.conf"
checkpoints 65 keep 1 --cluster "$DIR/none.conf"
checkpoints 0 keep 3 --cluster "$DIR/cluster.conf"
is_only "live one two"
begin_slow
checkpoints 0 keep 2 --cluster "$DIR/cluster.conf" --json
holds '.removed == ["one"]'
kill -KILL "$SLOW"
wait "$SLOW" 2>/dev/null || true
touch "$DIR/go"
is_listed_as slow incomplete || die "it is not incomplete"
expect 3 abort
start_vms 2
begin_slow
kill -KILL "$SLOW"
wait "$SLOW" 2>/dev/null || true
touch "$DIR/go"
cp "$DIR/cluster.conf" "$DIR/other.conf" # which names another cluster
checkpoints 0 keep 1 --cluster "$DIR/other.conf"
is_only "live slow two"
checkpoints 0 keep 2 --cluster "$DIR/cluster.conf"
says "slow: removed"
is_only "live two"
expect 3 abort # which finds nothing left to remove
rm "$DIR/hooks.d/wait"
start_vms 2
expect 0 checkpoint --keep 2
says "checkpoint live: removed"
[[ $(names) =~ ^20[0-9]{6}T[0-9]{6}\.[0-9]{3}Z\ two$ ]] || die "there are $(names)"
rm -r "$KEPT"
mv "$DIR/kept" "$KEPT"

# Encrypted ones: images are not zstd's, and another key is refused before anything is touched.
for key in key other; do head -c 32 /dev/urandom >"$DIR/$key"; done
chmod 600 "$DIR/other"
chmod 644 "$DIR/key"
start_vms 2
expect 2 checkpoint secret --key-file "$DIR/key"
says "others may use it (mode 644)"
expect 2 checkpoint secret --key-file "$DIR/none" --dry-run
says "$DIR/none: No such file"
no_migration
[ ! -e "$KEPT/secret" ] || die "something was begun"
chmod 600 "$DIR/key"
expect 0 checkpoint secret --key-file "$DIR/key"
grep -q "$(printf '\050\265\057\375')" "$KEPT/one/vm1.image" || die "zstd's files begin otherwise"
! grep -q "$(printf '\050\265\057\375')" "$KEPT/secret/vm1.image" || die "it is not encrypted"
checkpoints 0 --json
holds '.checkpoints[] | select(.name == "secret").encryption.key | length == 32'
checkpoints 0 verify secret
checkpoints 0 verify secret --key-file "$DIR/key"
checkpoints 2 verify secret --key-file "$DIR/other"
says 'checkpoint "secret" is encrypted with the key'
checkpoints 2 verify one --key-file "$DIR/key"
says "is not encrypted"

# A checkpoint that is not as it was written is seen, also before a restart begins.
kill "$VMS"
wait "$VMS" 2>/dev/null || true
VMS=
cp -r "$KEPT/one" "$DIR/one"
again() {
    rm -rf "$KEPT/one"
    cp -r "$DIR/one" "$KEPT/one"
}
wrong() {
    checkpoints 1 verify one
    says "$1"
    expect 2 restart one
    says "$1"
    again
}
flip() { printf '%b' "\\x$(printf %02x $((0x$(od -An -tx1 -j"$2" -N1 "$1" | tr -d ' ') ^ 1)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none; }
begun=$(find "$STATE" -name journal | wc -l)
expect 2 restart secret
says 'checkpoint "secret" is encrypted with the key' "--key-file"
expect 2 restart secret --key-file "$DIR/other"
says "$DIR/other has the key"
expect 2 restart one --key-file "$DIR/other"
says "give --key-file none"
expect 0 restart secret --key-file "$DIR/key" --dry-run
NINJA_CHECKPOINT_KEY=$DIR/key expect 0 restart secret --dry-run
expect 0 restart one vm2=eth --dry-run
says "vm1 starts at ib, received at " "was at ib with e1000e" "vm2 starts at eth" "gets no device"
expect 0 restart one --site eth --dry-run --json
holds '.vms | map([.name, .was_at, .to, .gets]) == [["vm1", "ib", "eth", null], ["vm2", "ib", "eth", null]]'
flip "$KEPT/one/vm2.image" 9
wrong "vm2.image is not the file that was written"
rm "$KEPT/one/vm1.image"
wrong "vm1.image: No such file"
truncate -s -1 "$KEPT/one/vm1.image"
wrong "vm1.image is not the file that was written"
sed -i 's/vm1/vm3/' "$KEPT/one/manifest.json"
wrong "manifest.json is not what was written"
rm "$KEPT/one/manifest.json"
wrong "has no manifest"
[ "$(find "$STATE" -name journal | wc -l)" -eq "$begun" ] || die "something was begun"

# A half-written one is listed as such, and can be removed.
rm "$KEPT/one/manifest.json"
checkpoints 0
says incomplete
checkpoints 0 remove one
[ ! -e "$KEPT/one" ] || die "it is there still"
checkpoints 1 remove one
checkpoints 64 remove
checkpoints 64 remove ../state
checkpoints 64 burn one

# A driver that knows no checkpoints.
cat >"$DIR/local.conf" <<END
driver = "local";
vms = ( { name = "vm1"; } );
sites = ( { name = "ib"; vms = ( { name = "vm1"; agent = "$DIR/a"; } ); } );
END
expect 2 checkpoint three --cluster "$DIR/local.conf"
says 'the driver "local" knows no checkpoints'

# The example for systemd is as it says, and its command does it.
UNITS=$HERE/../../examples/systemd
mkdir "$DIR/units"
cp "$UNITS"/* "$DIR/units"
read -r -a line < <(sed -n "s|%i|c1|g; s|/etc/ninja/|$DIR/|; s|^ExecStart=/usr/bin/ninjactl ||p" "$UNITS/ninja-checkpoint@.service")
start_vms 2
cp "$DIR/cluster.conf" "$DIR/c1.conf"
for _ in 1 2 3 4; do
    OUT=$("$NINJACTL" "${line[@]}" --state-dir "$STATE" 2>&1) || die "it failed"
    sleep 1 # names are by the second
done
[ "$("$NINJACTL" checkpoints --json | jq '[.checkpoints[] | select(.cluster == "c1")] | length')" -eq 3 ] || die "not three are kept"
command -v systemd-analyze >/dev/null || { echo "systemd-analyze is not installed"; exit 77; }
sed -i "s|^ExecStart=[^ ]*|ExecStart=$NINJACTL|" "$DIR/units/"*.service
for unit in "$DIR/units"/*; do
    systemd-analyze verify --man=no "$unit" 2>"$DIR/verify" || die "$(cat "$DIR/verify")"
    ! grep -F ninja-checkpoint "$DIR/verify" || die "systemd-analyze complains"
done
