#!/bin/bash
# The manual pages of the host side, and the completion, know all that ninjactl can do.
# shellcheck source=tests/ctl/vms.sh
. "$(dirname "$0")/vms.sh"

TREE=$HERE/../..
failed=0

# as_text PAGE: in one line, without what roff makes of dashes and quotes.
as_text() {
    groff -t -man -Tascii -P-cbou -rLL=900n -rHY=0 "$1" | tr -s ' \n' ' '
}
command -v groff >/dev/null || { echo "needs groff"; exit 77; }

# in_page PAGE WHAT TEXT
in_page() {
    [[ $1 == *"$3"* ]] || { echo "the page lacks the $2 \"$3\""; failed=1; }
}

PAGE=$(as_text "$TREE/man/ninjactl.1")
COMMANDS=$("$NINJACTL" --help | sed -n 's/^  \([a-z][a-z]*\) .*/\1/p')
[ "$(wc -l <<<"$COMMANDS")" -ge 13 ] || die "cannot tell the commands: $COMMANDS"
for command in $COMMANDS; do
    in_page "$PAGE" command " $command "
    for option in $("$NINJACTL" "$command" --help | sed -n 's/^  \(--[a-z-]*\) .*/\1/p'); do
        in_page "$PAGE" option "$option"
    done
done
for code in 0 1 2 3 4 5 64 65 74 78; do
    in_page "${PAGE#*EXIT STATUS}" "exit status" " $code "
done

# The names and defaults of time-outs, as the program and its source have them.
PAGE=$(as_text "$TREE/man/ninja-cluster.5")
start_vms 1
expect 64 status --timeout none=1
names=${OUT##*there are: }
[[ $names == *quiesce,* ]] || die "cannot tell the time-outs"
for name in ${names//,/ }; do
    default=$(sed -n "s/.*{\"$name\", \([0-9]*\)}.*/\1/p; s/.*{\"[a-z]*\", [0-9]*}, .*{\"$name\", \([0-9]*\)}.*/\1/p" \
        "$TREE/host/config/cluster.c" | head -1)
    in_page "$PAGE" time-out " $name $default "
done
keys=$(sed -n 's/.*{"\([a-z-]*\)", CLUSTER_[A-Z]*,.*/\1/p' "$TREE/host/config/cluster.c"
    sed -n 's/.*{CLUSTER_KEY(struct [a-z_]*, \([a-z_]*\)).*/\1/p' "$TREE"/host/vmm/*.c
    sed -n 's/^    {"\([a-z-]*\)", offsetof.*/\1/p' "$TREE/host/config/transfer.c")
[ "$(wc -w <<<"$keys")" -ge 20 ] || die "cannot tell the keys of a cluster file: $keys"
for key in $keys; do
    in_page "$PAGE" key " $key"
done

# The settings and their defaults, as the program tells them.
PAGE=$(as_text "$TREE/man/ninja.conf.5")
settings=$(NINJA_HOOKS_DIR=/etc/ninja/hooks.d "$NINJACTL" --dump-config --json |
    jq -r '.settings[] | "\(.name) \(.value)"')
[ "$(wc -l <<<"$settings")" -ge 10 ] || die "cannot tell the settings: $settings"
while read -r name default; do
    [[ $PAGE =~ \ $name\ [a-z1,\ ]*$default\  ]] || { echo "the page lacks $name with $default"; failed=1; }
done <<<"$settings"
own=$(NINJA_NINJACTL=/usr/bin/ninjactl "$NINJAD" --dump-config |
    sed -n '/^ninjad/,$s/^    \([a-z-]*\) = "*\([^";]*\)"*;.*/\1 \2/p')
[ "$(wc -l <<<"$own")" -eq 9 ] || die "cannot tell ninjad's settings: $own"
while read -r name default; do
    [[ $PAGE =~ \ $name\ [a-z]+\ $default\  ]] || { echo "the page lacks ninjad's $name with $default"; failed=1; }
done <<<"$own"

# The stages of hooks: the steps that have a text.
HOOKS=$(cat "$TREE/docs/hooks.md")
stages=$(awk -F '"' '/^    \.name = /{name = $2} /^    \.text =/{print name}' "$TREE/host/migration/operation.c")
[ "$(wc -w <<<"$stages")" -eq 17 ] || die "cannot tell the stages: $stages"
for stage in $stages migrate checkpoint restart rollback recover switch; do
    in_page "${PAGE#*HOOKS}" stage "$stage"
    [[ $HOOKS == *"\`$stage\`"* ]] || { echo "docs/hooks.md lacks the stage $stage"; failed=1; }
done

# What an agent can be told.
PAGE=$(as_text "$TREE/man/ninja-protocol.7")
commands=$(sed -n 's/^    {"\(ninja-[a-z]*\|guest-[a-z-]*\)", .*/\1/p' "$TREE/guest-agent/commands.c")
[ "$(wc -w <<<"$commands")" -ge 10 ] || die "cannot tell an agent's commands: $commands"
for name in $commands; do
    in_page "$PAGE" command "$name"
done
events=$(grep -ho '"NINJA_[A-Z]*"' "$TREE"/guest-agent/*.c | grep -v 'SOCKET\|_DEVICE\|_EVENT"\|FAULT' | tr -d '"' | sort -u)
[ "$(wc -w <<<"$events")" -eq 6 ] || die "cannot tell an agent's events: $events"
for name in $events; do
    in_page "$PAGE" event "$name"
done

# The service: its options, and the commands of its API in the document and the table.
PAGE=$(as_text "$TREE/man/ninjad.8")
options=$("$NINJAD" --help | grep -o -- '--[a-z-]*' | sort -u)
[ "$(wc -w <<<"$options")" -ge 14 ] || die "cannot tell the options of ninjad: $options"
for option in $options; do
    in_page "$PAGE" option "$option"
done
commands=$(sed -n 's/^    {"\([a-z]*\)", \(tell\|work\|follow\)_.*/\1/p' "$TREE/ninjad/api.c")
[ "$(wc -w <<<"$commands")" -eq 17 ] || die "cannot tell the commands of ninjad: $commands"
for name in $commands; do
    grep -q "^| \`$name\` " "$TREE/docs/api.md" || { echo "docs/api.md lacks the command $name"; failed=1; }
done

# Completion.
# shellcheck source=host/ctl/ninjactl.bash-completion
. "$TREE/host/ctl/ninjactl.bash-completion"
# shellcheck source=ninjad/ninjad.bash-completion
. "$TREE/ninjad/ninjad.bash-completion"

# completes WORDS... CURRENT -> EXPECTED: what is offered for the last word of $PROGRAM, sorted.
PROGRAM=$NINJACTL
completes() {
    local expected=${*: -1} got
    COMP_WORDS=("$PROGRAM" "${@:1:$#-1}")
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    "_${PROGRAM##*/}"
    got=$(printf '%s\n' "${COMPREPLY[@]}" | sort | xargs)
    [ "$got" = "$expected" ] || { echo "completing \"${COMP_WORDS[*]:1}\": expected \"$expected\", got \"$got\""; failed=1; }
}
ninjactl migrate eth >/dev/null 2>&1
ID=$(ninjactl list --json | jq -r '.migrations[0].id')
completes sw "switch"
completes wa "wait watch"
completes migrate --d "--detach --downtime-limit --dry-run --dump-config"
completes migrate --cluster "$DIR/cluster.conf" "" "eth ib"
completes migrate --cluster "$DIR/cluster.conf" vm1 = e "eth"
completes migrate --cluster "$DIR/cluster.conf" vm1 = "eth ib"
completes check --cluster "$DIR/cluster.conf" e "eth"
completes switch --cluster "$DIR/cluster.conf" "" "vm1"
completes migrate eth --mode "" "live paused"
completes report --state-dir "$STATE" "" "$ID"
completes status "" ""
completes status --log-level d "debug"
completes --d "--dump-config"
NINJA_CLUSTER_FILE=$DIR/cluster.conf completes check "" "eth ib"

PROGRAM=$NINJAD
completes "" "$(sort <<<"$options" | xargs)"
completes --ex "--exit-idle"
completes --state-dir "$DIR" --dump "--dump-config"
completes --max-workers "" ""
completes --max-workers = "" ""
mkdir "$DIR/some"
: >"$DIR/some/file.conf"
completes --cluster "$DIR/some/f" "$DIR/some/file.conf"
completes --cluster = "$DIR/some/f" "$DIR/some/file.conf"
completes -m "$DIR/some/f" "$DIR/some/file.conf"
completes --state-dir "$DIR/so" "$DIR/some"
completes --state-dir "$DIR/some/" ""
completes --group roo "root"
for option in $options; do # each that takes a value has values of its own, or none
    takes=$("$NINJAD" --help | grep -c -- "$option=" || true)
    COMP_WORDS=("$NINJAD" "$option" --) COMP_CWORD=2
    _ninjad
    [ "$takes" -eq 0 ] || [ ${#COMPREPLY[@]} -eq 0 ] || { echo "completing the value of $option: options"; failed=1; }
done
exit $failed
