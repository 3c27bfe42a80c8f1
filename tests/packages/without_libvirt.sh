#!/usr/bin/env bash
# The Debian packages of a build without libvirt: the driver says that it is not there, and nothing needs libvirt.
# shellcheck source=tests/packages/lib.sh
. "$(dirname "$0")/lib.sh"

DEB_BUILD_PROFILES=pkg.ninja-migration.nolibvirt build_debs "$DIR/built" >"$DIR/log" 2>&1 || die "$(tail -20 "$DIR/log")"
names=$(for file in "$DIR"/built/*.deb; do dpkg-deb -f "$file" Package; done | grep -v dbgsym | xargs)
[ "$names" = "libninja-dev libninja0 ninja-migration-doc ninja-migration-guest ninja-migration-host" ] || die "it built $names"
host=$(echo "$DIR"/built/ninja-migration-host_*.deb)
! dpkg-deb -f "$host" Depends | grep libvirt || die "the host package depends on libvirt"
dpkg-deb -x "$host" "$DIR/host"
[ ! -e "$DIR/host/usr/libexec/ninja-migration/ninja-libvirt" ] || die "it has ninja-libvirt"
cat >"$DIR/cluster.conf" <<'END'
driver = "libvirt";
vms = ( { name = "vm1"; } );
sites = ( { name = "here"; uri = "qemu:///system"; vms = ( { name = "vm1"; } ); } );
END
! "$DIR/host/usr/bin/ninjactl" status --cluster "$DIR/cluster.conf" >"$DIR/said" 2>&1 || die "it has a status"
grep -q "this build has no libvirt" "$DIR/said" || die "it says something else: $(cat "$DIR/said")"
