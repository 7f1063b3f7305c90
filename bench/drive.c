/* A drive. See drive.h. */
#include "bench/drive.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#define REQUEST_TIMEOUT_MS 30000

struct slot {
    struct lane *lane;
    uint32_t number; /* of the request in flight */
};

struct lane {
    struct hf_drive *drive;
    struct hf_client *client;
    struct slot slots[HF_DRIVE_DEPTH];
};

struct hf_drive {
    const struct hf_drive_work *work;
    uint32_t asked;
    bool failed;
    uint32_t lane_count;
    struct lane lanes[];
};

static void take(void *context, const struct hf_reply *reply);

static void ask(struct slot *slot)
{
    struct hf_drive *drive = slot->lane->drive;
    struct hf_request request = {0};
    if (drive->failed || drive->asked == drive->work->count)
        return;
    slot->number = drive->asked++;
    drive->work->ask(drive->work->context, slot->number, &request);
    if (hf_client_submit(slot->lane->client, &request, take, slot, NULL) != 0) {
        fprintf(stderr, "%s: out of memory\n", program_invocation_short_name);
        drive->failed = true;
    }
}

static void take(void *context, const struct hf_reply *reply)
{
    struct slot *slot = context;
    struct hf_drive *drive = slot->lane->drive;
    if (!drive->failed && reply->resent) {
        fprintf(stderr, "%s: a connection was lost: %s\n", program_invocation_short_name,
                hf_client_last_error(slot->lane->client));
        drive->failed = true;
    }
    if (!drive->failed && !drive->work->take(drive->work->context, slot->number, reply))
        drive->failed = true;
    ask(slot);
}

int hf_drive_open(struct hf_drive **opened, const char *server, uint32_t lanes)
{
    const struct hf_client_options options = {.server = server,
                                              .request_timeout_ms = REQUEST_TIMEOUT_MS};
    struct hf_drive *drive = calloc(1, sizeof *drive + lanes * sizeof drive->lanes[0]);
    if (drive == NULL)
        return -ENOMEM;
    for (; drive->lane_count < lanes; drive->lane_count++) {
        struct lane *lane = &drive->lanes[drive->lane_count];
        lane->drive = drive;
        for (unsigned i = 0; i < HF_DRIVE_DEPTH; i++)
            lane->slots[i].lane = lane;
        int result = hf_client_open(&options, &lane->client);
        if (result != 0) {
            hf_drive_close(drive);
            return result;
        }
    }
    *opened = drive;
    return 0;
}

void hf_drive_close(struct hf_drive *drive)
{
    for (uint32_t i = 0; i < drive->lane_count; i++)
        hf_client_close(drive->lanes[i].client);
    free(drive);
}

/* Waits for any of the connections, and lets all of them get on. Requests that are not answered. */
static size_t pump(struct hf_drive *drive)
{
    struct pollfd waits[HF_DRIVE_MAX_LANES];
    size_t outstanding = 0;
    int timeout_ms = -1;
    for (uint32_t i = 0; i < drive->lane_count; i++) {
        const struct hf_client *client = drive->lanes[i].client;
        int lane_ms = hf_client_timeout_ms(client);
        waits[i] = (struct pollfd){.fd = hf_client_fd(client), .events = hf_client_events(client)};
        if (lane_ms >= 0 && (timeout_ms < 0 || lane_ms < timeout_ms))
            timeout_ms = lane_ms;
    }
    poll(waits, drive->lane_count, timeout_ms);
    for (uint32_t i = 0; i < drive->lane_count; i++) {
        hf_client_process(drive->lanes[i].client);
        outstanding += hf_client_outstanding(drive->lanes[i].client);
    }
    return outstanding;
}

bool hf_drive_run(struct hf_drive *drive, const struct hf_drive_work *work, uint32_t depth)
{
    drive->work = work;
    drive->asked = 0;
    drive->failed = false;
    for (uint32_t place = 0; place < depth; place++)
        for (uint32_t i = 0; i < drive->lane_count; i++)
            ask(&drive->lanes[i].slots[place]);
    size_t outstanding = 0;
    for (uint32_t i = 0; i < drive->lane_count; i++) {
        hf_client_process(drive->lanes[i].client);
        outstanding += hf_client_outstanding(drive->lanes[i].client);
    }
    while (outstanding != 0)
        outstanding = pump(drive);
    return !drive->failed;
}
