# All parts of the test bed, and the way from a fresh machine to two VMs that run.
# shellcheck shell=bash disable=SC2034

for part in common kernel openib image accel net vm ninja job measure; do
    # shellcheck source=/dev/null
    . "$(dirname "${BASH_SOURCE[0]}")/$part.sh"
done
unset part
# shellcheck source=packaging/packages.sh
. "$TREE/packaging/packages.sh"

# testbed_up [DEVICE-OF-ETH]: the cluster file's device at the site eth, for tests.
testbed_up() {
    need_root
    cleanup_arm
    install_packages build demo
    kernel_prepare
    openib_prepare
    ninja_prepare
    job_build
    image_build "$JOB_PROGRAM" "$INSTALLED"
    accel_choose
    settings_write
    net_up
    cluster_write "${1:-none}"
    vms_boot
}
