#!/usr/bin/env bash
# With both of Open MPI's implementations of MPI-IO.
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/lib.sh"
export FILES_AT=$DIR/data
for implementation in ompio romio321; do
    OMPI_MCA_io=$implementation survive files 4 100 5
done
