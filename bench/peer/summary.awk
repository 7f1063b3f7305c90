# From runs.csv to summary.csv: the median of the rounds, and the spread, for each system and case.
# `ratio` is how many times as much Holdfast did in the same round. postgres-best is the better of
# the two ways to ask PostgreSQL, by the median; `method` says which.

function sort_numbers(values, count, i, j, value) {
    for (i = 2; i <= count; i++) {
        value = values[i]
        for (j = i - 1; j >= 1 && values[j] > value; j--)
            values[j + 1] = values[j]
        values[j + 1] = value
    }
}

# Collects column `name` of all rounds of a system and case, in order, into sorted[1 ..].
function collect(system_, case_, name, round, count) {
    count = 0
    for (round = 1; round <= rounds; round++)
        if ((system_, case_, round, name) in value)
            sorted[++count] = value[system_, case_, round, name]
    sort_numbers(sorted, count)
    return count
}

function median_of(count) {
    return count % 2 ? sorted[(count + 1) / 2] : (sorted[count / 2] + sorted[count / 2 + 1]) / 2
}

function median(system_, case_, name) {
    return median_of(collect(system_, case_, name))
}

function print_row(as, system_, case_, count, line, i) {
    count = collect(system_, case_, "per_second")
    if (count == 0)
        return
    line = as "," system_ "," case_ "," count "," median_of(count) "," sorted[1] "," sorted[count]
    for (i = 1; i <= latencies; i++)
        line = line "," median(system_, case_, latency[i])
    line = line "," median(system_, case_, "client_cpu_percent")
    count = collect(system_, case_, "ratio")
    line = line (count ? sprintf(",%.4f,%.4f,%.4f", median_of(count), sorted[1], sorted[count]) : ",,,")
    print line
}

BEGIN {
    FS = ","
    latencies = split("p50_us p99_us p999_us max_us", latency, " ")
}

NR == 1 {
    for (i = 1; i <= NF; i++)
        column[i] = $i
    next
}

{
    name_of_case = $3 "," $4 "," $5 "," $6
    if (!(name_of_case in seen_case)) {
        seen_case[name_of_case] = 1
        cases[++case_count] = name_of_case
    }
    if (!($2 in seen_system)) {
        seen_system[$2] = 1
        systems[++system_count] = $2
    }
    if ($1 > rounds)
        rounds = $1
    for (i = 7; i <= NF; i++)
        value[$2, name_of_case, $1, column[i]] = $i
}

END {
    print "system,method,op,connections,depth,inventories,rounds,per_second,per_second_min,per_second_max,p50_us,p99_us,p999_us,max_us,client_cpu_percent,ratio,ratio_min,ratio_max"
    for (c = 1; c <= case_count; c++)
        for (s = 1; s <= system_count; s++)
            for (round = 1; round <= rounds; round++) {
                mine = value[systems[s], cases[c], round, "per_second"]
                ours = value["holdfast", cases[c], round, "per_second"]
                if (mine > 0 && ours > 0)
                    value[systems[s], cases[c], round, "ratio"] = ours / mine
                else
                    delete value[systems[s], cases[c], round, "ratio"]
                if (mine == "")
                    delete value[systems[s], cases[c], round, "per_second"]
            }
    for (c = 1; c <= case_count; c++) {
        for (s = 1; s <= system_count; s++)
            print_row(systems[s], systems[s], cases[c])
        best = median("postgres-for-update", cases[c], "per_second") + 0 > median("postgres", cases[c], "per_second") + 0 ? "postgres-for-update" : "postgres"
        print_row("postgres-best", best, cases[c])
    }
}
