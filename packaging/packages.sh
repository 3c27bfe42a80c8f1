# shellcheck shell=bash
# The Debian packages that this project needs, and the one way in which they are installed.
#
# What the build needs is in debian/control, where apt-get build-dep finds it as well. A group has what one
# part needs beyond that; a script that needs two groups names both.

DEBIAN_CONTROL=$(dirname "${BASH_SOURCE[0]}")/../debian/control

# The names in Build-Depends, without debhelper, which is in the group packaging. Of several alternatives the last one
# is taken, because the ones before it belong to later releases.
build_depends() {
    awk '/^Build-Depends:/ {inside = 1; sub(/[^:]*:/, "")} inside && /^[^ ]+:/ {exit} inside' "$DEBIAN_CONTROL" |
        tr ',' '\n' | sed -E 's/.*\|//; s/[[(<].*//; s/ //g; /^$/d; /^(debhelper|dh)-/d' | sort -u
}

declare -gA PACKAGES=(
    [build]="build-essential autoconf automake libtool $(build_depends | tr '\n' ' ')"
    [demo]="qemu-system-x86 busybox-static cpio zstd xz-utils kmod iproute2 ibverbs-providers
        libhwloc-dev librdmacm-dev libnl-3-dev libnl-route-3-dev"
    [libvirt]="iptables jq libvirt-clients libvirt-daemon libvirt-daemon-driver-qemu libvirt-daemon-system openssl"
    [static]="git libvirt-clients libxml2-utils mandoc python3 shellcheck"
    [unit]="tmux"
    [browser]="chromium libxml2-utils"
    [fuzz]="clang libclang-rt-dev llvm"
    [mpi]="faketime gfortran iproute2 python3 python3-mpi4py valgrind"
    [packaging]="debhelper lintian mmdebstrap rpm rpmlint"
    [figures]="gnuplot-nox libxml2-utils"
    [picture]="fonts-dejavu-core pngquant"
    [root]="git mmdebstrap procps"
    [long]="dpkg-dev hpcc lammps libcoarrays-openmpi-dev netpipe-openmpi nwchem-data nwchem-openmpi
        python3-numpy"
)

package_version() { dpkg-query -W -f '${Version}' "$1"; }

# The version that apt would download now.
package_candidate() { LC_ALL=C apt-cache policy "$1" | awk '/Candidate:/ {print $2}'; }

# packages_missing GROUP...: those of them that are not installed, a line each.
packages_missing() {
    local group package
    for group in "$@"; do
        for package in ${PACKAGES[$group]?there is no such group of packages}; do
            [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || echo "$package"
        done
    done
}

# need_packages GROUP...: installs nothing; fails if one is missing, and says how to install it.
need_packages() {
    local missing
    missing=$(packages_missing "$@") || return 1
    [[ -n $missing ]] || return 0
    missing=${missing//$'\n'/ }
    printf 'these packages are missing: %s\ninstall them, and try again: apt-get install --no-install-recommends %s\n' \
        "$missing" "$missing" >&2
    return 1
}

# apt_get ARGUMENT...: waits up to ten minutes for the locks of another apt, as a machine that has just booted
# upgrades itself. DPkg::Lock::Timeout does so for dpkg's, and not for those of the lists and of the downloads.
apt_get() {
    local log end=$((SECONDS + 600)) status
    log=$(mktemp)
    while true; do
        status=0
        DEBIAN_FRONTEND=noninteractive LC_ALL=C apt-get -qq -o DPkg::Lock::Timeout=600 "$@" >"$log" 2>&1 </dev/null ||
            status=$?
        [[ $status -ne 0 && $SECONDS -lt $end ]] && grep -qE 'Could not get lock|Unable to (acquire|lock)' "$log" || break
        sleep 2
    done
    [[ $status -eq 0 ]] || cat "$log"
    rm -f "$log"
    return "$status"
}

# install_packages GROUP...: installs the missing packages; prints nothing if none is missing. It is no error if the
# lists of packages cannot be updated, as the old lists may be good enough.
install_packages() {
    local missing said
    missing=$(packages_missing "$@") || return 1
    [[ -n $missing ]] || return 0
    mapfile -t missing <<<"$missing"
    echo "installing ${missing[*]}"
    said=$(apt_get update) || true
    said+=$'\n'$(apt_get install -y --no-install-recommends "${missing[@]}") && return 0
    {
        grep -E '^(E|W|Err):|Depends:|^dpkg:' <<<"$said" || tail -n 20 <<<"$said"
        mapfile -t missing < <(packages_missing "$@")
        echo "these packages could not be installed: ${missing[*]}"
        echo "see above why, mend it (apt-get update tells whether the mirror is reached), and try again"
    } >&2
    return 1
}
