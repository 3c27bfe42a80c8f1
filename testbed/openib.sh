# The openib BTL for soft-RoCE.
#
# Debian's openib is built without the rdmacm connection manager, and its other one refuses links
# that are Ethernet. This builds the one component from Debian's own source of the installed
# version, against the installed Open MPI. On real InfiniBand the stock component serves.
# shellcheck shell=bash disable=SC2034

OPENIB= # directory of mca_btl_openib.so and its help text

# Fetches the source by a private apt configuration: the machine's own is not changed.
openib_fetch() {
    local dir=$1 apt=$1/apt source version file
    mkdir -p "$apt/parts" "$apt/lists/partial" "$dir/src"
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        [[ -f $file ]] && sed -n 's/^deb /deb-src /p' "$file" >>"$apt/parts/debian.list"
    done
    for file in /etc/apt/sources.list.d/*.sources; do
        [[ -f $file ]] && sed 's/^Types:.*/Types: deb-src/' "$file" >"$apt/parts/${file##*/}"
    done
    read -r source version < <(dpkg-query -W -f '${source:Package} ${source:Version}\n' openmpi-bin)
    local options=(-o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$apt/parts"
        -o "Dir::State::lists=$apt/lists" -o APT::Sandbox::User=root
        -o "Dir::Cache::srcpkgcache=" -o "Dir::Cache::pkgcache=")
    # A source that has no deb-src of its own is an error here that does not matter.
    apt-get "${options[@]}" update || true
    (
        cd "$dir/src" || exit
        apt-get "${options[@]}" source --download-only "$source=$version"
        dpkg-source --no-check -x ./*.dsc tree
    )
}

openib_compile() {
    local dir=$1 out=$2 lib include btl=$1/src/tree/opal/mca/btl/openib cpc=() name
    lib=/usr/lib/$(dpkg-architecture -qDEB_HOST_MULTIARCH)
    include=$(ompi_info --parsable --path incdir | sed 's/^path:incdir://')
    for name in base empty rdmacm udcm; do cpc+=("$btl/connect/btl_openib_connect_$name.c"); done
    mkdir -p "$dir/include"
    sed 's/^#define OPAL_HAVE_RDMACM 0/#define OPAL_HAVE_RDMACM 1/' \
        "$include/openmpi/opal_config.h" >"$dir/include/opal_config.h"
    gcc -shared -fPIC -O2 -w -ffile-prefix-map="$dir/src/tree/=" -mcx16 -DHAVE_CONFIG_H -o "$out" \
        -I"$dir/include" -I"$btl" -I"$dir/src/tree" -I"$dir/src/tree/opal/include" \
        -I"$include" -I"$include/openmpi" -I"$include/openmpi/opal/mca/event/external" -I/usr/include/infiniband \
        "$btl"/*.c "${cpc[@]}" "$TESTBED/openib-unload.c" \
        -Wl,-Bsymbolic -Wl,--exclude-libs,ALL -Wl,--wrap=ibv_open_device,--wrap=ibv_close_device \
        -Wl,--wrap=rdma_accept,--wrap=ibv_destroy_qp,--wrap=rdma_create_event_channel \
        -Wl,--wrap=mca_btl_openib_run_in_main \
        -L"$lib" -l:librdmacm.a -libverbs -l:libibverbs.a -l:libmca_common_verbs.so.40 \
        -l:libopen-pal.so.40 -lhwloc -levent_core -levent_pthreads -lnl-3 -lnl-route-3 -lm
}

openib_build() {
    openib_fetch "$1"
    openib_compile "$1" "$2/mca_btl_openib.so"
    cp "$1/src/tree/opal/mca/btl/openib/connect/help-mpi-btl-openib-cpc-rdmacm.txt" "$2/"
}

openib_prepare() {
    local dir
    dir=$CACHE/openib-$(package_version openmpi-bin)-$(cache_key "$TESTBED"/openib.sh \
        "$TESTBED"/openib-unload.c)
    if [[ ! -d $dir ]]; then
        say "building the openib component from Debian's source package"
        mkdir -p "$RUN/openib/out"
        quietly "$RUN/openib.log" openib_build "$RUN/openib" "$RUN/openib/out"
        cache_store "$RUN/openib/out" "$dir"
        rm -rf "$RUN/openib"
    fi
    OPENIB=$dir
}
