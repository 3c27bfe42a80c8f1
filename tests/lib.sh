# shellcheck shell=bash
# What the parts of the test suite share: packages, the build, and counting.

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD=${NINJA_BUILD:-$TOP/build-tests}
export TOP BUILD
# No settings and hooks of the machine that runs the tests.
export NINJA_CONFIG='' NINJA_HOOKS=false

# shellcheck disable=SC2034
PACKAGES=(gcc g++ make autoconf automake libtool pkg-config libevent-dev libjansson-dev libconfig-dev libsystemd-dev
    libibverbs-dev libpmix-dev libopenmpi-dev openmpi-bin python3-mpi4py zlib1g-dev libcmocka-dev shellcheck iproute2 gfortran
    valgrind jq socat procps tmux groff-base mandoc)

# What the part fuzz needs beside them.
# shellcheck disable=SC2034
FUZZ_PACKAGES=(clang libclang-rt-dev)

# What the part browser needs beside them.
# shellcheck disable=SC2034
BROWSER_PACKAGES=(chromium libxml2-utils)

# What the part packages needs beside them.
# shellcheck disable=SC2034
PACKAGING_PACKAGES=(debhelper lintian mmdebstrap rpm rpmlint systemd udev)

# Installs what is missing; quiet if nothing is.
install_packages() {
    local missing=() package
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
            missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return
    echo "installing ${missing[*]}"
    apt-get -qq update >/dev/null
    DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends \
        "${missing[@]}" >/dev/null
}

# build DIR CONFIGURE-OPTION...: configures and builds the tree in DIR.
build() {
    local dir=$1
    shift
    [ -x "$TOP/configure" ] && [ "$TOP/configure" -nt "$TOP/configure.ac" ] ||
        "$TOP/autogen.sh" >"$TOP/autogen.log" 2>&1 || { cat "$TOP/autogen.log"; return 1; }
    mkdir -p "$dir"
    (
        cd "$dir" || exit
        [ -f Makefile ] || "$TOP/configure" --enable-werror "$@" >configure.log 2>&1 ||
            { tail -20 configure.log; exit 1; }
        make -j2 >make.log 2>&1 || { grep -E 'error|warning' make.log || tail -20 make.log; exit 1; }
    )
}

passed=0 failed=0 skipped=0

# run_test NAME COMMAND...: runs it, with its output shown only if it fails.
run_test() {
    local name=$1 log status=0 begin=$SECONDS
    shift
    log=$(mktemp)
    "$@" >"$log" 2>&1 </dev/null || status=$?
    case $status in
    0) echo "ok      $name ($((SECONDS - begin)) s)"; passed=$((passed + 1)) ;;
    77) echo "skipped $name: $(tail -1 "$log")"; skipped=$((skipped + 1)) ;;
    *)
        echo "FAILED  $name (status $status, $((SECONDS - begin)) s)"
        tail -60 "$log" | sed 's/^/        /'
        failed=$((failed + 1))
        ;;
    esac
    rm -f "$log"
}
