# DATA: measured: agents, CPU ms, kB; and in a second block the model for more: the same
set terminal svg size 800,400 background "white" font "sans,12"
set output SVG
set datafile separator "\t"
set xlabel "VMs"
set ylabel "processor time of ninjactl, ms"
set y2label "kB said"
set logscale xyy2
set y2tics
set grid
set key top left
plot DATA index 0 using 1:2 with points pt 7 lc rgb "#1f5fa8" title "ms, measured", \
    DATA index 1 using 1:2 with lines dt 2 lc rgb "#1f5fa8" title "ms, model", \
    DATA index 0 using 1:3 axes x1y2 with points pt 6 lc rgb "#b5402a" title "kB, measured", \
    DATA index 1 using 1:3 axes x1y2 with lines dt 2 lc rgb "#b5402a" title "kB, model"
