include "statistics";
["RDMA to RDMA", "RDMA to Ethernet", "Ethernet to RDMA", "Ethernet to Ethernet"] as $kinds |
group_by(.facts.kind) | sort_by(.[0].facts.kind as $k | $kinds | index($k)) |
{part: "stages", title: "Where the time of a migration goes",
 asks: "How long does a migration take, and which stage of it takes how long?",
 tables: [{name: "stages", title: "Stages of a live migration of two VMs, ms",
    columns: (["from, to", "runs"] + stage_names + ["total"]),
    rows: [.[] | [.[0].facts.kind, length] + (map(stages) | transpose | map(spread)) + [map(total) | spread]]},
   {name: "stages-stall", title: "What the application noticed of it", columns: (["from, to", "runs"] + stall_columns),
    rows: [.[] | [.[0].facts.kind, length] + stall_cells]}],
 notes: (["Two VMs of one CPU and 384 MiB, one rank of a Jacobi iteration in each. A stage's time is that of the slowest VM. Coordination: stopping the ranks, until nothing is in flight, and letting them go on, in all switches. Unplug: with the guest's detach scripts. Copy: with finding the agent again at the destination. Plug: with the guest's attach scripts, which bring up soft-RoCE. Link-up: what was left to wait for then. Re-select: closing, opening and connecting transports. Other: planning, starting the receiving QEMU, and what lies between the stages.",
    "A link of soft-RoCE does not train; the part \"links\" shows what that changes. The unplug of an emulated NIC says little about that of a real HCA."] + [add | agreement]),
 common: (stall_notes + copy_note($machine)),
 figures: [{file: "stages", title: "Stages, medians",
    data: [[["kind"] + stage_names] + [.[] | [.[0].facts.kind] + (map(stages) | transpose | map(median))]]}]}
