#!/usr/bin/env bash
# Everything over TLS: ninjactl's connections to the hosts, theirs to each other, and the memory of a VM, there and
# back. A host whose certificate has another name gets nothing, and the VM stays where it was.
set -euo pipefail
# shellcheck source=tests/libvirt/cluster.sh
. "$(dirname "$0")/cluster.sh"
VMS=(vm1)
PKI= # as ninjactl finds its certificates

pki() { openssl "$@" 2>>"$RUN/openssl.log" || { cat "$RUN/openssl.log"; die "openssl $1 failed"; }; }

# certificate DIRECTORY NAME ADDRESS: signed by the test's authority, as libvirt and as QEMU name their files.
certificate() {
    local file
    mkdir -p "$1"
    pki req -newkey rsa:2048 -nodes -keyout "$1/key.pem" -out "$1/request.pem" -subj "/CN=$2"
    printf 'subjectAltName = DNS:%s, IP:%s\nextendedKeyUsage = serverAuth, clientAuth\n' "$2" "$3" >"$1/extensions"
    pki x509 -req -in "$1/request.pem" -days 2 -extfile "$1/extensions" -out "$1/cert.pem" \
        -CA "$RUN/authority.pem" -CAkey "$RUN/authority-key.pem" -CAcreateserial
    for file in ca-cert.pem cacert.pem; do cp "$RUN/authority.pem" "$1/$file"; done
    for file in server- client- client; do
        cp "$1/cert.pem" "$1/${file}cert.pem"
        cp "$1/key.pem" "$1/${file}key.pem"
    done
}

# Each host is configured as always, and for TLS.
eval "configured_plainly() $(declare -f libvirt_configure | tail -n +2)"
libvirt_configure() {
    local etc
    configured_plainly "$1"
    etc=$(libvirt_dir "$1")/etc
    [[ -e $RUN/authority.pem ]] ||
        pki req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=test" -keyout "$RUN/authority-key.pem" -out "$RUN/authority.pem"
    certificate "$etc/pki" "$(libvirt_name "$1")" "$(libvirt_address "$1")"
    sed -i 's/^listen_tls = 0/listen_tls = 1/' "$etc/libvirtd.conf"
    printf '%s = "/etc/libvirt/pki/%s"\n' key_file key.pem cert_file cert.pem ca_file cacert.pem >>"$etc/libvirtd.conf"
    printf 'default_tls_x509_cert_dir = "/etc/libvirt/pki"\ndefault_tls_x509_verify = 1\n' >>"$etc/qemu.conf"
}

# use_tls N: in the cluster file.
use_tls() {
    sed -i "s|uri = \"$(libvirt_uri "$1")\";|uri = \"qemu+tls://$(libvirt_address "$1")/system?pkipath=$PKI\"; \
peer-uri = \"qemu+tls://$(libvirt_name "$1")/system?pkipath=/etc/libvirt/pki\"; tls = \"$(libvirt_name "$1")\";|" "$CLUSTER"
    grep -q "tls = \"$(libvirt_name "$1")\"" "$CLUSTER" || die "the cluster file is not as it was"
}

move() { ninjactl migrate "$(site_of "$1")" >"$RUN/output" 2>&1; }

cluster_up
PKI=$RUN/pki
certificate "$PKI" coordinator 127.0.0.1
for n in "${LIBVIRT_HOSTS[@]}"; do use_tls "$n"; done
ninjactl check || die "check finds fault with it"
move 2 || { cat "$RUN/output"; die "not moved"; }
all_at 2
say "moved over TLS"

sed -i 's/tls = "ninja-host-1"/tls = "another-host"/' "$CLUSTER"
status=0
move 1 || status=$?
((status == 3)) && grep -q 'TLS' "$RUN/output" || { cat "$RUN/output"; die "exit status $status"; }
all_at 2
say "a host whose certificate has another name gets nothing"

sed -i 's/tls = "another-host"/tls = "ninja-host-1"/' "$CLUSTER"
move 1 || { cat "$RUN/output"; die "not moved back"; }
all_at 1
say "moved back over TLS"
