#!/usr/bin/env bash
# The spec file builds the packages that it says from the archive, with the same files as the Debian packages;
# they can be installed and erased. Without Fedora what cannot be tried: dependencies, scriptlets.
# shellcheck source=tests/packages/lib.sh
. "$(dirname "$0")/lib.sh"
SPEC=$TOP/packaging/ninja-migration.spec
declare -A DEB_NAMES=([libs]=libninja0 [devel]=libninja-dev) # where a distribution has rules of its own
FEDORA=(--load "$TOP/tests/packages/fedora.macros" --define "_topdir $DIR/rpmbuild" --define "_dbpath $DIR/db")

# built OPTION...: the packages that would be.
built() {
    rpmspec -q --builtrpms --queryformat '%{name} ' "${FEDORA[@]}" "$@" "$SPEC"
}

rpmlint --strict --config "$TOP/tests/packages/rpmlint.toml" "$SPEC"
# builds PACKAGES OPTION...
builds() {
    local packages
    packages=$(built "${@:2}")
    [ "$packages" = "$(printf 'ninja-migration-%s ' $1)" ] || die "with \"${*:2}\" it would build $packages"
}

builds "host libvirt guest libs devel doc"
builds "host libvirt libs devel doc" --without guest
builds "host guest libs devel doc" --without libvirt

rpmbuild -tb --nodeps --nocheck "${FEDORA[@]}" "$(archive)" >"$DIR/log" 2>&1 || die "$(tail -40 "$DIR/log")"
mapfile -t rpms < <(find "$DIR/rpmbuild/RPMS" -name '*.rpm')
for rpm in "${rpms[@]}"; do
    name=$(rpm -qp --queryformat '%{name}' "$rpm")
    echo "$name"
    rpm -qp --queryformat '[%{FILEMODES:perms} %{FILENAMES}\n]' "$rpm" | awk '/^-/ {print $2}' | file_names >"$DIR/rpm"
    name=${name#ninja-migration-}
    dpkg-deb -c "$(deb "${DEB_NAMES[$name]:-$name}")" | awk '/^-/ {print $6}' | file_names | diff - "$DIR/rpm"
done

root=$DIR/root
rpm --root "$root" --initdb
rpm --root "$root" --nodeps --noscripts -i "${rpms[@]}"
rpm --root "$root" -Va --nodeps --noscripts
[ -x "$root/usr/bin/ninjactl" ] && [ -d "$root/etc/ninja/agent.d" ] || die "not all is installed"
rpm --root "$root" --nodeps --noscripts -e ninja-migration-{host,libvirt,guest,libs,devel,doc}
left=$(find "$root" -name "*ninja*" -printf '%P\n')
[ -z "$left" ] || die "left behind: $left"
