#!/usr/bin/env bash
# Programs of one thread, run with MPI_THREAD_MULTIPLE and with a helper thread that serves the switch beside them.
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/lib.sh"
export THREAD_MULTIPLE=yes LINGER_MS=1 OMPI_MCA_crcp_ninja_helper_thread=1
survive begun_late 4 150 20
survive p2p 6 1500 10
survive communicators 4 200 10
export LINGER_MS=10
survive requests 3 30 10
