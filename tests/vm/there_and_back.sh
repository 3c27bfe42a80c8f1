#!/usr/bin/env bash
# The demo's whole cycle: a running job on RDMA, both VMs to the Ethernet site and back.
set -euo pipefail
cd "$(dirname "$0")/../.."
report=$(mktemp -d)
trap 'rm -rf "$report"' EXIT
timeout 1500 examples/demo --iterations 1500 --report "$report"
jq -e '.cycles[0] | .program.identical and (.migrations | map(.transport_after.transport) == ["tcp", "openib"])' \
    "$report/report.json" >/dev/null || { echo "report.json does not say what the demo said"; exit 1; }
