# DATA: XLABEL, then for pre-copy and for post-copy: copy, stall reported, VM stood still; medians in ms
set terminal svg size 800,400 background "white" font "sans,12"
set output SVG
set datafile separator "\t"
set xlabel XLABEL
set ylabel "ms"
set logscale y
set yrange [10:*]
set offsets graph 0.05, graph 0.05, 0, 0
set grid
set key outside right
plot DATA using 1:2 with linespoints pt 7 lc rgb "#b5402a" title "copy, pre-copy", \
    DATA using 1:5 with linespoints pt 6 dt 2 lc rgb "#b5402a" title "copy, post-copy", \
    DATA using 1:3 with linespoints pt 7 lc rgb "#1f5fa8" title "stall, pre-copy", \
    DATA using 1:6 with linespoints pt 6 dt 2 lc rgb "#1f5fa8" title "stall, post-copy", \
    DATA using 1:4 with linespoints pt 7 lc rgb "#888888" title "stood still, pre-copy", \
    DATA using 1:7 with linespoints pt 6 dt 2 lc rgb "#888888" title "stood still, post-copy"
