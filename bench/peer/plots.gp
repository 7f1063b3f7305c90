# The plots of docs/performance.md. gnuplot -e "dir='...'; recovery=0|1" plots.gp; bench/peer/report
# makes the data.
small = "sans-serif,12"
set terminal svg size 860,400 font small background "white"
set datafile missing "-"
set style data histograms
set style histogram clustered gap 1
set style fill solid 0.9 noborder
set boxwidth 0.9
set grid ytics lc rgb "#dddddd"
set border 3
set tics nomirror
set key outside right top reverse Left

array color[6] = ["#1b6ca8", "#aab7c0", "#d9e0e4", "#c0392b", "#8e6bb0", "#4a8f5a"]
array shade[3] = ["#1b6ca8", "#7fb0d3", "#d3a34c"]

set logscale y
set format y "%.0s%c"
set ylabel "bookings a second, log scale"

set output dir."/throughput.svg"
set title "Durable bookings of one inventory: connections × in flight on each"
set xrange [-0.6:2.6]
plot for [i=2:7] dir."/throughput.dat" using i:xtic(1) title columnheader lc rgb color[i-1]

set output dir."/spread.svg"
set title "All of one inventory, or spread over 1000: 50 × 64"
set xrange [-0.6:3.6]
plot for [i=2:3] dir."/spread.dat" using i:xtic(1) title columnheader lc rgb shade[i-1]

set format y "%g"
set ylabel "ms, log scale"
set xrange [-0.6:5.6]
set terminal svg size 860,680 font small background "white"
set output dir."/latency.svg"
set multiplot layout 2,1
set title "Latency of a booking alone: 1 × 1"
plot for [i=2:4] dir."/latency-1x1.dat" using i:xtic(1) title columnheader lc rgb shade[i-1]
set title "Latency at 50 × 64"
plot for [i=2:4] dir."/latency-50x64.dat" using i:xtic(1) title columnheader lc rgb shade[i-1]
unset multiplot

if (recovery) {
    unset logscale y
    set terminal svg size 860,360 font small background "white"
    set output dir."/recovery.svg"
    set ylabel "ms"
    set yrange [0:*]
    set xrange [-0.6:4.6]
    set title "From a crash to ready"
    plot dir."/recovery.dat" using 2:xtic(1) notitle lc rgb color[1]
}
