# awk -f bench/compare.awk NEW KEPT: a table of the figures in NEW, beside those in KEPT; both are lines of
# name,value,unit,kind after one with these names. KEPT may be empty.
#
# Exit status: 0; 1: instructions became more by 3%, or bytes by 5%; 2: that are no such files.

BEGIN {
    FS = ","
    most["instructions"] = 3
    most["bytes"] = 5
    most["ratio"] = most["time"] = 0 # informative: never too much
    title["instructions"] = "instructions an operation (callgrind)"
    title["bytes"] = "resident bytes of one"
    title["ratio"] = "ratios, the median of the rounds"
    title["time"] = "times and rates"

    goal["bytes_reservation"] = "<= 96"
    goal["bytes_connection"] = "<= 4096"
    goal["grants_50x64_to_floor"] = ">= 0.8"
    goal["grants_50x1_to_floor"] = ">= 1.2"
    goal["p50_1x1_to_floor"] = "<= 1.15"
    goal["refusals_50x64_to_floor"] = ">= 0.8"
    goal["hot_to_spread_1000"] = ">= 0.9"
    goal["connections_1000_to_50"] = ">= 0.8"
    goal["beside_storm_200000"] = ">= 0.9"
    goal["workers_2_to_1_spread_1000"] = ">= 1.7"
    goal["start_empty"] = "<= 100"
    goal["cpu_grant"] = "<= 150"
    goal["cpu_view"] = "<= 20"
}

function bad(why) {
    print "bench/run: " FILENAME ":" FNR ": " why > "/dev/stderr"
    failed = 2
    exit
}

FNR == 1 {
    file++
    if ($0 != "name,value,unit,kind")
        bad("the first line is not name,value,unit,kind")
    next
}

NF != 4 || $1 !~ /^[a-z0-9_-]+$/ || $2 !~ /^-?[0-9]+(\.[0-9]+)?$/ || !($4 in most) {
    bad("not name,value,unit,kind: " $0)
}

# Of NEW. The two may be one file, and either may be empty.
FILENAME == ARGV[1] && file == 1 {
    if ($1 in value)
        bad("twice: " $1)
    names[++count] = $1
    value[$1] = $2
    unit[$1] = $3
    kind[$1] = $4
    next
}

{
    if ($1 in kept)
        bad("twice: " $1)
    kept[$1] = $2
    kept_kind[$1] = $4
    kept_names[++kept_count] = $1
}

function print_row(name,   change, remark, beside) {
    if (name in kept) {
        beside = kept[name]
        if (kept[name] != 0)
            change = sprintf("%+.1f%%", 100 * (value[name] - kept[name]) / kept[name])
        if (most[kind[name]] && value[name] > kept[name] * (1 + most[kind[name]] / 100)) {
            remark = "WORSE"
            worse[++worse_count] = name
        } else if (most[kind[name]] && value[name] < kept[name] * (1 - most[kind[name]] / 100)) {
            remark = "better"
            better++
        }
    } else if (kept_count) {
        remark = "new"
    }
    printf "  %-28s %12s %-4s %12s %8s  %-8s %s\n", name, value[name], unit[name] == 1 ? "" : unit[name],
        beside, change, goal[name], remark
}

END {
    if (failed)
        exit failed
    if (!count) {
        print "bench/run: " ARGV[1] ": no figures" > "/dev/stderr"
        exit 2
    }
    for (i = 1; i <= count; i++) {
        if (kind[names[i]] != last) {
            last = kind[names[i]]
            print title[last]
            printf "  %-28s %12s %-4s %12s %8s  %s\n", "", "now", "", "kept", "change", "goal"
        }
        print_row(names[i])
    }
    for (i = 1; i <= kept_count; i++)
        if (!(kept_names[i] in value))
            print "not measured now: " kept_names[i] ", kept " kept[kept_names[i]]
    if (!kept_count)
        print "nothing was kept to compare with"
    if (better)
        print better " of the instructions and bytes became better: `make bench KEEP=1` keeps that"
    for (i = 1; i <= worse_count; i++)
        printf "REGRESSION: %s is %s, was %s: more than %d%% worse\n", worse[i], value[worse[i]],
            kept[worse[i]], most[kind[worse[i]]]
    exit worse_count ? 1 : 0
}
