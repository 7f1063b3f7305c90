# shellcheck shell=bash
# To be sourced: what Holdfast is compared with, each an instance of its own, in a directory of its
# own, on a port of its own. The services that the system may run are not touched.
#
#   peers_begin                     makes $work; however the script ends, what was started is stopped
#   free_port                       prints a port of 127.0.0.1 that nobody listens on
#   redis_start DIR OPTION...       sets $redis_port
#   postgres_make DIR SETTING...    makes a cluster
#   postgres_start DIR              sets $postgres_port; blocks until it has recovered and is ready
#   tarantool_start DIR [NAME=VALUE...]
#                                   sets $tarantool_port
#   redis_await, tarantool_await ready
#                                   block until it has loaded its data and answers
#   NAME_stop, NAME_kill            in order; or as a crash would
#   sql, redis_ask                  a statement, a command
#
# Redis and Tarantool run as whoever starts this; PostgreSQL refuses root, and runs as its own user
# then.

postgres_bin=$(find /usr/lib/postgresql -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1)
# A server does not outlive this script, not even if it is killed.
guarded=(setpriv --pdeathsig KILL)
as_postgres=("${guarded[@]}")
((EUID == 0)) && as_postgres+=(--reuid postgres --regid postgres --clear-groups)
peer_home=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

work=
redis=
tarantool=
postgres=

# shellcheck disable=SC2317 # called by the trap
peers_end() {
    local status=$? pid
    [ -z "$postgres" ] || postgres_kill
    for pid in $redis $tarantool ${other_servers:-}; do
        kill -9 "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true # else it may still write while its files are removed
    done
    [ -z "$work" ] || rm -rf "$work"
    exit "$status"
}

peers_begin() {
    # A log wants a disk, and /tmp is often in memory.
    local parent=${TMPDIR:-/var/tmp}
    [ "$(stat -f -c %T "$parent")" = tmpfs ] && parent=/var/tmp
    trap peers_end EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    work=$(mktemp -d "$parent/$1.XXXXXX")
    chmod 711 "$work" # PostgreSQL's user goes through it
}

fail() {
    echo "$0: $1" >&2
    [ -z "${2:-}" ] || tail -n 20 "$2" >&2
    exit 1
}

# Below the range from which the kernel takes the ports of outgoing connections.
free_port() {
    local port
    while :; do
        port=$((20000 + RANDOM % 12000))
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
    done
    echo "$port"
}

# Waits until a command succeeds, as long as that process lives.
await() {
    local pid=$1 log=$2
    shift 2
    until "$@"; do
        kill -0 "$pid" 2>/dev/null || fail "a server did not start:" "$log"
        sleep 0.005
    done
}

# ---- Redis ----

redis_start() {
    local dir=$1
    shift
    mkdir -p "$dir"
    redis_port=$(free_port)
    "${guarded[@]}" redis-server --bind 127.0.0.1 --port "$redis_port" --protected-mode no --dir "$dir" --save '' \
        --daemonize no --appendonly yes "$@" >"$dir/log" 2>&1 &
    redis=$!
    redis_log=$dir/log
}

redis_ask() {
    redis-cli -h 127.0.0.1 -p "$redis_port" "$@"
}

# While it loads, it answers PING with an error.
redis_answers() {
    [ "$(redis_ask ping 2>/dev/null)" = PONG ]
}

redis_await() {
    await "$redis" "$redis_log" redis_answers
}

redis_stop() {
    kill -TERM "$redis"
    wait "$redis" || fail "redis ended with status $?:" "$redis_log"
    redis=
}

redis_kill() {
    kill -9 "$redis"
    wait "$redis" 2>/dev/null || true
    redis=
}

# ---- PostgreSQL ----

postgres_make() {
    local dir=$1
    shift
    [ -n "$postgres_bin" ] || fail "PostgreSQL's programs are not below /usr/lib/postgresql"
    mkdir -p "$dir"
    ((EUID != 0)) || chown postgres "$dir"
    "${as_postgres[@]}" "$postgres_bin/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 \
        --locale=C.UTF-8 >"$work/initdb" 2>&1 || fail "initdb failed:" "$work/initdb"
    printf '%s\n' "unix_socket_directories = ''" "listen_addresses = '127.0.0.1'" "$@" |
        "${as_postgres[@]}" tee -a "$dir/data/postgresql.conf" >/dev/null
}

postgres_answers() {
    "$postgres_bin/pg_isready" -q -h 127.0.0.1 -p "$postgres_port"
}

postgres_start() {
    postgres_port=$(free_port)
    postgres_log=$1/log
    "${as_postgres[@]}" "$postgres_bin/postgres" -D "$1/data" -p "$postgres_port" >"$1/log" 2>&1 &
    postgres=$!
    await "$postgres" "$postgres_log" postgres_answers
}

sql() {
    psql -X -h 127.0.0.1 -p "$postgres_port" -U postgres -d postgres -qAt -v ON_ERROR_STOP=1 "$@"
}

# Its fast shutdown, which ends in a checkpoint; and its immediate one, which is like a crash, but
# waits until all its processes are gone.
postgres_stop() {
    kill -INT "$postgres"
    wait "$postgres" || fail "PostgreSQL ended with status $?:" "$postgres_log"
    postgres=
}

postgres_kill() {
    kill -QUIT "$postgres"
    wait "$postgres" 2>/dev/null || true
    postgres=
}

# ---- Tarantool ----

tarantool_start() {
    local dir=$1
    shift
    mkdir -p "$dir"
    tarantool_port=$(free_port)
    tarantool_log=$dir/log
    : >"$dir/out"
    "${guarded[@]}" env HOLDFAST_DIR="$dir" HOLDFAST_LISTEN="127.0.0.1:$tarantool_port" "$@" \
        tarantool "$peer_home/tarantool.lua" >"$dir/out" 2>"$dir/log" &
    tarantool=$!
    tarantool_out=$dir/out
}

tarantool_says() {
    grep -q "^$1\$" "$tarantool_out"
}

tarantool_await() {
    await "$tarantool" "$tarantool_log" tarantool_says "$1"
}

tarantool_stop() {
    kill -TERM "$tarantool"
    wait "$tarantool" || fail "tarantool ended with status $?:" "$tarantool_log"
    tarantool=
}

tarantool_kill() {
    kill -9 "$tarantool"
    wait "$tarantool" 2>/dev/null || true
    tarantool=
}
