/*
 * The engine as a subject: actors, one a thread, on one ring whose records are kept in memory.
 *
 * A request goes the way of the server's: hf_request_check(), then hf_engine_execute() inside an
 * epoch. What is put aside is done again, as a server would at a later turn; so is what an actor
 * leaves to the next turn. A request that is put aside for good, or for longer than any other
 * actor's work can take, is a mistake of the engine, which the subject then tells (broken()).
 *
 * The ring is small, and drained only when it is full or the log is read: so claims meet a full ring
 * now and then, too.
 *
 * A crash keeps a prefix of the log. It can end between any two records; the rest of a chain that it
 * ends in is cut, too, as recovery would. The log is replayed as a store does it.
 */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/atomics.h"
#include "base/check.h"
#include "base/clock.h"
#include "engine/execute.h"
#include "engine/lapse.h"
#include "engine/replay.h"
#include "engine/request.h"
#include "engine/waiting.h"
#include "tests/model/subject.h"
#include "wal/record.h"

/* Each actor may keep 64 credits that it does not use, and a batch needs 256. */
#define RING_SLOTS  1024u
#define TICK_BUDGET 64u

/* How often a request is put aside before it is a mistake: alone, and beside other threads. */
#define ATTEMPTS_ALONE 1000u
#define PATIENCE_NS    (20 * HF_NS_PER_S)

/* Rounds that have ended leave inventories and reservations behind: room for these. */
#define SPARE_INVENTORIES  4096u
#define SPARE_RESERVATIONS 65536u

struct engine_subject {
    struct hf_engine engine; /* first: it is aligned */
    struct hf_ring ring;
    struct hf_subject_options options;
    uint32_t max_inventories, max_reservations; /* of the region */
    struct hf_actor *actors;
    char broken[200];

    pthread_mutex_t draining; /* of the consumer's role, and what follows */
    uint8_t *log;             /* records of HF_RECORD_BYTES, from LSN 1 on */
    uint64_t log_count, log_room;
    uint64_t told; /* records that logged() has told */
    struct hf_image *images;
    uint64_t image_room;
};

static void tell_broken(struct engine_subject *self, const char *what)
{
    pthread_mutex_lock(&self->draining);
    if (self->broken[0] == '\0')
        snprintf(self->broken, sizeof self->broken, "%s", what);
    pthread_mutex_unlock(&self->draining);
}

/* ---- starting, stopping ---- */

static void start_actors(struct engine_subject *self, uint64_t now_ns)
{
    for (unsigned i = 0; i < self->options.threads; i++) {
        HF_CHECK(hf_actor_init(&self->actors[i], &self->engine, &self->ring) == 0);
        self->actors[i].now_ns = now_ns;
    }
}

static void start(struct engine_subject *self, const struct hf_region *region, uint64_t next_lsn,
                  uint64_t now_ns)
{
    HF_CHECK(hf_ring_init(&self->ring, RING_SLOTS, next_lsn) == 0);
    HF_CHECK(hf_engine_init(&self->engine, region, self->options.retain_ns, now_ns) == 0);
}

static void stop(struct engine_subject *self)
{
    for (unsigned i = 0; i < self->options.threads; i++)
        hf_actor_close(&self->actors[i]);
    hf_engine_close(&self->engine);
    hf_region_close(&self->engine.region);
    hf_ring_close(&self->ring);
}

static void create_region(const struct engine_subject *self, struct hf_region *region)
{
    HF_CHECK(hf_region_create(region, self->max_inventories, self->max_reservations) == 0);
}

static void start_empty(struct engine_subject *self)
{
    struct hf_region region;
    create_region(self, &region);
    start(self, &region, 1, 1);
    start_actors(self, 1);
    self->log_count = self->told = 0;
}

static void *engine_open(const struct hf_subject_options *options)
{
    struct engine_subject *self = aligned_alloc(HF_CACHE_LINE_BYTES, sizeof *self);
    HF_CHECK(self);
    memset(self, 0, sizeof *self);
    self->options = *options;
    self->max_inventories = options->max_inventories;
    self->max_reservations = options->max_reservations;
    pthread_mutex_init(&self->draining, NULL);
    self->actors = calloc(options->threads, sizeof *self->actors);
    HF_CHECK(self->actors);
    start_empty(self);
    return self;
}

static void engine_close(void *subject)
{
    struct engine_subject *self = subject;
    stop(self);
    pthread_mutex_destroy(&self->draining);
    free(self->actors);
    free(self->log);
    free(self->images);
    free(self);
}

static void engine_renew(void *subject, uint32_t inventories, uint32_t reservations)
{
    struct engine_subject *self = subject;
    uint32_t made = hf_load_relaxed(&self->engine.region.header->inventory_count); /* alone */
    uint32_t used = hf_cells_allotted(&self->engine.region);
    if (made + inventories <= self->max_inventories &&
        used + reservations + 64 * self->options.threads <= self->max_reservations)
        return;
    stop(self);
    self->max_inventories = SPARE_INVENTORIES + inventories;
    self->max_reservations = SPARE_RESERVATIONS + reservations;
    start_empty(self);
}

/* ---- the log ---- */

/* By whoever has the lock. */
static void drain(struct engine_subject *self)
{
    uint32_t count = hf_ring_published(&self->ring, RING_SLOTS);
    if (self->log_count + count > self->log_room) {
        self->log_room = self->log_room * 2 + count + 1024;
        self->log = realloc(self->log, self->log_room * HF_RECORD_BYTES);
        HF_CHECK(self->log);
    }
    hf_ring_drain(&self->ring, self->log + self->log_count * HF_RECORD_BYTES, count);
    self->log_count += count;
}

static void drain_if_free(struct engine_subject *self)
{
    if (pthread_mutex_trylock(&self->draining) != 0)
        return;
    drain(self);
    pthread_mutex_unlock(&self->draining);
}

static uint32_t engine_logged(void *subject, const struct hf_image **images)
{
    struct engine_subject *self = subject;
    drain(self);
    uint64_t count = self->log_count - self->told;
    if (count > self->image_room) {
        self->image_room = count * 2;
        self->images = realloc(self->images, self->image_room * sizeof *self->images);
        HF_CHECK(self->images);
    }
    for (uint64_t i = 0; i < count; i++) {
        const char *wrong =
            hf_image_decode(self->log + (self->told + i) * HF_RECORD_BYTES, &self->images[i]);
        if (wrong)
            tell_broken(self, wrong);
    }
    self->told = self->log_count;
    *images = self->images;
    return (uint32_t)count;
}

/* ---- requests ---- */

/* What an actor does at its next turn, as far as it does not depend on the time. */
static void end_turn(struct hf_actor *actor)
{
    /* Relaxed: a hint; whoever looks next sees what is left. */
    if (actor->limbo.count == 0 && hf_load_relaxed(&actor->engine->chores) == 0)
        return;
    hf_actor_enter(actor);
    hf_engine_tick(actor, 0);
    hf_actor_exit(actor);
}

static void try_once(struct hf_actor *actor, const struct hf_request *request,
                     struct hf_answer *answer, struct hf_outcome *outcome)
{
    hf_actor_enter(actor);
    HF_CHECK(hf_engine_execute(actor, request, answer->entries, outcome));
    hf_actor_exit(actor);
    end_turn(actor);
}

/* False: the engine will not decide. */
static bool try_again(struct engine_subject *self, const struct hf_outcome *outcome, uint32_t tries,
                      uint64_t *since_ns)
{
    if (outcome->result == HF_PUT_ASIDE_LOG_FULL)
        drain_if_free(self);
    if (self->options.threads == 1)
        return tries < ATTEMPTS_ALONE;
    if (tries % 64 != 63)
        return true;
    sched_yield();
    uint64_t now_ns = hf_monotonic_now_ns();
    if (*since_ns == 0)
        *since_ns = now_ns;
    return now_ns - *since_ns < PATIENCE_NS;
}

static void engine_execute(void *subject, unsigned thread, uint64_t now_ns,
                           const struct hf_request *request, struct hf_answer *answer)
{
    struct engine_subject *self = subject;
    struct hf_actor *actor = &self->actors[thread];
    struct hf_outcome outcome;
    enum hf_field field;
    unsigned line;
    uint64_t since_ns = 0;
    actor->now_ns = now_ns;
    hf_outcome_begin(&outcome);
    outcome.result = hf_request_check(request, &field, &line);
    if (outcome.result != HF_OK) {
        answer->wait_for_lsn = 0;
        answer->reply = (struct hf_reply){.operation = request->operation,
                                          .result = outcome.result,
                                          .field = field,
                                          .line = line};
        return;
    }
    try_once(actor, request, answer, &outcome);
    for (uint32_t tries = 0; hf_outcome_put_aside(&outcome); tries++) {
        if (!try_again(self, &outcome, tries, &since_ns)) {
            tell_broken(self, "a request is put aside again and again");
            break;
        }
        try_once(actor, request, answer, &outcome);
    }
    answer->wait_for_lsn = outcome.wait_for_lsn;
    hf_outcome_reply(&outcome, request->operation, answer->entries, &answer->reply);
}

/* ---- time, and crashes ---- */

static void engine_tick(void *subject, uint64_t now_ns)
{
    struct engine_subject *self = subject;
    struct hf_actor *actor = &self->actors[0];
    bool more = true;
    actor->now_ns = now_ns;
    /* Some turns more than it says: what was taken out of the table waits for two of them. */
    for (uint32_t turns = 0, tries = 0; turns < 3 || more; turns += !more) {
        hf_actor_enter(actor);
        more = hf_engine_tick(actor, TICK_BUDGET);
        hf_actor_exit(actor);
        drain_if_free(self);
        if (++tries == 100 * ATTEMPTS_ALONE) {
            tell_broken(self, "what is due is never done");
            return;
        }
    }
}

/* How many of the first `records` are left when the last chain among them has to be whole. */
static uint64_t whole(const struct engine_subject *self, uint64_t records)
{
    if (records == 0)
        return 0;
    const uint8_t *last = self->log + (records - 1) * HF_RECORD_BYTES;
    uint32_t index = last[HF_RECORD_CHAIN_INDEX], length = last[HF_RECORD_CHAIN_LENGTH];
    return index + 1 < length ? records - (index + 1) : records;
}

/* The region that the log tells of. */
static void replay_log(struct engine_subject *self, struct hf_replay *replay)
{
    uint32_t fault;
    HF_CHECK(hf_replay_init(replay, replay->region, self->options.retain_ns) == 0);
    const char *wrong = hf_replay_apply_all(replay, self->log, (uint32_t)self->log_count, &fault);
    if (wrong == NULL)
        wrong = hf_replay_finish(replay);
    if (wrong != NULL)
        tell_broken(self, wrong);
}

static uint64_t engine_crash(void *subject, uint64_t lsn, uint64_t now_ns)
{
    struct engine_subject *self = subject;
    struct hf_region region;
    struct hf_replay replay = {.region = &region};
    drain(self);
    HF_CHECK(lsn <= self->log_count);
    stop(self);
    self->log_count = self->told = whole(self, lsn);
    create_region(self, &region);
    replay_log(self, &replay);
    start(self, &region, self->log_count + 1, now_ns);
    if (self->broken[0] == '\0' && !hf_replay_start_engine(&replay, &self->engine))
        tell_broken(self, "the engine does not start with what was recovered");
    hf_replay_close(&replay);
    start_actors(self, now_ns);
    if (self->broken[0] == '\0') {
        hf_actor_enter(&self->actors[0]);
        hf_waiting_serve_lists(&self->actors[0]);
        hf_actor_exit(&self->actors[0]);
        end_turn(&self->actors[0]);
    }
    return self->told + 1;
}

static const char *engine_broken(void *subject)
{
    const struct engine_subject *self = subject;
    return self->broken[0] == '\0' ? NULL : self->broken;
}

const struct hf_subject hf_subject_engine = {
    .name = "engine",
    .open = engine_open,
    .close = engine_close,
    .renew = engine_renew,
    .execute = engine_execute,
    .tick = engine_tick,
    .logged = engine_logged,
    .crash = engine_crash,
    .broken = engine_broken,
};
