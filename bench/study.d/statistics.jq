# What the parts' summaries have in common.

def median: sort | if length == 0 then null else (.[(length - 1) / 2 | floor] + .[length / 2 | floor]) / 2 end;
def mean: add / length;
def round_to($digits): if . == null then null else pow(10; $digits) as $p | . * $p | round / $p end;

# A cell of a table: a value and how far it spreads; of many runs the median, the least and the greatest.
def spread($digits): {value: (median | round_to($digits)), low: (min | round_to($digits)), high: (max | round_to($digits))};
def spread: spread(0);

# 97.5% of the t distribution with n - 1 degrees of freedom
def student(n): [0, 12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14, 2.13][n - 1] // 2.09;

# Ratios: their geometric mean and its 95% confidence interval, as a difference in per cent.
def difference_percent:
    length as $n | if $n < 2 then null else
        map(log) | mean as $m | (student($n) * ((map(. - $m | . * .) | add / ($n - 1)) / $n | sqrt)) as $half |
        [$m, $m - $half, $m + $half] | map((exp - 1) * 100 | round_to(2)) | {value: .[0], low: .[1], high: .[2]} end;

# The solution of a system of linear equations: rows with the right side last. Gauss, with the largest pivot.
def solve:
    length as $n |
    reduce range($n) as $i (.;
        . as $m | (reduce range($i; $n) as $r ($i; if ($m[$r][$i] | fabs) > ($m[.][$i] | fabs) then $r else . end)) as $p |
        (.[$i] = $m[$p] | .[$p] = $m[$i]) |
        if .[$i][$i] == 0 then error("a fit has no solution") else . end |
        .[$i] as $row |
        reduce range($n) as $r (.; if $r == $i then . else
            (.[$r][$i] / $row[$i]) as $f | .[$r] = [range($n + 1) as $c | .[$r][$c] - $f * $row[$c]] end)) |
    [range($n) as $i | .[$i][$n] / .[$i][$i]];

# [[x, y], ...] to the coefficients of a polynomial of that degree, so that the relative errors are least.
def fit($degree):
    . as $points |
    [range($degree + 1) as $r |
        [range($degree + 1) as $c | [$points[] | pow(.[0]; $r + $c) / (.[1] * .[1])] | add] +
        [[$points[] | pow(.[0]; $r) / .[1]] | add]] | solve;
# The same of what cannot grow ever more slowly: a negative leading coefficient is noise, and would be extrapolated.
def fit_growth($degree):
    . as $points | fit($degree) | if $degree > 1 and .[-1] < 0 then ($points | fit_growth($degree - 1)) else . end;
def polynomial($x): [to_entries[] | .value * pow($x; .key)] | add;

# .: a migration as bench/study.d/cluster.sh keeps it; the time of each stage in ms. All VMs go through one together, so
# it is that of the slowest.
def of_vms(names): [.report.vms[].stages as $s | [names[] | $s[.] // 0] | add] | max;
def of_switches(names): [.report.switches[].steps[] | select(.step as $s | names | index($s)) | .ms] | add // 0;
def total: .report.states | map(.start_ms + .ms) | max;
def stage_names: ["coordination", "unplug", "copy", "plug", "link-up", "re-select", "other"];
def stages:
    [of_switches(["stop", "drain", "settle", "resume"]), of_vms(["detach", "unplug"]), of_vms(["copy", "connect", "finish"]),
     of_vms(["plug", "attach"]), of_vms(["link"]), of_switches(["release", "open", "connect", "verify", "reselect"])] as $s |
    $s + [[total - ($s | add), 0] | max];

# What it did to the application, for a list of migrations, as cells.
def stall_columns: ["stall reported, ms", "inside, ms", "VM stood still, ms", "silence outside, ms"];
def stall_cells: [map(.report.stall_total_ms), map(.inside_ms), map(.stood_still_ms), map(.outside_ms)] | map(spread);
def stall_notes: [
    "Stall reported: by ninjactl, all switches of a migration together. Inside: the longest call of MPI of a rank in each switch, added up, by the guest's clock; it also has what a rank waits for other ranks. VM stood still: what the guest's clock lost (exact to some 100 ms), which nothing inside of the VM can see. Silence outside: the longest time between two iterations, by the host's clock, during the whole migration.",
    "All values: median (least .. greatest)."];
# Whether what is reported is what the application saw. In the mode paused its VM stands still within the switch, and its
# clock with it.
def agreement:
    map(select(.report.stall_total_ms > 0) |
        (.inside_ms + if .report.mode == "paused" then .stood_still_ms else 0 end) / .report.stall_total_ms) |
    if length == 0 then empty else
        "What the application saw (inside; in the mode paused, with what its clock lost) is \(median | round_to(2)) of the stall reported, the median of \(length) migrations (\(min | round_to(2)) .. \(max | round_to(2)))."
    end;
def copy_note($machine): if $machine.accelerator == "kvm" then [] else [
    "No KVM here. QEMU's emulation (TCG) can lose stores that happen while memory is copied, so the test bed lets a VM change sides as soon as the copy has begun (bandwidth 4 until then, downtime-limit 2000000): pre-copy is a copy at rest then, and the VM stands still for nearly all of it. With KVM it runs on during the copy, and stands still for the last pages only. The copy's time is right for its bytes; the time for which the VM stood still is not what a real cluster would see. Emulated VMs are also some fifty times slower than the machine, so coordination, plug and re-select, which are code in the guest, take longer than on real hosts."] end;
