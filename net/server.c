/* The server: see server.h. */
#include "net/server.h"

#include <errno.h>
#include <liburing.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "net/address.h"
#include "net/doorman.h"
#include "net/feed.h"
#include "net/worker.h"
#include "wal/io_uring.h"

#define BACKLOG 4096

/* Descriptors for anything but connections and workers: standard streams, listener, doorman's bell,
 * log, region. */
#define OWN_DESCRIPTORS (25 + HF_FEED_READERS)

/* And for the archive's command: its ends, the file, the note. */
#define ARCHIVE_DESCRIPTORS 7

/* How long a port that is in use is tried again. */
#define PORT_PATIENCE_NS (2 * HF_NS_PER_S)

/* A peer that vanished is noticed after 60 s + 6 x 10 s. */
#define KEEPALIVE_IDLE_S     60
#define KEEPALIVE_INTERVAL_S 10
#define KEEPALIVE_PROBES     6

/* Options that accepted sockets inherit. */
static void set_options(int listener)
{
    int one = 1, idle = KEEPALIVE_IDLE_S, interval = KEEPALIVE_INTERVAL_S,
        probes = KEEPALIVE_PROBES;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(listener, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
    setsockopt(listener, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    setsockopt(listener, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    setsockopt(listener, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
}

/* A listening socket on the first of these addresses that works. A descriptor or -errno. */
static int listen_on(const struct addrinfo *addresses)
{
    int result = -EADDRNOTAVAIL;
    for (const struct addrinfo *address = addresses; address != NULL; address = address->ai_next) {
        int listener = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (listener < 0) {
            result = -errno;
            continue;
        }
        set_options(listener);
        if (bind(listener, address->ai_addr, address->ai_addrlen) == 0 &&
            listen(listener, BACKLOG) == 0)
            return listener;
        result = -errno;
        close(listener);
    }
    return result;
}

/*
 * A server that was killed may hold its port a moment longer than it lives: the kernel ends what
 * its io_urings were waiting for in the background. It must not lock out its successor.
 */
static int listen_patiently(const struct addrinfo *addresses)
{
    uint64_t until_ns = hf_monotonic_now_ns() + PORT_PATIENCE_NS;
    for (;;) {
        int listener = listen_on(addresses);
        if (listener != -EADDRINUSE || hf_monotonic_now_ns() > until_ns)
            return listener;
        struct timespec pause = {.tv_nsec = 5000000};
        nanosleep(&pause, NULL);
    }
}

static int open_listener(struct hf_server *server, char *error)
{
    const char *text = server->options.listen;
    char host[HF_HOST_BYTES], port[6];
    if (!hf_address_split(text, host, port)) {
        snprintf(error, HF_SERVER_ERROR_BYTES,
                 "--listen %s is not an address: write HOST:PORT, or [IPv6]:PORT", text);
        return -EINVAL;
    }
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *addresses;
    int status = getaddrinfo(host, port, &hints, &addresses);
    if (status != 0) {
        snprintf(error, HF_SERVER_ERROR_BYTES, "--listen %s: cannot resolve %s: %s", text, host,
                 gai_strerror(status));
        return -ENOENT;
    }
    server->listener = listen_patiently(addresses);
    freeaddrinfo(addresses);
    if (server->listener < 0) {
        snprintf(error, HF_SERVER_ERROR_BYTES, "cannot listen on %s: %s%s", text,
                 strerror(-server->listener),
                 server->listener == -EADDRINUSE
                     ? "; stop the program that uses the port, or choose another with --listen"
                 : server->listener == -EACCES ? "; ports below 1024 are for root"
                                               : "");
        return server->listener;
    }
    struct sockaddr_storage bound;
    socklen_t bound_bytes = sizeof bound;
    getsockname(server->listener, (struct sockaddr *)&bound, &bound_bytes);
    hf_address_format((struct sockaddr *)&bound, bound_bytes, server->address,
                      sizeof server->address);
    return 0;
}

/* As many descriptors as we may have: connections need them. 0, or -EMFILE with a line. *spare: how
 * many are surely left for visitors of the doorman. */
static int raise_descriptor_limit(const struct hf_server *server, rlim_t *spare, char *error)
{
    *spare = HF_DOORMAN_VISITORS;
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 0;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    rlim_t needed = OWN_DESCRIPTORS + server->options.workers;
    if (server->options.store.archive_command != NULL)
        needed += ARCHIVE_DESCRIPTORS;
    if (limit.rlim_cur >= needed) {
        *spare = limit.rlim_cur - needed;
        return 0;
    }
    snprintf(error, HF_SERVER_ERROR_BYTES,
             "too few file descriptors: %llu are allowed, %llu are needed before the first "
             "connection; raise the limit (ulimit -n)",
             (unsigned long long)limit.rlim_cur, (unsigned long long)needed);
    return -EMFILE;
}

/* Waits for the workers' ends, and then ends the feed, which sends messages to their rings. */
static void join_workers(struct hf_server *server)
{
    for (uint32_t i = 0; i < server->worker_count; i++)
        hf_worker_join(server->workers[i]);
    hf_feed_close(server->feed, &server->control);
    for (uint32_t i = 0; i < server->worker_count; i++)
        hf_worker_free(server->workers[i]);
    server->worker_count = 0;
}

static int start_doorman(struct hf_server *server, rlim_t spare, char *error)
{
    const struct hf_doorman_options options = {
        .listener = server->listener,
        .visitors = spare < HF_DOORMAN_VISITORS ? (uint32_t)spare : HF_DOORMAN_VISITORS,
        .progress = &server->progress,
        .report = server->options.report,
        .stop_wanted = server->options.stop_wanted,
    };
    int result = hf_doorman_start(&server->doorman, &options);
    if (result != 0)
        snprintf(error, HF_SERVER_ERROR_BYTES, "cannot start a thread: %s", strerror(-result));
    return result;
}

/* Nobody will serve them. */
static void dismiss_visitors(struct hf_server *server)
{
    if (server->doorman != NULL)
        hf_visitors_dismiss(hf_doorman_end(server->doorman));
    server->doorman = NULL;
}

/* The workers are there: from now on they open the door. */
static void relieve_doorman(struct hf_server *server)
{
    struct hf_visitor *visitor = hf_doorman_end(server->doorman), *next;
    server->doorman = NULL;
    for (uint32_t i = 0; visitor != NULL; visitor = next, i++) {
        next = visitor->next;
        struct hf_worker *worker = server->workers[i % server->worker_count];
        visitor->next = worker->visitors;
        worker->visitors = visitor;
    }
}

static int start_workers(struct hf_server *server, char *error)
{
    uint32_t count = server->options.workers;
    int result = 0;
    hf_store_relaxed(&server->serving, count); /* hf_worker_go() orders it */
    for (uint32_t i = 0; i < count && result == 0; i++) {
        struct hf_worker *worker = NULL;
        result = hf_worker_start(&worker, server, i, error);
        if (worker != NULL)
            server->workers[server->worker_count++] = worker;
    }
    server->given_up = result != 0;
    if (result == 0)
        relieve_doorman(server);
    for (uint32_t i = 0; i < server->worker_count; i++)
        hf_worker_go(server->workers[i]);
    return result;
}

int hf_server_open(struct hf_server **opened, const struct hf_server_options *options,
                   char error[HF_SERVER_ERROR_BYTES])
{
    struct hf_server *server = calloc(1, sizeof *server);
    if (server == NULL) {
        snprintf(error, HF_SERVER_ERROR_BYTES, "out of memory");
        return -ENOMEM;
    }
    server->options = *options;
    if (server->options.workers == 0) {
        cpu_set_t ours; /* that we may run on, which may be fewer than there are */
        long cpus = sched_getaffinity(0, sizeof ours, &ours) == 0 ? CPU_COUNT(&ours)
                                                                  : sysconf(_SC_NPROCESSORS_ONLN);
        uint32_t workers = cpus < 2 ? 1 : (uint32_t)cpus / 2;
        server->options.workers = workers > HF_MAX_WORKERS ? HF_MAX_WORKERS : workers;
    }
    rlim_t spare;
    int result = raise_descriptor_limit(server, &spare, error);
    /* The port first: it is the cheaper thing to find taken. */
    if (result == 0)
        result = open_listener(server, error);
    if (result != 0)
        goto free_server;
    result = hf_uring_open(&server->control, HF_MAX_WORKERS, error, HF_SERVER_ERROR_BYTES);
    if (result != 0)
        goto close_listener;
    result = start_doorman(server, spare, error);
    if (result != 0)
        goto close_control;
    server->options.store.progress = &server->progress;
    char store_error[HF_LOG_ERROR_BYTES];
    result = hf_store_open(&server->store, &server->options.store, store_error);
    if (result != 0) {
        snprintf(error, HF_SERVER_ERROR_BYTES, "%s", store_error);
        goto dismiss;
    }
    result = hf_feed_open(&server->feed, &server->store->log, &server->store->log.recent);
    if (result != 0) {
        snprintf(error, HF_SERVER_ERROR_BYTES, "out of memory");
        goto close_store;
    }
    result = start_workers(server, error);
    if (result != 0)
        goto join;
    *opened = server;
    return 0;

join:
    join_workers(server);
close_store:
    hf_store_close(server->store);
dismiss:
    dismiss_visitors(server);
close_control:
    io_uring_queue_exit(&server->control);
close_listener:
    close(server->listener);
free_server:
    free(server);
    return result;
}

int hf_server_close(struct hf_server *server)
{
    for (uint32_t i = 0; i < server->worker_count; i++)
        hf_worker_send(&server->control, server->workers[i], HF_MESSAGE_STOP, 0);
    hf_uring_submit_all(&server->control);
    join_workers(server);
    io_uring_queue_exit(&server->control);
    close(server->listener);
    int result = hf_store_close(server->store);
    free(server);
    return result;
}

void hf_server_describe(struct hf_server *server, struct hf_info *info)
{
    struct hf_store *store = server->store;
    struct hf_flusher *flusher = &store->log.flusher;
    const struct hf_region_header *header = store->engine.region.header;
    *info = (struct hf_info){
        .epoch = flusher->epoch,
        .started_at_ns = store->started_at_ns,
        .now_ns = hf_server_clock_now_ns(&store->log.clock),
        /* Relaxed, all of these: figures for a person, each right at its own instant. */
        .next_lsn = hf_load_relaxed(&store->log.ring.tail),
        .commit_lsn = hf_load_relaxed(&flusher->commit_lsn),
        .durable_lsn = hf_load_relaxed(&flusher->durable_lsn),
        .recovered_records = store->log.recovery.records,
        .recovered_reservations = store->recovered_reservations,
        .recovery_ns = store->recovery_ns,
        .reservations = store->recovered_reservations,
        .max_reservations = header->max_reservations,
        .log_bytes = hf_load_relaxed(&flusher->written_bytes),
        .log_blocks = hf_load_relaxed(&flusher->written_blocks),
        .inventories = hf_load_relaxed(&header->inventory_count),
        .max_inventories = header->max_inventories,
        .workers = server->worker_count,
        .durability = flusher->durability == HF_DURABILITY_MEMORY,
        .server_version = HF_VERSION,
    };
    memcpy(info->log_id, flusher->log_id, sizeof info->log_id);
    for (uint32_t i = 0; i < server->worker_count; i++) {
        info->connections += hf_load_relaxed(&server->workers[i]->connection_count);
        info->reservations += hf_load_relaxed(&server->workers[i]->actor.made);
    }
    info->reservations -= hf_load_relaxed(&store->engine.reclaimed);
}

void hf_server_describe_status(struct hf_server *server, struct hf_status *status)
{
    *status = (struct hf_status){.state = HF_SERVER_READY};
    hf_store_describe(server->store, status);
    for (uint32_t i = 0; i < server->worker_count; i++) {
        struct hf_handler *handler = &server->workers[i]->handler;
        status->put_aside += hf_load_relaxed(&handler->put_aside); /* figures */
        status->overloaded += hf_load_relaxed(&handler->overloaded);
    }
}
