include "statistics";
def both: [map(.ninja_s / .stock_s), map(select(.stock_before_s) | .stock_s / .stock_before_s)] | map(difference_percent);
group_by(.kernel) | sort_by(.[0].kernel as $k | ["is", "ep", "cg", "mg", "ft"] | index($k)) |
{part: "overhead", title: "Overhead while nothing migrates",
 asks: "What does an application pay for being migratable, on a day without a migration?",
 tables: [{name: "overhead", title: "NAS kernels, class \(.[0][0].class), \(.[0][0].ranks) ranks over vader: time under ninja against stock Open MPI, in turn",
    columns: ["kernel", "pairs", "stock, s", "ninja, s", "ninja : stock, %", "stock : stock, %"],
    rows: [.[] | [.[0].kernel, length, (map(.stock_s) | spread(4)), (map(.ninja_s) | spread(4)),
        both[]]]}],
 notes: ["On this machine itself, without VMs.",
    "In each pair a kernel runs stock and under ninja, and the pairs begin with either in turn. The difference is the geometric mean of the ratios of the pairs, with its 95% confidence interval. stock : stock is the same for each stock run against the one before: what the machine makes of no difference. An overhead is there only if its interval leaves out 0 and it is beyond that of stock : stock.",
    "bench/overhead measures single MPI calls, to better than 1%."],
 figures: [{file: "overhead", title: "Difference against stock Open MPI, with the 95% confidence interval",
    data: [[.[] | [.[0].kernel] + (both | map(.value, .low, .high))]]}]}
