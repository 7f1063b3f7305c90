/* The watcher. See watcher.h. */
#include "bench/watcher.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/image.h"

#define WAIT_MS        20 /* longest time until it is noticed that it is to stop */
#define START_NS       (10 * HF_NS_PER_S)
#define MAX_COMPLAINTS 5

/* ---- one record ---- */

/* Counts what is wrong; the first few are reported. */
static void complain(struct hf_watcher *watcher, uint64_t *count, const struct hf_image *image,
                     const char *what)
{
    char id[HF_ID_TEXT_BYTES];
    ++*count;
    if (watcher->complaints++ >= MAX_COMPLAINTS)
        return;
    hf_id_format(&image->reservation.id, id);
    fprintf(stderr, "%s: LSN %llu, %s, %s: %s\n", program_invocation_short_name,
            (unsigned long long)image->lsn, id, hf_state_name(image->reservation.state), what);
}

static void take_held(struct hf_watcher *watcher, uint32_t number, const struct hf_image *image)
{
    const struct hf_reservation *hold = &image->reservation;
    uint8_t *state = &watcher->states[number];
    uint64_t *deadline_ns = &watcher->deadlines_ns[number];
    if (*state == HF_STATE_HELD) {
        watcher->result.extended++;
        if (hold->changed_at_ns >= *deadline_ns || hold->deadline_ns < *deadline_ns)
            complain(watcher, &watcher->result.disorder, image, "extended after its deadline");
    } else if (*state != 0) {
        complain(watcher, &watcher->result.disorder, image, "held again after its end");
        return;
    }
    *state = HF_STATE_HELD;
    *deadline_ns = hold->deadline_ns;
}

static void take_confirmed(struct hf_watcher *watcher, uint32_t number,
                           const struct hf_image *image)
{
    struct hf_watcher_result *result = &watcher->result;
    if (watcher->states[number] != HF_STATE_HELD) {
        complain(watcher, &result->disorder, image, "confirmed, and it was not held");
        return;
    }
    if (image->reservation.changed_at_ns >= watcher->deadlines_ns[number])
        complain(watcher, &result->late, image, "confirmed after its deadline");
    result->confirmed++;
    watcher->states[number] = HF_STATE_CONFIRMED;
    watcher->confirmed_in[hf_holds_place(watcher->holds, number)]++;
    /* Release: who has seen all of them may stop the watcher. */
    hf_fetch_add_acq_rel(&watcher->resolved, 1);
}

static uint64_t after(uint64_t date_ns, uint64_t deadline_ns)
{
    return date_ns > deadline_ns ? date_ns - deadline_ns : 0;
}

static void raise_to(uint64_t *most, uint64_t value)
{
    if (value > *most)
        *most = value;
}

static void measure(struct hf_watch *watch, uint64_t deadline_ns, uint64_t noticed_ns,
                    uint64_t here_ns)
{
    struct hf_watcher_result *result = &watch->watcher->result;
    hf_histogram_add(&result->noticed, after(noticed_ns, deadline_ns));
    hf_histogram_add(&result->committed, after(here_ns, deadline_ns));
    raise_to(&result->overtaken_ns, after(watch->newest_deadline_ns, deadline_ns));
    raise_to(&watch->newest_deadline_ns, deadline_ns);
    raise_to(&result->last_noticed_ns, noticed_ns);
    raise_to(&result->last_committed_ns, here_ns);
}

static void take_expired(struct hf_watch *watch, uint32_t number, const struct hf_image *image,
                         uint64_t here_ns)
{
    struct hf_watcher *watcher = watch->watcher;
    struct hf_watcher_result *result = &watcher->result;
    uint64_t deadline_ns = watcher->deadlines_ns[number];
    if (watcher->states[number] == HF_STATE_EXPIRED) {
        complain(watcher, &result->twice, image, "expired already");
        return;
    }
    if (watcher->states[number] != HF_STATE_HELD || image->notes.reason != HF_REASON_DEADLINE) {
        complain(watcher, &result->disorder, image, "expired, and it was not held");
        return;
    }
    if (image->reservation.changed_at_ns < deadline_ns)
        complain(watcher, &result->early, image, "expired before its deadline");
    result->expired++;
    watcher->states[number] = HF_STATE_EXPIRED;
    measure(watch, deadline_ns, image->reservation.changed_at_ns, here_ns);
    hf_fetch_add_acq_rel(&watcher->resolved, 1); /* as in take_confirmed() */
}

/* Somebody else got the unit of a hold that was alone. */
static void take_other(struct hf_watcher *watcher, uint32_t number, const struct hf_image *image)
{
    uint32_t *units = &watcher->confirmed_in[hf_holds_place(watcher->holds, number)];
    if (watcher->states[number] != HF_STATE_EXPIRED || *units != 0)
        complain(watcher, &watcher->result.disorder, image, "granted before the unit was free");
    ++*units;
    watcher->result.others++;
    hf_fetch_add_acq_rel(&watcher->others, 1); /* as in take_confirmed() */
}

static void take_record(struct hf_watch *watch, const uint8_t *record, uint64_t here_ns)
{
    struct hf_watcher *watcher = watch->watcher;
    struct hf_image image;
    uint32_t number;
    bool others_claim;
    const char *wrong = hf_image_decode(record, &image);
    if (wrong != NULL) {
        fprintf(stderr, "%s: a record that is none: %s\n", program_invocation_short_name, wrong);
        watcher->result.disorder++;
        return;
    }
    if (image.kind != HF_IMAGE_RESERVATION)
        return;
    if (!hf_holds_number(watcher->holds, &image.reservation.id, &number, &others_claim))
        complain(watcher, &watcher->result.disorder, &image, "not a reservation of this run");
    else if (others_claim)
        take_other(watcher, number, &image);
    else if (image.reservation.state == HF_STATE_HELD)
        take_held(watcher, number, &image);
    else if (image.reservation.state == HF_STATE_CONFIRMED)
        take_confirmed(watcher, number, &image);
    else if (image.reservation.state == HF_STATE_EXPIRED)
        take_expired(watch, number, &image, here_ns);
    else
        complain(watcher, &watcher->result.disorder, &image, "nobody asked for that");
}

/* ---- the thread ---- */

static bool take_frame(void *context, const struct hf_reply *reply)
{
    struct hf_watch *watch = context;
    struct hf_watcher *watcher = watch->watcher;
    uint64_t here_ns = hf_server_time_now_ns(watcher->time);
    if (reply->result == HF_SUBSCRIBED && !reply->resent) {
        hf_fetch_add_acq_rel(&watcher->subscribed, 1); /* as in take_confirmed() */
        return true;
    }
    if (reply->result == HF_FELL_BEHIND) {
        watcher->result.fell_behind++;
        return true;
    }
    if (reply->result != HF_RECORDS) {
        fprintf(stderr, "%s: the watch has ended: %s: %s\n", program_invocation_short_name,
                hf_result_name(reply->result), hf_result_meaning(reply->result));
        hf_store_release(&watcher->failed, true); /* pairs with the loads of who waits for us */
        return false;
    }
    for (uint32_t i = 0; i < reply->count; i++)
        take_record(watch, reply->records + (size_t)i * HF_FRAME_RECORD_BYTES, here_ns);
    return true;
}

static void *watch_thread(void *context)
{
    struct hf_watcher *watcher = context;
    while (!hf_load_acquire(&watcher->stop)) { /* pairs with hf_watcher_stop() */
        hf_client_wait(watcher->client, WAIT_MS);
        if (hf_client_connects(watcher->client) > 1) {
            fprintf(stderr, "%s: the watcher's connection was lost: %s\n",
                    program_invocation_short_name, hf_client_last_error(watcher->client));
            hf_store_release(&watcher->failed, true); /* as in take_frame() */
            break;
        }
    }
    return NULL;
}

static int subscribe(struct hf_watcher *watcher)
{
    uint64_t ids[HF_MAX_WATCH_IDS];
    struct hf_request request = {
        .operation = HF_OP_SUBSCRIBE, .kind = HF_WATCH_INVENTORIES, .ids = ids};
    uint32_t inventories = hf_holds_inventories(watcher->holds);
    int result = 0;
    for (uint32_t first = 0; first < inventories && result == 0; first += request.count) {
        struct hf_watch *watch = &watcher->watches[watcher->watch_count++];
        uint32_t left = inventories - first;
        watch->watcher = watcher;
        request.count = left < HF_MAX_WATCH_IDS ? left : HF_MAX_WATCH_IDS;
        for (uint32_t i = 0; i < request.count; i++)
            ids[i] = watcher->holds->first_inventory_id + first + i;
        result = hf_client_watch(watcher->client, &request, take_frame, watch);
    }
    return result;
}

static int await_start(const struct hf_watcher *watcher)
{
    const struct timespec step = {.tv_nsec = HF_NS_PER_MS};
    uint64_t until_ns = hf_monotonic_now_ns() + START_NS;
    /* Acquire, both: pairs with take_frame(). */
    while (hf_load_acquire(&watcher->subscribed) < watcher->watch_count) {
        if (hf_load_acquire(&watcher->failed))
            return -EIO;
        if (hf_monotonic_now_ns() > until_ns) {
            fprintf(stderr, "%s: the server does not begin to tell of changes\n",
                    program_invocation_short_name);
            return -EIO;
        }
        nanosleep(&step, NULL);
    }
    return 0;
}

int hf_watcher_start(struct hf_watcher *watcher, const char *server, const struct hf_holds *holds,
                     const struct hf_server_time *time)
{
    const struct hf_client_options options = {.server = server};
    memset(watcher, 0, sizeof *watcher);
    watcher->holds = holds;
    watcher->time = time;
    watcher->states = calloc(holds->count, sizeof *watcher->states);
    watcher->deadlines_ns = calloc(holds->count, sizeof *watcher->deadlines_ns);
    watcher->confirmed_in = calloc(hf_holds_inventories(holds), sizeof *watcher->confirmed_in);
    int result = -ENOMEM;
    if (watcher->states != NULL && watcher->deadlines_ns != NULL && watcher->confirmed_in != NULL)
        result = hf_client_open(&options, &watcher->client);
    if (result == 0)
        result = subscribe(watcher);
    if (result == 0)
        result = -pthread_create(&watcher->thread, NULL, watch_thread, watcher);
    if (result != 0) {
        hf_watcher_free(watcher);
        return result;
    }
    result = await_start(watcher);
    if (result != 0) {
        hf_watcher_stop(watcher);
        hf_watcher_free(watcher);
    }
    return result;
}

void hf_watcher_stop(struct hf_watcher *watcher)
{
    hf_store_release(&watcher->stop, true); /* pairs with watch_thread() */
    pthread_join(watcher->thread, NULL);
}

void hf_watcher_free(struct hf_watcher *watcher)
{
    if (watcher->client != NULL)
        hf_client_close(watcher->client);
    free(watcher->states);
    free(watcher->deadlines_ns);
    free(watcher->confirmed_in);
    memset(watcher, 0, sizeof *watcher);
}
