# DATA: kind and the median of each stage, in ms, the names of the stages in the first line
set terminal svg size 900,400 background "white" font "sans,12"
set output SVG
set datafile separator "\t"
set style data histograms
set style histogram rowstacked
set style fill solid 0.8 border lc rgb "#ffffff"
set boxwidth 0.6
set ylabel "ms"
set yrange [0:*]
set grid y
set xtics font "sans,10"
set key outside right reverse Left invert
array COLOUR[8] = ["", "#1f5fa8", "#7fb2e0", "#b5402a", "#e8a33d", "#f3d98b", "#3a8a5f", "#bbbbbb"]
plot for [i=2:8] DATA using i:xtic(1) lc rgb COLOUR[i] title columnheader(i)
