#!/usr/bin/env bash
# ninja-libvirt takes the device from a VM, moves it to another host, has it run there and gives it a device.
set -euo pipefail
# shellcheck source=tests/libvirt/lib.sh
. "$(dirname "$0")/lib.sh"
testbed_libvirt_up vm1
helper_start

host_opened 1 | expect "host 1 is open" '.hostname == "ninja-host-1" and .cpus > 0 and (.uuid | length == 36)'
host_opened 2 | expect "host 2 is open" '.hostname == "ninja-host-2"'
state 1 | expect "the VM runs at host 1" '.state == "running" and .reason == "booted" and .devices == ["ua-bypass"] and (.job | not)'
state 2 | expect "it is not at host 2" '.state == "absent"'
ping 1

ask device-detach '{host: "h1", vm: "vm1", alias: "ua-bypass"}' >/dev/null
event "the guest let go of the device" '.event == "DEVICE_REMOVED" and .data.alias == "ua-bypass" and .data.host == "h1"'
state 1 | expect "it has no device" '.devices == []'

measured() { ask writes-look '{host: "h1", vm: "vm1"}' | jq -e .done >/dev/null; }
ask writes-begin '{host: "h1", vm: "vm1", seconds: 1}' >/dev/null
wait_for 60 "what the VM writes" measured
ask writes-look '{host: "h1", vm: "vm1"}' | expect "the VM writes little" '.mib_per_s >= 0 and .mib_per_s < 100'

check() { ask migrate-check "{host: \"h$1\", vm: \"vm1\", to: \"$(libvirt_uri "$2")\"}"; }
check 1 2 | expect "nothing is in the way" '.problems == []'
cat >"$RUN/other.xml" <<'END'
<domain type='qemu'><name>vm1</name><uuid>11111111-2222-4333-8444-555555555555</uuid>
<memory unit='MiB'>64</memory><os><type arch='x86_64' machine='q35'>hvm</type></os></domain>
END
libvirt_virsh 2 define "$RUN/other.xml" >/dev/null
check 1 2 | expect "another VM of that name is in the way" '.problems | length == 1 and (.[0] | test("^the name: .* 11111111-"))'
libvirt_virsh 2 undefine vm1 >/dev/null
libvirt_memory 2 4096 100
check 1 2 | expect "too little memory is in the way" '.problems | length == 1 and (.[0] | test("^the memory: .*, and 102400 KiB are free"))'
libvirt_memory 2 4096 100 500
check 1 2 | expect "huge pages are for VMs" '.problems == []'
host_opened 2 | expect "host 2 says what it has, and nobody has any of it" '.memory_kib == 4096 * 1024 and
    .free_bytes == 1100 * 1048576 and .vms_memory_kib == 0 and .vms_cpus == 0'
host_opened 1 | expect "host 1 says what its VM has" ".vms_memory_kib == $VM_MEMORY * 1024 and .vms_cpus == $VM_CPUS"
check 1 1 | expect "so is the VM itself at its own host" '.problems | length == 1 and (.[0] | test("^the name: "))'

ask migrate "{host: \"h1\", vm: \"vm1\", to: \"$(libvirt_uri 2)\", progress_ms: 100}" >/dev/null
event "the source stopped" '.event == "DOMAIN" and .data.host == "h1" and .data.state == "stopped"'
event "the copy made progress" '.event == "PROGRESS" and .data.statistics.memory_total > 0'
event "the job was completed" '.event == "JOB_COMPLETED" and .data.host == "h1"'
state 1 | expect "the source is shut off" '.state == "shutoff" and .reason == "migrated"'
state 2 | expect "it waits at host 2" '.state == "paused" and .reason == "user" and .persistent'

ask domain-resume '{host: "h2", vm: "vm1"}' >/dev/null
state 2 | expect "it runs at host 2" '.state == "running"'
ping 2
ask device-attach "$(jq -n --arg xml "$(libvirt_device_xml vm1)" '{host: "h2", vm: "vm1", xml: $xml}')" >/dev/null
state 2 | expect "it has a device at host 2" '.devices == ["ua-bypass"]'
ask domain-remove '{host: "h1", vm: "vm1"}' >/dev/null
state 1 | expect "nothing is left at host 1" '.state == "absent"'
event "the first channel ended" '.event == "CHANNEL_ENDED" and .data.host == "h1"'
