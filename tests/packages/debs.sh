#!/usr/bin/env bash
# The Debian packages are as Debian wants them, have all that is installed, and are built twice to the same bits.
# shellcheck source=tests/packages/lib.sh
. "$(dirname "$0")/lib.sh"

TMPDIR=$DIR lintian --allow-root --fail-on error,warning "$PACKAGES_DIR"/debs/*.changes
version=$(sed -n 's/^AC_INIT(.*\[\(.*\)\])$/\1/p' "$TOP/configure.ac")
[ "$(dpkg-deb -f "$(deb host)" Version)" = "$version" ] || die "debian/changelog is not of the version $version"

make -C "$BUILD" install DESTDIR="$DIR/installed" >/dev/null
find "$DIR/installed" -type f ! -name '*.la' | file_names >"$DIR/expected"
for name in host libvirt guest libninja0 libninja-dev doc; do
    dpkg-deb -c "$(deb $name)" | awk '/^-/ {print $6}'
done | file_names | diff "$DIR/expected" -

build_debs "$DIR/somewhere/else" >"$DIR/log" 2>&1 || die "$(tail -20 "$DIR/log")"
for first in "$PACKAGES_DIR"/debs/*.deb; do
    cmp "$first" "$DIR/somewhere/else/${first##*/}"
done
