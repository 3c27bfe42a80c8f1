#!/usr/bin/env bash
# Messages of more than 2 GiB under switches.
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/../mpi/lib.sh"
NEEDED_KB=7000000
available=$(awk '/^MemAvailable/ {print $2}' /proc/meminfo)
if [ "$available" -lt $NEEDED_KB ]; then
    echo "needs $NEEDED_KB kB of memory, and there are $available"
    exit 77
fi
export JOB_LIMIT=1800
survive large_count 2 8 2
