#!/usr/bin/env bash
# The harasser itself: what it refuses, what it passes through, what it counts.
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/lib.sh"
RUN=("${MPIRUN[@]}" -np 2 --mca btl "vader,tcp,self")

harass() {
    "$TOP/tests/harass" --build "$BUILD" --limit 200 "$@"
}

# refused WHAT ARGUMENT...: with 64 and a message, before anything is started.
refused() {
    local what=$1 status=0
    shift
    "$TOP/tests/harass" --build "$BUILD" "$@" >"$DIR/output" 2>"$DIR/errors" || status=$?
    [ $status -eq 64 ] || die "status $status instead of 64 for: $*"
    grep -q -- "$what" "$DIR/errors" || die "does not name $what: $(cat "$DIR/errors")"
    [ ! -s "$DIR/output" ] && [ ! -e "$DIR/started" ] || die "the command was started: $*"
}
START=(-- touch "$DIR/started")
refused 'no option' --bogus "${START[@]}"
refused 'no command' --sets tcp
refused 'no command' --sets tcp --
refused 'no program' -- "$DIR/nothing"
refused 'no build' --build "$DIR" "${START[@]}"
refused '"abacus" is not installed' --sets 'tcp;vader,abacus' "${START[@]}"
refused 'reaches no other' --sets 'tcp;self' "${START[@]}"
refused 'empty' --sets '' "${START[@]}"
refused 'empty' --sets 'tcp;;vader' "${START[@]}"
refused 'empty' --sets 'tcp,,vader' "${START[@]}"
refused 'no network interface "lo9"' --sets 'tcp:lo9' "${START[@]}"
refused 'cannot be released' --release tcp,self "${START[@]}"
refused 'whole number' --every 1.5 "${START[@]}"
refused 'whole number' --every -1 "${START[@]}"
refused 'whole number' --seed 99999999999999999999 "${START[@]}"
refused 'whole number' --at 100,x "${START[@]}"
refused 'whole number' --at '' "${START[@]}"
refused 'live or paused' --mode fast "${START[@]}"
refused 'needs a value' --sets
refused 'cannot be written' --reports "$DIR/nothing/reports" "${START[@]}"

# is FILTER: holds for the last line of the output.
is() {
    tail -1 "$DIR/output" | jq -e "$1" >/dev/null || die "not $1: $(tail -1 "$DIR/output")"
}

# input, both outputs and the exit code are the command's
status=0
printf 'one\ntwo' | harass --seed 7 -- sh -c 'cat; echo three >&2; exit 9' >"$DIR/output" 2>"$DIR/errors" || status=$?
[ $status -eq 9 ] || die "status $status instead of 9"
[ "$(head -n 2 "$DIR/output")" = $'one\ntwo' ] || die "the output is not the command's"
grep -qx three "$DIR/errors" || die "the errors are not the command's"
is '.exit == 9 and .seed == 7 and .switches == 0 and .failed == 0 and .stall_ms.median == null'

# a job is switched, by any command that starts it, and its result is its own (mixed runs until so many switches were done)
harass --reports "$DIR/reports" -- sh -c "\"\$@\"; \"\$@\"" - "${RUN[@]}" "$BUILD/mpi/mixed" 4 >"$DIR/output" 2>"$DIR/errors" || die "failed"
grep -q -- '--seed [0-9]' "$DIR/errors" || die "does not tell the seed"
[ "$(grep -c '^mixed: ok' "$DIR/output")" -eq 2 ] && [ "$(wc -l <"$DIR/output")" -eq 3 ] || die "wrong output"
is '.exit == 0 and .switches >= 4 and .failed == 0 and .refused == 0 and .stall_ms.max >= .stall_ms.median'
[ "$(jq -s 'map(select(.outcome == "done" and .stopped_at_us > 0)) | length' "$DIR/reports")" = "$(tail -1 "$DIR/output" | jq .switches)" ] ||
    die "other reports than switches"
for mode in live paused; do
    harass --mode $mode -- "${RUN[@]}" "$BUILD/mpi/mixed" 4 >"$DIR/output" || die "failed in mode $mode"
    is '.exit == 0 and .switches >= 4 and .failed == 0'
done

# no program is too short for a switch, nor does it wait for a moment that is far away; and the sets come in turn
for turns in '--every 0' '--every 86400000' '--at 86400000' '--mode paused --every 86400000'; do
    # shellcheck disable=SC2086
    harass --first $turns --sets 'vader;tcp;vader,tcp' --reports "$DIR/reports" -- \
        sh -c 'program=$1; shift; for n in 2 1 4 3; do "$@" -np $n "$program" 1 || exit; done' - "$BUILD/mpi/p2p" "${RUN[@]}" \
        >"$DIR/output" || die "failed with $turns"
    is '.exit == 0 and .failed == 0 and .jobs == 4 and .unswitched == 0 and .switches >= 4'
    [[ $turns != *mode* ]] || continue # what it switches to is the site's
    jq -es 'map(select(.outcome == "done").reselect) | . == [range(length) as $i | ["vader,self", "tcp,self", "vader,tcp,self"][$i % 3]]' \
        "$DIR/reports" >/dev/null || die "other sets than in turn: $(jq -c .reselect "$DIR/reports")"
done

# a rank is held until the first switch is over, and not for longer than was said
start_agent
start_job -np 2 --mca crcp_ninja_hold 100 "$BUILD/mpi/p2p" 1
wait_for 60 job_is_ready 2
sleep 1
job_is_ready 2 || die "was not held"
ninjactl switch --btl tcp >"$DIR/switch.log" 2>&1 || die "a rank that is held was not switched"
end_job
start_job -np 2 --mca crcp_ninja_hold 1 "$BUILD/mpi/p2p" 1
end_job

# what the program cannot do is refused, and no failure
harass -- "${RUN[@]}" --mca osc rdma "$BUILD/mpi/busy" 2000 window >"$DIR/output" 2>"$DIR/errors" || die "failed"
is '.switches == 0 and .refused > 0 and .failed == 0'
grep -q "the test's window" "$DIR/errors" || die "does not tell why there was no switch"

# the same seed makes the same moments
cat >"$DIR/eight_turns" <<'END'
#!/bin/sh
until [ "$(cat "${HARASS_DONE%done}turns.log" 2>/dev/null | wc -l)" -ge 8 ]; do sleep 0.1; done
END
chmod +x "$DIR/eight_turns"
for n in 1 2; do
    harass --seed 5 --keep --every 40 --sets 'tcp;vader,tcp;best' -- "$DIR/eight_turns" >"$DIR/output" 2>"$DIR/errors" ||
        die "failed"
    kept=$(sed -n 's/.*the logs are in //p' "$DIR/errors")
    sed 's/: exit.*//' "$kept/turns.log" | head -8 >"$DIR/choices.$n"
    rm -r "$kept"
done
[ "$(wc -l <"$DIR/choices.1")" -eq 8 ] && cmp "$DIR/choices.1" "$DIR/choices.2" || die "other choices with the same seed"

# the moments can be chosen: two turns, and no more
harass --keep --at 50,400 -- sleep 1.5 >"$DIR/output" 2>"$DIR/errors" || die "failed"
kept=$(sed -n 's/.*the logs are in //p' "$DIR/errors")
sed 's/ us: .*//' "$kept/turns.log" >"$DIR/moments"
rm -r "$kept"
[ "$(cat "$DIR/moments")" = $'after 50000\nafter 400000' ] || die "turns at other moments: $(cat "$DIR/moments")"

# a command that hangs is ended, with all that it started
status=0
"$TOP/tests/harass" --build "$BUILD" --limit 3 -- "${RUN[@]}" "$BUILD/mpi/p2p" 100000000 >"$DIR/output" 2>"$DIR/errors" || status=$?
[ $status -eq 124 ] || die "status $status instead of 124"
is '.exit == 124 and .failed == 1'
grep -q 'RUNNING' "$DIR/errors" || die "does not show the state of the ranks"

# so is one whose harasser is told to end
"$TOP/tests/harass" --build "$BUILD" -- sh -c "sleep 1000 & echo \$! >'$DIR/child'; wait" >"$DIR/output" 2>"$DIR/errors" &
wait_for 20 test -s "$DIR/child"
kill $!
status=0
wait $! || status=$?
[ $status -eq 143 ] || die "status $status instead of 143"
! kill -0 "$(cat "$DIR/child")" 2>/dev/null || die "left a process behind"
