#!/usr/bin/env bash
# A migration is aborted in the middle of the copy, which does not wait behind it: the VM runs on where it was, and
# the other host has none.
set -euo pipefail
# shellcheck source=tests/libvirt/lib.sh
. "$(dirname "$0")/lib.sh"
testbed_libvirt_up vm1
helper_start
host_opened 1 >/dev/null
host_opened 2 >/dev/null

send migrate "{host: \"h1\", vm: \"vm1\", to: \"$(libvirt_uri 2)\", progress_ms: 100, bandwidth_mib: 1}"
migration=$ASKED
event "the copy goes on" '.event == "PROGRESS" and .data.statistics.memory_processed > 0'
state 1 | expect "the VM has a job" '.state == "running" and .job'
ask migrate-abort '{host: "h1", vm: "vm1"}' >/dev/null
answer "$migration" | expect "the migration ended with an error" '.error.class == "Cancelled"'
state 1 | expect "the VM runs at host 1" '.state == "running" and (.job | not)'
state 2 | expect "host 2 has none" '.state == "absent"'
send migrate-abort '{host: "h1", vm: "vm1"}'
answer "$ASKED" | expect "there is nothing more to abort" '.error.class == "State"'
send migrate "{host: \"h1\", vm: \"vm9\", to: \"$(libvirt_uri 2)\"}"
answer "$ASKED" | expect "a VM that is not there is refused" '.error.class == "NotFound"'
