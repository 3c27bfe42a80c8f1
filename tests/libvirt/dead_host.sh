#!/usr/bin/env bash
# A host that has lost its power holds up nobody: what it is asked for ends with its time-out, and other hosts answer
# meanwhile. A host whose libvirtd was killed and started again is connected to again. Bad requests are refused.
set -euo pipefail
# shellcheck source=tests/libvirt/lib.sh
. "$(dirname "$0")/lib.sh"
testbed_libvirt_up
ninja_prepare
helper_start
host_opened 1 >/dev/null

libvirt_crash 2
send host-open "{host: \"h2\", uri: \"$(libvirt_uri 2)\", timeout_ms: 5000}"
dead=$ASKED
for _ in 1 2 3; do state 1 | expect "host 1 answers" '.state == "absent"'; done
! said ".id == $dead" || die "host 2 was to be silent"
answer "$dead" | expect "the dead host ended with its time-out" '.error.class == "Timeout"'
state 1 | expect "host 1 answers" '.state == "absent"'

libvirt_power_on 2
host_opened 2 | expect "host 2 is open" '.hostname == "ninja-host-2"'
libvirt_crash 2
send domain-look '{host: "h2", vm: "vm1", timeout_ms: 2000}'
dead=$ASKED
state 1 | expect "host 1 answers" '.state == "absent"'
answer "$dead" | expect "the host that died ended with its time-out" '.error.class == "Timeout"'
event "host 2 is lost" '.event == "HOST_LOST" and .data.host == "h2"'
state 1 | expect "host 1 answers" '.state == "absent"'
libvirt_power_on 2
event "host 2 is back" '.event == "HOST_BACK" and .data.host == "h2"'

libvirt_kill_daemon 1
event "host 1 is lost" '.event == "HOST_LOST" and .data.host == "h1"'
libvirt_start_daemon 1
event "host 1 is back" '.event == "HOST_BACK" and .data.host == "h1"'
state 1 | expect "host 1 answers" '.state == "absent"'

refused() {
    send "$2" "$3"
    answer "$ASKED" | expect "$2 is refused: $1" ".error.class == \"$1\""
}
refused NotFound domain-look '{host: "h9", vm: "vm1"}'
refused NotFound device-detach '{host: "h1", vm: "vm1", alias: "ua-bypass"}'
refused Address host-open '{host: "h5", uri: "test:///default"}'
refused Conflict host-open '{host: "h1", uri: "qemu:///system"}'
refused Connect host-open "{host: \"h6\", uri: \"qemu+tcp://$(libvirt_address 1):1/system\"}"
refused BadArgument domain-look '{host: "h1"}'
refused BadArgument domain-look '{host: "h1", vm: "vm1", timeout_ms: 0}'
refused CommandNotFound domain-sing '{host: "h1"}'
