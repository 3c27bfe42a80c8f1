#!/usr/bin/env bash
# Walks the fault points: one migration for each point, kind and mode.
#
#     tests/faults/walk.sh [WHO:CLASS:KIND...]     default: all
# shellcheck source=tests/faults/lib.sh
. "$(dirname "$0")/lib.sh"
MAX_POINTS=200

[ $# -gt 0 ] || set -- \
    coordinator:{state:crash,step:crash,step:error,message:crash,message:lost,message:repeated} \
    agent:{state:crash,step:crash,step:error,message:crash,message:lost,message:repeated,message:late} \
    rank1:{state:crash,step:error,message:lost,message:repeated} \
    coordinator:state:stall agent:state:stall rank1:state:stall

total=0
for walk in "$@"; do
    IFS=: read -r who class kind <<<"$walk"
    case $who in
    coordinator) agent_up ''; FAULT_OF_RANK=(); job_up ;;
    rank*) agent_up '' ;;
    esac
    for mode in live paused; do
        n=1
        while one "$who" "$class" "$kind" $n $mode; do
            n=$((n + 1))
            [ $n -le $MAX_POINTS ] || die "$walk: no end"
        done
        echo "$walk, $mode: $((n - 1)) points"
        total=$((total + n - 1))
    done
    case $who in
    coordinator) job_down; JOB= ; agent_down ;;
    rank*) agent_down ;;
    esac
done
echo "$total fault points"
