#!/usr/bin/env bash
# The NAS kernels: they verify, they notice wrong results, and so does what runs them.
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/lib.sh"
NPB=$TOP/bench/npb

npb() {
    NINJA_BUILD=$BUILD "$NPB/run" --json "$@" >"$DIR/results.json"
}

# all FILTER: holds for each result.
all() {
    jq -e "all(.results[]; $1)" "$DIR/results.json" >/dev/null || die "not for all: $1: $(cat "$DIR/results.json")"
}

npb --stock --ranks 4 || die "a kernel does not verify: $(cat "$DIR/results.json")"
all '.verified and .mode == "stock" and .ranks == 4 and .seconds > 0 and .mop_s > 0'
[ "$(jq -c '.results | map(.kernel)' "$DIR/results.json")" = '["is","ep","cg","mg","ft"]' ] || die "not all kernels were run"

# refused WHAT RANKS KERNEL ARGUMENT...: with 64 and a message
refused() {
    local what=$1 ranks=$2 kernel=$3 status=0
    shift 3
    timeout 100 "${MPIRUN[@]}" -np "$ranks" "$BUILD/npb/$kernel" "$@" >"$DIR/job.log" 2>&1 || status=$?
    [ $status -eq 64 ] && grep -q "$what" "$DIR/job.log" || die "$kernel $* on $ranks ranks ended with $status"
}
for kernel in is cg mg ft; do
    refused 'power of two' 3 $kernel S
done
refused usage 1 ep Q
refused usage 1 ep S --seconds 1x

# wrong KERNEL FROM TO SOURCE...: one that computes something else must not verify
OPTIONS=()
wrong() {
    local kernel=$1 from=$2 to=$3 status=0
    shift 3
    rm -rf "$DIR/wrong"
    mkdir "$DIR/wrong"
    cp "$NPB"/*.[ch] "$DIR/wrong"
    sed -i "s/$from/$to/" "$DIR/wrong/$kernel.c"
    ! cmp -s "$NPB/$kernel.c" "$DIR/wrong/$kernel.c" || die "there is no $from in $kernel.c"
    (cd "$DIR/wrong" && mpicc -std=gnu11 -w -o "$kernel" "$@" npb.c -lm)
    timeout 100 "${MPIRUN[@]}" -np 2 "$DIR/wrong/$kernel" S "${OPTIONS[@]}" >"$DIR/job.log" 2>&1 || status=$?
    [ $status -eq 1 ] && grep -q 'Verification .* UNSUCCESSFUL$' "$DIR/job.log" || die "a wrong $kernel ended with $status"
}
wrong is 'max_key \/ 4' 'max_key \/ 16' is.c
wrong ep MPI_SUM MPI_MAX ep.c
wrong cg 'shift + 1' 'shift - 1' cg.c cg_matrix.c
wrong mg '1.0 \/ 32' '1.0 \/ 33' mg.c mg_grid.c
# right each time, but not the same; long enough for several times also on a busy machine
OPTIONS=(--seconds 8)
wrong ep 'sums\[i\] = 0;' 'sums[i] = 1e-9 * fmod(MPI_Wtime(), 1);' ep.c
grep -q 'differs from the first' "$DIR/job.log" || die "the repetitions are not compared"
OPTIONS=()
wrong ft 'ALPHA \+1e-6' 'ALPHA 1.0001e-6' ft.c ft_fft.c

# binaries of somebody else: found by their names, and what they say counts
mkdir "$DIR/bin"
say() {
    printf '#!/bin/sh\nprintf " Time in seconds = 0.5\\n Mop/s total = 7.0\\n Verification = %s\\n"\n' "$2" >"$DIR/bin/$1"
    chmod +x "$DIR/bin/$1"
}
say cg.S.2 SUCCESSFUL
say mg.S.x UNSUCCESSFUL
npb --stock --ranks 2 --npb-bin "$DIR/bin" --kernels cg || die "cg.S.2 is not right"
all '.verified and .seconds == 0.5 and .mop_s == 7'
! npb --stock --ranks 2 --npb-bin "$DIR/bin" --kernels cg,mg 2>"$DIR/errors" || die "mg.S.x is right"
[ "$(jq -c '.results | map(.verified)' "$DIR/results.json")" = '[true,false]' ] || die "wrong verdicts"
! npb --stock --ranks 2 --npb-bin "$DIR/bin" --kernels ft 2>"$DIR/errors" || die "found an ft"
grep -q 'ft.S.2' "$DIR/errors" || die "does not say what is missing"

# under ninja, and not if it cannot be
npb --kernels is --ranks 2 || die "is does not verify under ninja"
all '.verified and .mode == "ninja"'
! OMPI_MCA_hook=^ninja npb --kernels is --ranks 2 2>"$DIR/errors" || die "ran without ninja"
grep -q 'did not run under ninja' "$DIR/errors" || die "does not notice that ninja is not there: $(cat "$DIR/errors")"

# a kernel that no switch came to has not survived one
! npb --migrate --ranks 2 --kernels is --seconds 0 --at 60000 2>"$DIR/errors" || die "survived no switch"
all '.verified and .switches == 0'

# what is wrong is told apart: the arguments, and a kernel
status=0
npb --migrate --kernels is --sets bogus 2>"$DIR/errors" || status=$?
[ $status -eq 64 ] && grep -q '"bogus" is not installed' "$DIR/errors" || die "status $status for a set that is not there"
status=0
npb --migrate --ranks 3 --kernels is 2>"$DIR/errors" || status=$?
[ $status -eq 1 ] && grep -q 'power of two' "$DIR/errors" || die "status $status for is on 3 ranks"

# two that are switched, with what they saw of it themselves
npb --migrate --kernels is,cg --ranks 4 --seconds 4 --every 200 --seed 7 2>"$DIR/errors" ||
    die "did not survive: $(cat "$DIR/results.json" "$DIR/errors")"
all '.verified and .switches > 0 and .failed == 0 and .runs > 1'
all '.stall_ms | .all_ranks.median > 0 and .one_rank.median >= .all_ranks.median and
    .all_ranks.median <= 2 * .reported.median + 50 and
    .all_ranks.median >= (.reported.median - .waiting_for_ranks.max) / 2 - 20'
jq -r '.results[] | "\(.kernel): \(.switches) switches; stall \(.stall_ms.reported.median) ms, seen \(.stall_ms.all_ranks.median)"' "$DIR/results.json"
