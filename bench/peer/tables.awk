# From runs.csv, summary.csv and recovery.csv (in this order; the last may be missing) to the tables
# of docs/performance.md, each between two marks.

function label(name) {
    return name in labels ? labels[name] : name
}

# Three digits that count, with separators: 147456 is 147,000.
function round3(number, scale) {
    if (number < 1000)
        return number < 10 ? sprintf("%.2f", number) : number < 100 ? sprintf("%.1f", number) : sprintf("%d", number + 0.5)
    for (scale = 1; number / scale >= 1000; scale *= 10)
        ;
    return separated(int(number / scale + 0.5) * scale)
}

function separated(number, text, out) {
    text = sprintf("%d", number)
    for (out = ""; length(text) > 3; text = substr(text, 1, length(text) - 3))
        out = "," substr(text, length(text) - 2) out
    return text out
}

function title(case_, part) {
    split(case_, part, ",")
    return part[2] " × " part[3] (part[4] > 1 ? ", over " separated(part[4]) : "") (part[1] == "refuse" ? ", sold out" : "")
}

function spread(middle, low, high) {
    return middle == "" ? "–" : round3(middle) " (" round3(low) "–" round3(high) ")"
}

function ms(us) {
    return us == "" ? "–" : round3(us / 1000)
}

function cell(kind, key) {
    if (!(key in rate))
        return "–"
    if (kind == "throughput")
        return spread(rate[key], rate_min[key], rate_max[key])
    if (kind == "ratio")
        return spread(ratio[key], ratio_min[key], ratio_max[key])
    if (kind == "latency")
        return ms(p50[key]) " / " ms(p99[key]) " / " ms(p999[key])
    return sprintf("%d %%", busy[key] + 0.5)
}

function open_table(name) {
    print "<!-- table " name " -->"
}

function close_table(name) {
    print "<!-- end " name " -->"
}

# One row for each of these systems, one column for each case.
function matrix(name, kind, rows, wanted, c, r, line, row_count, row) {
    open_table(name)
    line = "| |"
    for (c = 1; c <= case_count; c++)
        line = line " " title(cases[c]) " |"
    print line
    line = "|---|"
    for (c = 1; c <= case_count; c++)
        line = line "---:|"
    print line
    row_count = split(rows, row, " ")
    for (r = 1; r <= row_count; r++) {
        if (!(row[r] in seen_system))
            continue
        line = "| " label(row[r]) " |"
        for (c = 1; c <= case_count; c++)
            line = line " " cell(kind, row[r] SUBSEP cases[c]) " |"
        print line
    }
    close_table(name)
}

# Hot by spread, in the same round.
function hot_table(rows, row, row_count, r, c, part, line, cold, round, count, i, j, quotient) {
    open_table("hot")
    print "| | 1 × 1 | 50 × 1 | 50 × 64 |"
    print "|---|---:|---:|---:|"
    row_count = split(rows, row, " ")
    for (r = 1; r <= row_count; r++) {
        if (!(row[r] in seen_system))
            continue
        line = "| " label(row[r]) " |"
        for (c = 1; c <= split("1,1 50,1 50,64", part, " "); c++) {
            count = 0
            for (round = 1; round <= rounds; round++) {
                i = run[round, row[r], "reserve," part[c] ",1"]
                cold = run[round, row[r], "reserve," part[c] ",1000"]
                if (i == "" || cold == "" || cold == 0)
                    continue
                quotient = i / cold
                for (j = count++; j >= 1 && sorted[j] > quotient; j--)
                    sorted[j + 1] = sorted[j]
                sorted[j + 1] = quotient
            }
            line = line " " (count ? spread(count % 2 ? sorted[(count + 1) / 2] : (sorted[count / 2] + sorted[count / 2 + 1]) / 2, sorted[1], sorted[count]) : "–") " |"
        }
        print line
    }
    close_table("hot")
}

function recovery_table(rows, row, row_count, r, count, i, j, middle) {
    open_table("recovery")
    print "| | ms | bookings/s |"
    print "|---|---:|---:|"
    row_count = split(rows, row, " ")
    for (r = 1; r <= row_count; r++) {
        count = recovered[row[r]]
        if (!count)
            continue
        for (i = 1; i <= count; i++) {
            for (j = i - 1; j >= 1 && sorted[j] > recovery[row[r], i]; j--)
                sorted[j + 1] = sorted[j]
            sorted[j + 1] = recovery[row[r], i]
        }
        middle = count % 2 ? sorted[(count + 1) / 2] : (sorted[count / 2] + sorted[count / 2 + 1]) / 2
        print "| " label(row[r]) " | " spread(middle, sorted[1], sorted[count]) " | " (middle > 0 ? round3(bookings * 1000 / middle) : "–") " |"
    }
    close_table("recovery")
}

BEGIN {
    FS = ","
    labels["holdfast"] = "Holdfast"
    labels["floor"] = "floor, one write in flight"
    labels["floor-memory"] = "floor without a disk"
    labels["redis"] = "Redis"
    labels["tarantool"] = "Tarantool"
    labels["postgres-best"] = "PostgreSQL"
    labels["postgres"] = "PostgreSQL, conditional statement"
    labels["postgres-for-update"] = "PostgreSQL, `FOR UPDATE`"
    labels["holdfast-snapshot"] = "Holdfast, from a snapshot"
}

FNR == 1 {
    file++
    next
}

file == 1 {
    run[$1, $2, $3 "," $4 "," $5 "," $6] = $7
    if ($1 > rounds)
        rounds = $1
}

file == 2 {
    name = $3 "," $4 "," $5 "," $6
    if (!(name in seen_case)) {
        seen_case[name] = 1
        cases[++case_count] = name
    }
    seen_system[$1] = 1
    key = $1 SUBSEP name
    rate[key] = $8
    rate_min[key] = $9
    rate_max[key] = $10
    p50[key] = $11
    p99[key] = $12
    p999[key] = $13
    busy[key] = $15
    ratio[key] = $16
    ratio_min[key] = $17
    ratio_max[key] = $18
}

file == 3 {
    recovery[$2, ++recovered[$2]] = $4
    bookings = $3
    if ($2 == "postgres") {
        recovery["postgres-best", ++recovered["postgres-best"]] = $4
    }
}

END {
    everyone = "holdfast floor floor-memory redis tarantool postgres-best"
    matrix("throughput", "throughput", everyone)
    matrix("ratio", "ratio", "floor floor-memory redis tarantool postgres-best")
    matrix("latency", "latency", everyone)
    hot_table("holdfast redis tarantool postgres postgres-for-update")
    matrix("postgres", "throughput", "postgres postgres-for-update")
    matrix("busy", "busy", everyone)
    if (file == 3)
        recovery_table("holdfast holdfast-snapshot redis tarantool postgres-best")
}
