#!/usr/bin/env bash
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/lib.sh"
export LINGER_MS=40
survive probes 2 80 20
survive probes 7 40 10
