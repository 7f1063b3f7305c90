/*
 * The server: a store, a listening socket, and workers.
 *
 * Each worker has a thread, an io_uring, its own connections, and no lock between it and the
 * others. Worker 0 accepts and deals the connections out in turn. Any worker may claim from any
 * inventory.
 *
 * Until the store has recovered and the workers are there, the doorman answers (doorman.h).
 *
 * Shutdown, step by step. hf_server_close() tells every worker. They go on serving for a moment, so
 * that what was on its way is executed; then answer SHUTTING_DOWN; close each connection when it is
 * owed nothing; and stay until all that any of them appended is durable. Then hf_server_close()
 * writes the STOP block.
 */
#ifndef HF_NET_SERVER_H
#define HF_NET_SERVER_H

#include <liburing.h>
#include <pthread.h>
#include <stdio.h>

#include "base/progress.h"
#include "engine/store.h"
#include "holdfast/protocol.h"

#define HF_MAX_WORKERS        64
#define HF_SERVER_ERROR_BYTES 640

struct hf_doorman;
struct hf_feed;
struct hf_worker;

struct hf_server_options {
    const char *listen;    /* "HOST:PORT", "[IPv6]:PORT" */
    uint32_t workers;      /* 0: one for every two CPUs that we may run on */
    uint64_t busy_poll_ns; /* how long a worker asks for work before it sleeps; 0: it sleeps */
    struct hf_store_options store;

    /* While the server recovers. */
    FILE *report;              /* how far it is, after the first second; NULL: nowhere */
    bool (*stop_wanted)(void); /* asked 20 times a second; true: give up. NULL: never */
};

struct hf_server {
    struct io_uring control; /* of the thread that opens and closes: messages to the workers */
    struct hf_server_options options;
    struct hf_store *store;
    struct hf_feed *feed; /* reads the log for the clients */
    int listener;
    char address[128]; /* the actual one, as HOST:PORT */
    uint32_t worker_count;
    struct hf_worker *workers[HF_MAX_WORKERS];
    bool given_up; /* the start failed: set before hf_worker_go() */

    /* Written by each worker as it is told to stop and as it has closed its connections. */
    _Atomic uint32_t serving; /* workers that may still append */

    struct hf_progress progress; /* of the recovery */
    struct hf_doorman *doorman;  /* as long as it takes; NULL: the workers are there */
};

/* Listens, recovers, starts the workers. The same thread closes. 0, or -errno with a line in
 * `error`: -ECANCELED, if it gave up because that was wanted. */
int hf_server_open(struct hf_server **server, const struct hf_server_options *options,
                   char error[HF_SERVER_ERROR_BYTES]);

/* Begins the shutdown, waits for its end, frees. 0 or -errno of the last write. */
int hf_server_close(struct hf_server *server);

/* What INFO tells. Any thread. */
void hf_server_describe(struct hf_server *server, struct hf_info *info);

/* What STATUS tells of a server that is ready. Any thread. */
void hf_server_describe_status(struct hf_server *server, struct hf_status *status);

#endif
