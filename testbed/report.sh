# The demonstration's report: what ninjactl reported of both migrations, with what was measured
# from outside and what the program said.
# shellcheck shell=bash disable=SC2034

# report_cycle MODE: one job with its two migrations, as JSON.
report_cycle() {
    local mode=$1
    jq -n --arg mode "$mode" --argjson result "$(job_result)" --argjson reference "$REFERENCE" \
        --argjson silence "$(job_silence)" --slurpfile start "$RUN/$mode.start.measured.json" \
        --slurpfile eth "$RUN/$mode.there.measured.json" --slurpfile there "$RUN/$mode.there.ninja.json" \
        --slurpfile ib "$RUN/$mode.back.measured.json" --slurpfile back "$RUN/$mode.back.ninja.json" '
        {mode: $mode,
         program: {result: $result, reference: $reference,
            identical: ($result.digest == $reference.digest
                and $result.residual == $reference.residual
                and $result.iterations == $reference.iterations),
            longest_stall_ms: $result.longest_gap_ms, longest_silence_outside_ms: $silence},
         migrations: [
            {to: "eth", transport_before: $start[0], transport_after: $eth[0], expected_after: "tcp",
             ninjactl: $there[0]},
            {to: "ib", transport_before: $eth[0], transport_after: $ib[0], expected_after: "openib",
             ninjactl: $back[0]}]}'
}

report_all() {
    local mode files=()
    for mode in "${MODES[@]}"; do files+=("$RUN/cycle-$mode.json"); done
    jq -s --arg accel "$ACCEL" --arg openmpi "$(package_version openmpi-bin)" \
        --arg qemu "$(package_version qemu-system-x86)" --arg kernel "${KERNEL%/vmlinux}" --argjson rest "${GAP_AT_REST:-null}" '
        {version: 1, accelerator: $accel, gap_at_rest_ms: $rest, openmpi: $openmpi, qemu: $qemu,
         guest_kernel: ($kernel | split("/") | last), cycles: .}' "${files[@]}"
}

# Rows of tab-separated cells, the first one the heading.
report_table() {
    awk -F'\t' '{for (i = 1; i <= NF; i++) {cell[NR, i] = $i; if (length($i) > w[i]) w[i] = length($i)}
            if (NF > n) n = NF}
        END {for (r = 1; r <= NR; r++) {line = "";
            for (i = 1; i <= n; i++) line = line sprintf(i == 1 ? "  %-" w[i] "s" : "  %" w[i] "s", cell[r, i]);
            print line}}'
}

# The time of every stage, in ms, a column for each VM of each migration of a cycle.
report_stages() {
    jq -r --argjson c "$2" '.cycles[$c] as $cycle |
        [$cycle.migrations[] | .to as $to | .ninjactl.vms[] | {head: "\(.name) to \($to)", vm: .}] as $columns |
        [$columns[].vm.stages | keys_unsorted[]] as $names |
        (reduce $names[] as $n ([]; if index($n) then . else . + [$n] end)) as $stages |
        (["stage, ms"] + [$columns[].head]),
        ($stages[] as $s | [$s] + ($columns | map(.vm.stages[$s] // "-"))),
        (["downtime"] + ($columns | map(.vm.downtime_ms // "-"))),
        (["MiB sent"] + [$columns[].vm.transferred_bytes / 1048576 | floor]) |
        map(tostring) | @tsv' "$1" | report_table
}

# The switches of the transports, by ninjactl, a line each.
report_switches() {
    jq -r --argjson c "$2" '
        (["switch of the transports, ms", "stall"]),
        (.cycles[$c].migrations[] | .to as $to | .ninjactl.switches | to_entries[] |
            ["\(.key + 1) on the way to \($to): \(.value.release) -> \(.value.reselect)",
                (.value.stall_ms | tostring)]) | @tsv' "$1" | report_table
}

# The stalls of all modes side by side.
report_stalls() {
    jq -r '.gap_at_rest_ms as $rest |
        (["the application stood still, ms"] + [.cycles[].mode]),
        (["to eth, by ninjactl"] + [.cycles[].migrations[0].ninjactl.stall_total_ms]),
        (["to ib, by ninjactl"] + [.cycles[].migrations[1].ninjactl.stall_total_ms]),
        (["longest gap between iterations, in the program"] + [.cycles[].program.longest_stall_ms]),
        (["the same in a run that did not move, for comparison"] + [.cycles[] | $rest]),
        (["longest silence of the program, from outside"] + [.cycles[].program.longest_silence_outside_ms]) |
        map(tostring) | @tsv' "$1" | report_table
}

report_print() {
    local c
    for ((c = 0; c < ${#MODES[@]}; c++)); do
        printf '\nmode %s\n\n' "${MODES[c]}"
        report_stages "$1" "$c"
        echo
        report_switches "$1" "$c"
    done
    echo
    report_stalls "$1"
    echo
}

# What had to hold, a line each; fails if one of it did not.
report_verdict() {
    local line
    while IFS= read -r line; do
        printf '%s\n' "$line"
    done < <(jq -r '.cycles[] | .mode as $m |
        [{ok: .program.identical, what: "the result is bit-identical to that of a run that never moved"}]
        + [.migrations[0].transport_before | {ok: (.transport == "openib"), what: "at first the job ran over RDMA"}]
        + [.migrations[] | {ok: (.transport_after.transport == .expected_after),
            what: "at the site \(.to) it ran over \(if .to == "ib" then "RDMA" else "TCP" end)"}]
        + [.migrations[] | .to as $to | {ok: (.ninjactl.outcome == "done" and all(.ninjactl.vms[]; .at == $to)),
            what: "all VMs moved to the site \($to)"}]
        | .[] | "\(if .ok then "ok" else "NOT OK" end): \($m): \(.what)"' "$1")
    report_holds "$1"
}

report_holds() {
    jq -e 'all(.cycles[]; .program.identical and .migrations[0].transport_before.transport == "openib"
        and all(.migrations[]; .to as $to | .transport_after.transport == .expected_after
            and .ninjactl.outcome == "done" and all(.ninjactl.vms[]; .at == $to)))' "$1" >/dev/null
}
