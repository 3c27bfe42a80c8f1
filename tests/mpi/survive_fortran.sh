#!/usr/bin/env bash
# By the module mpi_f08, and by mpif.h.
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/lib.sh"
survive modern_fortran 4 1500 5
survive old_fortran 4 4000 5
