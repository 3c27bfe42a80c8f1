#!/bin/bash
# Placements and evacuations by ninjad, on a cluster whose sites have hosts.
# shellcheck source=tests/ninjad/ninjad.sh
. "$(dirname "$0")/ninjad.sh"

# ended ID: a migration, when it has ended.
ended() {
    ask wait "{\"id\": \"$1\", \"timeout\": 100}"
    gives '.outcome == "done"'
}

# at HOST...: where vm1, vm2... are.
at() {
    ask status
    gives ".vms | map(.site) | join(\" \") == \"$*\""
}

begun() {
    gives '(.id | length) > 10'
    jq -r .return.id <<<"$OUT"
}

start_vms 4 hosts=3
start_ninjad
ask sites
gives '.sites == ["ib", "eth"] and (.hosts | map(.name)) == ["ib1", "ib2", "ib3", "eth1", "eth2"]'

# What is not there.
ask evacuate '{"host": "ib9"}'
refuses NotFound 'no site or host \"ib9\"'
ask evacuate '{"host": "ib1", "to": ["ib2", "moon"]}'
refuses NotFound 'no site or host \"moon\"'
ask migrate '{"vms": {"vm9": "ib1"}}'
refuses NotFound 'no VM \"vm9\"'
ask migrate '{"vms": {"vm1": "moon"}}'
refuses NotFound 'no site or host \"moon\"'
ask evacuate '{"host": "ib1", "to": ["ib2"]}'
refuses Refused "there is no room for vm1: ib2 has no free device"

# Plans.
ask plan '{"host": "ib1"}'
gives '.vms | map(.to) == ["ib3", "ib3", null, null]'
ask plan '{"host": "ib1", "to": ["eth"]}'
gives '.vms | map(.to) == ["eth1", "eth2", null, null]'
ask plan '{"vms": {"vm4": "ib3"}}'
gives '.vms | map(.to) == [null, null, null, "ib3"]'
at ib1 ib1 ib2 ib2

# An evacuation, and its key.
ask evacuate '{"host": "ib1", "to": ["eth", "ib3"], "key": "drain-1"}'
id=$(begun)
ended "$id"
at ib3 ib3 ib2 ib2
ask evacuate '{"host": "ib1", "to": ["eth", "ib3"], "key": "drain-1"}'
gives ".id == \"$id\" and .repeated"
ask evacuate '{"host": "ib1", "key": "drain-1"}'
refuses Conflict "evacuate ib1 --to eth,ib3"
ask migrate '{"site": "ib3", "key": "drain-1"}'
refuses Conflict "choose another"
ask report "{\"id\": \"$id\"}"
gives '.asked == "evacuate ib1 --to eth,ib3"'

# Some VMs to places of their own, in whatever order they are named.
ask migrate '{"vms": {"vm2": "ib1", "vm1": "eth2"}, "key": "p"}'
id=$(begun)
ended "$id"
at eth2 ib1 ib2 ib2
ask migrate '{"vms": {"vm1": "eth2", "vm2": "ib1"}, "key": "p"}'
gives ".id == \"$id\" and .repeated"
ask migrate '{"vms": {"vm1": "eth2"}, "key": "p"}'
refuses Conflict "migrate vm1=eth2 vm2=ib1"
