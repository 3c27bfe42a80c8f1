#!/usr/bin/env bash
# The components in MPI processes, and the agent, with ASan and UBSan, while jobs are switched.
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/../mpi/lib.sh"
SANITIZED=$BUILD-mpi-sanitized
build "$SANITIZED" CFLAGS="-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer"

# ompi_info loads the components, too, with the runtime behind it; Open MPI itself leaks at exit
export ASAN_OPTIONS=detect_leaks=0:verify_asan_link_order=0
PRELOAD=$(gcc -print-file-name=libasan.so):$(gcc -print-file-name=libubsan.so)

# under_sanitizers PROGRAM RANKS ROUNDS HARASSER-OPTION...
under_sanitizers() {
    local program=$1 ranks=$2 rounds=$3
    shift 3
    "$TOP/tests/harass" --build "$SANITIZED" --limit 3000 "$@" -- mpirun --allow-run-as-root --oversubscribe \
        -x LD_PRELOAD="$PRELOAD" -np "$ranks" --mca btl "vader,tcp,self" "$BUILD/mpi/$program" "$rounds" \
        >"$DIR/job.log" || die "$program under sanitizers"
    cat "$DIR/job.log"
    tail -1 "$DIR/job.log" | jq -e '.switches >= 10' >/dev/null || die "hardly any switch"
}

under_sanitizers mixed 3 100 --sets 'tcp;vader,tcp;standby;best'
under_sanitizers mixed 4 40 --mode live --sets 'best;tcp'
under_sanitizers mixed 2 40 --mode paused
LINGER_MS=20 under_sanitizers requests 4 30
LINGER_MS=20 under_sanitizers probes 3 60 --sets 'vader;tcp'
under_sanitizers communicators 4 300
export THREAD_MULTIPLE=yes OMPI_MCA_crcp_ninja_helper_thread=1
LINGER_MS=1 under_sanitizers begun_late 3 100
under_sanitizers mixed 3 60 --sets 'tcp;vader,tcp;best'
