#!/usr/bin/env bash
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/lib.sh"
export LINGER_MS=40
survive completion 2 108 10
survive completion 5 108 10
