# KVM or not: a machine may let /dev/kvm be opened and yet never get a kernel to run on it, so a
# guest kernel is booted for a moment to see. The answer holds until the machine boots again.
# shellcheck shell=bash disable=SC2034

ACCEL=
ACCEL_PROBE_SECONDS=15

accel_probe() {
    local console=$RUN/probe.console
    timeout -k 1 "$ACCEL_PROBE_SECONDS" qemu-system-x86_64 -nodefaults -no-user-config -display none \
        -machine q35 -accel kvm -cpu host -m 256 -kernel "$KERNEL" -initrd "$IMAGE" -no-reboot \
        -append "console=ttyS0 quiet panic=-1 ninja.probe=1" -serial "file:$console" \
        >"$RUN/probe.log" 2>&1 || true
    grep -q 'ninja-guest: probed' "$console" 2>/dev/null
}

accel_choose() {
    local answer
    answer=$CACHE/kvm-$(tr -d - </proc/sys/kernel/random/boot_id)
    ACCEL=tcg,thread=multi
    if [[ -w /dev/kvm ]]; then
        if [[ ! -e $answer ]]; then
            say "trying whether KVM boots a guest (at most $ACCEL_PROBE_SECONDS s)"
            rm -f "$CACHE"/kvm-*
            if accel_probe; then echo yes >"$answer"; else echo no >"$answer"; fi
        fi
        [[ $(<"$answer") == yes ]] && ACCEL=kvm
    fi
    return 0
}
