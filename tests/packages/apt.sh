#!/usr/bin/env bash
# install_packages, with an archive and a system of its own: quiet when nothing is missing, it waits for who holds
# the locks, lists that cannot be had anew do not matter, and a package that cannot be had is named.
# shellcheck source=tests/packages/lib.sh
. "$(dirname "$0")/lib.sh"

mkdir -p "$DIR"/{archive,system,etc/apt.conf.d,etc/preferences.d,state/lists/partial,cache/archives/partial}
mkdir -p "$DIR"/system/var/lib/dpkg/{updates,info,triggers}
touch "$DIR/system/var/lib/dpkg/status" "$DIR/state/extended_states"
echo "deb [trusted=yes] copy:$DIR/archive ./" >"$DIR/etc/sources.list"
cat >"$DIR/apt.conf" <<END
Dir::Etc "$DIR/etc";
Dir::State "$DIR/state";
Dir::State::status "$DIR/system/var/lib/dpkg/status";
Dir::Cache "$DIR/cache";
Dir::Log "$DIR";
Dir::Etc::parts "$DIR/etc/apt.conf.d";
APT::Sandbox::User "root";
DPkg::Options { "--root=$DIR/system"; "--force-script-chrootless"; };
END
export APT_CONFIG=$DIR/apt.conf DPKG_ADMINDIR=$DIR/system/var/lib/dpkg

# package NAME: a package without content, in the archive.
package() {
    mkdir -p "$DIR/made/$1/DEBIAN"
    printf '%s\n' "Package: $1" "Version: 1" "Architecture: all" "Maintainer: nobody <nobody@example.org>" \
        "Description: for a test" >"$DIR/made/$1/DEBIAN/control"
    dpkg-deb -b "$DIR/made/$1" "$DIR/archive/$1.deb" >/dev/null
}

index() {
    (cd "$DIR/archive" && dpkg-scanpackages . 2>/dev/null >Packages)
}

for name in ninja-one ninja-two ninja-three ninja-lost; do package $name; done
index
rm "$DIR/archive/ninja-lost.deb" # the mirror says that it has it
PACKAGES=([one]=ninja-one [two]="ninja-one ninja-two" [three]=ninja-three [lost]=ninja-lost [unknown]="ninja-one ninja-unknown")

# expect STATUS GROUP...: with what it says in $SAID.
expect() {
    local wanted=$1 status=0
    shift
    SAID=$(install_packages "$@" 2>&1) || status=$?
    [ $status -eq "$wanted" ] || die "install_packages $*: status $status, expected $wanted: $SAID"
}

says() {
    [[ $SAID == *"$1"* ]] || die "expected \"$1\" in: $SAID"
}

expect 0 one
says "installing ninja-one"
expect 0 one
[ -z "$SAID" ] || die "it should say nothing: $SAID"

# Somebody else's apt holds each of the locks for a while.
for lock in state/lists/lock cache/archives/lock system/var/lib/dpkg/lock-frontend system/var/lib/dpkg/lock; do
    python3 -c 'import fcntl, sys, time
with open(sys.argv[1], "a") as file:
    fcntl.lockf(file, fcntl.LOCK_EX)
    open(sys.argv[2], "w")
    time.sleep(4)' "$DIR/$lock" "$DIR/held" &
    until [ -e "$DIR/held" ]; do sleep 0.05; done
    expect 0 two
    says "installing ninja-two"
    dpkg --root="$DIR/system" --force-script-chrootless --remove ninja-two >/dev/null
    wait
    rm "$DIR/held"
done

# The lists cannot be had anew, but those that there are do.
mv "$DIR/archive/Packages" "$DIR/Packages"
expect 0 two
mv "$DIR/Packages" "$DIR/archive/Packages"

expect 1 lost
says "ninja-lost"
says "could not be installed: ninja-lost"
expect 1 unknown
says "Unable to locate package ninja-unknown"
says "could not be installed: ninja-unknown"
expect 1 no-such-group
says "there is no such group"
