include "statistics";
def formula: map(round_to(4)) | "\(.[0]) + \(.[1]) N" + if length > 2 then " + \(.[2]) N²" else "" end;
map(select(.report)) as $vms | map(select(.agents and .outcome == "done")) as $switches |
[$switches | group_by(.agents)[] | {n: .[0].agents, runs: length, lines: (map(.lines) | median), kb: (map(.bytes) | median / 1000),
    cpu: map(.cpu_ms), stall: map(.stall_ms)}] as $agents |
($agents | map(.n) | max) as $most |
($agents | map([.n, .lines]) | fit(1)) as $lines |
($agents | map([.n, .kb]) | fit_growth(2)) as $kb |
# its square is small, and found in the noise of few agents
($agents | map([.n, ([.cpu | median, 0.5] | max)]) | fit_growth(if $most >= 32 then 2 else 1 end)) as $cpu |
($vms | map(select(.facts.vms == ($vms | map(.facts.vms) | min)) | .report.switches[].stall_ms) | median) as $stall |
{part: "scale", title: "More VMs, and how it grows from there",
 asks: "What grows with the number of VMs, and what does that make of 1,000?",
 tables: [
  {name: "scale-vms", title: "Measured: live migrations of VMs that all share this machine",
    columns: (["VMs", "from, to", "runs"] + stage_names + ["total"]),
    rows: [$vms | group_by([.facts.vms, .facts.kind])[] | [.[0].facts.vms, .[0].facts.kind, length] + (map(stages) | transpose | map(spread)) + [map(total) | spread]]},
  {name: "scale-stall", title: "Measured: what the application noticed of them", columns: (["VMs", "from, to", "runs"] + stall_columns),
    rows: [$vms | group_by([.facts.vms, .facts.kind])[] | [.[0].facts.vms, .[0].facts.kind, length] + stall_cells]},
  {name: "scale-agents", title: "Measured: one switch by one coordinator, agents with one rank each and no VMs",
    columns: ["agents", "switches", "lines said", "kB said", "processor time of ninjactl, ms", "stall, ms"],
    rows: [$agents[] | [.n, .runs, .lines, (.kb | round_to(1)), (.cpu | spread), (.stall | spread)]]},
  {name: "scale-model", title: "Extrapolated: one switch, one rank a VM",
    columns: ["VMs", "lines said", "kB said", "processor time of ninjactl, ms", "stall if nothing else grows, ms", "which is"],
    rows: [(2, 8, 64, 256, 1000) as $n | [$n, ($lines | polynomial($n) | round), ($kb | polynomial($n) | round_to(1)),
        ($cpu | polynomial($n) | round), (if $stall == null then "-" else $stall + ($cpu | polynomial($n)) - ($cpu | polynomial(2)) | round end),
        (if $n <= $most then "within what was measured" else "extrapolated" end)]]}],
 model: {lines: $lines, kb: $kb, cpu_ms: $cpu, stall_ms: $stall, measured_to: $most},
 notes: (["VMs of one CPU and 384 MiB, one rank in each. They share \($machine.processors) processors here, so what happens in the guests (coordination, plug, re-select) grows with their number as it would not on hosts of their own; the copies share one machine's memory and processors.",
    "The model: what the guests do, they do at once, each on its own host; so it does not grow, but for the slowest of more. What grows is the coordinator, one process: what it says to the agents and its time of the processor, fitted to the agents without VMs: \($cpu | formula) ms, and \($kb | formula) kB. The square is the addresses: each VM gets those of all ranks. The stall is the median of one switch with the fewest VMs, and what the coordinator takes more.",
    "Not in the model: the network's latency between coordinator and VMs, that the slowest of 1,000 VMs is slower than that of 2, more ranks a VM (their addresses and reports multiply the kB), and the copy, which takes the memory of all VMs divided by what the network between the sites carries: N times as long over one shared link."] + [$vms | agreement]),
 common: (stall_notes + copy_note($machine)),
 figures: [{file: "scale", title: "One coordinator: measured, and the model",
    data: [[$agents[] | [.n, (.cpu | median), .kb]],
        [(2, 4, 8, 16, 32, 64, 128, 256, 512, 1000) as $n | [$n] + ([$cpu, $kb] | map(polynomial($n)))]]}]}
