# Logging, limits, and the one place where everything that was made is taken away again.
#
# A run has a directory, $RUN, that holds all of its files; each QEMU leaves its pid in
# $RUN/*.pid. cleanup_arm makes that directory and sees to it that the processes, the network
# namespaces and the directory go when the script ends, however it ends.
# shellcheck shell=bash disable=SC2034

TESTBED=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
TREE=$(cd "$TESTBED/.." && pwd)
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/ninja-migration
RUN=
RUN_ID=$$
START_MS=$(date +%s%3N)

now_ms() { date +%s%3N; }

say() {
    local ms=$(($(now_ms) - START_MS))
    printf '[%3d.%01d s] %s\n' $((ms / 1000)) $((ms % 1000 / 100)) "$*"
}

die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# quietly LOG COMMAND...: runs it with all its output in LOG; shows the end of that if it fails.
# It stops at the first failure, unless quietly itself is called in a condition.
quietly() {
    local log=$1 status errexit=$-
    shift
    set +e
    (
        set -e
        "$@"
    ) >"$log" 2>&1
    status=$?
    [[ $errexit != *e* ]] || set -e
    ((status)) || return 0
    printf '%s failed; the end of its output:\n' "$*" >&2
    tail -n 30 "$log" >&2
    return "$status"
}

# wait_for SECONDS WHAT COMMAND...: until the command succeeds.
wait_for() {
    local limit=$(($(now_ms) + $1 * 1000)) seconds=$1 what=$2
    shift 2
    until "$@"; do
        if (($(now_ms) > limit)); then
            printf '%s: waited %s s in vain for %s\n' "${0##*/}" "$seconds" "$what" >&2
            return 1
        fi
        sleep 0.2
    done
}

# end_process PID: asks it, or the process group that it leads, to end, and after five seconds makes it.
end_process() {
    local i target=-$1
    kill -0 -- "$target" 2>/dev/null || target=$1
    kill -- "$target" 2>/dev/null || return 0
    for ((i = 0; i < 50; i++)); do
        kill -0 -- "$target" 2>/dev/null || return 0
        sleep 0.1
    done
    kill -9 -- "$target" 2>/dev/null || true
}

end_pidfiles() {
    local file
    for file in "$RUN"/*.pid; do
        [[ -s $file ]] && end_process "$(<"$file")"
    done
    return 0
}

# All processes that PID started and that they started, deepest first.
descendants() {
    local child
    for child in $(pgrep -P "$1"); do
        descendants "$child"
        printf '%s\n' "$child"
    done
}

cleanup() {
    local status=$? pid
    trap - EXIT
    # A subshell that gets a signal just after the fork still has these traps.
    [[ $BASHPID == "$$" ]] || exit "$status"
    trap '' INT TERM HUP
    set +e
    # the children of a background function outlive it if only that is ended
    for pid in $(descendants "$$"); do end_process "$pid"; done
    end_pidfiles
    if declare -F net_down >/dev/null; then net_down; fi
    if [[ -n ${KEEP_RUN:-} ]]; then
        say "kept $RUN"
    else
        rm -rf "$RUN"
    fi
    exit "$status"
}

cleanup_arm() {
    RUN=$(mktemp -d "${TMPDIR:-/tmp}/ninja-run.XXXXXX")
    chmod 700 "$RUN"
    trap cleanup EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
}

need_root() {
    ((EUID == 0)) || die "needs root for network namespaces and packages: use sudo $0"
}

# cache_key FILE...: a short hash of the files' content.
# cache_key - : of standard input.
cache_key() { cat "$@" | sha256sum | cut -c1-12; }

# cache_store FROM TO: puts a directory into the cache whole, or not at all.
cache_store() {
    local part
    mkdir -p "$CACHE"
    part=$(mktemp -d "$CACHE/part.XXXXXX")
    cp -r "$1/." "$part/"
    chmod 755 "$part"
    mv -T "$part" "$2" 2>/dev/null || rm -rf "$part"
}

# What a helper that ninjactl starts must know of this run.
settings_write() { declare -p RUN_ID ACCEL KERNEL IMAGE VM_MEMORY VM_CPUS VMS >"$RUN/settings"; }
