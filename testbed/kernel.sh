# The guest's kernel: Debian's own package, downloaded and unpacked, not installed.
#
# vmlinux is taken out of vmlinuz, as QEMU starts it directly (PVH) and saves the guest the
# unpacking, which takes long where there is no KVM. The cache keeps it and the few modules that the
# guest loads.
# shellcheck shell=bash disable=SC2034

KERNEL=         # vmlinux
KERNEL_MODULES= # a directory to become /usr/lib/modules
KERNEL_LOADS=(virtio_pci virtio_console virtio_rng virtio_net e1000e ib_uverbs rdma_ucm crc32_generic
    rdma_rxe)

kernel_package() {
    apt-cache depends linux-image-amd64 | awk '/Depends: linux-image-[0-9]/ {print $2; exit}'
}

# The xz stream in a vmlinuz, unpacked. xz complains about what follows the stream.
kernel_extract() {
    local offset
    offset=$(LC_ALL=C grep -abo -m 1 -P '\xFD7zXZ\x00' "$1" | head -n 1 | cut -d: -f1)
    [[ -n $offset ]] || return 1
    tail -c +$((offset + 1)) "$1" | xz -dc 2>/dev/null >"$2" || true
    [[ $(head -c 4 "$2" | od -An -c | tr -d ' ') == '177ELF' ]]
}

# kernel_pick TREE VERSION OUT: the modules in $KERNEL_LOADS and those that they need.
kernel_pick() {
    local module file
    depmod -b "$1" "$2"
    for module in "${KERNEL_LOADS[@]}"; do
        while read -r _ file; do
            install -D -m 644 "$file" "$3${file#"$1"}"
        done < <(modprobe -d "$1" -S "$2" --show-depends "$module" | grep '^insmod')
    done
    cp "$1/lib/modules/$2"/modules.{order,builtin,builtin.modinfo} "$3/lib/modules/$2/"
    depmod -b "$3" "$2"
}

kernel_unpack() {
    local package=$1 dir=$2 out=$3 vmlinuz
    mkdir -p "$dir" "$out"
    (cd "$dir" && apt-get -o APT::Sandbox::User=root download "$package")
    dpkg -x "$dir"/*.deb "$dir/tree"
    vmlinuz=$(echo "$dir"/tree/boot/vmlinuz-*)
    kernel_extract "$vmlinuz" "$out/vmlinux" || die "no xz kernel in $vmlinuz"
    kernel_pick "$dir/tree" "${vmlinuz##*/vmlinuz-}" "$out"
}

kernel_prepare() {
    local package dir
    package=$(kernel_package)
    [[ -n $package ]] || die "apt knows no linux-image-amd64: run apt-get update"
    dir=$CACHE/$package-$(package_candidate "$package")-$(cache_key "$TESTBED/kernel.sh")
    if [[ ! -d $dir ]]; then
        say "downloading the guest kernel, $package"
        quietly "$RUN/kernel.log" kernel_unpack "$package" "$RUN/kernel" "$RUN/kernel/out"
        cache_store "$RUN/kernel/out" "$dir"
        rm -rf "$RUN/kernel"
    fi
    KERNEL=$dir/vmlinux
    KERNEL_MODULES=$dir/lib/modules
}
