#!/bin/bash
# Each step of a migration fails in turn, there and back: when ninjactl does not ask for an operator the job runs, and
# when it does, ninjactl switch is what lets the job run.
# shellcheck source=tests/ctl/vms.sh
. "$(dirname "$0")/vms.sh"

runs() {
    expect 0 status --json
    jq -e '[.jobs[].ranks[].state] | length == 4 and all(. == "RUNNING")' <<<"$OUT" >/dev/null
}

# one_fault MODE N SITE: false if the point was not reached.
one_fault() {
    local code=0
    OUT=$(NINJA_FAULT=coordinator:step:$2:error ninjactl migrate "$3" --mode "$1" 2>&1) || code=$?
    [[ $OUT == *"was made to fail"* ]] || return 1
    case $code in
    0 | 2 | 3) runs || die "$1, point $2, to $3: exit code $code, and the job stands still" ;;
    4)
        says "ninjactl switch"
        expect 0 switch
        runs || die "$1, point $2, to $3: the switch did not let the job run"
        ;;
    *) die "$1, point $2, to $3: exit code $code" ;;
    esac
}

# walk MODE: points of migrations there, and of those back, until none is reached.
walk() {
    local n reached=1 points=0
    for ((n = 1; reached; n++)); do
        reached=0
        start_vms 2
        ! one_fault "$1" $n eth || reached=1 points=$((points + 1))
        start_vms 2
        expect 0 migrate eth
        ! one_fault "$1" $n ib || reached=1 points=$((points + 1))
        ((n < 50)) || die "$1: no end"
    done
    echo "$1: $points points"
    ((points >= 16)) || die "$1: too few points"
}

walk live
walk paused
