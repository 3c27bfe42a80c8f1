#!/usr/bin/env bash
# MPI processes under valgrind while they are switched to each kind of list: a short run of what tests/long does.
# shellcheck source=tests/valgrind.sh
. "$(dirname "$0")/../valgrind.sh"

under_valgrind mixed 2 6 4
