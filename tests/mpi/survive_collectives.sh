#!/usr/bin/env bash
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/lib.sh"
export LINGER_MS=5
survive collectives 2 250 8
survive collectives 4 300 10
survive collectives 7 200 5
