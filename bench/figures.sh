# shellcheck shell=bash
# To be sourced by bench/run: what it measures. Wants $build and $quick.
#
#   figures_begin           makes $work; however the script ends, what was started is stopped
#   measure_instructions, measure_bytes, measure_ratios, measure_times
#                           add lines to $work/figures: name,value,unit,kind. What had to be left out is
#                           said, and in $left_out
#
# A ratio is taken of two runs, one right after the other on one server, new for them; every round takes
# all ratios once, and each second one in the other order.

rounds=5
seconds=0.5
warmup=0.2
starts=5
open_loop_seconds=2
open_loop_warmup=1 # a log that is new makes its first segments meanwhile
operations=1000000 # in process, timed
records=2000000    # of the log whose memory is measured
connections=5000   # idle, whose memory is measured
inventories=100000 # whose memory is measured
crowd=1000         # active connections
idle=10000         # beside active ones
storm_rate=200000  # refusals a second
counted=20000      # operations under callgrind
replayed=100000    # and records

if [ -n "$quick" ]; then
    rounds=1 seconds=0.2 warmup=0.05 starts=1 open_loop_seconds=0.2 open_loop_warmup=0.05
    operations=10000 records=20000 connections=100 inventories=1000
    crowd=100 idle=100 storm_rate=1000
fi

build=${build:?} # where the programs are
work=
left_out=
server=
address=
helpers=() # other processes that were started
guarded=(setpriv --pdeathsig KILL) # nothing outlives this script, not even if that is killed

fail() {
    echo "bench/run: $1" >&2
    [ -z "${2:-}" ] || tail -n 20 "$2" >&2
    exit 3
}

# shellcheck disable=SC2317 # called by the trap
figures_end() {
    local pid
    for pid in $server "${helpers[@]}"; do
        kill -9 "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true # else it may still write while its files are removed
    done
    rm -rf "$work"
}

figures_begin() {
    # A log wants a disk, and /tmp is often in memory.
    local parent=${TMPDIR:-/var/tmp}
    [ "$(stat -f -c %T "$parent")" = tmpfs ] && parent=/var/tmp
    work=$(mktemp -d "$parent/holdfast-bench-XXXXXX")
    trap figures_end EXIT
    set -E
    trap 'exit 3' ERR # also of what fails with another status
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    echo "name,value,unit,kind" >"$work/figures"
}

# NAME VALUE UNIT KIND
note() {
    [[ $2 =~ ^-?[0-9.]+$ ]] || fail "$1 is no number: \"$2\""
    echo "$1,$2,$3,$4" >>"$work/figures"
}

# Told once, however often.
leave_out() {
    [[ $left_out != *"$1"* ]] || return 0
    echo "left out: $1"
    left_out+="${left_out:+; }$1"
}

# The number of field $2 in the JSON object $1.
field() {
    sed -n 's/.*"'"$2"'":\([0-9.]*\).*/\1/p' <<<"$1"
}

# $1 / $2, with $3 digits after the point.
divide() {
    awk -v a="$1" -v b="$2" -v digits="${3:-3}" 'BEGIN {
        if (a !~ /^-?[0-9.]+$/ || b !~ /^[0-9.]+$/ || b + 0 == 0)
            exit 1
        printf "%.*f\n", digits, a / b
    }' || fail "\"$1\" cannot be divided by \"$2\""
}

# The middle one of its arguments.
median() {
    printf '%s\n' "$@" | sort -g | sed -n "$((($# + 1) / 2))p"
}

# ---- servers and loads ----

# Starts one of our servers, and sets $started and $address when it is ready. Its ready line comes
# through a pipe: so nothing is lost by looking for it now and then.
start() {
    local line
    rm -f "$work/ready"
    mkfifo "$work/ready"
    "${guarded[@]}" "$@" >"$work/ready" 2>"$work/complaints" &
    started=$!
    address=
    exec 3<"$work/ready"
    while [ -z "$address" ] && read -r -t 60 line <&3; do
        address=$(sed -n 's/.*ready on \([^ ,]*:[0-9]*\).*/\1/p' <<<"$line")
    done
    exec 3<&-
    [ -n "$address" ] || fail "${1##*/} did not start:" "$work/complaints"
}

start_server() {
    # What another wrote is on the disk before this one is measured.
    rm -rf "$work/data"
    sync -f "$work"
    start "$build/holdfastd" --dir "$work/data" --listen 127.0.0.1:0 "$@"
    server=$started
}

stop_server() {
    local status=0
    kill -TERM "$server"
    wait "$server" || status=$?
    server=
    ((status == 0)) || fail "the server ended with status $status:" "$work/complaints"
    rm -rf "$work/data"
}

# One load: prints its JSON.
load() {
    local output
    output=$(mktemp "$work/load.XXXXXX")
    "$build/holdfast-bench" --json --warmup "$warmup" "$@" >"$output" 2>"$output.complaints" ||
        fail "the load \"$*\" failed:" "$output.complaints"
    tail -n 1 "$output"
}

# FIELD ADDRESS OPTION...: one field of it.
load_field() {
    local line name=$1
    line=$(load --server "$2" --seconds "$seconds" "${@:3}")
    field "$line" "$name"
}

rate() { load_field per_second "$@"; }

in_process() { "$build/holdfast-bench" --in-process --json "$@"; }

# ---- instructions ----

# FUNCTION COUNT PROGRAM...: how many it takes while in that function, divided by the count. Neither
# processor nor load have a share in that: it can be told of a change of a few percent.
count_instructions() {
    local collected
    collected=$(valgrind --tool=callgrind --callgrind-out-file=/dev/null --collect-atstart=no \
        --toggle-collect="$1" "${@:3}" 2>&1 | sed -n 's/.*Collected : \([0-9]*\).*/\1/p')
    ((${collected:-0} > 0)) || fail "callgrind saw nothing of $1"
    divide "$collected" "$2" 1
}

measure_instructions() {
    local job count
    if [ -n "$quick" ] || ! command -v valgrind >/dev/null; then
        leave_out "instructions${quick:+, as it is to be quick}: valgrind counts them"
        return
    fi
    for job in grant grant-burst refuse refuse-burst hold confirm cancel lookup read expire view; do
        count=$(count_instructions hf_inprocess_turn "$counted" "$build/holdfast-bench" \
            --in-process --job "$job" --operations "$counted" --durability none)
        note "instructions_$job" "$count" 1 instructions
    done
    "$build/holdfast-recovery" make --dir "$work/log" --records "$replayed"
    count=$(count_instructions hf_replay_apply_all "$replayed" "$build/holdfast-recovery" open \
        --dir "$work/log")
    note instructions_replay "$count" 1 instructions
    rm -rf "$work/log"
}

# ---- bytes ----

# Of the server: anonymous, shared and of files.
resident_bytes() {
    awk '/^VmRSS:/ { print $2 * 1024 }' "/proc/$server/status"
}

# What an engine takes that has recovered so many reservations.
recovered_bytes() {
    local line mib
    "$build/holdfast-recovery" make --dir "$work/log" --records "$1" --max-reservations "$records"
    line=$("$build/holdfast-recovery" open --dir "$work/log" --max-reservations "$records" --json)
    rm -rf "$work/log"
    mib=$(field "$line" resident_mib)
    echo $((${mib:?} * 1048576))
}

# NAME COUNT COMMAND...: what one of those takes of which the command makes so many, on a server that is
# new but has served.
more_bytes() {
    local before after
    load --server "$address" --op ping --connections 1 --depth 1 --seconds 0.1 >/dev/null
    before=$(resident_bytes)
    "${@:3}"
    after=$(resident_bytes)
    note "$1" "$(divide $((after - before)) "$2" 1)" B bytes
}

make_inventories() {
    load --server "$address" --op get --connections 1 --depth 64 --seconds 0.1 --inventories "$inventories" \
        >/dev/null
}

# Returns while they are there: they go when $connecting ends.
make_connections() {
    local files
    load --server "$address" --op ping --connections 1 --depth 1 --seconds 1 --idle "$connections" \
        >/dev/null &
    connecting=$!
    for _ in {1..600}; do
        files=("/proc/$server/fd/"*)
        ((${#files[@]} <= connections)) || return 0
        sleep 0.05
    done
    fail "only ${#files[@]} files were open, of $connections connections"
}

# NUMBER OF CONNECTIONS: the system lets us have them, or a note is left.
can_connect() {
    local limit
    limit=$(ulimit -Hn)
    [ "$limit" = unlimited ] || ((limit > $1 + 200)) ||
        { leave_out "$1 connections: ulimit -Hn is $limit" && false; }
}

measure_bytes() {
    local some none
    some=$(recovered_bytes "$records")
    none=$(recovered_bytes 1)
    note bytes_reservation "$(divide $((some - none)) "$records" 1)" B bytes
    start_server --max-inventories $((2 * inventories))
    more_bytes bytes_inventory "$inventories" make_inventories
    stop_server
    can_connect "$connections" || return 0
    start_server
    more_bytes bytes_connection "$connections" make_connections
    wait "$connecting" || exit 3
    stop_server
}

# ---- ratios ----

declare -A found # by name: what each round found
ratio_names=()

# What is compared, each with one of the same server or the floor.
hot() { rate "$ours" --connections 50 --depth 64; }
hot_floor() { rate "$floor" --connections 50 --depth 64; }
single() { rate "$ours" --connections 50 --depth 1; }
single_floor() { rate "$floor" --connections 50 --depth 1; }
alone() { load_field p50_us "$ours" --connections 1 --depth 1; }
alone_floor() { load_field p50_us "$floor" --connections 1 --depth 1; }
refusals() { rate "$ours" --op refuse --connections 50 --depth 64; }
refusals_floor() { rate "$floor_refuse" --capacity 1 --connections 50 --depth 64; }
spread() { rate "$ours" --connections 50 --depth 64 --inventories 1000; }
crowd() { rate "$ours" --connections "$crowd" --depth 1; }
beside_idle() { rate "$ours" --connections 50 --depth 1 --idle "$idle"; }
# OPTION...: where the storm goes
hot_beside() {
    local storm result
    load "$@" --connections 50 --rate "$storm_rate" --warmup 0 \
        --seconds "$(awk "BEGIN { print $seconds + 4 * $warmup }")" >/dev/null &
    storm=$!
    sleep "$warmup" # it has begun before the warm-up of the other is over, and lasts longer
    result=$(hot)
    wait "$storm" || exit 3
    echo "$result"
}
beside_storm() { hot_beside --server "$ours" --op refuse; }
beside_storm_elsewhere() { hot_beside --server "$floor_refuse" --op reserve --capacity 1; }
grants_in_process() {
    field "$(in_process --job grant --operations $((operations / $1)) --threads "$1" --inventories "$2")" \
        per_second
}
one_worker_hot() { grants_in_process 1 1; }
two_workers_hot() { grants_in_process 2 1; }
one_worker_spread() { grants_in_process 1 1000; }
two_workers_spread() { grants_in_process 2 1000; }

keep_round() {
    [ -n "${found[$1]:-}" ] || ratio_names+=("$1")
    found[$1]+=" $2"
}

# NAME THIS THAT: this divided by that, on a server that is new.
ratio() {
    local this that
    start_server
    ours=$address
    if ((round % 2 == 1)); then
        this=$("$2")
        that=$("$3")
    else
        that=$("$3")
        this=$("$2")
    fi
    stop_server
    keep_round "$1" "$(divide "$this" "$that")"
    keep_round "=$2" "$this"
}

one_round() {
    ratio grants_50x64_to_floor hot hot_floor
    ratio grants_50x1_to_floor single single_floor
    ratio p50_1x1_to_floor alone alone_floor
    ratio refusals_50x64_to_floor refusals refusals_floor
    ratio hot_to_spread_1000 hot spread
    ! can_connect "$crowd" || ratio connections_1000_to_50 crowd single
    ! can_connect $((idle + 50)) || ratio beside_idle_10000 beside_idle single
    ratio beside_storm_200000 beside_storm hot
    ratio storm_200000_to_elsewhere beside_storm beside_storm_elsewhere
    ratio workers_2_to_1_hot two_workers_hot one_worker_hot
    ratio workers_2_to_1_spread_1000 two_workers_spread one_worker_spread
}

measure_ratios() {
    local name
    start "$build/holdfast-floor" --file "$work/floor"
    floor=$address
    helpers+=("$started")
    start "$build/holdfast-floor" --refuse
    floor_refuse=$address
    helpers+=("$started")
    for ((round = 1; round <= rounds; round++)); do
        one_round
    done
    for name in "${ratio_names[@]}"; do
        [[ $name != =* ]] || continue
        echo "$name, each round:${found[$name]}"
        # shellcheck disable=SC2086 # a word a round
        note "$name" "$(median ${found[$name]})" 1 ratio
    done
}

# ---- times ----

# From before the process is there to its ready line: sets $took_ms.
start_ms() {
    local began
    rm -rf "$work/data"
    sync -f "$work"
    began=$(date +%s%N)
    start "$build/holdfastd" --dir "$work/data" --listen 127.0.0.1:0
    took_ms=$(divide $(($(date +%s%N) - began)) 1000000 1)
    server=$started
    stop_server
}

measure_starts() {
    local i all=()
    for ((i = 0; i < starts; i++)); do
        start_ms
        all+=("$took_ms")
    done
    note start_empty "$(median "${all[@]}")" ms time
}

measure_in_process() {
    local job all
    for job in grant grant-burst refuse refuse-burst hold read view; do
        mapfile -t all < <(in_process --job "$job" --operations "$operations" --repeat 3 |
            sed -n 's/.*"cpu_ns":\([0-9.]*\).*/\1/p')
        note "cpu_$job" "$(median "${all[@]}")" ns time
    done
}

measure_open_loop() {
    local full=$1 percent line name
    for percent in 25 50 75 90; do
        start_server
        line=$(load --server "$address" --connections 8 --seconds "$open_loop_seconds" \
            --warmup "$open_loop_warmup" --rate "$(divide "$((${full%.*} * percent))" 100 0)")
        stop_server
        for name in p50 p99 p999 max; do
            note "open_loop_${percent}_$name" "$(field "$line" "${name}_us")" us time
        done
    done
}

measure_times() {
    local hot
    # shellcheck disable=SC2086 # a word a round
    {
        hot=$(median ${found[=hot]})
        note grants_50x64 "$hot" 1/s time
        note grants_50x1 "$(median ${found[=single]})" 1/s time
        note p50_1x1 "$(median ${found[=alone]})" us time
        note refusals_50x64 "$(median ${found[=refusals]})" 1/s time
    }
    measure_starts
    measure_in_process
    measure_open_loop "$hot"
}
