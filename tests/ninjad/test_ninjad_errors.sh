#!/bin/bash
# What ninjad answers when ninjactl fails: the class and the text that ninjactl gave, whatever else it wrote.
# shellcheck source=tests/ninjad/ninjad.sh
. "$(dirname "$0")/ninjad.sh"

REAL=$NINJACTL
NINJACTL=$DIR/ninjactl

# Between both stands a script, which is first: it only makes the circumstances.
circumstances() {
    printf '#!/bin/bash\n%s\nexec "%s" "$@"\n' "$1" "$REAL" >"$NINJACTL.new"
    chmod 755 "$NINJACTL.new"
    mv "$NINJACTL.new" "$NINJACTL"
}

start_vms 2
circumstances :
start_ninjad

ask plan '{"site": "ib"}'
refuses Refused "nothing to do"
ask status '{"timeouts": {"cpy": 1}}'
refuses BadArgument 'no time-out \"cpy\"'
circumstances 'set -- nonsense'
ask status
refuses BadArgument 'there is no command \"nonsense\"'
circumstances 'set -- "$1" --nonsense'
ask status
refuses BadArgument "unrecognized option '--nonsense'"
circumstances '[ "$1" != status ] || set -- status --cluster /nowhere.conf'
ask status
refuses ClusterFile "/nowhere.conf"
circumstances 'NINJA_MODE=fast; export NINJA_MODE'
ask status
refuses Config "NINJA_MODE: expected one of"
circumstances '[ "$1" != migrate ] || set -- migrate --detach --cluster "'"$DIR/cluster.conf"'" --state-dir /proc/none -- eth'
ask migrate '{"site": "eth", "key": "in-the-child"}'
refuses Failed "/proc/none"
circumstances ':'
ask migrate '{"site": "eth"}' # what its child does not keep, nobody waits for
gives '.repeated == false'
ask wait
gives '.outcome == "done"'

# A program of another version, or a broken one, in place of ninjactl.
says_only() {
    printf '#!/bin/bash\n%s\n' "$1" >"$NINJACTL.new"
    chmod 755 "$NINJACTL.new"
    mv "$NINJACTL.new" "$NINJACTL"
}
while read -r class code; do
    says_only 'echo "ninjactl: refused: the cluster file is wrong, and nothing was touched" >&2
        printf "{\"error\": {\"class\": \"'"$class"'\", \"desc\": \"other words\"}, \"more\": 1}\n" >&$NINJA_ERROR_FD
        exit '"$code"
    ask status
    refuses "$class" '"other words"'
done <<'CASES'
Refused 1
RolledBack 2
Operator 65
Failed 2
BadArgument 1
ClusterFile 0
Config 1
CASES
says_only 'echo "{\"error\": {\"class\": \"Unheard\", \"desc\": \"of a later version\"}}" >&$NINJA_ERROR_FD; exit 2'
ask status
refuses Failed "of a later version"

says_only 'echo "ninjactl: it is refused" >&2; exit 2'
ask status
refuses Failed "ninjactl status ended with 2 and did not say why"
says_only 'kill -KILL $$'
ask status
refuses Failed "ninjactl status was ended by a signal"
for wrong in '' 'x' '[]' '{"error": 1}' '{"error": {"desc": 7}}' '{"error": {"class": "Refused"' '\0\377{'; do
    says_only "printf '$wrong\n' >&\$NINJA_ERROR_FD; exit 2"
    ask status
    refuses Failed "did not say why"
done
says_only 'head -c 100000000 /dev/zero >&$NINJA_ERROR_FD; exit 2'
ask status
refuses Failed "ended with 2 and did not say why"
says_only 'exec {NINJA_ERROR_FD}>&-; exit 3'
ask status
refuses Failed "ended with 3"
