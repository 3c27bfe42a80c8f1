#!/usr/bin/env bash
# What holds for jobs on pml/ob1 holds for those on UCX: every program, leaks, and 1,000 switches.
set -euo pipefail
cd "$(dirname "$0")/.."
export LAYER=ucx
for script in mpi/survive_*.sh mpi/no_growth.sh long/many_switches.sh; do
    [ "$script" != mpi/survive_ucx.sh ] || continue
    begin=$SECONDS
    "$script"
    echo "$script: $((SECONDS - begin)) s"
done
