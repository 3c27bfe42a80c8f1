# DATA: training, reported and inside for paused, for live; medians in ms
set terminal svg size 800,400 background "white" font "sans,12"
set output SVG
set datafile separator "\t"
set xlabel "time that the link trains, s"
set ylabel "stall, ms"
set logscale y
set yrange [10:*]
set grid
set key outside right
plot DATA using 1:2 with linespoints pt 7 lc rgb "#b5402a" title "paused, reported", \
    DATA using 1:3 with linespoints pt 6 dt 2 lc rgb "#b5402a" title "paused, inside", \
    DATA using 1:4 with linespoints pt 7 lc rgb "#1f5fa8" title "live, reported", \
    DATA using 1:5 with linespoints pt 6 dt 2 lc rgb "#1f5fa8" title "live, inside"
