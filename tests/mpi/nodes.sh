# shellcheck shell=bash
# Two nodes on one machine, or more: each with a network, a name and a mount namespace of its own, joined by a cable,
# or by a bridge in the first one if they are more than two (eth0, 10.98.0.1, 10.98.0.2, ...), and an agent in each.
# mpirun in the first one starts its daemons in the others as it would by ssh. What only happens between machines is
# hidden where all ranks share one network. Needs lib.sh, and root.

NODES=(node1 node2)
declare -A NODE_PID

# on NODE COMMAND...: runs it there.
on() {
    (exec_on "$@")
}

# exec_on NODE COMMAND...: the same in place of this shell, so that in the background $! is the command itself.
exec_on() {
    exec nsenter --target "${NODE_PID[$1]}" --net --uts --mount "${@:2}"
}

# node_up NODE: its namespaces live as long as the process that holds them. Each node has its own $DIR/node, where
# the ranks of both find their agent by one path.
node_up() {
    mkdir -p "$DIR/$1" "$DIR/node"
    # shellcheck disable=SC2016
    unshare --net --uts --mount sh -c 'echo "$1" >/proc/sys/kernel/hostname && mount -t sysfs sysfs /sys &&
        mount --bind "$2/$1" "$2/node" && ip link set lo up && touch "$2/$1/up" && exec sleep 3600' sh "$1" "$DIR" &
    NODE_PID[$1]=$!
    PIDS+=("$!")
    wait_for 10 test -e "$DIR/$1/up"
}

node_agent() {
    exec_on "$1" "$BUILD/guest-agent/ninja-agent" --listen "$DIR/node/agent.sock" --socket "$DIR/node/ranks.sock" \
        --scripts "$DIR/scripts" --verbose >"$DIR/$1/agent.log" 2>&1 &
    PIDS+=("$!")
    wait_for 10 test -S "$DIR/$1/ranks.sock"
}

# link_is_up NODE INTERFACE: the kernel says so a while after both ends were set up; before, UCX does not know it.
link_is_up() {
    [ "$(on "$1" cat "/sys/class/net/$2/operstate")" = up ]
}

# cable NAME ADDRESS ADDRESS: one more link between the two, with these addresses (with prefix) at its ends.
cable() {
    local i addresses=("$2" "$3")
    ip link add "$1" netns "${NODE_PID[node1]}" type veth peer name "$1" netns "${NODE_PID[node2]}"
    for i in 0 1; do
        on "${NODES[i]}" ip addr add "${addresses[i]}" dev "$1"
        on "${NODES[i]}" ip link set "$1" up
    done
    for i in 0 1; do wait_for 10 link_is_up "${NODES[i]}" "$1"; done
}

# bridge: a link between all nodes.
bridge() {
    local i
    on node1 ip link add eth0 type bridge
    for ((i = 1; i < ${#NODES[@]}; i++)); do
        ip link add "port$i" netns "${NODE_PID[node1]}" type veth peer name eth0 netns "${NODE_PID[${NODES[i]}]}"
        on node1 ip link set "port$i" up master eth0
    done
    for ((i = 0; i < ${#NODES[@]}; i++)); do
        on "${NODES[i]}" ip addr add "10.98.0.$((i + 1))/24" dev eth0
        on "${NODES[i]}" ip link set eth0 up
    done
    for i in "${NODES[@]}"; do wait_for 10 link_is_up "$i" eth0; done
}

# no_cable NAME ADDRESS ADDRESS: in each node an interface of that name that is up and leads to nobody, as a bridge
# for containers, or a port of another network.
no_cable() {
    local i addresses=("$2" "$3")
    for i in 0 1; do
        on "${NODES[i]}" ip link add "$1" type veth peer name "$1-end"
        on "${NODES[i]}" ip addr add "${addresses[i]}" dev "$1"
        on "${NODES[i]}" ip link set "$1-end" up
        on "${NODES[i]}" ip link set "$1" up
    done
}

nodes_up() {
    local node vms='' site=''
    if [ "$(id -u)" -ne 0 ] || ! unshare --net --uts --mount true 2>/dev/null; then
        echo "namespaces cannot be made here (not root?)"
        exit 77
    fi
    for node in "${NODES[@]}"; do
        node_up "$node"
        node_agent "$node"
        vms+="{ name = \"$node\"; }, "
        site+="{ name = \"$node\"; agent = \"$DIR/$node/agent.sock\"; }, "
    done
    if [ ${#NODES[@]} -eq 2 ]; then
        cable eth0 10.98.0.1/24 10.98.0.2/24
    else
        bridge
    fi
    cat >"$DIR/cluster.conf" <<CONF
driver = "local";
vms = ( ${vms%, } );
sites = ( { name = "local"; vms = ( ${site%, } ); } );
CONF
    cat >"$DIR/rsh" <<RSH
#!/bin/sh
host=\$1
shift
case \$host in
$(for node in "${NODES[@]}"; do echo "$node) pid=${NODE_PID[$node]} ;;"; done)
esac
exec nsenter --target "\$pid" --net --uts --mount sh -c "\$*"
RSH
    chmod +x "$DIR/rsh"
}

# start_job_on_nodes RANKS MPIRUN-ARGUMENT...: that many on each node, in the background; the output goes to job.log.
start_job_on_nodes() {
    local ranks=$1 hosts
    shift
    hosts=$(printf ",%s:$ranks" "${NODES[@]}")
    timeout "${JOB_LIMIT:-300}" nsenter --target "${NODE_PID[node1]}" --net --uts --mount "${MPIRUN[@]}" \
        --mca crcp ninja --mca crcp_ninja_agent "$DIR/node/ranks.sock" \
        --mca plm_rsh_agent "$DIR/rsh" --mca oob_tcp_if_include eth0 \
        --host "${hosts#,}" --map-by slot -np $((${#NODES[@]} * ranks)) "$@" >"$DIR/job.log" 2>&1 &
    JOB=$!
    PIDS+=("$JOB")
    wait_for 120 job_is_ready $((${#NODES[@]} * ranks))
}

# switch_ends STATUS WORDS LIST [OPTION...]: a switch to that list ends so and says that, and the job is there.
switch_ends() {
    local status=0
    ninjactl switch --btl "$3" "${@:4}" >"$DIR/switch.log" 2>&1 || status=$?
    [ $status -eq "$1" ] || die "$3: status $status instead of $1"
    grep -qE -- "$2" "$DIR/switch.log" || die "$3: does not say: $2"
    job_runs || die "the job ended"
}

# job_goes_on: all ranks run, and messages flow between the nodes.
job_goes_on() {
    local before
    [ "$(ninjactl status --json | jq -r '[.. | .state? // empty | select(. == "RUNNING")] | length')" -eq "$1" ] ||
        die "not every rank runs"
    before=$(packets node1 eth0)
    wait_for 60 eval "[ \$((\$(packets node1 eth0) - $before)) -gt 200 ]"
}

# packets NODE INTERFACE: that it has sent.
packets() {
    on "$1" cat "/sys/class/net/$2/statistics/tx_packets"
}
