#!/bin/bash
# ninjad and clients that are wrong, slow, many, or not to be let in: the others are served meanwhile.
# shellcheck source=tests/ninjad/ninjad.sh
. "$(dirname "$0")/ninjad.sh"

start_vms 1
# Its workers do nothing as long as they are held.
cat >"$DIR/worker" <<END
#!/bin/sh
while [ -e "$DIR/hold" ]; do sleep 0.05; done
exec "$NINJACTL" "\$@"
END
chmod 755 "$DIR/worker"
start_ninjad --ninjactl "$DIR/worker" --max-clients 24 --listen-readonly "$DIR/ro.sock" --metrics "$DIR/ninjad.prom"

# line TEXT CLASS SAYS: the answer to a line.
line() {
    OUT=$(printf '%s\n' "$1" | converse "$SOCKET") || die "no answer to ${1:0:200}"
    holds ".error.class == \"$2\""
    says "$3"
}

# What is no request.
line 'x' BadRequest "invalid JSON"
line '[]' BadRequest "expected a JSON object"
line '{}' BadRequest '\"execute\" must be'
line '{"execute": 1}' BadRequest '\"execute\" must be'
line '{"execute": "list", "arguments": []}' BadRequest '\"arguments\" must be an object'
line '{"execute": "list", "args": {}}' BadRequest 'no member \"args\"'
line '{"execute": "list", "execute": "abort"}' BadRequest "duplicate"
line '{"execute": "list", "arguments": {"last": 1, "last": 2}}' BadRequest "duplicate"
line '{"execute": "shutdown"}' CommandNotFound 'no command \"shutdown\"'
line '{"execute": "li\u0000st"}' BadRequest "NUL"
line '{"execute": "\ud800"}' BadRequest "invalid"
line $'{"execute": "\xc3\x28"}' BadRequest "unable to decode byte 0xc3"
line '{"execute": "list", "arguments": {"last": 99999999999999999999}}' BadRequest "too big"
line '{"execute": "list", "arguments": {"last": 1e999}}' BadRequest "overflow"
line "{\"execute\": \"list\", \"id\": $(printf '[%.0s' {1..100000})" BadRequest "nesting deeper than 16"
printf '{"execute": "list"}\0\n{"execute": "version"}\n' >"$DIR/nul"
OUT=$(converse "$SOCKET" <"$DIR/nul" | jq -s .)
holds '(.[0].return.migrations == []) and .[1].error and .[2].return.api == 1'
OUT=$({
    head -c 10000000 /dev/zero | tr '\0' x
    printf '\n{"execute": "version", "id": 3}\n'
} | converse "$SOCKET" | jq -s .)
holds '(.[0].error.desc | contains("longer than 64 KiB")) and .[1].id == 3 and .[1].return.api == 1'

# Arguments, refused by name before anything is started.
wrong_argument() {
    ask "$1" "$2"
    refuses BadArgument "$3"
}
wrong_argument migrate '{}' 'expected either the argument \"site\", or \"vms\"'
wrong_argument plan '{}' 'expected either the argument \"site\", or \"vms\", or \"host\"'
wrong_argument migrate '{"site": "eth", "vms": {"vm1": "eth"}}' 'expected either'
wrong_argument migrate '{"vms": {}}' 'an object of names of sites and hosts by the names of VMs'
wrong_argument migrate '{"vms": {"--to": "eth"}}' 'an object of names'
wrong_argument migrate '{"vms": {"vm1": "--to"}}' 'an object of names'
wrong_argument migrate '{"vms": ["vm1=eth"]}' 'an object of names'
wrong_argument migrate '{"host": "ib"}' 'no argument \"host\" here'
wrong_argument evacuate '{}' '\"host\" is missing'
wrong_argument evacuate '{"host": "--help"}' '\"host\" must be a name'
wrong_argument evacuate '{"host": "ib", "to": "eth"}' 'a list of 1 to 64 names'
wrong_argument evacuate '{"host": "ib", "to": []}' 'a list of 1 to 64 names'
wrong_argument evacuate '{"host": "ib", "to": ["eth,ib"]}' 'a list of 1 to 64 names'
wrong_argument plan '{"site": "eth", "to": ["eth"]}' '\"to\" goes with \"host\" only'
wrong_argument migrate '{"site": "--help"}' '\"site\" must be a name'
wrong_argument migrate '{"site": "../x"}' '\"site\" must be a name'
wrong_argument migrate '{"site": 1}' '\"site\" must be a name'
wrong_argument migrate '{"site": "eth", "cluster": "/etc/passwd"}' '\"cluster\" must be a name'
wrong_argument migrate '{"site": "eth", "file": "/etc/passwd"}' 'no argument \"file\" here; there are: cluster'
wrong_argument migrate '{"site": "eth", "mode": "fast"}' 'one of the words: live paused'
wrong_argument migrate '{"site": "eth", "mode": " live paused "}' 'one of the words'
wrong_argument migrate '{"site": "eth", "bandwidth": -1}' 'from 0 to 1000000'
wrong_argument migrate '{"site": "eth", "bandwidth": 1.5}' 'from 0 to 1000000'
wrong_argument migrate '{"site": "eth", "parallel": 4294967297}' 'from 0 to 64'
wrong_argument migrate '{"site": "eth", "postcopy": 1}' 'true or false'
wrong_argument migrate '{"site": "eth", "timeouts": {"tea": 1}}' 'no time-out \"tea\"'
wrong_argument migrate '{"site": "eth", "timeouts": {"copy": 0}}' '\"copy\" must be a whole number'
wrong_argument migrate '{"site": "eth", "timeouts": []}' 'an object'
wrong_argument migrate '{"site": "eth", "key": ""}' '1 to 128 letters'
wrong_argument migrate "{\"site\": \"eth\", \"key\": \"$(printf 'x%.0s' {1..129})\"}" '1 to 128 letters'
wrong_argument switch '{"btl": "tcp;reboot"}' 'a list as of ninjactl switch'
wrong_argument switch '{"vms": []}' 'a list of 1 to '
wrong_argument switch '{"vms": ["--release"]}' 'a list of 1 to '
wrong_argument report '{"id": "../../etc"}' 'the ID of a migration'
wrong_argument wait '{"timeout": -5}' 'from 0 to 604800'
! grep -q "NEW -> QUEUED" "$LOG" || die "a worker was started for wrong arguments"

# connect NAME: a connection whose input is descriptor $FD, which stays open; what comes is in $DIR/NAME.
connect() {
    mkfifo "$DIR/$1.in"
    exec {FD}<>"$DIR/$1.in"
    socat - "UNIX-CONNECT:$SOCKET" <"$DIR/$1.in" >"$DIR/$1" &
    PIDS+=($!)
    wait_for grep -q hello "$DIR/$1"
}

# Half a line; a client that asks for much and reads nothing of it; and one that asks for too much at once.
connect half
printf '{"execute": "li' >&"$FD"
jq -cn 'range(200000) | {execute: "version"}' >"$DIR/much"
socat -u "OPEN:$DIR/much" "UNIX-CONNECT:$SOCKET" &
PIDS+=($!)
mkfifo "$DIR/unread"
exec {UNREAD}<>"$DIR/unread"
socat - "UNIX-CONNECT:$SOCKET" <"$DIR/much" >&"$UNREAD" &
PIDS+=($!)
for ((i = 0; i < 20; i++)); do
    ask version
    gives '.api == 1'
done
connect greedy
touch "$DIR/hold"
for ((i = 0; i < 20; i++)); do
    echo "{\"execute\": \"status\", \"id\": $i}"
done >&"$FD"
are_refused() { [ "$(grep -c '"class":"Busy"' "$DIR/greedy")" = 4 ]; }
wait_for are_refused
ask version
gives '.api == 1'
rm "$DIR/hold"
is_answered() { [ "$(grep -c '"return"' "$DIR/greedy")" = 16 ]; }
wait_for is_answered
are_refused || die "16 of 20 were not to be refused"

# Too many connections: of root's all that there may be.
refused_too_many() {
    OUT=$(timeout 1 socat -u "UNIX-CONNECT:$SOCKET" - 2>/dev/null || true)
    [[ $OUT == *'"class":"Busy"'* ]]
}
for ((i = 0; i < 30; i++)); do
    ! refused_too_many || break
    socat -u "UNIX-CONNECT:$SOCKET" OPEN:/dev/null &
    PIDS+=($!)
done
[ $i -lt 30 ] || die "there is no limit on connections"
says "too many connections"
stop_ninjad
grep -q "does not read\|left" "$LOG" || die "nobody left"

# Who may come in: root, the daemon's user, and the group; others only to look, at the other socket.
[ "$(id -u)" -eq 0 ] || { echo "who may come in: needs root"; exit 77; }
group=$(getent group 33 | cut -d: -f1)
[ -n "$group" ] || { echo "who may come in: there is no group 33"; exit 77; }
rm -f "$LOG"
start_ninjad --listen-readonly "$DIR/ro.sock" --group "$group" --metrics "$DIR/ninjad.prom"
chmod 755 "$DIR"
[ "$(stat -c '%a %G' "$SOCKET")" = "660 $group" ] || die "socket: $(stat -c '%a %G' "$SOCKET")"
[ "$(stat -c %a "$DIR/ro.sock")" = 666 ] || die "the mode of the read-only socket"
# as GID SUPPLEMENTARY SOCKET REQUEST
as() {
    OUT=$(setpriv --reuid 65534 --regid "$1" "$2" timeout 20 socat -t 20 - "UNIX-CONNECT:$3" <<<"$4" 2>&1)
}
! as 65534 --clear-groups "$SOCKET" '{"execute": "version"}' || die "the mode of the socket lets anyone in"
chmod 666 "$SOCKET"
OUT=$(setpriv --reuid 65534 --regid 65534 --clear-groups timeout 20 socat -u "UNIX-CONNECT:$SOCKET" -)
says '"class":"Forbidden"' "members of the group"
says_not hello
as 33 --clear-groups "$SOCKET" '{"execute": "version"}'
says '"access":"full"'
as 65534 --groups=33 "$SOCKET" '{"execute": "status"}'
says '"access":"full"' '"return"' "vm1"
as 65534 --clear-groups "$DIR/ro.sock" '{"execute": "list"}'
says '"access":"read-only"' '"migrations":[]'
for command in migrate switch abort resume status check plan devices; do
    as 65534 --clear-groups "$DIR/ro.sock" "{\"execute\": \"$command\", \"arguments\": {\"site\": \"eth\"}}"
    says '"class":"Forbidden"' 'not for a read-only connection'
done
grep -q "uid 65534 (pid [0-9]*) asks for status" "$LOG" || die "the log does not say who asked"
grep -q "uid 65534 (pid [0-9]*) was refused" "$LOG" || die "the log does not say who was refused"
stop_ninjad
[ ! -e "$SOCKET" ] && [ ! -e "$DIR/ro.sock" ] || die "a socket was left behind"
