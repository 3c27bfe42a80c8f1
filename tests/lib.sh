# shellcheck shell=bash
# What the parts of the test suite share: the build, and counting.

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD=${NINJA_BUILD:-$TOP/build-tests}
export TOP BUILD
# No settings and hooks of the machine that runs the tests.
export NINJA_CONFIG='' NINJA_HOOKS=false

# shellcheck source=packaging/packages.sh
. "$TOP/packaging/packages.sh"

# components_of BUILD: where the components for Open MPI are in it, for mca_base_component_path.
components_of() {
    printf '%s' "$1/ompi/mca/crcp/ninja/.libs:$1/ompi/mca/hook/ninja/.libs:$1/ompi/mca/pml/ninja_ucx/.libs"
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
NO_SKIPS=

# run_test NAME COMMAND...: runs it, with its output shown only if it fails. A status of 77 is a skip.
run_test() {
    local name=$1 log status=0 begin=$SECONDS
    shift
    log=$(mktemp)
    "$@" >"$log" 2>&1 </dev/null || status=$?
    [ "$status" -ne 77 ] || [ -z "$NO_SKIPS" ] || { echo "skipped, but nothing may be" >>"$log"; status=1; }
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
