include "statistics";
def points(x): [group_by(x)[] | (.[0] | x) as $x | . as $all | [$x] + [("pre-copy", "post-copy") as $t |
    $all | map(select(.facts.transfer == $t)) | (map(of_vms(["copy"])), map(.report.stall_total_ms), map(.stood_still_ms)) | median]];
def rows(keys): [group_by(keys)[] | .[0].facts as $f |
    [$f.memory_mib, $f.rate, (map(.facts.reached) | spread), $f.transfer, length,
     (map([.report.vms[].transferred_bytes] | max / 1048576) | spread), (map(of_vms(["copy"])) | spread)] + stall_cells];
{part: "memory", title: "Over memory size and dirty rate",
 asks: "The copy grows with memory. Does the application's stall?",
 tables: [{name: "memory", title: "Live migrations of two VMs from RDMA to RDMA, by their memory and how fast it is written to",
    columns: (["memory, MiB", "write rate asked, MiB/s", "reached", "transfer", "runs", "sent a VM, MiB", "copy, ms"] + stall_columns),
    rows: rows([.facts.memory_mib, .facts.rate, .facts.transfer])}],
 notes: (["All but 400 MiB of a VM's memory is filled by a program, which then writes to one page after the other at the given rate, in each of the two VMs.",
    "Post-copy changes sides before anything was copied, so the VM runs while its memory follows, and nothing that it writes is sent twice; pre-copy sends again what was written meanwhile. What the copy leaves of the machine's processors and network to the job is not a stall of ours, but shows inside and outside, with post-copy also the waiting for single pages."]
    + (if $machine.accelerator == "kvm" then [] else ["Without KVM pre-copy is a copy at rest, so it sends nothing twice, whatever the rate; how a live pre-copy grows with the rate cannot be seen here."] end) + [agreement]),
 common: (stall_notes + copy_note($machine)),
 figures: [
    {file: "memory", title: "Over memory that nobody writes to", xlabel: "memory of a VM, MiB",
     data: [map(select(.facts.rate == 0)) | points(.facts.memory_mib)]},
    {file: "rate", title: "Over the rate at which memory is written to", script: "memory", xlabel: "MiB/s asked",
     data: [(map(select(.facts.rate > 0)) | map(.facts.memory_mib) | first) as $mib |
        map(select(.facts.memory_mib == $mib)) | points(.facts.rate)]}]}
