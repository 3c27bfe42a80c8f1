#!/usr/bin/env bash
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/lib.sh"
export LINGER_MS=20
survive edges 3 40 10
survive edges 6 20 5
