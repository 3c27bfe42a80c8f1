# DATA: blocks of lines: bins (second, iterations), switches, migrations, copies (begin, end)
set terminal svg size 800,360 background "white" font "sans,12"
set output SVG
set datafile separator "\t"
set xlabel "s"
set ylabel "iterations a second"
set yrange [0:*]
set grid y
set key outside right
set style fill solid 1 noborder
stats DATA index 0 using 2 nooutput
top = STATS_max * 1.1
set yrange [0:top]
plot DATA index 2 using 1:(0):1:2:(0):(top) with boxxyerror lc rgb "#eeeeee" title "migration", \
    DATA index 3 using 1:(0):1:2:(0):(top) with boxxyerror lc rgb "#d5d5d5" title "copy", \
    DATA index 1 using 1:(0):1:2:(0):(top) with boxxyerror lc rgb "#b5402a" title "switch", \
    DATA index 0 using 1:2 with steps lw 2 lc rgb "#1f5fa8" title "iterations"
