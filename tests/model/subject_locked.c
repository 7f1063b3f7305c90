/*
 * A subject that is right, and slow: the reference model behind one lock. What it decides, it takes
 * from the model; so it says nothing about the model, and much about those who test with it. On
 * request it makes a mistake, of a kind that engines make: each must be found.
 *
 * It notices lapsed holds by itself when it likes, as a server may.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "tests/lib/stress.h"
#include "tests/model/reference.h"
#include "tests/model/subject.h"

#define LOGGED_MAX 4096u

enum mistake {
    RIGHT,
    CONFIRMS_A_NANOSECOND_LATE, /* a hold at its very deadline */
    FORGETS_NOT_AFTER,
    OVERRIDES_ALWAYS,   /* the customer limit */
    SPLITS_BATCHES,     /* each line by itself, without a way back */
    FORGETS_THE_GUARD,  /* the expected sequence */
    NEVER_OFFERS_AGAIN, /* after the first offer out of one change */
    EXPIRES_EARLY,      /* by a microsecond */
    TEARS_CHAINS,       /* recovery keeps the first half of a batch */
    LOSES_THE_LAST,     /* recovery loses the last acknowledged change */
    REFUSES_AT_ONCE,    /* without noticing lapsed holds */
    MISTAKES,
};

struct locked {
    pthread_mutex_t lock;
    struct hf_world *world;
    enum mistake mistake;
    struct hf_random random;
    uint64_t retain_ns;
    uint64_t next_lsn;
    uint32_t next_id;
    uint32_t version; /* the newest of any inventory */
    struct hf_image logged[LOGGED_MAX];
    uint32_t logged_count;
    /* For a crash: where the journal of the world stood after each LSN from first_lsn on. */
    uint64_t first_lsn;
    size_t *marks;
    uint64_t mark_room;
    struct hf_expectation expected; /* too large for the stack of a thread */
};

static void *locked_open(const struct hf_subject_options *options)
{
    struct locked *self = calloc(1, sizeof *self);
    HF_CHECK(self);
    pthread_mutex_init(&self->lock, NULL);
    self->world = hf_world_open(options->max_inventories, options->max_reservations * 8);
    self->mistake = options->mistake < MISTAKES ? (enum mistake)options->mistake : RIGHT;
    self->retain_ns = options->retain_ns;
    self->random = hf_random_for(options->seed, 77);
    self->next_lsn = self->first_lsn = 1;
    return self;
}

static void locked_close(void *subject)
{
    struct locked *self = subject;
    hf_world_close(self->world);
    pthread_mutex_destroy(&self->lock);
    free(self->marks);
    free(self);
}

static void locked_renew(void *subject, uint32_t inventories, uint32_t reservations)
{
    struct locked *self = subject;
    (void)inventories;
    (void)reservations;
    hf_world_clear(self->world);
    self->logged_count = 0;
    self->first_lsn = self->next_lsn;
}

/* ---- the log ---- */

static void note_mark(struct locked *self, uint64_t lsn, size_t mark)
{
    uint64_t place = lsn - self->first_lsn;
    if (place >= self->mark_room) {
        self->mark_room = (place + 64) * 2;
        self->marks = realloc(self->marks, self->mark_room * sizeof *self->marks);
        HF_CHECK(self->marks);
    }
    self->marks[place] = mark;
}

static enum hf_reason reason_of(const struct hf_reservation *change, bool by_server)
{
    if (change->state == HF_STATE_EXPIRED)
        return HF_REASON_DEADLINE;
    if (!by_server)
        return HF_REASON_REQUEST;
    return change->state == HF_STATE_HELD ? HF_REASON_OFFER : HF_REASON_LIMIT;
}

static void log_inventory(struct locked *self)
{
    struct hf_image *image = &self->logged[self->logged_count++];
    *image = (struct hf_image){.lsn = self->next_lsn, .kind = HF_IMAGE_INVENTORY};
    note_mark(self, self->next_lsn++, hf_world_mark(self->world));
}

/* Logs what changed since `mark`: as one chain, if it is the work of one request. */
static void log_changes(struct locked *self, size_t mark, bool by_server)
{
    struct hf_reservation changes[2 * HF_MAX_BATCH_LINES];
    uint32_t count = hf_world_changes(self->world, mark, changes, sizeof changes / sizeof *changes);
    HF_CHECK(count <= 2 * HF_MAX_BATCH_LINES && self->logged_count + count <= LOGGED_MAX);
    for (uint32_t i = 0; i < count; i++) {
        struct hf_image *image = &self->logged[self->logged_count++];
        *image = (struct hf_image){
            .lsn = self->next_lsn,
            .kind = HF_IMAGE_RESERVATION,
            .reservation = changes[i],
            .notes = {.reason = (uint8_t)reason_of(&changes[i], by_server)},
        };
        if (!by_server && count > 1) {
            image->chain_index = (uint8_t)i;
            image->chain_length = (uint8_t)count;
        }
        hf_world_note_lsn(self->world, &changes[i].id, self->next_lsn);
        bool half = !by_server && i + 1 < count && self->mistake != TEARS_CHAINS;
        note_mark(self, self->next_lsn++, half ? mark : hf_world_mark(self->world));
    }
}

/* ---- deciding ---- */

/* Each change that the server makes by itself is a record of its own. */
static void offer(struct locked *self, uint64_t now_ns)
{
    for (uint32_t i = 0; i < hf_world_inventory_count(self->world); i++) {
        uint64_t inventory_id = hf_world_inventory(self->world, i)->inventory_id;
        const struct hf_world_reservation *next;
        bool dropped;
        while ((next = hf_reference_next_offer(self->world, inventory_id, &dropped)) != NULL) {
            struct hf_reservation image = next->now;
            size_t mark = hf_world_mark(self->world);
            image.state = dropped ? HF_STATE_CANCELLED : HF_STATE_HELD;
            hf_reference_follow(self->world, now_ns, &image,
                                dropped ? HF_REASON_LIMIT : HF_REASON_OFFER);
            log_changes(self, mark, true);
            if (self->mistake == NEVER_OFFERS_AGAIN)
                break;
        }
    }
}

/* Notices those lapsed holds that chance picks, in the order in which they lie there. */
static void expire(struct locked *self, uint64_t now_ns, uint32_t percent)
{
    uint64_t until_ns = self->mistake == EXPIRES_EARLY ? now_ns + 1000 : now_ns;
    for (uint32_t i = 0; i < hf_world_reservation_count(self->world); i++) {
        const struct hf_world_reservation *one = hf_world_reservation(self->world, i);
        if (!hf_reference_lapsed(&one->now, until_ns) || !hf_random_chance(&self->random, percent))
            continue;
        size_t mark = hf_world_mark(self->world);
        struct hf_reservation image = one->now;
        image.state = HF_STATE_EXPIRED;
        image.deadline_ns = 0;
        hf_world_change(self->world, &image, now_ns);
        log_changes(self, mark, true);
        offer(self, now_ns);
    }
}

static void choose_ids(struct locked *self, struct hf_chosen_ids *chosen)
{
    for (uint32_t i = 0; i < HF_MAX_BATCH_LINES; i++) {
        chosen->ids[i] = hf_id_of_number(++self->next_id);
        chosen->ids[i].bytes[14] = 0xaa;
    }
}

/* What the model told before it was logged, with its LSN. Offers that followed have others. */
static struct hf_reservation told(const struct locked *self, const struct hf_reservation *expected)
{
    struct hf_reservation reservation = *expected;
    const struct hf_world_reservation *now = hf_world_find(self->world, &expected->id);
    return now->now.sequence == expected->sequence ? now->now : reservation;
}

static void fill_answer(const struct locked *self, const struct hf_request *request,
                        struct hf_answer *answer)
{
    const struct hf_expectation *expected = &self->expected;
    struct hf_reply *reply = &answer->reply;
    *reply = (struct hf_reply){
        .operation = request->operation,
        .result = expected->result,
        .available = expected->available,
        .version = expected->sequence,
        .state = expected->state,
        .line = expected->line,
        .inventory = expected->settled_inventory,
        .settings = expected->settings,
    };
    for (unsigned i = 0; i < 32 && reply->field == 0; i++)
        reply->field = expected->fields >> i & 1 ? i : 0;
    if (expected->count == 0)
        return;
    reply->repeated = expected->entries[0].repeated;
    reply->reservation = told(self, &expected->entries[0].reservation);
    if (request->operation != HF_OP_BATCH)
        return;
    reply->count = expected->count;
    reply->entries = answer->entries;
    for (uint32_t i = 0; i < expected->count; i++) {
        answer->entries[i] = (struct hf_reservation_entry){
            .result = expected->entries[i].result,
            .repeated = expected->entries[i].repeated,
            .reservation = told(self, &expected->entries[i].reservation),
        };
    }
}

/* The model's answer to the request, logged. */
static void decide(struct locked *self, uint64_t now_ns, const struct hf_request *request,
                   struct hf_expectation *expected)
{
    struct hf_chosen_ids chosen;
    size_t mark = hf_world_mark(self->world);
    choose_ids(self, &chosen);
    hf_reference_execute(self->world, now_ns, request, &chosen, false, expected);
    if (hf_reference_wants_units(expected->result) && self->mistake != REFUSES_AT_ONCE) {
        expire(self, now_ns, 100);
        mark = hf_world_mark(self->world);
        hf_reference_execute(self->world, now_ns, request, &chosen, false, expected);
    }
    bool about_inventory =
        request->operation == HF_OP_INVENTORY_SET || request->operation == HF_OP_INVENTORY_CREATE;
    if (about_inventory && hf_world_mark(self->world) != mark)
        log_inventory(self);
    else
        log_changes(self, mark, false);
    offer(self, now_ns);
    hf_reference_note_settled(self->world, expected);
}

/* ---- mistakes that are made by asking the model something else ---- */

static void split_batch(struct locked *self, uint64_t now_ns, const struct hf_request *request,
                        struct hf_expectation *expected)
{
    static struct hf_expectation one; /* under the lock */
    for (uint32_t i = 0; i < request->count; i++) {
        struct hf_request single = *request;
        single.count = 1;
        single.lines = &request->lines[i];
        decide(self, now_ns, &single, &one);
        if (i == 0)
            *expected = one;
        expected->result = one.result;
        expected->line = i + 1;
        if (one.result != HF_BATCH_DONE)
            return;
        expected->entries[i] = one.entries[0];
    }
    expected->count = request->count;
}

static void decide_wrongly(struct locked *self, uint64_t now_ns, const struct hf_request *request,
                           struct hf_expectation *expected)
{
    struct hf_request changed = *request;
    uint64_t then_ns = now_ns;
    if (self->mistake == CONFIRMS_A_NANOSECOND_LATE && request->operation == HF_OP_CONFIRM) {
        const struct hf_world_reservation *one = hf_world_find(self->world, &request->id);
        then_ns -= one && one->now.deadline_ns == now_ns;
    }
    if (self->mistake == FORGETS_NOT_AFTER)
        changed.not_after_ns = 0;
    if (self->mistake == OVERRIDES_ALWAYS && request->operation == HF_OP_CHANGE)
        changed.flags |= HF_REQUEST_OVERRIDE;
    if (self->mistake == FORGETS_THE_GUARD && request->operation == HF_OP_EXTEND)
        changed.expected = 0;
    if (self->mistake == SPLITS_BATCHES && request->operation == HF_OP_BATCH)
        split_batch(self, then_ns, &changed, expected);
    else
        decide(self, then_ns, &changed, expected);
}

/* ---- reading ---- */

static bool passes(const struct hf_reservation_filter *filter,
                   const struct hf_reservation *reservation)
{
    if ((filter->filters & HF_FILTER_INVENTORY) &&
        filter->inventory_id != reservation->inventory_id)
        return false;
    if ((filter->filters & HF_FILTER_CUSTOMER) && filter->customer_id != reservation->customer_id)
        return false;
    if (filter->states != 0 && !(filter->states >> reservation->state & 1))
        return false;
    return reservation->made_at_ns >= filter->made_from_ns &&
           (filter->made_before_ns == 0 || reservation->made_at_ns < filter->made_before_ns);
}

static void list(const struct locked *self, const struct hf_request *request,
                 struct hf_answer *answer)
{
    struct hf_reply *reply = &answer->reply;
    uint32_t end = hf_world_reservation_count(self->world);
    *reply = (struct hf_reply){
        .operation = request->operation, .result = HF_FOUND, .entries = answer->entries};
    for (uint64_t i = request->filter.cursor; i < end; i++) {
        const struct hf_world_reservation *one = hf_world_reservation(self->world, (uint32_t)i);
        if (one->forgotten || !passes(&request->filter, &one->now))
            continue;
        if (reply->count == request->limit) {
            reply->next = i;
            return;
        }
        answer->entries[reply->count++] = (struct hf_reservation_entry){.reservation = one->now};
    }
}

/* An inventory that changed gets a version that none ever had. */
static void renew_versions(struct locked *self)
{
    for (uint32_t i = 0; i < hf_world_inventory_count(self->world); i++) {
        const struct hf_world_inventory *inventory = hf_world_inventory(self->world, i);
        if (!inventory->version_known)
            hf_world_note_version(self->world, inventory->inventory_id, ++self->version);
    }
}

static void tell_version(const struct locked *self, const struct hf_request *request,
                         struct hf_reply *reply)
{
    const struct hf_world_inventory *inventory =
        hf_world_find_inventory(self->world, request->inventory_id);
    if (inventory == NULL)
        return;
    reply->inventory.version = inventory->version;
    if (reply->result == HF_VERSION_MISMATCH)
        reply->version = inventory->version;
}

static void locked_execute(void *subject, unsigned thread, uint64_t now_ns,
                           const struct hf_request *request, struct hf_answer *answer)
{
    struct locked *self = subject;
    (void)thread;
    pthread_mutex_lock(&self->lock);
    if (request->operation == HF_OP_RESERVATION_LIST) {
        list(self, request, answer);
    } else {
        renew_versions(self);
        decide_wrongly(self, now_ns, request, &self->expected);
        renew_versions(self);
        fill_answer(self, request, answer);
        tell_version(self, request, &answer->reply);
    }
    answer->wait_for_lsn = self->next_lsn - 1;
    pthread_mutex_unlock(&self->lock);
}

/* ---- time, and crashes ---- */

static void locked_tick(void *subject, uint64_t now_ns)
{
    struct locked *self = subject;
    pthread_mutex_lock(&self->lock);
    expire(self, now_ns, 100);
    for (uint32_t i = 0; i < hf_world_reservation_count(self->world); i++) {
        const struct hf_world_reservation *one = hf_world_reservation(self->world, i);
        if (!one->forgotten && hf_state_is_final(one->now.state) &&
            now_ns >= one->now.changed_at_ns + self->retain_ns)
            hf_world_note_forgotten(self->world, &one->now.id, true);
    }
    pthread_mutex_unlock(&self->lock);
}

static uint32_t locked_logged(void *subject, const struct hf_image **images)
{
    struct locked *self = subject;
    uint32_t count = self->logged_count;
    *images = self->logged;
    self->logged_count = 0;
    return count;
}

static uint64_t locked_crash(void *subject, uint64_t lsn, uint64_t now_ns)
{
    struct locked *self = subject;
    if (self->mistake == LOSES_THE_LAST && lsn > self->first_lsn)
        lsn--;
    hf_world_rollback(self->world, lsn < self->first_lsn ? 0 : self->marks[lsn - self->first_lsn]);
    self->logged_count = 0;
    self->next_lsn = lsn + 1;
    offer(self, now_ns);
    hf_world_forget_versions(self->world);
    return lsn + 1;
}

static const char *locked_broken(void *subject)
{
    (void)subject;
    return NULL;
}

const struct hf_subject hf_subject_locked = {
    .name = "locked",
    .mistakes = MISTAKES - 1,
    .open = locked_open,
    .close = locked_close,
    .renew = locked_renew,
    .execute = locked_execute,
    .tick = locked_tick,
    .logged = locked_logged,
    .crash = locked_crash,
    .broken = locked_broken,
};

const struct hf_subject *hf_subject_named(const char *name)
{
    if (strcmp(name, hf_subject_engine.name) == 0)
        return &hf_subject_engine;
    return strcmp(name, hf_subject_locked.name) == 0 ? &hf_subject_locked : NULL;
}
