#!/usr/bin/env bash
# Programs that Debian packages, switched as fast as it goes while they run: their results must be those of a
# run without. tests/long/real_programs.sh [NAME]...: only those; ROUNDS=N does each N times.
#
# The test suite of mpi4py is in its source only, which is got by apt-get source where there is one, or is in
# $MPI4PY_TESTS; else this part is left out, and said so.
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/../mpi/lib.sh"
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
JOB_LIMIT=3000
cd "$DIR"

# harassed LEAST COMMAND...: what it prints goes to harassed.out, the harasser's line to standard output.
harassed() {
    local least=$1
    shift
    "$TOP/tests/harass" --build "$BUILD" --limit "$JOB_LIMIT" -- "$@" >harassed.all 2>harassed.err ||
        { tail -60 harassed.err; tail -20 harassed.all; die "$NAME did not survive"; }
    tail -1 harassed.all
    head -n -1 harassed.all >harassed.out
    [ "$(tail -1 harassed.all | jq .switches)" -ge "$least" ] || die "$NAME: fewer than $least switches"
}

# same FILTER LEAST COMMAND...: what the filter leaves of the output must be the same.
same() {
    local filter=$1 least=$2
    shift 2
    timeout "$JOB_LIMIT" "$@" >plain.out 2>plain.err || { tail -20 plain.out plain.err; die "$NAME fails without switches, too"; }
    harassed "$least" "$@"
    cat plain.err >>plain.out
    cat harassed.err >>harassed.out
    $filter <plain.out >plain.result
    $filter <harassed.out >harassed.result
    [ -s plain.result ] || die "$NAME: no result was found in its output"
    diff plain.result harassed.result || die "$NAME: the result differs"
}

run_on() {
    local ranks=$1
    shift
    COMMAND=("${MPIRUN[@]}" -np "$ranks" --mca pml ob1 --mca btl "vader,tcp,self" "$@")
}

# --- LAMMPS: a melt, every digit of the energies ------------------------------------------------

thermo_lines() {
    grep -E '^ +[0-9]+( +-?[0-9.e+-]+){4} *$'
}

lammps() {
    cat >melt.in <<'END'
units lj
atom_style atomic
lattice fcc 0.8442
region box block 0 12 0 12 0 12
create_box 1 box
create_atoms 1 box
mass 1 1.0
velocity all create 3.0 87287 loop geom
pair_style lj/cut 2.5
pair_coeff 1 1 1.0 1.0 2.5
neighbor 0.3 bin
neigh_modify every 20 delay 0 check no
fix 1 all nve
thermo_style custom step temp epair etotal press
thermo_modify format float %20.15g
thermo 50
run 3000
END
    run_on 4 lmp -in melt.in -log none
    same thermo_lines 100 "${COMMAND[@]}"
}

# --- HPC Challenge: all its own checks ----------------------------------------------------------

hpcc_checks() {
    cat >/dev/null # it writes to a file
    grep -oE '[0-9]+ tests completed and (passed|failed) residual checks|^Success=.*|^MPIRandomAccess(_LCG)?_Errors=.*|Node\(s\) with error .*|Solution Validates' hpccoutf.txt
    mv hpccoutf.txt "hpcc.$SRANDOM"
}

hpcc_keeping_output() {
    rm -f hpccoutf.txt
    timeout "$JOB_LIMIT" "${COMMAND[@]}" >plain.out 2>&1 || { tail -20 plain.out; die "hpcc fails without switches, too"; }
    hpcc_checks </dev/null >plain.result
    harassed 100 "${COMMAND[@]}"
    hpcc_checks </dev/null >harassed.result
    grep -qx 'Success=1' plain.result || die "hpcc: no result was found in its output"
    diff plain.result harassed.result || die "hpcc: the result differs"
}

hpcc() {
    sed 's/^1000  /1500  /' /usr/share/doc/hpcc/examples/_hpccinf.txt >hpccinf.txt
    run_on 4 /usr/bin/hpcc
    hpcc_keeping_output
}

# --- NetPIPE: its integrity check for each size -------------------------------------------------

# Word for word, as another rank may speak in the middle of a line.
integrity() {
    grep -oE '[0-9]+: +[0-9]+ bytes|Integrity check [a-z]+|[Ff]ail.*|corrupt.*'
}

netpipe() {
    local options
    for options in '' '-a -z' '-S'; do
        # shellcheck disable=SC2086 # options are words
        run_on 2 NPopenmpi -i -u 2000000 -n 300 -o /dev/null $options
        same integrity 30 "${COMMAND[@]}"
    done
}

# --- NWChem: quantum chemistry on Global Arrays, which are windows ------------------------------

# To 8 decimals: who is given which part of a sum is a matter of time, so the last ones are not the same twice.
energies() {
    grep -oE 'Total (SCF|DFT) energy += +-[0-9]+\.[0-9]{8}'
}

nwchem() {
    cat >water.nw <<'END'
start water
memory total 400 mb
geometry units angstrom
 O 0.0 0.0 0.0
 H 0.0 0.757 0.587
 H 0.0 -0.757 0.587
 O 0.0 0.0 2.9
 H 0.0 0.757 3.487
 H 0.0 -0.757 3.487
end
basis
 * library 6-31g*
end
scf
 direct
end
task scf gradient
dft
 xc b3lyp
end
task dft energy
END
    run_on 4 nwchem.openmpi water.nw
    same energies 50 "${COMMAND[@]}"
}

# --- OpenCoarrays' tests: Fortran's own parallelism, also on windows ----------------------------

# Those that pass three times; some are racy, and some kill images.
coarray_tests() {
    local test _
    for test in /usr/lib/*/open-coarrays/openmpi/bin/OpenCoarrays-*-tests/*; do
        [ -f "$test" ] && [ -x "$test" ] && [[ $test != *image_fail* ]] || continue
        run_on 4 --mca osc sm,pt2pt "$test"
        for _ in 1 2 3; do
            timeout 60 "${COMMAND[@]}" >/dev/null 2>&1 </dev/null || continue 2
        done
        printf '%s\n' "$test"
    done
}

coarrays() {
    coarray_tests >tests.list
    [ "$(wc -l <tests.list)" -ge 30 ] || die "coarrays: too few tests pass without switches"
    run_on 4
    {
        printf 'M=('
        printf '%q ' "${COMMAND[@]}"
        # shellcheck disable=SC2016 # it is the script's
        printf ')\nwhile read -r t; do\n timeout 120 "${M[@]}" "$t" </dev/null || { echo "$t failed"; exit 1; }\ndone <tests.list\n'
    } >all.bash
    harassed 100 bash all.bash
}

# --- mpi4py's test suite ------------------------------------------------------------------------

find_mpi4py_tests() {
    [ -z "${MPI4PY_TESTS:-}" ] || return 0
    mkdir -p apt/lists/partial apt/parts
    sed 's/^Types: .*/Types: deb-src/' /etc/apt/sources.list.d/debian.sources >apt/parts/source.sources 2>/dev/null || return 1
    local options=(-qq -o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$DIR/apt/parts"
        -o "Dir::State::lists=$DIR/apt/lists")
    timeout 300 apt-get "${options[@]}" update >apt.log 2>&1 &&
        timeout 300 apt-get "${options[@]}" source mpi4py >>apt.log 2>&1 || return 1
    MPI4PY_TESTS=$(realpath mpi4py-*/test)
}

verdicts() {
    sed -nE 's/^(Ran [0-9]+ tests).*/\1/p; /^(OK|FAILED|FAIL:|ERROR:)/p' | sort
}

mpi4py() {
    find_mpi4py_tests || { echo "mpi4py: left out, its source cannot be got (set MPI4PY_TESTS to its folder test)"; return 0; }
    local threads
    for threads in --no-threads --threads; do
        # spawning ones hang in this version without switches, too
        run_on 4 /usr/bin/python3 "$MPI4PY_TESTS/runtests.py" --no-builddir -q $threads -e spawn -e dynproc
        if [ "$threads" = --no-threads ]; then
            OMPI_MCA_osc=sm,pt2pt same verdicts 100 "${COMMAND[@]}"
        else
            same verdicts 100 "${COMMAND[@]}"
        fi
    done
}

[ $# -gt 0 ] || set -- lammps hpcc netpipe nwchem coarrays mpi4py
for NAME in "$@"; do
    for _ in $(seq "${ROUNDS:-1}"); do
        echo "--- $NAME"
        "$NAME"
    done
done
