#!/usr/bin/env bash
# The unit of the agent: systemd accepts it, its sandbox is tight, and the capabilities that it leaves
# are enough to see what the processes of another user have open.
set -euo pipefail

command -v systemd-analyze >/dev/null || { echo "systemd-analyze is not installed"; exit 77; }
dir=$(mktemp -d)
sleeper=
# shellcheck disable=SC2317
clean_up() {
    [ -z "$sleeper" ] || kill "$sleeper" 2>/dev/null || true
    rm -rf "$dir"
}
trap clean_up EXIT

unit=$dir/ninja-agent.service
sed "s|^ExecStart=.*|ExecStart=$NINJA_AGENT|" "$AGENT_SERVICE" >"$unit"

systemd-analyze verify --man=no "$unit" 2>"$dir/verify" || { cat "$dir/verify"; exit 1; }
if grep -F ninja-agent.service "$dir/verify"; then
    exit 1
fi
# 0 is the best of 100. Without a sandbox it is 96.
systemd-analyze security --offline=true --threshold=50 "$unit" >"$dir/security" || { cat "$dir/security"; exit 1; }
tail -1 "$dir/security"

[ "$(id -u)" -eq 0 ] || { echo "its capabilities: needs root"; exit 77; }
setpriv --reuid=65534 --regid=65534 --clear-groups sleep 600 <"$unit" &
sleeper=$!
until [ "$(stat -c %u "/proc/$sleeper/fd")" = 65534 ] && [ "$(cat "/proc/$sleeper/comm")" = sleep ]; do
    sleep 0.1
done

# sees CAPABILITIES: whether root with these can read what the agent reads.
sees() {
    setpriv --bounding-set="-all$1" --inh-caps=-all --no-new-privs bash -c "
        readlink /proc/$sleeper/fd/0 && cat /proc/$sleeper/maps /proc/$sleeper/environ" >"$dir/seen" 2>&1
}
kept=$(sed -n 's/^CapabilityBoundingSet=//p' "$unit" | tr ' ' '\n' | sed 's/^CAP_/,+/' | tr -d '\n' |
    tr '[:upper:]' '[:lower:]')
setpriv --bounding-set=-all true 2>/dev/null || { echo "capabilities cannot be dropped here"; exit 77; }
sees "$kept" || { echo "with $kept:"; cat "$dir/seen"; exit 1; }
if sees ""; then
    echo "it can be read without capabilities, so this shows nothing"
    exit 1
fi
