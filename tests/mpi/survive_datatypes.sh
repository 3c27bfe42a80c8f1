#!/usr/bin/env bash
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/lib.sh"
export LINGER_MS=20
survive datatypes 2 243 10
survive datatypes 5 120 5
