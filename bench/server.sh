# shellcheck shell=bash
# To be sourced: a server for one measurement, in a directory of its own, on a free port. Nothing of
# it is left behind, however the script ends.
#
#   start_server BUILD_DIR [OPTION...]   sets $address; gives up if the server does not start
#   stop_server                          as a signal would; gives up if it does not end in order

directory=
server=

# shellcheck disable=SC2317 # called by the trap
clean_up() {
    if [ -n "$server" ]; then
        kill -9 "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true # else it may still write while its files are removed
    fi
    [ -z "$directory" ] || rm -rf "$directory"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

give_up() {
    echo "$0: $1" >&2
    cat "$directory/errors" >&2
    exit 1
}

start_server() {
    local build=$1
    shift
    # A log wants a disk, and /tmp is often in memory.
    local parent=${TMPDIR:-/var/tmp}
    [ "$(stat -f -c %T "$parent")" = tmpfs ] && parent=/var/tmp
    directory=$(mktemp -d "$parent/holdfast-bench-XXXXXX")
    : >"$directory/ready"
    "$build/holdfastd" --dir "$directory/data" --listen 127.0.0.1:0 "$@" \
        >"$directory/ready" 2>"$directory/errors" &
    server=$!
    for _ in $(seq 600); do
        grep -q 'ready on' "$directory/ready" && break
        kill -0 "$server" 2>/dev/null || give_up "the server did not start:"
        sleep 0.1
    done
    address=$(sed -n 's/.*ready on \([^ ,]*:[0-9]*\).*/\1/p' "$directory/ready")
    [ -n "$address" ] || give_up "the server gave no ready line in 60 s:"
    sed 's/^[^:]*: ready on/server:/' "$directory/ready"
}

stop_server() {
    kill -TERM "$server"
    wait "$server" || give_up "the server ended with status $?:"
    server=
    rm -rf "$directory"
    directory=
}
