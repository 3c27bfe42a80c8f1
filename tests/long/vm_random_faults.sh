#!/usr/bin/env bash
# Many migrations of VMs; one in each three, at random, meets a random fault: vm_random_faults.sh [MIGRATIONS [SEED]].
# Nothing may hang, no result be wrong, no VM be lost, and no migration fail without a fault.
set -euo pipefail
# shellcheck source=tests/faults/vms.sh
. "$(dirname "$0")/../faults/vms.sh"
MIGRATIONS=${1:-30}
SEED=${2:-$SRANDOM}
RANDOM=$((SEED & 0x7fffffff))
say "seed $SEED"
# and how many points of the class a migration has, about
FAULTS=(coordinator:state:crash:20 coordinator:step:{crash,error}:9 coordinator:message:{crash,lost,repeated}:24
    agent@vm{1,2}:state:crash:12 agent@vm{1,2}:step:{crash,error}:6 agent@vm{1,2}:message:{crash,lost,repeated,late}:24
    rank1:step:error:7 rank1:message:{lost,repeated}:14 receiver receiver receiver network network network)

faults=0 clean=0 missed=0
# one_at_random MODE
one_at_random() {
    local who class kind most
    IFS=: read -r who class kind most <<<"${FAULTS[RANDOM % ${#FAULTS[@]}]}"
    if [[ -z $class ]]; then
        one_outage "$who" "$1"
        what=$who
    else
        what=$who:$class:$((RANDOM % most + 1)):$kind
        one_fault "$what" "$1" || { missed=$((missed + 1)); what="$what, not reached"; return; }
    fi
    faults=$((faults + 1))
}

vms_up
SITE=ib
for ((i = 1; i <= MIGRATIONS; i++)); do
    ((i % 3 != 1)) || with_fault=$((RANDOM % 3))
    mode=live
    ((RANDOM % 2)) || mode=paused
    if (((i - 1) % 3 == with_fault)); then
        one_at_random $mode
        say "migration $i, $mode, $what: exit status $STATUS, all at $SITE"
    else
        migrate_with '' $mode --strict
        ((STATUS == 0)) || { cat "$RUN/output"; die "migration $i, $mode, failed without a fault"; }
        clean=$((clean + 1))
        whole "migration $i"
        say "migration $i, $mode: all at $SITE"
    fi
done
job_ended_well "the last migration"
say "$MIGRATIONS migrations: $clean without a fault, $faults with one, $missed did not come to their fault point"
