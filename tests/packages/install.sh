#!/usr/bin/env bash
# The Debian packages in clean systems, host and guest in one each, with the dependencies that apt finds in the
# archive that this machine uses: a job of the one is switched by ninjactl of the other. The host does without libvirt
# until the package for it is installed as well. After a purge nothing is left. All mounts are in a mount namespace, all processes in a PID namespace that ends with the script.
# shellcheck source=tests/packages/lib.sh
. "$(dirname "$0")/lib.sh"

# skip WHY
skip() {
    echo "$*"
    exit 77
}

# The archive of this machine and how it is reached, for another system's apt.
make_base() {
    apt-config dump | grep '^Acquire::' >"$DIR/apt.conf"
    apt-get indextargets --format 'deb $(SITE) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' 'Origin: Debian' \
        >"$DIR/sources.list"
    [ -s "$DIR/sources.list" ] || skip "apt has no lists of a Debian archive"
    mmdebstrap --mode=root --variant=apt --skip=cleanup/apt/lists --aptopt="$DIR/apt.conf" '' "$DIR/guest" \
        "$DIR/sources.list" >"$DIR/base.log" 2>&1 || skip "no base system: $(tail -3 "$DIR/base.log" | tr '\n' ' ')"
    cp -a "$DIR/guest" "$DIR/host"
}

# inside SYSTEM COMMAND...
inside() {
    local system=$1
    shift
    DEBIAN_FRONTEND=noninteractive LC_ALL=C chroot "$DIR/$system" "$@"
}

apt_in() {
    local system=$1
    shift
    inside "$system" apt-get -qq -y --no-install-recommends "$@" >"$DIR/apt.log" 2>&1 ||
        die "apt-get $* fails in the $system: $(tail -20 "$DIR/apt.log")"
}

# files_of SYSTEM: all, less those in which apt and dpkg remember.
files_of() {
    inside "$1" find / -xdev \( -path /var/lib/dpkg -o -path /var/cache -o -path /var/log -o -path /run -o \
        -path "$DIR" \) -prune -o -print | sort
}

mounts_in() {
    mount -t proc proc "$DIR/$1/proc"
    mount -t sysfs -o ro sysfs "$DIR/$1/sys"
    mount -t devpts -o newinstance,ptmxmode=0666 devpts "$DIR/$1/dev/pts"
    mount -t tmpfs tmpfs "$DIR/$1/dev/shm"
    mkdir -p "$DIR/$1$DIR/work"
    mount --bind "$DIR/work" "$DIR/$1$DIR/work"
}

# depends_of PACKAGE: on packages of others.
depends_of() { dpkg-deb -f "$(deb "$1")" Depends | sed 's/ninja-migration-[^,]*, *//g'; }

# install_in SYSTEM PACKAGE...: with what the first of them depends on installed before.
install_in() {
    local system=$1 package file files=()
    shift
    apt_in "$system" satisfy "$(depends_of "$1")"
    [ "$system" = host ] || apt_in "$system" install openmpi-bin systemd udev # all in all a VM
    files_of "$system" >"$DIR/$system.before"
    for package in "$@"; do
        file=$(deb "$package")
        cp "$file" "$DIR/work"
        files+=("$DIR/work/${file##*/}")
    done
    apt_in "$system" install "${files[@]}"
}

# purge_from SYSTEM PACKAGE...
purge_from() {
    local system=$1
    shift
    apt_in "$system" purge "${@/#/ninja-migration-}"
    files_of "$system" | diff "$DIR/$system.before" - || die "not as before the purge"
}

# unit SYSTEM NAME STATE: systemd takes it there, and it is that: enabled, disabled.
unit() {
    inside "$1" systemd-analyze verify --man=no "$2" >"$DIR/verify" 2>&1 || die "$(cat "$DIR/verify")"
    ! grep -F "${2%.*}" "$DIR/verify" || die "systemd-analyze verify complains"
    [ "$(inside "$1" systemctl is-enabled "$2")" = "$3" ] || die "$2 is not $3"
}

# ninjactl of a host without libvirt names the package that it lacks for a cluster with the driver libvirt.
host_without_libvirt() {
    ! inside host dpkg-query -s libvirt0 >"$DIR/libvirt" 2>&1 || die "the host has libvirt: $(cat "$DIR/libvirt")"
    cat >"$DIR/work/libvirt.conf" <<'END'
driver = "libvirt";
vms = ( { name = "vm1"; } );
sites = ( { name = "here"; uri = "qemu:///system"; vms = ( { name = "vm1"; } ); } );
END
    ! inside host ninjactl status --cluster "$DIR/work/libvirt.conf" >"$DIR/status" 2>&1 || die "it has a status"
    grep -q "ninja-migration-libvirt" "$DIR/status" || die "it does not name the package: $(cat "$DIR/status")"
}

# With the package it gets as far as libvirt, of which no daemon runs there.
host_with_libvirt() {
    ! inside host ninjactl status --cluster "$DIR/work/libvirt.conf" >"$DIR/status" 2>&1 || die "it has a status"
    grep -q "libvirt-sock" "$DIR/status" || die "it does not ask libvirt: $(cat "$DIR/status")"
}

in_namespaces() {
    mkdir "$DIR/work"
    mpicc -O2 -o "$DIR/work/moments" "$TOP/tests/mpi/moments.c"
    mounts_in guest
    mounts_in host
    install_in guest guest
    install_in host host doc
    unit guest ninja-agent.service disabled # udev starts it
    unit host ninjad.service disabled       # the socket starts it
    unit host ninjad.socket enabled
    unit host ninjad-ro.socket enabled
    inside host getent group ninja
    inside host ninjactl --version
    inside host ls /usr/share/bash-completion/completions/ninjactl /usr/share/bash-completion/completions/ninjad
    inside host ninjactl check --cluster /usr/share/doc/ninja-migration-host/examples/cluster.conf >"$DIR/check" 2>&1 || true
    grep -q "2 VMs, 2 sites" "$DIR/check" || die "the example is no cluster file: $(cat "$DIR/check")"
    host_without_libvirt
    ON_HOST="chroot $DIR/host" ON_GUEST="chroot $DIR/guest" WORK=$DIR/work "$TOP/debian/tests/switch"
    purge_from guest guest
    purge_from host host doc
    install_in host libvirt host
    host_with_libvirt
    purge_from host libvirt host
}

if [ "${1:-}" = --in-namespaces ]; then
    trap - EXIT
    rm -rf "$DIR"
    DIR=$2
    in_namespaces
    exit
fi
[ "$(id -u)" -eq 0 ] || skip "needs root"
unshare --mount --pid --fork true || skip "there can be no namespaces here"
make_base
unshare --mount --pid --fork --kill-child --propagation private "$0" --in-namespaces "$DIR"
