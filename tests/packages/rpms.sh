#!/usr/bin/env bash
# The spec file builds the packages that it says from the archive, with the same files as the Debian packages;
# they can be installed and erased. Without Fedora what cannot be tried: dependencies, scriptlets.
# shellcheck source=tests/packages/lib.sh
. "$(dirname "$0")/lib.sh"
SPEC=$TOP/packaging/ninja-migration.spec
FEDORA=(--load "$TOP/tests/packages/fedora.macros" --define "_topdir $DIR/rpmbuild" --define "_dbpath $DIR/db")

# built OPTION...: the packages that would be.
built() {
    rpmspec -q --builtrpms --queryformat '%{name} ' "${FEDORA[@]}" "$@" "$SPEC"
}

rpmlint --strict --config "$TOP/tests/packages/rpmlint.toml" "$SPEC"
[ "$(built)" = "ninja-migration-host ninja-migration-guest ninja-migration-doc " ] || die "would build $(built)"
[ "$(built --without guest)" = "ninja-migration-host ninja-migration-doc " ] || die "would build $(built --without guest)"

rpmbuild -tb --nodeps --nocheck "${FEDORA[@]}" "$(archive)" >"$DIR/log" 2>&1 || die "$(tail -40 "$DIR/log")"
mapfile -t rpms < <(find "$DIR/rpmbuild/RPMS" -name '*.rpm')
for rpm in "${rpms[@]}"; do
    name=$(rpm -qp --queryformat '%{name}' "$rpm")
    echo "$name"
    rpm -qp --queryformat '[%{FILEMODES:perms} %{FILENAMES}\n]' "$rpm" | awk '/^-/ {print $2}' | file_names >"$DIR/rpm"
    dpkg-deb -c "$(deb "${name#ninja-migration-}")" | awk '/^-/ {print $6}' | file_names | diff - "$DIR/rpm"
done

root=$DIR/root
rpm --root "$root" --initdb
rpm --root "$root" --nodeps --noscripts -i "${rpms[@]}"
rpm --root "$root" -Va --nodeps --noscripts
[ -x "$root/usr/bin/ninjactl" ] && [ -d "$root/etc/ninja/agent.d" ] || die "not all is installed"
rpm --root "$root" --nodeps --noscripts -e ninja-migration-{host,guest,doc}
left=$(find "$root" -name "*ninja*" -printf '%P\n')
[ -z "$left" ] || die "left behind: $left"
