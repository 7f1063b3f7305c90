# The plots of docs/performance.md. gnuplot -e "dir='...'" plots.gp; the data are made by bench/peer/report.
set terminal svg size 860,420 font "sans-serif,13" background "white"
set datafile missing "-"
set style data histograms
set style histogram clustered gap 1
set style fill solid 0.9 noborder
set boxwidth 0.9
set grid ytics lc rgb "#dddddd"
set border 3
set tics nomirror
set key outside right top reverse Left
set logscale y
set format y "%.0s%c"

array color[6] = ["#1b6ca8", "#b8c4cc", "#dde3e7", "#c0392b", "#8e6bb0", "#4a8f5a"]

set output dir."/throughput.svg"
set title "Bookings a second, by connections × depth: durable, one inventory (log scale)"
plot for [i=2:7] dir."/throughput.dat" using i:xtic(1) title columnheader lc rgb color[i-1]

set output dir."/spread.svg"
set title "Bookings a second at 50 × 64: all of one inventory, or spread over 1000 (log scale)"
plot for [i=2:3] dir."/spread.dat" using i:xtic(1) title columnheader lc rgb color[3*i-5]

set format y "%g"
set ylabel "ms"
set output dir."/latency.svg"
set terminal svg size 860,700 font "sans-serif,13" background "white"
set multiplot layout 2,1
set title "Latency of a booking alone, 1 × 1 (log scale)"
plot for [i=2:4] dir."/latency-1x1.dat" using i:xtic(1) title columnheader lc rgb color[i-1+(i>2)+(i>3)]
set title "Latency at 50 × 64 (log scale)"
plot for [i=2:4] dir."/latency-50x64.dat" using i:xtic(1) title columnheader lc rgb color[i-1+(i>2)+(i>3)]
unset multiplot

if (recovery) {
    set terminal svg size 860,360 font "sans-serif,13" background "white"
    set output dir."/recovery.svg"
    set title "From a crash to ready (log scale)"
    plot dir."/recovery.dat" using 2:xtic(1) notitle lc rgb color[1]
}
