#!/usr/bin/env bash
# Memory that goes from one site to the other by ninja-stream, between real QEMUs: there and back, then over several
# connections that QEMU compresses, and by post-copy, with a job that has the same result as one that never moved; and
# with one of the two ended in the middle of the copy, and with the other one: rolled back.
set -euo pipefail
# shellcheck source=tests/faults/vms.sh
. "$(dirname "$0")/../faults/vms.sh"
ITERATIONS=1500
PORT=4900

# A site is a network namespace, in which its ninja-stream runs.
streams_configure() {
    local site command program=$INSTALLED/usr/libexec/ninja-migration/ninja-stream
    sed -i -E "s#receive = \"tcp:[^\"]*:480([0-9])\"#receive = \"unix:$RUN/SITE-vm\1.receive\"#" "$CLUSTER"
    for site in "${NET_SITES[@]}"; do
        command="ip netns exec $(net_namespace "$site") $program"
        sed -i -E "/name = \"$site\"/,/\);/ {
            s#SITE#$site#
            s#^    prepare = #    stream = \"$(net_host_address "$site"):$PORT\"; stream-command = \"$command\";\n&#
        }" "$CLUSTER"
    done
}

# stream_of SITE: its ninja-stream, once there is one.
stream_of() {
    local pid
    for pid in $(ip netns pids "$(net_namespace "$1")"); do
        [[ $(cat "/proc/$pid/comm" 2>/dev/null) != ninja-stream ]] || echo "$pid"
    done
}

end_stream() {
    sleep 2
    # shellcheck disable=SC2046
    kill -KILL $(stream_of "$1")
}

# ended_in_the_copy SITE: its ninja-stream.
ended_in_the_copy() {
    local status=0
    when_journal_says '"step":"copy"' end_stream "$1"
    ninjactl migrate eth "${SLOWLY[@]}" >"$RUN/output" 2>&1 || status=$?
    wait "$WATCHER" || { cat "$RUN/output"; die "there was no ninja-stream at $1"; }
    ((status == 3)) || { cat "$RUN/output"; die "the stream at $1 was ended: exit status $status, not 3"; }
    vms_at ib || die "the VMs are not at ib"
    wait_for 60 "the other one to end, which waits for this one to come back" no_process
    say "the ninja-stream at $1 was ended: rolled back"
}

# go SITE OPTION...: by the stream, and nothing of it is left.
go() {
    ninjactl plan "$1" >"$RUN/plan"
    ninjactl migrate "$@" --strict >"$RUN/output" 2>&1 || { cat "$RUN/output"; die "not at $*"; }
    grep -q 'moves.*by ninja-stream' "$RUN/plan" || { cat "$RUN/plan"; die "the plan knows of no stream"; }
    vms_at "$1" || die "the VMs are not at $1"
    ninjactl report --json >"$RUN/report.json"
    jq -e 'all(.vms[].stream; .raw_bytes > 0 and .sent_bytes < .raw_bytes * 1.01)' \
        "$RUN/report.json" >/dev/null || { jq '[.vms[].stream]' "$RUN/report.json"; die "no figures of the stream"; }
    wait_for 20 "the two of ninja-stream to end" no_streams
    say "at $*"
}

no_process() { [[ -z $(stream_of ib)$(stream_of eth) ]]; }

no_streams() {
    no_process && ! compgen -G '/tmp/ninja-stream.*/0' >/dev/null
}

testbed_up
streams_configure
REFERENCE=$(job_reference "$ITERATIONS" | jq -c .digest)
job_start "$ITERATIONS" --mca crcp ninja --mca btl openib,tcp,vader,self
job_advance 20
ninjactl check eth --json >"$RUN/check" || { cat "$RUN/check"; die "check finds something"; }
jq -e '.items | any(.item == "stream" and .ok)' "$RUN/check" >/dev/null || die "check knows of no stream"
ended_in_the_copy ib
rm -f /tmp/ninja-stream.*/[0-9] && rmdir /tmp/ninja-stream.* # of the one that was killed
ended_in_the_copy eth
job_advance 5
go eth
jq -e 'all(.vms[].stream; .pages > 1000)' "$RUN/report.json" >/dev/null || die "no pages were found in a pre-copy"
go ib
go eth --parallel 2 --compress zstd
go ib --postcopy
job_ended_well "a migration by ninja-stream"
say "all as expected"
