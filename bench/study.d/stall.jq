# What a migration did to the job: adds "inside", "stood_still" and "outside" to a migration, all in ms.
#
#   inside       for each switch the longest call of MPI in which a rank was then, by the guest's clock, added up
#   stood_still  how long each VM did not run, the longest of them: what its clock lost. Taken twice by asking
#                a slow VM for the time, so it is exact to some 100 ms only
#   outside      the longest time between two lines of progress, by the host's clock, and how much of that is
#                usual: the median time between lines

def median: sort | if length == 0 then null else (.[(length - 1) / 2 | floor] + .[length / 2 | floor]) / 2 end;

# "2026-11-22T15:01:44.943+0000" in ms; reports are in UTC here, as the test bed is told to
def wall_ms: (.[0:19] + "Z" | fromdateiso8601) * 1000 + (.[20:23] | tonumber);

# .: a report; the moment from which on VMs may have been stopped
def copy_begin: (.begin | wall_ms) + ([.states[] | select(.state == "COPYING") | .start_ms] | first // 0);

def switch_windows: [.switches[] | select(.outcome == "done" and .stopped_at_us > 0) |
    {begin: (.stopped_at_us / 1000), end: (.stopped_at_us / 1000 + .stall_ms)}];

# stalls(CALLS; ITERATIONS): texts of lines "VM BEGIN END" and "HOST-MS ITERATION"
def stalls($calls; $iterations):
    . as $move | (.report | copy_begin) as $copy |
    [$calls | split("\n")[] | select(. != "") | split(" ") | {vm: .[0], begin: (.[1] | tonumber), end: (.[2] | tonumber)}] as $calls |
    [$iterations | split("\n")[] | select(. != "") | split(" ") | map(tonumber)] as $lines |
    def guest($vm; $t): $t - (if $t < $copy then $move.clock_before[$vm] else $move.clock_after[$vm] end);
    [.report | switch_windows[] | . as $w |
        [$calls[] | select(.end > guest(.vm; $w.begin) and .begin < guest(.vm; $w.end)) | .end - .begin] | max // 0] as $inside |
    [range(1; $lines | length) as $i | {at: $lines[$i][0], gap: ($lines[$i][0] - $lines[$i - 1][0])}] as $gaps |
    . + {inside_ms: ($inside | add // 0), inside_each_ms: $inside,
         stood_still_ms: ([.clock_after | keys[] as $vm | .[$vm] - $move.clock_before[$vm]] | max),
         outside_ms: ([$gaps[] | select(.at >= $move.begin and .at - .gap <= $move.end) | .gap] | max // 0),
         usual_gap_ms: ($gaps | map(.gap) | median)};
