# The guest image: an initramfs put together from the host's own files, so that the VMs run the
# same stock packages (Open MPI, rdma-core, iproute2) as the machine has installed.
# shellcheck shell=bash disable=SC2034

IMAGE=
IMAGE_ROOT=
IMAGE_PROGRAMS=() # further programs and preloaded libraries
# Components for other networks and schedulers would only pull in their libraries.
IMAGE_NOT_MCA='ucx|ofi|psm|slurm|flux|gridengine|_fs_|_fbtl_|_fcoll_|_io_|memheap|sshmem|spml|crs_|monitoring'

# Where a host's file goes: the image has one /usr, and /bin, /lib and so on point there.
image_path() {
    case $1 in
    /bin/* | /sbin/* | /lib/* | /lib64/*) printf '%s/usr%s' "$IMAGE_ROOT" "$1" ;;
    *) printf '%s%s' "$IMAGE_ROOT" "$1" ;;
    esac
}

image_libraries() {
    ldd "$@" 2>/dev/null | awk '$2 == "=>" && $3 ~ /^\// {print $3} $1 ~ /^\// && NF == 2 {print $1}' |
        sort -u
}

# image_add FILE...: host files with the libraries that they need.
image_add() {
    local file dest
    while IFS= read -r file; do
        [[ -e $file ]] || die "$file: not there, and needed in the guest image"
        dest=$(image_path "$file")
        [[ -e $dest ]] || install -D "$file" "$dest"
    done < <(printf '%s\n' "$@"; image_libraries "$@" | grep -v ':$')
}

# image_put SOURCE GUEST-PATH [MODE]: a file of ours.
image_put() { install -D -m "${3:-644}" "$1" "$IMAGE_ROOT$2"; }

image_skeleton() {
    local dir
    for dir in bin sbin lib lib64; do
        mkdir -p "$IMAGE_ROOT/usr/$dir"
        ln -s "usr/$dir" "$IMAGE_ROOT/$dir"
    done
    mkdir -p "$IMAGE_ROOT"/{proc,sys,dev,run,tmp,root,home/mpi,etc,var}
    ln -s ../run "$IMAGE_ROOT/var/run"
    chown 1000:1000 "$IMAGE_ROOT/home/mpi"
    printf 'root:x:0:0:root:/root:/bin/sh\nmpi:x:1000:1000:MPI:/home/mpi:/bin/sh\n' \
        >"$IMAGE_ROOT/etc/passwd"
    printf 'root:x:0:\nmpi:x:1000:\n' >"$IMAGE_ROOT/etc/group"
    printf 'hosts: files\n' >"$IMAGE_ROOT/etc/nsswitch.conf"
    ln -s /proc/mounts "$IMAGE_ROOT/etc/mtab"
}

image_tools() {
    local tool files=()
    for tool in busybox ip rdma modprobe socat mpirun orted orterun ompi_info; do
        files+=("$(command -v "$tool")") || die "$tool: not found, and needed in the guest image"
    done
    image_add "${files[@]}"
    ln -s "$(command -v busybox)" "$IMAGE_ROOT/usr/bin/sh"
}

image_openmpi() {
    local lib mca
    lib=/usr/lib/$(dpkg-architecture -qDEB_HOST_MULTIARCH)
    mca=$(ompi_info --parsable --path pkglibdir | sed 's/^path:pkglibdir://')
    mapfile -t files < <(find "$mca" -name 'mca_*.so' | grep -Ev "$IMAGE_NOT_MCA|_ninja")
    image_add "${files[@]}"
    mapfile -t files < <(find "$lib"/pmix2/lib/pmix -name '*.so' | grep -v slurm
        find /usr/share/openmpi "$lib/pmix2" /usr/share/pmix \( -name '*.txt' -o -name '*.ini' \) 2>/dev/null)
    image_add "${files[@]}"
    image_put "$OPENIB/mca_btl_openib.so" "$mca/mca_btl_openib.so"
    image_put "$OPENIB/help-mpi-btl-openib-cpc-rdmacm.txt" \
        /usr/share/openmpi/help-mpi-btl-openib-cpc-rdmacm.txt
    image_put /etc/openmpi/openmpi-default-hostfile /etc/openmpi/openmpi-default-hostfile
    { grep -v '^[[:space:]]*btl[[:space:]]*=' /etc/openmpi/openmpi-mca-params.conf
        cat "$TESTBED/guest/openmpi-mca-params.conf"; } >"$IMAGE_ROOT/etc/openmpi/openmpi-mca-params.conf"
    # Loaded at run time only: the soft-RoCE driver, and what prints a crash's backtrace.
    image_add "$lib/libibverbs/librxe-rdmav34.so" /etc/libibverbs.d/rxe.driver "$lib/libgcc_s.so.1"
}

# image_ninja INSTALLED: the guest's part of what make install left below that directory.
image_ninja() {
    local installed=$1 file files
    mapfile -t files < <(cd "$installed" && find . \( -name 'ninja-agent' -o -name 'mca_*_ninja.so' \
        -o -name 'help-*ninja*' \) -type f | sed 's/^\.//')
    ((${#files[@]})) || die "make install left nothing for the guest below $installed"
    for file in "${files[@]}"; do
        install -D "$installed$file" "$IMAGE_ROOT$file"
        mapfile -t libraries < <(image_libraries "$installed$file")
        ((${#libraries[@]} == 0)) || image_add "${libraries[@]}"
    done
}

# image_build PROGRAM [INSTALLED]: the image with the MPI program and, if given, ninja.
image_build() {
    local tool
    IMAGE_ROOT=$RUN/root
    IMAGE=$RUN/guest.img
    say "making the guest image"
    image_skeleton
    image_tools
    image_openmpi
    cp -r "$KERNEL_MODULES" "$IMAGE_ROOT/usr/lib/"
    image_put "$TESTBED/guest/init" /init 755
    for tool in command measure rsh; do
        image_put "$TESTBED/guest/$tool" "/usr/lib/testbed/$tool" 755
    done
    image_put "$TESTBED/guest/soft-roce" /etc/ninja/agent.d/soft-roce 755
    for tool in "$1" "${IMAGE_PROGRAMS[@]}"; do
        image_put "$tool" "/usr/local/bin/${tool##*/}" 755
    done
    [[ -z ${2:-} ]] || image_ninja "$2"
    (cd "$IMAGE_ROOT" && find . -print0 | cpio --null --quiet -o -H newc) | zstd -q -3 -T2 >"$IMAGE"
    rm -rf "$IMAGE_ROOT"
}
