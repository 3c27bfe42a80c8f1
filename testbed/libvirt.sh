# Hosts of libvirt on this machine, each with a libvirtd of its own.
#
# A host has a network, a mount, a UTS and a PID namespace, whose process 1 is a shell; when that is killed, the
# host has lost its power. Its own are the host name, /etc/libvirt, /etc/hosts, /run and what libvirt has in /var;
# its files are in $RUN/host-N. All hosts are on one network with the coordinator, which has a network namespace
# and nothing else. A host has two bridges: `mgmt` is that network, `bypass` leads nowhere.
# shellcheck shell=bash disable=SC2034

LIBVIRT_HOSTS=(1 2)
LIBVIRT_PREFIX=10.79.0
LIBVIRT_SECONDS=120
LIBVIRT_DEVICES= # further devices of each VM, as XML

libvirt_dir() { printf '%s/host-%s' "$RUN" "$1"; }
libvirt_name() { printf 'ninja-host-%s' "$1"; }
libvirt_address() { printf '%s.%s' "$LIBVIRT_PREFIX" "$1"; }
libvirt_uri() { printf 'qemu+tcp://%s/system' "$(libvirt_address "$1")"; }
libvirt_namespace() { printf 'ninja-lv%s-%s' "$1" "$RUN_ID"; }

# libvirt_exec N COMMAND...: in the namespaces of host N.
libvirt_exec() {
    local pid
    pid=$(<"$(libvirt_dir "$1")/init")
    shift
    nsenter -t "$pid" -n -m -u -p "$@"
}

# Where the coordinator is.
libvirt_coordinator() { ip netns exec "$(libvirt_namespace 0)" "$@"; }

# libvirt_virsh N ARGUMENT...
libvirt_virsh() {
    local uri
    uri=$(libvirt_uri "$1")
    shift
    libvirt_coordinator timeout "$LIBVIRT_SECONDS" virsh -q -c "$uri" "$@"
}

libvirt_configure() {
    local n=$1 dir other
    dir=$(libvirt_dir "$n")
    mkdir -p "$dir"/{run,var,cache,log}
    cp -r /etc/libvirt "$dir/etc"
    rm -rf "$dir"/etc/qemu/{autostart,networks}
    cat >"$dir/etc/libvirtd.conf" <<END
listen_tls = 0
listen_tcp = 1
listen_addr = "0.0.0.0"
auth_tcp = "none"
auth_unix_rw = "none"
host_uuid = "0000000$n-9d1a-4b5c-8a00-00000000000$n"
log_outputs = "3:file:$dir/libvirtd.log"
END
    cat >"$dir/etc/qemu.conf" <<'END'
user = "root"
group = "root"
security_driver = "none"
cgroup_controllers = [ ]
namespaces = [ ]
remember_owner = 0
migration_address = "0.0.0.0"
stdio_handler = "file"
END
    printf '127.0.0.1 localhost\n' >"$dir/hosts"
    for other in "${LIBVIRT_HOSTS[@]}"; do
        printf '%s %s\n' "$(libvirt_address "$other")" "$(libvirt_name "$other")" >>"$dir/hosts"
    done
}

libvirt_network() {
    local n ns hub
    hub=$(libvirt_namespace 0)
    ip netns add "$hub"
    ip -n "$hub" link set lo up
    ip -n "$hub" link add mgmt type bridge
    ip -n "$hub" link set mgmt up
    ip -n "$hub" addr add "$(libvirt_address 100)/24" dev mgmt
    for n in "${LIBVIRT_HOSTS[@]}"; do
        ns=$(libvirt_namespace "$n")
        ip netns add "$ns"
        ip -n "$ns" link set lo up
        # else it has the lowest address of its ports, which may be that of a VM's tap, and changes as VMs come and go
        ip -n "$ns" link add mgmt address "02:00:00:00:00:0$n" type bridge
        ip -n "$ns" addr add "$(libvirt_address "$n")/24" dev mgmt
        ip -n "$ns" link set mgmt up
        ip -n "$ns" link add bypass type bridge
        ip -n "$ns" link set bypass up
        ip -n "$hub" link add "host$n" type veth peer name uplink netns "$ns"
        ip -n "$hub" link set "host$n" master mgmt up
        ip -n "$ns" link set uplink master mgmt up
    done
}

# The life of host N, as its process 1.
libvirt_life() {
    local dir=$1 name=$2 place
    hostname "$name"
    mount --make-rprivate /
    mount -t proc proc /proc
    mount --bind "$dir/etc" /etc/libvirt
    mount --bind "$dir/run" /run
    mkdir -p /run/lock /var/lib/libvirt /var/cache/libvirt /var/log/libvirt
    mount --bind "$dir/hosts" /etc/hosts
    for place in var:lib cache:cache log:log; do
        mount --bind "$dir/${place%:*}" "/var/${place#*:}/libvirt"
    done
    trap 'exit 0' TERM
    touch "$dir/alive"
    sleep infinity &
    wait
}

# libvirt_power_on N: also a host that has crashed.
libvirt_power_on() {
    local dir
    dir=$(libvirt_dir "$1")
    rm -rf "$dir/alive" "${dir:?}"/run/*
    ip -n "$(libvirt_namespace "$1")" link set uplink up
    ip netns exec "$(libvirt_namespace "$1")" unshare -m -u -p -f --kill-child bash -c \
        "$(declare -f libvirt_life); libvirt_life '$dir' '$(libvirt_name "$1")'" \
        </dev/null >"$dir/life.log" 2>&1 &
    echo $! >"$dir/holder"
    disown
    wait_for "$LIBVIRT_SECONDS" "host $1 to begin" test -e "$dir/alive"
    pgrep -P "$(<"$dir/holder")" >"$dir/init"
    libvirt_start_daemon "$1"
}

libvirt_start_daemon() {
    libvirt_exec "$1" libvirtd --listen --daemon --pid-file /run/libvirtd.pid
    wait_for "$LIBVIRT_SECONDS" "libvirtd of host $1" libvirt_answers "$1"
}

libvirt_answers() { libvirt_virsh "$1" version >/dev/null 2>&1; }

# libvirt_kill_daemon N [SIGNAL]: its VMs go on.
libvirt_kill_daemon() { libvirt_exec "$1" bash -c "kill -${2:-KILL} \$(</run/libvirtd.pid)"; }

# libvirt_crash N: the host and its VMs end at once, and nothing answers at its address.
libvirt_crash() {
    local dir
    dir=$(libvirt_dir "$1")
    # first, as the kernel would close the connections of what is killed
    ip -n "$(libvirt_namespace "$1")" link set uplink down 2>/dev/null || true
    [[ ! -s $dir/init ]] || kill -9 "$(<"$dir/init")" 2>/dev/null || true
    rm -f "$dir/init"
}

# libvirt_memory N MIB FREE [PAGES]: host N says that it has so much memory, so much of it free, and besides so many free
# huge pages of 2 MiB.
libvirt_memory() {
    local dir
    dir=$(libvirt_dir "$1")/memory
    mkdir -p "$dir"
    printf '%d\n' "${4:-0}" >"$dir/pages"
    printf 'MemTotal: %d kB\nMemFree: %d kB\nBuffers: 0 kB\nCached: 0 kB\n' $(($2 * 1024)) $(($3 * 1024)) >"$dir/all"
    printf 'Node 0 MemTotal: %d kB\nNode 0 MemFree: %d kB\n' $(($2 * 1024)) $(($3 * 1024)) >"$dir/node0"
    printf 'Node 1 MemTotal: 0 kB\nNode 1 MemFree: 0 kB\n' >"$dir/others"
    libvirt_exec "$1" bash -c "$(declare -f libvirt_says_memory); libvirt_says_memory '$dir'"
}

# For the processes of this host.
libvirt_says_memory() {
    local node file
    mount --bind "$1/all" /proc/meminfo
    for node in /sys/devices/system/node/node*; do
        mount --bind "$1/others" "$node/meminfo"
    done
    node=/sys/devices/system/node/node0
    mount --bind "$1/node0" $node/meminfo
    for file in $node/hugepages/hugepages-2048kB/{nr,free}_hugepages; do
        [[ ! -e $file ]] || mount --bind "$1/pages" "$file"
    done
}

libvirt_up() {
    local n
    say "starting ${#LIBVIRT_HOSTS[@]} hosts with libvirt"
    libvirt_network
    for n in "${LIBVIRT_HOSTS[@]}"; do libvirt_configure "$n"; done
    for n in "${LIBVIRT_HOSTS[@]}"; do libvirt_power_on "$n"; done
}

libvirt_down() {
    local n
    for n in "${LIBVIRT_HOSTS[@]}"; do libvirt_crash "$n"; done
    for n in 0 "${LIBVIRT_HOSTS[@]}"; do ip netns del "$(libvirt_namespace "$n")" 2>/dev/null || true; done
}

# The device of a VM at any host, to be plugged there.
libvirt_device_xml() {
    cat <<END
<interface type='bridge'><mac address='52:54:00:79:01:0$(vm_number "$1")'/><source bridge='bypass'/>
<model type='virtio'/><alias name='ua-bypass'/></interface>
END
}

# libvirt_domain_xml VM: with the device.
libvirt_domain_xml() {
    local type=qemu cpu=maximum
    [[ $ACCEL != kvm ]] || { type=kvm cpu=host-passthrough; }
    cat <<END
<domain type='$type'>
  <name>$1</name>
  <memory unit='MiB'>$VM_MEMORY</memory>
  <vcpu>$VM_CPUS</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type>
    <kernel>$KERNEL</kernel><initrd>$IMAGE</initrd><cmdline>$(vm_cmdline "$1")</cmdline></os>
  <features><acpi/></features>
  <cpu mode='$cpu'/>
  <devices>
    <serial type='file'><source path='$RUN/$1.console' append='on'/></serial>
    <interface type='bridge'><mac address='52:54:00:79:00:0$(vm_number "$1")'/><source bridge='mgmt'/>
      <model type='virtio'/></interface>
    $(libvirt_device_xml "$1")$LIBVIRT_DEVICES
    <channel type='unix'><target type='virtio' name='org.ninja.agent.0'/></channel>
    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
    <memballoon model='none'/>
  </devices>
</domain>
END
}

# libvirt_boot N VM: at host N; returns when its agent is there.
libvirt_boot() {
    libvirt_domain_xml "$2" >"$RUN/$2.xml"
    libvirt_virsh "$1" define "$RUN/$2.xml" >/dev/null
    libvirt_virsh "$1" start "$2" >/dev/null
    wait_for "$VM_BOOT_SECONDS" "$2 to boot" grep -q 'ninja-guest: ready' "$RUN/$2.console"
}

# libvirt_gone N VM ALIAS: the guest has let go of that device. All of the XML is read, as virsh fails otherwise.
libvirt_gone() { ! libvirt_virsh "$1" dumpxml "$2" | grep -F "'$3'" >/dev/null; }

# testbed_libvirt_up [VM...]: the hosts, with these VMs at the first one. IMAGE: an image that is there already.
testbed_libvirt_up() {
    local vm
    need_root
    cleanup_arm
    install_packages build demo libvirt
    kernel_prepare
    if (($#)); then
        openib_prepare
        ninja_prepare
        job_build
        image_build "$JOB_PROGRAM" "$INSTALLED"
        accel_choose
    fi
    net_down() { libvirt_down; }
    libvirt_up
    [[ -z $* ]] || say "booting $* at host 1 ($ACCEL)"
    for vm in "$@"; do libvirt_boot 1 "$vm"; done
}
