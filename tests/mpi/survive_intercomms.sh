#!/usr/bin/env bash
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/lib.sh"
export LINGER_MS=10
survive intercomms 2 120 8
survive intercomms 6 60 5
