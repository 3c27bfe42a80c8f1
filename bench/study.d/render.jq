# A part's summary as text, CSV and HTML. A summary is
#
#   part, title, asks   what it is, and the question
#   tables              each: name, title, columns, rows; a cell is a text, a number, null, or a value with what it
#                       spreads over: {value, low, high}
#   notes               what a reader must know in order not to conclude too much
#   common              the same, of several parts; may be missing
#   figures             each: file, title, data: blocks of rows for gnuplot; script, if it is not FILE.gp
#   failed              in place of tables: why there is no result

def is_spread: type == "object";
def cell:
    if . == null then "-"
    elif is_spread then "\(.value)" + if .low == .high then "" else " (\(.low) .. \(.high))" end
    else tostring end;

def pad($width; $right): (" " * ($width - length)) as $space | if $right then ($space // "") + . else . + ($space // "") end;
def text_table:
    ([.columns] + (.rows | map(map(cell)))) as $cells |
    ($cells | transpose | map(map(length) | max)) as $widths |
    "\(.title)\n\n" + ($cells | map(to_entries | map(.value as $v | .key as $i | $v | pad($widths[$i]; $i > 0)) | join("  ")) | map("  \(sub(" +$"; ""))\n") | add);
def wrap: . as $text | reduce ($text | split(" "))[] as $word ({lines: [""]};
        if (.lines[-1] | length) + ($word | length) > 110 then .lines += [$word]
        else .lines[-1] |= if . == "" then $word else . + " " + $word end end) | .lines;
def text:
    "\(.title)\n\(.title | gsub("."; "="))\n\n\(.asks)\n\n" +
    if .failed then "This part failed: \(.failed)\n"
    else (.tables | map(text_table + "\n") | add) + (.notes + (.common // []) | map(wrap | "* " + join("\n  ") + "\n") | add) end;

def csv_columns: . as $table | [range(.columns | length) as $i |
    {name: $table.columns[$i], spread: any($table.rows[]; .[$i] | is_spread)}];
def csv: csv_columns as $columns |
    ([$columns[] | if .spread then .name, "\(.name) low", "\(.name) high" else .name end] | @csv),
    (.rows[] | . as $row | [range($columns | length) as $i | $row[$i] |
        if $columns[$i].spread then .value?, .low?, .high? else . end] | @csv);

def html_table:
    "<table><caption>\(.title | @html)</caption>\n<thead><tr>\(.columns | map("<th>\(@html)</th>") | add)</tr></thead>\n<tbody>\n" +
    (.rows | map("<tr>\(map("<td>\(cell | @html)</td>") | add)</tr>\n") | add // "") + "</tbody></table>\n";
# $images: file: SVG as base64
def html($images):
    "<section id=\"\(.part)\">\n<h2>\(.title | @html)</h2>\n<p class=\"asks\">\(.asks | @html)</p>\n" +
    if .failed then "<p class=\"failed\">This part failed: \(.failed | @html)</p>\n"
    else (.figures | map("<figure><img alt=\"\(.title | @html)\" src=\"data:image/svg+xml;base64,\($images[.file])\"/><figcaption>\(.title | @html)</figcaption></figure>\n") | add) +
        (.tables | map(html_table) | add) + "<ul>\n\(.notes | map("<li>\(@html)</li>\n") | add)</ul>\n" end + "</section>\n";

def machine_rows: [
    ["machine", "\(.processor), \(.processors) processors, \(.memory_mib) MiB"],
    ["accelerator of the VMs", if .accelerator == "kvm" then "KVM" elif .accelerator then "none: emulated (TCG), some 50 times slower than the machine" else "no VMs were used" end],
    ["system", "\(.system), Linux \(.kernel)"],
    ["Open MPI, QEMU, kernel in the VMs", "\(.openmpi), \(.qemu), \(.guest_kernel // "-")"],
    ["this tree", .tree], ["when", .date],
    ["load when it began", "\(.load)" + if .load > 0.5 then ": the machine was not quiet, and these figures are worth less" else "" end],
    ["took", "\(.seconds) s"], ["made by", .command]];
def machine_text: machine_rows | map("  \(.[0] | pad(34; false))\(.[1])\n") | add;

def common: [.parts[].common // [] | .[]] | reduce .[] as $n ([]; if index($n) then . else . + [$n] end);
def rdma_note: "RDMA here is soft-RoCE on emulated NICs: it behaves as RDMA does, and says nothing of the speed of InfiniBand.";

def md_cell: cell | gsub("\\|"; "\\|");
def md_row: "| \(map(md_cell) | join(" | ")) |\n";
def md_table: "\(.title):\n\n" + (.columns | md_row) + "|\("---|" * (.columns | length))\n" + (.rows | map(md_row) | add // "");
def md_list: map("- \(.)\n") | add // "";
def md_part: "## \(.title)\n\n\(.asks)\n\n" +
    if .failed then "This part failed: \(.failed)\n" else (.tables | map(md_table) | join("\n")) + "\n" + (.notes | md_list) end;
def markdown: "# The study\n\n| | |\n|---|---|\n" + (.machine | machine_rows | map(md_row) | add) +
    "\n" + ([rdma_note] + common | md_list) + "\n" + (.parts | map(md_part) | join("\n"));

def page($images):
    "<!DOCTYPE html>\n<html xmlns=\"http://www.w3.org/1999/xhtml\" lang=\"en\">\n<head><meta charset=\"utf-8\"/><title>Ninja migration: the study</title>\n<style>\n" +
    "body { font: 15px/1.5 sans-serif; max-width: 75em; margin: 2em auto; padding: 0 1em; color: #222 }\n" +
    "table { border-collapse: collapse; margin: 1em 0; font-size: 90% } caption { text-align: left; font-weight: bold; padding: .3em 0 }\n" +
    "td, th { border-bottom: 1px solid #ccc; padding: .2em .7em; text-align: right } td { white-space: nowrap } td:first-child, th:first-child { text-align: left }\n" +
    "#machine td { text-align: left } figure { margin: 1em 0 } img { max-width: 100% } figcaption { color: #555 }\n" +
    ".asks { font-style: italic } .failed { color: #b5402a; font-weight: bold } li { margin: .3em 0 }\n</style></head>\n<body>\n<h1>Ninja migration: the study</h1>\n" +
    "<table id=\"machine\"><tbody>\n\(.machine | machine_rows | map("<tr><td>\(.[0] | @html)</td><td>\(.[1] | @html)</td></tr>\n") | add)</tbody></table>\n" +
    "<ul>\n\([rdma_note] + common | map("<li>\(@html)</li>\n") | add)</ul>\n" +
    (.parts | map(html($images)) | add) + "</body>\n</html>\n";
