#!/bin/bash
# The example clients and hooks, with scripted stand-ins for scontrol, sinfo, cmk, openstack and kubectl.
# shellcheck source=tests/ninjad/ninjad.sh
. "$(dirname "$0")/ninjad.sh"

TREE=$HERE/../..
EXAMPLES=$TREE/examples
CALL=$EXAMPLES/api/ninja-call

# run CODE COMMAND...: with what it says in $OUT.
run() {
    local want=$1 code=0
    shift
    OUT=$(timeout 100 "$@" 2>&1) || code=$?
    [ $code -eq "$want" ] || die "${*:1:3}: exit status $code, expected $want"
}

start_vms 2 copy_ms=1000
start_ninjad --listen-readonly "$DIR/ro.sock"

# The shell client.
run 0 "$CALL" --socket "$SOCKET" sites
holds '.sites == ["ib", "eth"]'
run 1 "$CALL" --socket "$SOCKET" migrate '{"site": "moon"}'
says "NotFound" 'no site "moon"'
run 64 "$CALL"
run 69 "$CALL" --socket "$DIR/none" version
says "nobody answers"
run 0 "$CALL" --socket "$SOCKET" migrate '{"site": "eth"}'
id=$(jq -r .id <<<"$OUT")
run 0 "$CALL" --socket "$SOCKET" watch "{\"id\": \"$id\"}"
OUT=$(jq -s . <<<"$OUT")
holds ".[0].id == \"$id\" and .[-1].event == \"end\" and .[-1].data.outcome == \"done\""

# The C client.
read -ra flags < <(pkg-config --cflags --libs jansson)
${CC:-cc} -Wall -Wextra -Werror -o "$DIR/migrate" "$EXAMPLES/api/migrate.c" "${flags[@]}"
run 0 "$DIR/migrate" "$SOCKET" cluster ib c-1
says "COPYING" "DONE" "done"
run 0 "$DIR/migrate" "$SOCKET" cluster ib c-1
says "done"
[ "$(ninjactl list --json | jq '.migrations | length')" = 2 ] || die "the key did not hold"
run 1 "$DIR/migrate" "$SOCKET" cluster ib
says "Refused" "nothing to do"
run 64 "$DIR/migrate"

# Stand-ins: each writes what it was asked to $DIR/asked.
mkdir "$DIR/bin"
cat >"$DIR/bin/scontrol" <<'END'
#!/bin/sh
echo "scontrol $*" >>"$ASKED"
case "$*" in
"show hostnames "*) echo "$3" | tr , '\n' ;;
"--oneliner show node "*) echo "NodeName=$4 State=IDLE+DRAIN BootTime=2026-01-01T00:00:00 Reason=disk [root@2026-02-03T04:05:06]" ;;
esac
END
cat >"$DIR/bin/sinfo" <<'END'
#!/bin/sh
printf 'node1\nnode1\nother\n'
END
cat >"$DIR/bin/cmk" <<'END'
#!/bin/sh
echo "cmk $*" >>"$ASKED"
case "$*" in
*"list hosts"*) echo '{"host": [{"id": "h-1"}]}' ;;
*"list virtualmachines"*) echo '{"virtualmachine": [{"instancename": "i-2-3-VM"}, {"instancename": "i-2-4-VM"}]}' ;;
esac
END
cat >"$DIR/bin/openstack" <<'END'
#!/bin/sh
echo "openstack $*" >>"$ASKED"
case "$*" in
"server list"*) printf 's-1\ns-2\n' ;;
"server migrate"*s-2) [ ! -e "$ASKED.fails" ] ;;
esac
END
cat >"$DIR/bin/kubectl" <<'END'
#!/bin/sh
echo "kubectl $*" >>"$ASKED"
case "$*" in
"get vmi"*) echo '{"items": [{"metadata": {"namespace": "hpc", "name": "a"}}, {"metadata": {"namespace": "hpc", "name": "b"}}]}' ;;
esac
END
chmod +x "$DIR"/bin/*
export PATH=$DIR/bin:$PATH ASKED=$DIR/asked NINJA_CALL=$CALL NINJA_SOCKET=$SOCKET NINJA_DOMAINS=$DIR/domains

# Slurm: drained nodes are emptied, once for each drain, and resumed.
printf '# our nodes\nnode1 cluster eth # comment\nnode2 cluster eth\n' >"$DIR/map"
run 0 "$EXAMPLES/hooks/slurm-drain" "$DIR/map"
says "node1: migration" "of cluster to eth: done"
grep -qx "scontrol update nodename=node1 state=resume" "$ASKED" || die "the node was not resumed"
ninjactl list --json >"$DIR/list"
jq -e '.migrations[-1].key == "slurm/cluster/2026-02-03T04:05:06"' "$DIR/list" >/dev/null || die "the key: $(cat "$DIR/list")"
run 0 "$EXAMPLES/hooks/slurm-drain" "$DIR/map" node1 node2
[ "$(ninjactl list --json | jq '.migrations | length')" = 3 ] || die "a drain was served twice"
printf 'node1 nothing eth\n' >"$DIR/map"
run 1 "$EXAMPLES/hooks/slurm-drain" "$DIR/map"
says "NotFound"

printf 'node1 cluster evacuate ib\n' >"$DIR/map"
start_vms 2 copy_ms=1000
: >"$ASKED"
run 0 "$EXAMPLES/hooks/slurm-drain" "$DIR/map"
says "of cluster to evacuate ib: done"
grep -qx "scontrol update nodename=node1 state=resume" "$ASKED" || die "the node was not resumed"
ninjactl list --json >"$DIR/list"
jq -e '.migrations[-1] | .asked == "evacuate ib" and .to == "eth"' "$DIR/list" >/dev/null || die "$(cat "$DIR/list")"

start_vms 2 copy_ms=1000

# CloudStack: the host goes into maintenance after the clusters of its VMs have moved, or have left it.
printf 'i-2-3-VM cluster\ni-9-9-VM else\n' >"$NINJA_DOMAINS"
: >"$ASKED"
run 0 "$EXAMPLES/hooks/cloudstack-maintenance" ib
says "cluster: migration" "off ib: done"
[ "$(tail -1 "$ASKED")" = "cmk prepare hostformaintenance id=h-1" ] || die "no maintenance: $(cat "$ASKED")"
start_vms 2 copy_ms=1000
: >"$ASKED"
run 0 "$EXAMPLES/hooks/cloudstack-maintenance" host1 eth
says "cluster: migration" "to eth: done"
[ "$(tail -1 "$ASKED")" = "cmk prepare hostformaintenance id=h-1" ] || die "no maintenance: $(cat "$ASKED")"
: >"$ASKED"
run 1 "$EXAMPLES/hooks/cloudstack-maintenance" host1 moon
! grep -q maintenance "$ASKED" || die "maintenance without a migration"

# off-device: the cluster's jobs are switched before the command and after it, whatever becomes of the command.
cat >"$DIR/call" <<'END'
#!/bin/sh
echo "$3 $4" >>"$ASKED"
exec "$REAL_CALL" "$@"
END
chmod +x "$DIR/call"
export REAL_CALL=$CALL NINJA_CALL=$DIR/call NINJA_LINK_S=1

# asked LINE...: these are the last ones, in this order.
asked() {
    printf '%s\n' "$@" | cmp -s - <(grep -v '^check' "$ASKED" | tail -$#) || die "asked for other things: $(cat "$ASKED")"
}

STANDBY='switch {"cluster":"cluster","btl":"standby"}' BEST='switch {"cluster":"cluster"}'
start_vms 2
: >"$ASKED"
run 0 "$EXAMPLES/hooks/off-device" cluster sh -c 'echo moves >>"$ASKED"'
asked "$STANDBY" moves "$BEST"
run 3 "$EXAMPLES/hooks/off-device" cluster sh -c 'echo fails >>"$ASKED"; exit 3'
asked "$STANDBY" fails "$BEST"
run 1 "$EXAMPLES/hooks/off-device" nothing sh -c 'echo moves >>"$ASKED"'
asked 'switch {"cluster":"nothing","btl":"standby"}'
run 64 "$EXAMPLES/hooks/off-device" cluster
run 0 "$EXAMPLES/hooks/off-device" "" sh -c 'echo alone >>"$ASKED"'
asked alone

# nova: the servers of a host are migrated while the job of one of them is off the device.
printf 's-2 cluster\ns-9 else\n' >"$NINJA_DOMAINS"
run 0 "$EXAMPLES/hooks/nova-maintenance" host1
asked "openstack compute service set --disable --disable-reason maintenance host1 nova-compute" \
    "openstack server list --all-projects --host host1 -f value -c ID" "$STANDBY" \
    "openstack server migrate --live-migration --wait s-1" "openstack server migrate --live-migration --wait s-2" "$BEST"
touch "$ASKED.fails"
run 123 "$EXAMPLES/hooks/nova-maintenance" host1
asked "$BEST"

# KubeVirt: the same for a node.
printf 'hpc/b cluster\n' >"$NINJA_DOMAINS"
run 0 "$EXAMPLES/hooks/kubevirt-drain" node1
asked "kubectl get vmi --all-namespaces -l kubevirt.io/nodeName=node1 -o json" "$STANDBY" \
    "kubectl drain node1 --delete-emptydir-data --ignore-daemonsets --pod-selector=kubevirt.io=virt-launcher --timeout 2h" \
    "$BEST"
printf 'i-2-3-VM cluster\ni-9-9-VM else\n' >"$NINJA_DOMAINS"
export NINJA_CALL=$CALL

# libvirt: it does not move such a VM on its own; others are left alone.
export NINJA_SOCKET=$DIR/ro.sock
HOOK=$EXAMPLES/hooks/libvirt-qemu
run 1 "$HOOK" i-2-3-VM migrate begin - </dev/null
says "is a VM of the cluster cluster" "ask ninjad"
run 0 "$HOOK" unknown migrate begin - </dev/null
run 0 "$HOOK" i-2-3-VM prepare begin - </dev/null
start_vms 2 copy_ms=60000
NINJA_SOCKET=$SOCKET run 0 "$CALL" --socket "$SOCKET" migrate '{"site": "eth"}'
run 0 "$HOOK" i-2-3-VM migrate begin - </dev/null
run 0 "$CALL" --socket "$SOCKET" abort
run 0 "$CALL" --socket "$SOCKET" wait
holds '.outcome == "rolled-back"'
