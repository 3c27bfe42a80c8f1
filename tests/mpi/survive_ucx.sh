#!/usr/bin/env bash
# The same on UCX, for the programs that have most to do with the PML; tests/long/ucx.sh runs them all.
export LAYER=ucx
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/lib.sh"
survive p2p 4 600 3
LINGER_MS=15 survive sendmodes 3 168 5
LINGER_MS=40 survive probes 4 20 5
LINGER_MS=20 survive requests 4 20 5
LINGER_MS=20 survive datatypes 3 60 3
LINGER_MS=40 survive completion 3 54 5
LINGER_MS=5 survive collectives 4 60 3
survive threads 4 1000 5
