/*
 * A drive: many requests, one answer each, as fast as a few connections with a bounded number in
 * flight allow. For what comes before and after a measurement; its speed is not what is measured.
 *
 * It stands on the client library, but a connection that breaks is a finding here and not mended.
 */
#ifndef HF_BENCH_DRIVE_H
#define HF_BENCH_DRIVE_H

#include <stdbool.h>

#include "holdfast/client.h"

#define HF_DRIVE_MAX_LANES 64 /* connections */
#define HF_DRIVE_DEPTH     256

/* What is driven: the requests 0 .. count - 1, in that order, and what is done with their answers.
 * Lists that a request points to must stay until the next one is asked for. */
struct hf_drive_work {
    uint32_t count;
    void (*ask)(void *context, uint32_t number, struct hf_request *request);
    /* False: it is wrong, and was reported; nothing more is asked. */
    bool (*take)(void *context, uint32_t number, const struct hf_reply *reply);
    void *context;
};

struct hf_drive;

/* Makes the clients; they connect when there is work. 0 or -errno of hf_client_open(). */
int hf_drive_open(struct hf_drive **drive, const char *server, uint32_t lanes);
void hf_drive_close(struct hf_drive *drive);

/* Works, `depth` requests (at most HF_DRIVE_DEPTH) in flight on each connection. Blocks until all
 * that was asked is answered. False: an answer was wrong, or a connection was lost. */
bool hf_drive_run(struct hf_drive *drive, const struct hf_drive_work *work, uint32_t depth);

#endif
