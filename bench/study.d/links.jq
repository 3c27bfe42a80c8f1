include "statistics";
def of($mode): map(select(.report.mode == $mode));
def ratio(value): ((of("live") | map(value) | median) / (of("paused") | map(value) | median)) | round_to(3);
[group_by(.facts.training_s)[] | {training: .[0].facts.training_s, moves: .}] as $by |
($by[-1] | .training as $s | .moves | ratio(.report.stall_total_ms) as $r |
    "At \($s) s live stalls for \($r) of paused, by what ninjactl reports: the goal, at most 1/20 at 30 s, is " +
    (if $s < 30 then "not tried here, as no link trained for 30 s." elif $r <= 0.05 then "reached." else "missed." end)) as $goal |
{part: "links", title: "The application's stall over the time that a link trains",
 asks: "InfiniBand takes seconds until a link can be used. Does the application wait for that?",
 tables: [
  {name: "links", title: "Migrations of two VMs from RDMA to RDMA",
    columns: (["link trains, s", "mode", "runs"] + stall_columns + ["migration in all, ms"]),
    rows: [$by[] | . as $b | ("paused", "live") as $m | .moves | of($m) |
        [$b.training, $m, length] + stall_cells + [map(total) | spread]]},
  {name: "links-ratio", title: "Live : paused, ratio of the medians", columns: ["link trains, s", "stall reported", "inside"],
    rows: [$by[] | [.training, (.moves | ratio(.report.stall_total_ms)), (.moves | ratio(.inside_ms))]]}],
 notes: ([$goal, "The training is emulated: after the plug, the guest brings the NIC's link up that many seconds later, and the RDMA port is not ACTIVE before. In the mode paused the job waits through the whole migration, the copy and the link included; as a guest's clock stands still with its VM, inside and stood still together make up what is reported then."] + [agreement]),
 common: (stall_notes + copy_note($machine)),
 figures: [{file: "links", title: "Stall by mode, medians",
    data: [[$by[] | .moves as $m | [.training] + [("paused", "live") as $mode | $m | of($mode) |
        (map(.report.stall_total_ms), map(.inside_ms)) | median]]]}]}
