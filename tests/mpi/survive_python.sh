#!/usr/bin/env bash
# By mpi4py, which asks for MPI_THREAD_MULTIPLE and loads the MPI library as a plugin.
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/lib.sh"
survive objects 4 100 5
