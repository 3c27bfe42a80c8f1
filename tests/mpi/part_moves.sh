#!/usr/bin/env bash
# Ranks of some nodes leave what they are on, again and again, each time of other nodes. Between all others the
# connections are the same ones before and after, and only those that had to be made are new; also when other
# transports do not work. The ranks have as many
# descriptors in the end as in the beginning, and the job's result is that of a run that nobody disturbed.
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/mpi/nodes.sh
. "$TOP/tests/mpi/nodes.sh"
NODES=(node1 node2 node3 node4)
RANKS=2
ROUNDS=${ROUNDS:-2500}
LEAST=${LEAST:-5}
SEED=${SEED:-$RANDOM}
RANDOM=$SEED
echo "SEED=$SEED"

# connections A B: those between the ranks of two nodes, by the ports of their ends.
connections() {
    on "node$1" ss -Htnp state established | awk -v peer="10.98.0.$2:" '/"p2p"/ && index($4, peer) == 1 {
        print $3, $4}' | sort
}

all_connections() {
    local a b
    for a in 1 2 3; do
        for ((b = a + 1; b <= 4; b++)); do connections $a $b >"$DIR/$1-$a-$b"; done
    done
}

# leaves NODE: whether it is of the set.
leaves() { [[ " ${SET[*]} " == *" node$1 "* ]]; }

# Fails unless pairs with a node of the set have other connections than before, and all others the same ones.
compare() {
    local a b before after
    for a in 1 2 3; do
        for ((b = a + 1; b <= 4; b++)); do
            before=$DIR/before-$a-$b after=$DIR/after-$a-$b
            if leaves $a || leaves $b; then
                [ -z "$(comm -12 "$before" "$after")" ] || die "${SET[*]}: node$a and node$b kept a connection"
            else
                [ -z "$(comm -23 "$before" "$after")" ] || die "${SET[*]}: node$a and node$b lost a connection"
                KEPT=$((KEPT + $(wc -l <"$before")))
            fi
        done
    done
}

# One to three nodes.
choose_set() {
    local n=$((RANDOM % 3 + 1))
    mapfile -t SET < <(printf '%s\n' "${NODES[@]}" | shuf -n $n --random-source=<(yes "$RANDOM"))
}

descriptors() { find "/proc/$1/fd" -mindepth 1 | wc -l; }

nodes_up
reference=$("${MPIRUN[@]}" -np 8 --mca pml ob1 --mca btl vader,self "$BUILD/mpi/p2p" "$ROUNDS")
start_job_on_nodes $RANKS --mca btl vader,tcp,self --mca mpi_yield_when_idle 1 "$BUILD/mpi/p2p" "$ROUNDS"
switch_ends 0 'done' vader,tcp,self
mapfile -t ranks < <(pgrep -x p2p)

# what cannot be meant
status=0
ninjactl switch node1 node9 2>"$DIR/switch.log" || status=$?
{ [ $status -eq 2 ] && grep -q 'no VM "node9"' "$DIR/switch.log"; } || die "node9 is known"

# what does not work falls back, and those that stay notice nothing
SET=(node4) KEPT=0
all_connections before
switch_ends 1 '(cannot use "nosuch0"|between ranks that stay).* fell back to @previous' tcp:nosuch0,self node4
switch_ends 1 'between ranks that stay, the BTL is used on other interfaces.* fell back to @previous' tcp:lo,self node4
all_connections after
compare

DONE=0 KEPT=0
while job_runs; do
    choose_set
    all_connections before
    status=0
    ninjactl switch "${SET[@]}" --json >"$DIR/switch.json" 2>"$DIR/switch.log" || status=$?
    all_connections after
    job_runs || break
    if [ $status -eq 2 ]; then # it ends
        sleep 0.1
        continue
    fi
    [ $status -eq 0 ] || die "${SET[*]}: status $status"
    compare
    DONE=$((DONE + 1))
    [ $DONE -ne 1 ] || first=$(descriptors "${ranks[0]}")
    last=$(descriptors "${ranks[0]}" 2>/dev/null) || true
done
end_job
echo "$DONE switches, $KEPT connections kept, descriptors $first -> $last"
[ $DONE -ge "$LEAST" ] || die "only $DONE switches"
[ $KEPT -gt 0 ] || die "no connection was there to be kept"
[ "$last" -le $((first + 4)) ] || die "descriptors grow"
[ "$(grep -v '^\[node' "$DIR/job.log")" = "$reference" ] || die "result differs from: $reference"
