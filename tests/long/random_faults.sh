#!/usr/bin/env bash
# Many migrations on the local driver, of which a random third meet a random fault point each:
# random_faults.sh [MIGRATIONS [SEED]]. Nothing may hang, no byte be wrong, and no migration fail without a fault.
# shellcheck source=tests/faults/lib.sh
. "$(dirname "$0")/../faults/lib.sh"
MIGRATIONS=${1:-1000}
SEED=${2:-$SRANDOM}
RANDOM=$((SEED & 0x7fffffff))
echo "seed $SEED"
# and how many points of the class a migration has, about
KINDS=(coordinator:{state:crash:21,step:{crash,error}:9,message:{crash,lost,repeated}:13}
    agent:{state:crash:16,step:{crash,error}:36,message:{crash,lost,repeated,late}:33}
    rank1:{state:crash:16,step:error:8,message:{lost,repeated}:16})

# make_room coordinator|agent|rank: ends the agent and the job where that one is to begin with a fault.
make_room() {
    [ "$1" != rank ] && [ "$1" != agent ] && return
    [ -z "$JOB" ] || job_down
    JOB=
    [ "$1" != agent ] || [ -z "$KEEPER" ] || agent_down
}

faults=0 clean=0 missed=0
for ((i = 1; i <= MIGRATIONS; i++)); do
    mode=live
    ((RANDOM % 2)) || mode=paused
    if ((RANDOM % 3)); then
        [ -n "$KEEPER" ] || agent_up ''
        FAULT_OF_RANK=()
        [ -n "$JOB" ] || job_up
        ninjactl migrate without --mode $mode --strict >"$DIR/switch.log" 2>&1 || die "migration $i, $mode, failed without a fault"
        clean=$((clean + 1))
        continue
    fi
    IFS=: read -r who class kind most <<<"${KINDS[RANDOM % ${#KINDS[@]}]}"
    make_room "${who%%[0-9]*}"
    [ "$who" = agent ] || [ -n "$KEEPER" ] || agent_up ''
    if one "$who" "$class" "$kind" $((RANDOM % most + 1)) $mode; then
        faults=$((faults + 1))
    else
        missed=$((missed + 1))
    fi
done
[ -z "$JOB" ] || job_down
agent_down
echo "$MIGRATIONS migrations: $clean without a fault, $faults with one, $missed did not come to their fault point"
[ $faults -gt 0 ] || [ "$MIGRATIONS" -lt 20 ] || die "no fault was met"
