# The VMs: starting one at a site, or a receiver of one, and running a command in one.
#
# A VM has at each site a QMP socket, the socket of the agent's port, a console file and a pid
# file, all in $RUN/SITE-VM.*. Its second NIC, on a root port of its own, is the stand-in for
# a passthrough device; a receiver is started without it, as it is plugged after the migration.
# shellcheck shell=bash disable=SC2034

VMS=(vm1 vm2)
VM_MEMORY=${VM_MEMORY:-384}
VM_CPUS=${VM_CPUS:-2}
VM_MACHINE=${VM_MACHINE:-q35}
VM_BOOT_SECONDS=180
VM_PORT_USER=5001
VM_PORT_ROOT=5002

vm_number() { printf '%s' "${1#vm}"; }
vm_address() { printf '%s.1%s' "$NET_PREFIX" "$(vm_number "$1")"; }
vm_rdma_address() { printf '10.78.0.1%s' "$(vm_number "$1")"; }
vm_file() { printf '%s/%s-%s.%s' "$RUN" "$1" "$2" "$3"; }

# What is plugged in at a site with RDMA, as after QEMU's -device.
vm_bypass_device() {
    printf 'virtio-net-pci,id=bypass0,bus=rp1,netdev=rdma,mac=52:54:00:78:00:0%s' "$(vm_number "$1")"
}

vm_cmdline() {
    local vm=$1 other hosts=()
    for other in "${VMS[@]}"; do hosts+=("$other:$(vm_address "$other")"); done
    printf 'console=ttyS0 quiet panic=-1 ninja.name=%s ninja.addr=%s/24 ninja.rdma=%s/24 ninja.hosts=%s' \
        "$vm" "$(vm_address "$vm")" "$(vm_rdma_address "$vm")" "$(IFS=,; echo "${hosts[*]}")"
}

vm_cpu() { if [[ $ACCEL == kvm ]]; then echo host; else echo max; fi; }

# vm_qemu SITE VM OPTION...: starts QEMU; returns when its sockets are there.
vm_qemu() {
    local site=$1 vm=$2 rdma=()
    shift 2
    # shellcheck disable=SC2054
    net_has_rdma "$site" && rdma=(-netdev tap,id=rdma,ifname="rdma-$vm",script=no,downscript=no)
    net_exec "$site" qemu-system-x86_64 -name "$vm" -nodefaults -no-user-config -display none \
        -machine "$VM_MACHINE,usb=off" -accel "$ACCEL" -cpu "$(vm_cpu)" -smp "$VM_CPUS" -m "$VM_MEMORY" \
        -kernel "$KERNEL" -initrd "$IMAGE" -append "$(vm_cmdline "$vm")" \
        -serial "file:$(vm_file "$site" "$vm" console)" \
        -qmp "unix:$(vm_file "$site" "$vm" qmp),server=on,wait=off" \
        -device pcie-root-port,id=rp1,chassis=1 -device virtio-rng-pci \
        -netdev tap,id=mgmt,ifname="mgmt-$vm",script=no,downscript=no \
        -device "virtio-net-pci,netdev=mgmt,mac=52:54:00:77:00:0$(vm_number "$vm")" "${rdma[@]}" \
        -device virtio-serial-pci \
        -chardev "socket,id=agent,path=$(vm_file "$site" "$vm" agent),server=on,wait=off" \
        -device virtserialport,chardev=agent,name=org.ninja.agent.0 \
        -d guest_errors -D "$(vm_file "$site" "$vm" log)" \
        -daemonize -pidfile "$(vm_file "$site" "$vm" pid)" "$@"
}

vm_boot() { vm_qemu "$1" "$2" -device "$(vm_bypass_device "$2")"; }
vm_receive() { vm_qemu "$1" "$2" -incoming defer; }

vm_says() { grep -q "ninja-guest: $3" "$(vm_file "$1" "$2" console)" 2>/dev/null; }

vm_wait_ready() {
    wait_for "$VM_BOOT_SECONDS" "$2 to boot" vm_says "$1" "$2" ready && return
    tail -n 20 "$(vm_file "$1" "$2" console)" >&2
    return 1
}

vms_boot() {
    local vm
    say "booting ${VMS[*]} at the site ib ($ACCEL)"
    for vm in "${VMS[@]}"; do vm_boot ib "$vm"; done
    for vm in "${VMS[@]}"; do vm_wait_ready ib "$vm"; done
}

# vm_command VM PORT SECONDS COMMAND: its output as it comes, and its exit status; 255 when the
# connection or the time ended before the command did.
vm_command() {
    local line status=255 fd talker
    exec {fd}< <(printf '%s\n' "$4" | net_exec "${NET_SITES[0]}" timeout --foreground "$3" socat -t "$3" - \
        "TCP:$(vm_address "$1"):$2,connect-timeout=10" 2>&1)
    talker=$!
    while IFS= read -r -u "$fd" line; do
        if [[ $line =~ ^exit\ status\ ([0-9]+)$ ]]; then
            status=${BASH_REMATCH[1]}
            break # the listener's socat does not always notice that the command ended
        fi
        printf '%s\n' "$line"
    done
    exec {fd}<&-
    # shellcheck disable=SC2046
    kill $(descendants "$talker") "$talker" 2>/dev/null || true
    return "$status"
}

vm_user() { vm_command "$1" "$VM_PORT_USER" "$2" "$3"; }
vm_root() { vm_command "$1" "$VM_PORT_ROOT" "$2" "$3"; }

# vm_talk SITE VM SECONDS PATTERN REQUEST...: sends lines to QMP until one that matches comes back, and
# prints that.
vm_talk() {
    local seconds=$3 pattern=$4 line status=1 socket
    socket=$(vm_file "$1" "$2" qmp)
    shift 4
    [[ -S $socket ]] || return 1
    coproc QMP { exec timeout "$seconds" socat - "UNIX-CONNECT:$socket" 2>/dev/null; }
    local in=${QMP[0]} out=${QMP[1]} pid=$QMP_PID
    printf '%s\n' '{"execute":"qmp_capabilities"}' "$@" >&"$out"
    while IFS= read -r -t "$seconds" line <&"$in"; do
        if [[ $line =~ $pattern ]]; then
            printf '%s\n' "$line"
            status=0
            break
        fi
    done
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
    return "$status"
}

# vm_qmp SITE VM COMMAND [ARGUMENTS-JSON]: one QMP command; prints its answer.
vm_qmp() {
    vm_talk "$1" "$2" 10 '"id": *1[,}]' \
        "{\"execute\": \"$3\", \"arguments\": ${4:-{\}}, \"id\": 1}"
}

# vm_unplug SITE VM SECONDS: device_del alone, with nobody asked to let go of the device. Succeeds when
# QEMU says DEVICE_DELETED in time.
vm_unplug() {
    vm_talk "$1" "$2" "$3" '"DEVICE_DELETED".*"bypass0"|"bypass0".*"DEVICE_DELETED"' \
        '{"execute": "device_del", "arguments": {"id": "bypass0"}}' >/dev/null
}

vm_runs_at() { vm_qmp "$2" "$1" query-status | grep -q '"running": *true'; }

vms_at() {
    local vm
    for vm in "${VMS[@]}"; do vm_runs_at "$vm" "$1" || return 1; done
}
