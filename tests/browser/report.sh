#!/usr/bin/env bash
# The page of a report in a real browser (headless Chromium): it is well-formed, asks for nothing,
# shows every stage of every VM and rank, and runs nothing that a guest said.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=tests/lib.sh
. tests/lib.sh

install_packages build browser
make -s -C "$BUILD/tests/unit" fake_vms
export NINJACTL=$BUILD/host/ninjactl FAKE_VMS=$BUILD/tests/unit/fake_vms
# shellcheck source=tests/ctl/vms.sh
. tests/ctl/vms.sh

# browse PAGE OPTION...: what it becomes goes to $DIR/dom, what it complains of to $DIR/console.
browse() {
    local page=$1
    shift
    timeout 120 chromium --headless --no-sandbox --disable-gpu --disable-dev-shm-usage \
        --user-data-dir="$DIR/chromium" --enable-logging=stderr --v=0 "$@" "file://$page" \
        >"$DIR/dom" 2>"$DIR/stderr" || die "chromium: $(tail -5 "$DIR/stderr")"
    grep CONSOLE "$DIR/stderr" >"$DIR/console" || true
}

# picture PAGE FILE OPTION...: what is seen.
picture() {
    local page=$1 file=$2
    shift 2
    browse "$page" --hide-scrollbars --screenshot="$file" "$@"
    [ "$(stat -c %s "$file")" -gt 10000 ] || die "$file shows nothing"
}

# wanted REPORT: what the page must show, a line each.
wanted() {
    jq -r '(.states[] | select(.ms > 0) | "<title>\(.state): "),
           (.vms[] | .name as $vm | .timeline[] | "<title>\($vm) \(.stage): "),
           (.vms[] | select(.downtime_ms > 0) | "<title>\(.name) downtime: "),
           (.jobs_before[0].ranks[] | "<title>rank \(.rank), \(.vm), stop: ",
               "<title>rank \(.rank), \(.vm), resume: "),
           (.jobs_before[0].ranks[].transports | keys[]), (.jobs_after[0].ranks[].transports | keys[])' "$1"
}

# The checks can fail: a page that runs something is complained of.
printf '<!DOCTYPE html><html><head><meta http-equiv="Content-Security-Policy" content="%s"/></head>%s</html>\n' \
    "default-src 'none'" '<body><script>document.title = "ran"</script></body>' >"$DIR/bad.html"
browse "$DIR/bad.html" --dump-dom
[ -s "$DIR/console" ] || die "a console error was not seen"

# check_page REPORT PAGE: it shows all of that report.
check_page() {
    local text
    xmllint --noout "$2" || die "$2 is not well-formed"
    [ "$(stat -c %s "$2")" -le 200000 ] || die "$2 is too large"
    # Names of XML's languages look like addresses, and are none.
    ! sed 's|xmlns="[^"]*"||g' "$2" | grep -nE 'https?:|src=|@import|<link|<script|url\([^#]' ||
        die "$2 asks for something elsewhere"
    browse "$2" --dump-dom
    [ ! -s "$DIR/console" ] || die "console: $(cat "$DIR/console")"
    while read -r text; do
        grep -qF -- "$text" "$DIR/dom" || die "\"$text\" is not in what the browser shows"
    done < <(wanted "$1")
}

start_vms 2 copy_ms=4000 copy_looks=5 "more=timeouts = { link = 1000; };"
expect 0 migrate eth
expect 0 migrate ib --mode paused
expect 0 migrate eth --detach
wait_for grep -q COPYING "$STATE/$OUT/journal"
expect 0 abort
expect 3 wait
mapfile -t reports < <(ls "$STATE"/*/report.json)
[ ${#reports[@]} -eq 3 ] || die "not three reports"
for report in "${reports[@]}"; do
    ninjactl report "$(basename "$(dirname "$report")")" --html "$DIR/page.html"
    check_page "$report" "$DIR/page.html"
done

# Light and dark are different, a narrow window and paper work.
picture "$DIR/page.html" "$DIR/light.png" --window-size=1200,1600 --blink-settings=preferredColorScheme=1
picture "$DIR/page.html" "$DIR/dark.png" --window-size=1200,1600 --blink-settings=preferredColorScheme=0
picture "$DIR/page.html" "$DIR/narrow.png" --window-size=500,1600
! cmp -s "$DIR/light.png" "$DIR/dark.png" || die "light and dark look the same"
browse "$DIR/page.html" --print-to-pdf="$DIR/page.pdf"
[ "$(head -c 4 "$DIR/page.pdf")" = %PDF ] || die "it cannot be printed"

# Two on one page.
id=$(basename "$(dirname "${reports[0]}")")
ninjactl report --compare "$id" --html "$DIR/both.html"
xmllint --noout "$DIR/both.html" || die "the comparison is not well-formed"
browse "$DIR/both.html" --dump-dom
[ ! -s "$DIR/console" ] || die "console: $(cat "$DIR/console")"
[ "$(grep -c '<title id=' "$DIR/dom")" -eq 2 ] || die "there are not two timelines"

# hostile TEXT: the first report with that in every text that comes from a guest.
evil='</title></svg><script>document.title="ran"</script><img src=x onerror=document.title="ran">" onload="x'
jq --arg evil "$evil" '.reason = $evil | .warnings = [$evil, $evil] |
    .vms |= map(.name += $evil | .link_name = $evil | .timeline += [{stage: $evil, start_ms: 1, ms: 2}]) |
    .jobs_before[0].job = $evil | .switches[0].ranks[0].job = $evil | .switches[0].reason = $evil |
    .switches[0].transports = {($evil): 1} | .samples.vms |= map(.name = $evil)' \
    "${reports[0]}" >"$DIR/evil.json"
mkdir "$STATE/20250101-000000-1"
cp "$DIR/evil.json" "$STATE/20250101-000000-1/report.json"
ninjactl report 20250101-000000-1 --html "$DIR/evil.html"
xmllint --noout "$DIR/evil.html" || die "a guest's text breaks the page"
browse "$DIR/evil.html" --dump-dom
[ ! -s "$DIR/console" ] || die "console: $(cat "$DIR/console")"
grep -q '<title>Migration 2' "$DIR/dom" || die "a guest's text was run"
markup='count(//@onload | //@onerror | //*[local-name() = "script" or local-name() = "img"])'
[ "$(xmllint --xpath "$markup" "$DIR/evil.html")" -eq 0 ] || die "a guest's text became markup"
grep -qF '&lt;script&gt;' "$DIR/dom" || die "a guest's text is not shown"

# Many: 16 VMs with 64 ranks each.
jq '.vms[0] as $vm | .vms = [range(16) | . as $i | $vm | .name = "vm\($i + 1)"] |
    .jobs_before[0].ranks[0] as $rank | [range(1024) | . as $i | $rank | .rank = $i | .vm = "vm\(($i / 64 | floor) + 1)"] as $ranks |
    .jobs_before[0].ranks = $ranks | .jobs_after = .jobs_before |
    .switches |= map(.ranks[0].micros |= map_values([range(1024) | 500 + . * 37 % 4000]))' \
    "${reports[0]}" >"$STATE/20250101-000000-1/report.json"
ninjactl report 20250101-000000-1 --html "$DIR/many.html"
xmllint --noout "$DIR/many.html" || die "the page of many is not well-formed"
[ "$(stat -c %s "$DIR/many.html")" -le 200000 ] || die "the page of many is too large"
browse "$DIR/many.html" --dump-dom
[ ! -s "$DIR/console" ] || die "console: $(cat "$DIR/console")"
for text in "vm16 copy: " "vm16: 64 ranks" "1024 ranks are drawn together"; do
    grep -qF -- "$text" "$DIR/dom" || die "\"$text\" is not in the page of many"
done
