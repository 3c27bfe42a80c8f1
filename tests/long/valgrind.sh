#!/usr/bin/env bash
# MPI processes under valgrind while they are switched for long.
# shellcheck source=tests/valgrind.sh
. "$(dirname "$0")/../valgrind.sh"

under_valgrind mixed 2 20
LINGER_MS=200 under_valgrind requests 3 5
under_valgrind communicators 2 60
