# The Debian packages that the test bed needs on the host. The guest is made of the host's files,
# so this is also what runs in the VMs.
# shellcheck shell=bash disable=SC2034

PACKAGES_RUN=(qemu-system-x86 socat jq busybox-static cpio zstd xz-utils kmod iproute2
    openmpi-bin ibverbs-providers)
PACKAGES_BUILD=(build-essential dpkg-dev autoconf automake libtool pkg-config libopenmpi-dev
    procps libpmix-dev zlib1g-dev libhwloc-dev libibverbs-dev librdmacm-dev libnl-3-dev libnl-route-3-dev
    libevent-dev libjansson-dev libconfig-dev)

package_installed() {
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]
}

package_version() { dpkg-query -W -f '${Version}' "$1"; }

packages_install() {
    local package missing=()
    for package in "${PACKAGES_RUN[@]}" "${PACKAGES_BUILD[@]}"; do
        package_installed "$package" || missing+=("$package")
    done
    ((${#missing[@]})) || return 0
    say "installing ${missing[*]}"
    quietly "$RUN/apt.log" apt-get update ||
        say "apt-get update failed; going on with the package lists that there are"
    quietly "$RUN/apt.log" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y --no-install-recommends "${missing[@]}"
}

# The version that apt would download now.
package_candidate() { LC_ALL=C apt-cache policy "$1" | awk '/Candidate:/ {print $2}'; }
