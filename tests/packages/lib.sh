# shellcheck shell=bash
# What the tests of the packages share. What is built to be tested lies in the build directory's packages/,
# all else in one temporary directory that ends with the script.
set -euo pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

PACKAGES_DIR=$BUILD/packages
DIR=$(mktemp -d "${TMPDIR:-/tmp}/ninja-packages.XXXXXX")

clean_up() {
    chmod -R u+w "$DIR" # distcheck's sources are read-only
    rm -rf --one-file-system "$DIR"
}
trap clean_up EXIT

die() {
    echo "$*"
    exit 1
}

# The archive that make dist left.
archive() {
    echo "$PACKAGES_DIR"/ninja-migration-*.tar.gz
}

# build_debs DIR: unpacks the archive there and builds the binary packages.
build_debs() {
    mkdir -p "$1"
    tar -C "$1" -xf "$(archive)"
    (
        cd "$1"/ninja-migration-*/ || exit
        DEB_BUILD_OPTIONS="nocheck parallel=2" dpkg-buildpackage -us -uc -b
    )
}

# deb NAME: the file of that package, by the part of its name that tells it from the others.
deb() {
    case $1 in
    libninja*) echo "$PACKAGES_DIR/debs/$1"_*.deb ;;
    *) echo "$PACKAGES_DIR/debs/ninja-migration-$1"_*.deb ;;
    esac
}

# file_names: the names alone of the paths on standard input, less what a package adds to what was installed.
file_names() {
    sed '/lintian\/overrides/d; s|.*/||; s/\.gz$//' | grep -vxE 'changelog|copyright|LICENSE' | sort -u
}
