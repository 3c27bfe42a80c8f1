#!/usr/bin/env bash
# make distcheck: what make dist packs has all that it takes to build outside of a read-only tree, to test, to
# install below a DESTDIR, to uninstall and to clean up. And nothing that the repository has is left out.
# shellcheck source=tests/packages/lib.sh
. "$(dirname "$0")/lib.sh"

if [ -e "$TOP/.git" ]; then
    tar -tf "$(archive)" | sed 's|^[^/]*/||' | sort >"$DIR/packed"
    (cd "$TOP" && git ls-files) | grep -vxE '\.gitignore|\.ci/.*' | sort | comm -23 - "$DIR/packed" >"$DIR/left-out"
    [ ! -s "$DIR/left-out" ] || die "make dist leaves out: $(cat "$DIR/left-out")"
fi
mkdir "$DIR/tree" "$DIR/build"
tar -C "$DIR/tree" --strip-components=1 -xf "$(archive)"
NINJA_BUILD=$BUILD "$DIR/tree/tests/run" static || die "the tests do not run from the archive"

cd "$DIR/build"
"$DIR/tree/configure" >configure.log || die "$(tail -20 configure.log)"
make -j2 distcheck DISTCHECK_CONFIGURE_FLAGS=--enable-werror >distcheck.log 2>&1 ||
    die "$(grep -E '^(FAIL|ERROR)|\*\*\*|error:' distcheck.log; tail -20 distcheck.log; cat ninja-*/_build/sub/tests/*/test-suite.log)"
