# shellcheck shell=bash
# For scripts that run MPI processes under valgrind while they are switched: no error whose innermost frame, but for
# memcpy and the like, is in the components, and no memory that they allocated and lost. What is wrong in
# Open MPI itself is not looked at.
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/mpi/lib.sh"

# ours LOG...: the errors of which the components are the cause; fails if there are none. The C library, whose
# sources are named if its debugging symbols are installed, is nobody's cause; nor is valgrind's own part.
ours() {
    local sources
    sources=$(cd "$TOP" && basename -a ompi/mca/*/ninja/*.[ch] opal/mca/btl-hooks/*.[ch] common/*.[ch] | paste -sd '|')
    awk -v sources="($sources):[0-9]+" '
        function end_of_block() {
            if (cause ~ sources) { print block; n++ }
            block = cause = ""
        }
        { sub(/^==[0-9]+== ?/, "") }
        /^ *$/ { end_of_block(); next }
        { block = block "\n" $0 }
        cause == "" && /^ +(at|by) 0x/ && ($0 ~ sources || (/\(in \// && !/vgpreload|\/libc\.so/)) { cause = $0 }
        END { end_of_block(); exit n == 0 }' "$@"
}

cat >"$DIR/sample" <<'EOF'
==1== 8 bytes in 1 blocks are definitely lost in loss record 24 of 100
==1==    at 0x48417B4: malloc (in /usr/libexec/valgrind/vgpreload_memcheck-amd64-linux.so)
==1==    by 0x4A3C9A9: strdup (strdup.c:42)
==1==    by 0x7AE4270: ob1_drain_open (ob1_drain.c:36)
==1==
==1== Invalid read of size 4
==1==    at 0x4C905DE: mca_base_component_to_string (in /usr/lib/x86_64-linux-gnu/libopen-pal.so.40.30.2)
==1==    by 0x7AE4270: ob1_drain_open (ob1_drain.c:36)
==1==
==1== Syscall param sendmsg(msg.msg_iov[0]) points to uninitialised byte(s)
==1==    at 0x4AA8C4D: __libc_sendmsg (sendmsg.c:28)
==1==    by 0x4AA8C4D: sendmsg (sendmsg.c:25)
==1==    by 0x7AE4E46: ninja_rank_send_packet (rank_proto.c:220)
==1==
==1== Syscall param writev(vector[...]) points to uninitialised byte(s)
==1==    at 0x4A9C3A3: writev (writev.c:26)
==1==    by 0x5B0F5D4: ??? (in /usr/lib/x86_64-linux-gnu/pmix2/lib/libpmix.so.2.2.29)
==1==    by 0x7AE6F10: modex_take (modex.c:309)
EOF
[ "$(ours "$DIR/sample" | grep -cE 'drain_open|rank_proto\.c|modex\.c')" -eq 2 ] || die "does not tell our errors from others"

# under_valgrind PROGRAM RANKS ROUNDS [LEAST-SWITCHES]
under_valgrind() {
    "$TOP/tests/harass" --build "$BUILD" --limit 3000 --every 500 --sets 'tcp;vader,tcp;standby;best' -- \
        "${MPIRUN[@]}" -np "$2" --mca btl "vader,tcp,self" \
        valgrind --log-file="$DIR/$1.%p" --leak-check=full --show-leak-kinds=definite --keep-debuginfo=yes \
        --num-callers=30 "$BUILD/mpi/$1" "$3" >"$DIR/job.log" || die "$1 under valgrind"
    cat "$DIR/job.log"
    tail -1 "$DIR/job.log" | jq -e ".switches >= ${4:-5}" >/dev/null || die "hardly any switch"
    ! ours "$DIR/$1".* || die "errors of the components in $1"
}
