#!/bin/bash
# What is really on the screen while VMs are copied: in tmux, at several widths.
# shellcheck source=tests/ctl/vms.sh
. "$(dirname "$0")/vms.sh"
command -v tmux >/dev/null || { echo "needs tmux"; exit 77; }

TMUX_SOCKET=$DIR/tmux
TERMINALS=0
SCREEN=

tmux_do() {
    timeout 30 tmux -S "$TMUX_SOCKET" -f /dev/null "$@"
}

# shellcheck disable=SC2317 # called by the trap
end_all() {
    tmux_do kill-server 2>/dev/null || true
    cleanup
}
trap end_all EXIT

# on_terminal COLUMNS ROWS ENVIRONMENT... -- ARGUMENT...: ninjactl on a terminal of that size. When it
# ended, its exit code is in $DIR/code.
on_terminal() {
    local size=(-x "$1" -y "$2") environment=()
    shift 2
    while [ "$1" != -- ]; do
        environment+=("$1")
        shift
    done
    shift
    rm -f "$DIR/code"
    tmux_do kill-server 2>/dev/null || true
    TERMINALS=$((TERMINALS + 1))
    TMUX_SOCKET=$DIR/tmux.$TERMINALS # the one before may still be ending, and would take the next session with it
    # A screen that is full, as most are: tmux keeps blank lines below a cursor when it wraps lines anew.
    cat >"$DIR/on_terminal" <<END
trap : INT
seq 1 50
env -u NO_COLOR -u COLUMNS ${environment[*]} "$NINJACTL" $* --state-dir "$STATE" --cluster "$DIR/cluster.conf"
echo \$? >"$DIR/code.new"
mv "$DIR/code.new" "$DIR/code"
sleep 100
END
    tmux_do new-session -d "${size[@]}" "sh '$DIR/on_terminal'"
}

look() {
    SCREEN=$(tmux_do capture-pane -p "$@")
}

# on_screen REGEXP: a line of it is.
on_screen() {
    look
    grep -qE "$1" <<<"$SCREEN"
}

# once REGEXP...: exactly one line on the screen, and in what was scrolled away, is.
once() {
    local what n
    look -S -
    for what in "$@"; do
        n=$(grep -cE "$what" <<<"$SCREEN" || true)
        [ "$n" -eq 1 ] || { printf '%s\n' "$SCREEN"; die "$n lines are /$what/"; }
    done
}

# no_wider N: no line of the progress is.
no_wider() {
    look
    [ "$(grep -E '^(vm|all)' <<<"$SCREEN" | awk '{ if (length($0) > n) n = length($0) } END { print n + 0 }')" -le "$1" ] ||
        { printf '%s\n' "$SCREEN"; die "a line is wider than $1"; }
}

ended() {
    [ -s "$DIR/code" ]
}

# ends_with CODE
ends_with() {
    wait_for ended
    [ "$(cat "$DIR/code")" -eq "$1" ] || { look; printf '%s\n' "$SCREEN"; die "exit code $(cat "$DIR/code"), expected $1"; }
}

LINE='\[#+\.*\] +[0-9]+% [ 0-9.KMG]+/256M +95M/s dirty +10M/s ETA +[0-9]:[0-9][0-9]$'

# 80 columns: one line a VM and one for all, below the log, however often they are drawn.
start_vms 2 copy_ms=20000
on_terminal 80 24 -- migrate eth
wait_for on_screen "^vm1 copy +$LINE"
sleep 1
once "^vm1 copy +$LINE" "^vm2 copy +$LINE" "^all COPYING +.* ETA" "PLANNED -> QUIESCING" "DETACHING -> COPYING"
no_wider 79
look
[ "$(grep -n '^all' <<<"$SCREEN" | cut -d: -f1)" -gt "$(grep -n '^vm2' <<<"$SCREEN" | cut -d: -f1)" ] || die "the sum is not last"
look -e
grep -q $'\033\[1m' <<<"$SCREEN" || die "no colours or bold on a terminal"
grep -qE "^vm1 .*copy" <<<"$SCREEN" || die "the stage is told by colour alone"

# Another size while it runs: nothing is left of what was drawn before.
tmux_do resize-window -x 60 -y 24
wait_for on_screen '^vm1 copy +\[#*\.*\] +[0-9]+% .*95M/s ETA'
once "^vm1 copy" "^vm2 copy" "^all COPYING" "DETACHING -> COPYING"
no_wider 59
look
[[ $SCREEN != *dirty* ]] || die "the dirty rate is still there at 60 columns"
tmux_do resize-window -x 30 -y 24
wait_for on_screen '^vm1 copy +[0-9]+% ETA'
once "^vm1 copy" "^vm2 copy" "^all COPYING"
no_wider 29
tmux_do resize-window -x 120 -y 24
wait_for on_screen "^vm1 copy +$LINE"
once "^vm1 copy" "^vm2 copy" "^all COPYING" "DETACHING -> COPYING"

# Ctrl-C rolls back; in the end only the log and the report are there.
tmux_do send-keys C-c
ends_with 3
once "\(live\) from ib to eth: rolled-back" "COPYING -> ROLLING_BACK" "ninjactl: rolled-back: aborted"
look
! grep -qE '^(vm1 copy|all )' <<<"$SCREEN" || die "progress is left on the screen"

# Without colours it says the same.
start_vms 2 copy_ms=3000
on_terminal 80 24 NO_COLOR=1 -- migrate eth
wait_for on_screen "^vm2 copy +$LINE"
look -e
! grep -q $'\033\[1m' <<<"$SCREEN" || die "NO_COLOR is not respected"
ends_with 0
once "\(live\) from ib to eth: done"

# A terminal that is lower than the VMs are many.
start_vms 4 copy_ms=8000
on_terminal 80 5 -- migrate eth
wait_for on_screen '^all COPYING'
on_screen '^vm1 copy' && on_screen '^and [0-9] more' || { printf '%s\n' "$SCREEN"; die "not as many as fit"; }
ends_with 0

# No terminal, or one that cannot move its cursor: plain lines.
start_vms 2 copy_ms=7000 copy_looks=30
ninjactl migrate eth >"$DIR/out" 2>&1
! grep -q $'\033' "$DIR/out" || die "escape sequences in a file"
grep -qE 'info: vm1 copy +[0-9]+% .*/256M .*/s dirty .*ETA' "$DIR/out" || { cat "$DIR/out"; die "no plain line"; }
grep -qE 'info: all COPYING' "$DIR/out" || die "no plain line for all"
start_vms 1 copy_ms=500
on_terminal 80 24 TERM=dumb -- migrate eth
ends_with 0
look -S -
! grep -qE '^(all|vm1) +(copy|COPYING)' <<<"$SCREEN" || die "a block on a dumb terminal"
