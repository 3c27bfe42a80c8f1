#!/usr/bin/env bash
# bench/study without VMs: the part that needs none, and what it makes of migrations that are known in all figures.
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/lib.sh"
install_packages figures
STUDY=$TOP/bench/study
OUT=$DIR/out

study() {
    NINJA_BUILD=$BUILD timeout 600 "$STUDY" --out "$OUT" "$@" >"$DIR/study.log" 2>&1
}

# well_formed FIGURE...: the page, its JSON and these.
well_formed() {
    xmllint --noout "$OUT/index.html" "${@/%/.svg}" || die "not well-formed"
    jq -e '.version == 1 and (.parts | length) > 0' "$OUT/study.json" >/dev/null || die "study.json is not right"
}

# shows FILTER: holds for study.json
shows() {
    jq -e "$1" "$OUT/study.json" >/dev/null || die "study.json does not show $1: $(jq -c '.parts' "$OUT/study.json")"
}

# tables CSV...: each has lines, all of as many fields.
tables() {
    python3 -c 'import csv, sys
for name in sys.argv[1:]:
    widths = [len(row) for row in csv.reader(open(name))]
    assert len(widths) > 1 and len(set(widths)) == 1, name' "$@"
}

# refused OPTION...: with 64, and what is wrong
refused() {
    local status=0
    study "$@" || status=$?
    [ $status -eq 64 ] && grep -q 'study: .*--help' "$DIR/study.log" || die "$*: status $status"
}
refused --parts g
refused --parts a,,b
refused --runs 0
refused --out
refused --slow

study --quick --parts a --runs 2 || die "the part a failed: $(cat "$DIR/study.log")"
cd "$OUT"
well_formed overhead
shows '.machine | .processors > 0 and .load >= 0 and (has("accelerator") | not)'
shows '.parts[0].tables[0].rows | map(.[0]) == ["is", "ep", "cg", "mg", "ft"] and all(.[]; .[1] == 2 and .[2].value > 0 and .[3].value > 0 and
    .[4].low <= .[4].value and .[4].value <= .[4].high)'
tables overhead.csv || die "overhead.csv: $(cat overhead.csv)"
grep -q '^  cg  ' overhead.txt && grep -q 'no VMs were used' overhead.txt || die "overhead.txt: $(cat overhead.txt)"

# A part that fails is told, with why, and the other ones are there.
echo 1 >log/links.status
echo 'no link at all' >log/links.log
status=0
study --page --parts a,d || status=$?
[ $status -eq 1 ] || die "status $status when a part failed"
well_formed overhead
shows '(.parts[0].tables | length) == 1 and (.parts[1].failed | test("no link at all"))'
grep -q 'This part failed: no link at all' index.html links.txt || die "the page does not tell of the part that failed"

# Migrations that never were, of two VMs whose clocks lost 300 and 400 ms in the copy: switches of 100 and 200 ms when paused is not
# said, in which the longest calls took 120 and 250 ms.
# shellcheck disable=SC2016
MADE='
def at($ms): "2026-01-01T00:00:" + (($ms / 1000 | floor | tostring) | if length < 2 then "0" + . else . end) + "." +
    (($ms % 1000 | tostring) | "00"[0:3 - length] + .) + "+0000";
def zero: "2026-01-01T00:00:00Z" | fromdateiso8601 * 1000;
def switch($ms; $stall): {outcome: "done", stopped_at_us: ((zero + $ms) * 1000), stall_ms: $stall, steps: [
    {step: "stop", ms: ($stall / 10)}, {step: "drain", ms: ($stall / 10)}, {step: "release", ms: ($stall / 5)}, {step: "open", ms: ($stall / 2)}]};
def report($mode; $stall; $copy; $link): {mode: $mode, from: "ib", to: "ib2", outcome: "done", begin: at(1000),
    states: [{state: "PLANNED", start_ms: 0, ms: 500}, {state: "COPYING", start_ms: 1500, ms: $copy}, {state: "DONE", start_ms: (5000 + $link), ms: 0}],
    switches: (if $mode == "live" then [switch(2000; $stall), switch(6000; 2 * $stall)] else [switch(2000; 3000 + $link)] end),
    stall_total_ms: (if $mode == "live" then 3 * $stall else 3000 + $link end),
    vms: [1, 2 | {name: "vm\(.)", transferred_bytes: (. * 1048576), stages: {detach: 50, unplug: 50, copy: ($copy / .), plug: 10, attach: (. * 100), link: $link}}]};
def move($facts; $mode; $stall; $copy; $link): {facts: $facts, begin: (zero + 1000), end: (zero + 7000),
    clock_before: {vm1: (zero - 10000), vm2: (zero - 20000)}, clock_after: {vm1: (zero - 9700), vm2: (zero - 19600)},
    report: report($mode; $stall; $copy; $link)};'
# vm1 is at 12,000 when the first switch begins, and at 15,700 at the second; vm2 at 22,000 and 25,600. The calls of 2 s are
# those before the switches of the other VM.
CALLS='vm1 12010 12130
vm1 15650 15900
vm2 15700 17700
vm2 22050 22090
vm2 25690 25800
vm1 22000 24000
'
iterations() { # every 100 ms, but none from 2,000 to 3,400
    local ms
    for ((ms = 0; ms < 9000; ms += 100)); do ((ms > 2000 && ms < 3400)) || echo "$((1767225600000 + ms)) $((ms / 100))"; done
}
jq -nc "$MADE"'move({}; "live"; 100; 800; 0)' |
    jq -c -L "$TOP/bench/study.d" --arg calls "$CALLS" --arg iterations "$(iterations)" 'include "stall"; stalls($calls; $iterations)' >"$DIR/stall.json"
jq -e '.inside_each_ms == [120, 250] and .inside_ms == 370 and .stood_still_ms == 400 and .outside_ms == 1400 and .usual_gap_ms == 100' \
    "$DIR/stall.json" >/dev/null || die "wrong stalls: $(jq -c 'del(.report)' "$DIR/stall.json")"

# raw PART FILTER: what would have been measured
raw() {
    jq -nc "$MADE"'def seen: . + {inside_ms: (.report.stall_total_ms + 10), stood_still_ms: 400, outside_ms: 1400};'"$2" >"raw/$1.jsonl"
    echo 0 >"log/$1.status"
}
raw stages '(1, 2, 3) as $run | ("RDMA to RDMA", "Ethernet to Ethernet") as $kind | move({run: $run, kind: $kind}; "live"; 100 * $run; 800; 20) | seen'
raw memory '(512, 1024) as $mib | (0, 50) as $rate | ("pre-copy", "post-copy") as $t |
    move({memory_mib: $mib, rate: $rate, reached: $rate, transfer: $t}; "live"; 100; $mib; 0) | seen'
raw links '(0, 30) as $s | ("paused", "live") as $mode | move({training_s: $s}; $mode; 100; 800; $s * 1000) | seen'
raw timeline '(("eth", "ib") as $to | move({to: $to, kbit: 2000}; "live"; 100; 800; 0) | seen | if $to == "ib" then
        (.begin, .end) += 20000 | .report.begin = at(21000) | .report.switches[].stopped_at_us += 20000000 else . end),
    (range(0; 300) | {ms: (zero + . * 100), iteration: .})'
raw scale '((2, 4) as $n | move({vms: $n, kind: "RDMA to Ethernet"}; "live"; 100; 800; 0) | seen),
    ((2, 4, 8, 16, 32) as $n | {agents: $n, outcome: "done", lines: (23 * $n), bytes: (1000 * $n + 100 * $n * $n), stall_ms: $n, cpu_ms: (5 + $n)})'
jq '. + {accelerator: "tcg,thread=multi", guest_kernel: "6.1"}' machine.json >"$DIR/machine.json"
mv "$DIR/machine.json" machine.json
study --page || die "no page of all parts: $(cat "$DIR/study.log" log/*.log)"
well_formed overhead stages memory rate links timeline scale
shows '.parts | map(.part) == ["overhead", "stages", "memory", "links", "timeline", "scale"] and all(.[]; .failed == null)'
# coordination, unplug, copy, plug, link-up, re-select and the total; the slowest VM's
shows '.parts[1].tables[0].rows[0] | .[0] == "RDMA to RDMA" and .[1] == 3 and (.[2:8] | map(.value)) == [120, 100, 800, 210, 20, 420] and .[9].value == 5020'
shows '.parts[1].tables[1].rows[0][2] == {value: 600, low: 300, high: 900}'
shows '.parts[2].tables[0].rows | length == 8 and (map(.[6].value) | unique) == [512, 1024]'
shows '.parts[3] | .tables[1].rows == [[0, 0.1, 0.103], [30, 0.009, 0.009]] and (.notes[0] | test("reached"))'
shows '[.parts[] | select(.part | IN("stages", "memory", "links", "scale")) | .notes[] | select(test("^What the application saw"))] | length == 4'
shows '.parts[1].notes[-1] | test("is 1.02 of the stall reported, the median of 6 migrations \\(1.01 .. 1.03\\)")'
shows '.parts[4].tables[0].rows | map(.[3]) | add > 250'
shows '.parts[5] | .model.measured_to == 32 and (.tables[3].rows[-1] | .[0] == 1000 and .[1] == 23000 and .[2] == 101000 and .[3] == 1005 and .[5] == "extrapolated")'
tables ./*.csv || die "a table is not right"
[ "$(grep -c '<section' index.html)" = 6 ] && [ "$(grep -o 'image/svg+xml;base64,[A-Za-z0-9+/=]\{1000,\}' index.html | wc -l)" = 7 ] || die "the page lacks something"
! grep -Eq '(src|href)="(http|/|\.)' index.html || die "the page needs other files"
! grep -rq "$DIR" index.html study.json ./*.txt || die "the results have a path of this machine"
