# Building this tree, and running ninjactl on the cluster of the test bed.
# shellcheck shell=bash disable=SC2034

INSTALLED= # what make install left: ninjactl for the host, agent and components for the guest
CLUSTER=   # the cluster file
NINJACTL_LIMIT=600

# The build lies in the cache, one for each tree, so that the next run only compiles what changed.
ninja_build() {
    local build
    build=$CACHE/build-$(printf '%s' "$TREE" | cache_key -)
    mkdir -p "$build"
    exec 9>"$build.lock"
    flock -w 600 9
    [[ -x $TREE/configure && $TREE/configure -nt $TREE/configure.ac ]] || (cd "$TREE" && ./autogen.sh)
    cd "$build" || return
    [[ -f Makefile ]] || "$TREE/configure" --prefix=/usr --sysconfdir=/etc --localstatedir=/var
    make -j2
    make install DESTDIR="$INSTALLED"
}

ninja_prepare() {
    INSTALLED=$RUN/installed
    say "building ninja migration"
    quietly "$RUN/build.log" ninja_build
}

# cluster_vm SITE VM [DEVICE]: an entry of a site's vms.
cluster_vm() {
    printf '    { name = "%s"; qmp = "%s"; agent = "%s";\n      receive = "tcp:%s:480%s";' "$2" \
        "$(vm_file "$1" "$2" qmp)" "$(vm_file "$1" "$2" agent)" "$(net_host_address "$1")" \
        "$(vm_number "$2")"
    [[ -z ${3:-} ]] || printf '\n      device = "%s";' "$3"
    printf ' }'
}

# cluster_site SITE bypass|none|DEVICE
cluster_site() {
    local site=$1 vm device separator=
    printf '  { name = "%s";\n    prepare = "%s %s {site} {vm}";\n    vms = (\n' "$site" \
        "$TESTBED/receive" "$RUN"
    for vm in "${VMS[@]}"; do
        case $2 in
        bypass) device=$(vm_bypass_device "$vm") ;;
        none) device= ;;
        *) device=$2 ;;
        esac
        printf '%s' "$separator"
        cluster_vm "$site" "$vm" "$device"
        separator=$',\n'
    done
    printf ' ); }'
}

# QEMU's emulation (TCG) looks up whether a page is logged as dirty, and stores a little later. If the
# host preempts it in between, while the migration collects the log and copies that page, the store
# is lost: seen as crashes of the guest in one of five migrations where cores are few. With a limit
# that all of the memory fits in, it is collected once while the VM runs, and then the VM is stopped, at
# the price of some 0.3 s of downtime. QEMU does not look at that limit in the first 100 ms, in which it
# copies what the bandwidth allows; so that is low, too. It does not hold once the VM is stopped. KVM is
# not concerned.
cluster_copy_at_rest() {
    printf 'migration = { bandwidth = 4; downtime-limit = 2000000; };\n'
}

# cluster_sites [DEVICE-OF-ETH]
cluster_sites() {
    local site device separator=
    for site in "${NET_SITES[@]}"; do
        device=none
        [[ $site != eth || -z ${1:-} ]] || device=$1
        ! net_has_rdma "$site" || device=bypass
        printf '%s%s' "$separator" "$(cluster_site "$site" "$device")"
        separator=$',\n'
    done
}

# cluster_write [DEVICE-OF-ETH]: the site eth has no bypass device, or the one that is named.
cluster_write() {
    local vm separator=
    CLUSTER=$RUN/cluster.conf
    mkdir -p "$RUN/state"
    {
        printf 'name = "demo-%s";\ndriver = "qmp";\nvms = (' "$RUN_ID"
        for vm in "${VMS[@]}"; do
            printf '%s { name = "%s"; }' "$separator" "$vm"
            separator=,
        done
        printf ' );\nsites = (\n%s );\n' "$(cluster_sites "${1:-none}")"
        [[ $ACCEL == kvm ]] || cluster_copy_at_rest
        # VMs without KVM on a loaded machine are slow.
        printf 'timeouts = { connect = 30000; command = 60000; jobs = 120000; quiesce = 60000; '
        printf 'release = 60000; reselect = 120000;\n    resume = 60000; unplug = 60000; start = 60000; '
        printf 'plug = 60000; };\n'
    } >"$CLUSTER"
}

# ninjactl COMMAND WORD|OPTION...: with this run's cluster file and directories.
ninjactl() {
    local command=$1
    shift
    NINJA_CHECKPOINT_DIR=$RUN/checkpoints NINJA_IMAGE=$INSTALLED/usr/libexec/ninja-migration/ninja-image \
        timeout --foreground "$NINJACTL_LIMIT" "$INSTALLED/usr/bin/ninjactl" "$command" "$@" \
        --cluster "$CLUSTER" --state-dir "$RUN/state"
}

# ninja_migrate MODE SITE REPORT [OPTION...]: shows what ninjactl says as it happens; leaves its
# report.
ninja_migrate() {
    local mode=$1 site=$2 report=$3
    shift 3
    ninjactl migrate "$site" --mode "$mode" --json "$@" 2>&1 >"$report" | ninja_tell
}

ninja_tell() {
    local line
    while IFS= read -r line; do say "    $line"; done
}
