#!/usr/bin/env bash
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/lib.sh"
export LINGER_MS=15
survive sendmodes 3 336 20
survive sendmodes 8 168 10
