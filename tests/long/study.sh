#!/usr/bin/env bash
# The whole study, quickly: all parts are there, whole, and in the relation to each other that must hold anywhere.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=tests/lib.sh
. tests/lib.sh
install_packages build mpi figures
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
timeout 3000 bench/study --quick --out "$out" || { cat "$out"/log/*.log; exit 1; }
xmllint --noout "$out"/index.html "$out"/*.svg

# holds PART FILTER
holds() {
    jq -e --arg part "$1" ".parts[] | select(.part == \$part) | $2" "$out/study.json" >/dev/null ||
        { echo "not so in $1: $2"; cat "$out/$1.txt"; exit 1; }
}
jq -e '.parts | length == 6 and all(.[]; .failed == null)' "$out/study.json" >/dev/null
holds stages '.tables[0].rows | map(.[0]) == ["RDMA to RDMA", "RDMA to Ethernet", "Ethernet to RDMA", "Ethernet to Ethernet"]'
holds stages '.tables[0].rows | (.[0][3].value > 0 and .[2][3].value == 0 and .[0][5].value > 0 and .[1][5].value == 0)'
holds stages '.tables[1].rows | (.[0][2].value > 0 and .[3][2].value == 0)'
holds memory '.tables[0].rows | map([.[0], .[5].value]) | max_by(.[0])[1] > min_by(.[0])[1]'
# a paused job waits for the link, and one that runs live does not
holds links '.tables[0].rows | map(select(.[1] == "paused")) | .[-1][3].value - .[0][3].value > 2500'
holds links '.tables[0].rows | map(select(.[1] == "live")) | .[-1][7].value > 5000 and .[-1][3].value < .[-1][7].value / 2'
holds timeline '.tables[0].rows | map(.[0]) | length == 5'
holds timeline '.tables[0].rows | .[0][4] > .[2][4] and .[4][4] > .[2][4]'
holds scale '.tables[2].rows | length == 4 and (map(.[2]) | . == sort)'
holds scale '.tables[3].rows[-1] | .[0] == 1000 and .[5] == "extrapolated"'
