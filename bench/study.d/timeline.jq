include "statistics"; include "stall";
map(select(.report)) as $moves | map(select(.iteration)) as $lines | $lines[0].ms as $start |
def seconds: (. - $start) / 1000 | round_to(2);
# the phases of the job: name, begin and end
($moves[0].report | switch_windows[0]) as $out | ($moves[1].report | switch_windows[-1]) as $back |
[{name: "RDMA", begin: $start, end: $out.begin},
 {name: "standby, moving to Ethernet", begin: $out.end, end: $moves[0].end},
 {name: "Ethernet", begin: $moves[0].end, end: $moves[1].begin},
 {name: "Ethernet, moving to RDMA", begin: $moves[1].begin, end: $back.begin},
 {name: "RDMA again", begin: $back.end, end: $lines[-1].ms}] as $phases |
{part: "timeline", title: "Before, during and after",
 asks: "What does the application's progress look like through a migration from RDMA to Ethernet, and back?",
 tables: [{name: "timeline", title: "Iterations a second, by phase", columns: ["phase", "from, s", "to, s", "iterations", "a second"],
    rows: [$phases[] | . as $p | ([$lines[] | select(.ms >= $p.begin and .ms < $p.end)] | length) as $n |
        [.name, (.begin | seconds), (.end | seconds), $n, ($n / ([.end - .begin, 1] | max) * 1000 | round_to(1))]]},
  {name: "timeline-stall", title: "The two migrations", columns: (["to"] + stall_columns),
    rows: [$moves[] | [.facts.to] + ([.] | stall_cells)]}],
 figures: [{file: "timeline", title: "Iterations in each second; grey: a migration, darker: its copy, red: the job is switched",
    data: [ ([$lines[].ms | (. - $start) / 1000 | floor] | . as $seconds | [range($seconds[-1])] | map(. as $s | [$s, ([$seconds[] | select(. == $s)] | length)])),
        [$moves[].report | switch_windows[] | [(.begin | seconds), (.end | seconds)]],
        [$moves[] | [(.begin | seconds), (.end | seconds)]],
        [$moves[] | .report | (.begin | wall_ms) as $b | .states[] | select(.state == "COPYING") | [($b + .start_ms | seconds), ($b + .start_ms + .ms | seconds)]]]}],
 notes: (["What goes to a VM over Ethernet is shaped to \($moves[0].facts.kbit) kbit/s, at all sites and for the whole time; RDMA is not. Without that no difference would show: emulated RDMA is no faster than emulated Ethernet, and nothing here tells how much faster real RDMA is. The copy of the memory does not pass the shaped interfaces."]),
 common: (stall_notes + copy_note($machine))}
