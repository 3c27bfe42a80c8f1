#!/usr/bin/env bash
# A NAS kernel in the demo's VMs, over RDMA, Ethernet and RDMA again.
set -euo pipefail
cd "$(dirname "$0")/../.."
results=$(mktemp)
trap 'rm -f "$results"' EXIT
timeout 1800 bench/npb/run --vms --kernels is,cg --json >"$results"
jq -e '.results | length == 2 and all(.[]; .verified and .migrations == ["done", "done"] and .switches >= 2
    and .stall_ms.one_rank.longest > 0)' "$results" >/dev/null || { cat "$results"; exit 1; }
