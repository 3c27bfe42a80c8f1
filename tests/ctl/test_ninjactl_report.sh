#!/bin/bash
# report: as text, as JSON, as a page, and two side by side.
# shellcheck source=tests/ctl/vms.sh
. "$(dirname "$0")/vms.sh"

# Samples of a copy come as often as looks at it, however slow this machine is.
start_vms 2 copy_ms=1000 copy_looks=5
expect 0 migrate eth --json
FIRST=$(jq -r .id "$STATE"/*/report.json)

# What was recorded on the way: when each stage began, what each rank took, how the copies got on.
expect 0 report --json
holds '.vms | all(.timeline | map(.stage) | index("copy") and index("unplug"))'
holds '.vms[0] | ([.timeline[] | {(.stage): .ms}] | add) == .stages'
holds '.vms | all(.arrived_ms > 0 and .arrived_ms <= ([.timeline[] | select(.stage == "copy") | .start_ms + .ms][0]))'
holds '.switches[0] | .start_ms >= 0 and .transports == {"tcp": 4} and (.steps | all(.start_ms >= 0))'
holds '.switches[0].ranks[0] | .job == "job-a" and (.micros | (.stop | length) == 4 and (.resume | length) == 4)'
holds '.samples | (.at_ms | length) as $n | $n >= 3 and (.vms | length) == 2 and all(.vms[]; (.transferred | length) == $n)'
holds '[.states[0, -1].start_ms] as [$a, $b] | .samples.at_ms | .[0] >= $a and .[-1] <= $b'

expect 0 migrate ib --mode paused
expect 0 report --json
SECOND=$(jq -r .id <<<"$OUT")
[ "$SECOND" != "$FIRST" ] || die "the IDs are the same"

# The page: to standard output or a file, of the migration that is meant.
expect 0 report --html
says "<!DOCTYPE html>" "Migration $SECOND" "</html>"
ninjactl report --html >"$DIR/a.html"
expect 0 report --html "$DIR/b.html"
[ -z "$OUT" ] || die "it should say nothing"
cmp "$DIR/a.html" "$DIR/b.html"
expect 0 report --html "$FIRST"
says "Migration $FIRST"
expect 0 report "$FIRST" --html="$DIR/b.html"
grep -q "Migration $FIRST" "$DIR/b.html" || die "the page is not that of $FIRST"
expect 0 report --html - "$FIRST"
says "Migration $FIRST"
[ "$(stat -c %s "$DIR/b.html")" -lt 200000 ] || die "the page is too large"

# Standard output, by whatever name, is written to: what it leads to is not replaced.
echo before >"$DIR/c.html"
ninjactl report --html /dev/stdout >>"$DIR/c.html"
{ echo before; ninjactl report --html; } | cmp - "$DIR/c.html" || die "standard output was replaced"
ninjactl report --html /dev/stdout | cmp - "$DIR/a.html" || die "a pipe was not written to"
mkdir "$DIR/directory"
expect 1 report --html "$DIR/directory"
says "directory: it is a directory, not a plain file"

# A file that cannot be written stays as it was, with nothing beside it.
expect 1 report --html "$DIR/none/page.html"
says "$DIR/none/page.html: No such file or directory"
if [ -c /dev/full ]; then
    expect 1 report --html /dev/full
    says "/dev/full: No space left on device"
    [ -c /dev/full ] || die "/dev/full was replaced"
fi
(
    ulimit -f 1
    "$NINJACTL" report --state-dir "$STATE" --html "$DIR/b.html" 2>"$DIR/err" && exit 1
    grep -q "b.html: File too large" "$DIR/err"
) || die "a page that did not fit was taken for written: $(cat "$DIR/err")"
grep -q "Migration $FIRST" "$DIR/b.html" || die "the page was lost"
[ -z "$(find "$DIR" -name 'b.html.*')" ] || die "something was left beside the page"

# Two of them.
expect 0 report --compare "$FIRST" "$SECOND"
says "$FIRST" "$SECOND" "live" "paused" "jobs stood still, in all" "copy, slowest VM"
expect 0 report --compare "$FIRST"
says "$SECOND"
expect 0 report --compare "$FIRST" "$SECOND" --json
holds ".version == 1 and (.migrations | map(.id)) == [\"$FIRST\", \"$SECOND\"]"
holds '.migrations | map(.figures.vms) == [2, 2]'
holds '[.migrations[].figures.duration_ms] as [$a, $b] | .differences.duration_ms == $b - $a'
expect 0 report --compare "$FIRST" "$SECOND" --html
says "<h1>Two migrations</h1>" "<b>$FIRST</b>" "<b>$SECOND</b>" "ib to eth" "eth to ib"
expect 1 report --compare 20000101-000000-1
says "20000101-000000-1/report.json"

# VMs whose names begin alike have columns of their own, and no two rows have one name.
change() { jq "$1" "$STATE/$2/report.json" >"$DIR/changed" && mv "$DIR/changed" "$STATE/$2/report.json"; }
cp "$STATE/$SECOND/report.json" "$DIR/kept"
change '.vms[0].name = "hpc-compute-node-01" | .vms[1].name = "hpc-compute-node-02"' "$SECOND"
expect 0 report "$SECOND"
says " hpc-compute-node-01 hpc-compute-node-02"
rows=$(sed -n '/^Every VM/,/^$/p' <<<"$OUT" | cut -c 3-15)
[ "$(sort <<<"$rows" | uniq -d)" = "" ] && [ "$(wc -l <<<"$rows")" -ge 12 ] || die "two rows have one name: $rows"
[ "$(sed -n '/^Every VM/,/^$/p' <<<"$OUT" | sed '/^$/d' | awk '{print length}' | uniq | wc -l)" -eq 1 ] || die "columns are not below each other"

# How long it took is not of the wall clock, which may have been set meanwhile.
took=$(jq '.states[-1] | .start_ms + .ms' "$DIR/kept")
for step in 3600 -3600; do
    cp "$DIR/kept" "$STATE/$SECOND/report.json"
    end=$(date -d "$(jq -r .end "$DIR/kept") + $step seconds" +%Y-%m-%dT%H:%M:%S.%3N%z)
    change ".end = \"$end\"" "$SECOND"
    expect 0 list --json
    holds ".migrations[-1] | .id == \"$SECOND\" and .duration_ms == $took"
    expect 0 report --compare "$FIRST" "$SECOND" --json
    holds ".migrations[1].figures.duration_ms == $took"
done
cp "$DIR/kept" "$STATE/$SECOND/report.json"

# What has no meaning.
expect 64 report --json --html
says "not both"
expect 64 report --compare
expect 64 report "$FIRST" "$SECOND"

# Of a later version: passed on, but not explained.
jq '.version = 2' "$STATE/$SECOND/report.json" >"$DIR/later" && mv "$DIR/later" "$STATE/$SECOND/report.json"
expect 1 report
says "version 2" "--json"
expect 0 report --json
holds '.version == 2'
