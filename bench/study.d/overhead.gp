# DATA: kernel, ninja, low, high, stock, low, high
set terminal svg size 800,360 background "white" font "sans,12"
set output SVG
set datafile separator "\t"
set ylabel "difference, %"
set xrange [-0.5:*]
set offsets 0, 0.5, 0, 0
set yrange [-100 < * < -1 : 1 < * < 100]
set grid y
set key top left horizontal
plot 0 with lines lc rgb "#888888" notitle, \
    DATA using ($0-0.08):2:3:4:xtic(1) with yerrorbars pt 7 lw 1.5 lc rgb "#1f5fa8" title "ninja : stock", \
    DATA using ($0+0.08):5:6:7 with yerrorbars pt 6 lc rgb "#888888" title "stock : stock"
