#!/usr/bin/env bash
# The examples of libninja, with real agents and ninjactl: two processes at one agent and at two, one alone, all of
# them beside an MPI job; switches, migrations, agents that are killed, coordinators that end in each state. Every
# message is checked by the program that gets it.
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/lib.sh"

export LD_LIBRARY_PATH=$BUILD/lib/.libs${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
for example in holder tcp_pingpong verbs_pingpong; do # the last one is only built: it needs a device
    cc -D_GNU_SOURCE -O2 -Wall -Wextra -Wno-unused-parameter -Werror -I"$TOP/lib" -o "$DIR/$example" \
        "$TOP/examples/libninja/$example.c" -L"$BUILD/lib/.libs" -lninja -libverbs
done

# second_agent: of another VM; the cluster file has both, and two sites to migrate between.
second_agent() {
    "$BUILD/guest-agent/ninja-agent" --listen "$DIR/agent2.sock" --socket "$DIR/ranks2.sock" \
        --scripts "$DIR/scripts" --verbose >"$DIR/agent2.log" 2>&1 &
    PIDS+=("$!")
    wait_for 10 test -S "$DIR/ranks2.sock"
    local at_one="{ name = \"one\"; agent = \"$DIR/agent.sock\";" at_two="{ name = \"two\"; agent = \"$DIR/agent2.sock\";"
    cat >"$DIR/cluster.conf" <<CONF
driver = "local";
vms = ( { name = "one"; }, { name = "two"; } );
sites = ( { name = "with-bypass"; vms = ( $at_one device = "none,id=bypass"; }, $at_two device = "none,id=bypass"; } ); },
          { name = "without"; vms = ( $at_one }, $at_two } ); } );
CONF
}

# start_pair SOCKET SOCKET RANKS: the program, with its ranks at these agents; then there are that many of all jobs.
start_pair() {
    local port=$((20000 + RANDOM % 10000))
    "$DIR/tcp_pingpong" --agent "$1" --rank 0 --port $port >"$DIR/rank0.log" 2>&1 &
    PAIR=($!)
    "$DIR/tcp_pingpong" --agent "$2" --rank 1 --port $port >"$DIR/rank1.log" 2>&1 &
    PAIR+=($!)
    PIDS+=("${PAIR[@]}")
    wait_for 60 are_complete "$3"
}

# are_complete RANKS: so many have joined, of jobs of which none is missing.
are_complete() {
    ninjactl status --json 2>/dev/null |
        jq -e --argjson n "$1" '([.jobs[].ranks[]] | length) == $n and all(.jobs[]; (.ranks | length) == .size)' >/dev/null
}

# end_pair LEAST: both end as they should, after that many switches.
end_pair() {
    local rank status
    kill "${PAIR[0]}" || die "rank 0 has ended before: $(cat "$DIR"/rank?.log)"
    for rank in 0 1; do
        status=0
        wait "${PAIR[rank]}" || status=$?
        [ $status -eq 0 ] || die "rank $rank ended with $status: $(cat "$DIR/rank$rank.log")"
        grep -q 'all right' "$DIR/rank$rank.log" || die "rank $rank: $(cat "$DIR/rank$rank.log")"
        read -r _ _ SENT _ _ RECEIVED _ _ _ SWITCHES _ < <(tail -1 "$DIR/rank$rank.log")
        { [ "$SENT" = "$RECEIVED" ] && [ "$SENT" -gt 1000 ]; } || die "$SENT messages sent, $RECEIVED received"
        [ "$SWITCHES" -ge "$1" ] || die "only $SWITCHES switches of rank $rank"
    done
    echo "$SENT messages, $SWITCHES switches"
}

ninjactl_does() {
    ninjactl "$@" >"$DIR/switch.log" 2>&1 || die "ninjactl $*: $?: $(cat "$DIR"/rank?.log)"
}

# --- both at one agent
start_agent
start_pair "$DIR/ranks.sock" "$DIR/ranks.sock" 2
for _ in {1..10}; do
    ninjactl_does switch --btl tcp,self
    ninjactl_does switch
done
[ "$(ninjactl status --json | jq -c '[.jobs[].ranks[].transports]')" = '[{"tcp":1},{"tcp":1}]' ] ||
    die "it is not said what is in use"

# --- the agent is killed, and another one comes
for _ in 1 2; do
    kill -KILL "$AGENT"
    wait "$AGENT" 2>/dev/null || true
    start_agent
    wait_for 20 are_complete 2
    ninjactl_does switch
done

# --- a coordinator ends in each state of a switch, and the next one takes on
for n in {1..12}; do
    status=0
    NINJA_FAULT=coordinator:state:$n:crash ninjactl switch >"$DIR/switch.log" 2>&1 || status=$?
    [ $status -ne 0 ] || break # there are no more of them
    ninjactl_does switch
done
{ [ "$n" -gt 4 ] && [ "$n" -lt 12 ]; } || die "the coordinator ended $((n - 1)) times"
end_pair 22

# --- each at an agent of its own: the addresses go by both and the coordinator
second_agent
start_pair "$DIR/ranks.sock" "$DIR/ranks2.sock" 2
ninjactl_does switch
for mode in live paused live; do # the driver has them at the first site again each time
    ninjactl_does migrate without --mode $mode
done
end_pair 4

# --- one that has no peers holds a device, and does not when the scripts of the administrator take it away
touch "$DIR/device"
mkdir "$DIR/scripts"
cat >"$DIR/scripts/10-look" <<SCRIPT
#!/bin/sh
ls -l /proc/\$(cat "$DIR/holder.pid")/fd >"$DIR/held-at-\$1"
SCRIPT
chmod +x "$DIR/scripts/10-look"
"$DIR/holder" "$DIR/device" "$DIR/ranks.sock" >"$DIR/holder.log" 2>&1 &
HOLDER=$!
PIDS+=("$HOLDER")
echo "$HOLDER" >"$DIR/holder.pid"
wait_for 20 are_complete 1
holds() { find "/proc/$HOLDER/fd" -lname "$DIR/device" | grep -q .; }
holds || die "it holds nothing"
ninjactl_does migrate without
[ -s "$DIR/held-at-detach" ] || die "the scripts have not run"
! grep -q "$DIR/device" "$DIR/held-at-detach" || die "it holds its device when that is taken away"
! holds || die "it holds a device where there is none"
ninjactl_does switch
holds || die "it has not opened it again"
grep -q 'released @bypass' "$DIR/holder.log" || die "$(cat "$DIR/holder.log")"
rm -r "$DIR/scripts"

# --- all of them and an MPI job in the same VMs: they are switched and migrated together
start_job -np 2 --mca btl vader,tcp,self "$BUILD/mpi/p2p" 100000000
wait_for 60 are_complete 3
start_pair "$DIR/ranks.sock" "$DIR/ranks2.sock" 5
for _ in 1 2 3; do
    ninjactl_does switch --btl tcp,self
    ninjactl_does switch
    ninjactl_does migrate without
done
job_runs || die "the MPI job ended"
end_pair 9
kill "$HOLDER"
wait "$HOLDER" || die "the holder ended with $?"
wait_for 20 are_complete 2
ninjactl_does switch # of the MPI job alone
kill "$JOB"
wait "$JOB" 2>/dev/null || true
! grep -q WRONG "$DIR/job.log" || die "a wrong byte"
