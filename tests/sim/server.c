/* A server on the simulated disk; see server.h. */
#include "tests/sim/server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "engine/execute.h"
#include "engine/lapse.h"
#include "engine/request.h"
#include "engine/state_hash.h"
#include "tests/sim/clock.h"
#include "wal/record.h"

#define TICK_BUDGET 64u
#define CATCH_UP_NS (10 * HF_NS_PER_MS)

/* More turns than anything takes that comes about by itself. */
#define ATTEMPTS 2000u

void hf_sim_server_init(struct hf_sim_server *server, const struct hf_sim_server_options *options)
{
    *server = (struct hf_sim_server){.options = *options};
}

static void make_room(struct hf_sim_server *server, uint64_t records)
{
    if (records <= server->record_room)
        return;
    server->record_room = 2 * records + 256;
    server->records = realloc(server->records, server->record_room * HF_RECORD_BYTES);
    HF_CHECK(server->records != NULL);
}

/* What has just started begins with the LSN behind this one. */
static void note_start(struct hf_sim_server *server, uint64_t lsn)
{
    while (server->start_count != 0 && server->starts[server->start_count - 1] > lsn)
        server->start_count--;
    if (server->start_count == server->start_room) {
        server->start_room = 2 * server->start_room + 16;
        server->starts = realloc(server->starts, server->start_room * sizeof *server->starts);
        HF_CHECK(server->starts != NULL);
    }
    server->starts[server->start_count++] = lsn + 1;
}

void hf_sim_server_init_like(struct hf_sim_server *server, const struct hf_sim_server *from,
                             const struct hf_sim_server_options *options)
{
    hf_sim_server_init(server, options);
    make_room(server, from->last_lsn + 1);
    if (from->last_lsn != 0)
        memcpy(server->records, from->records, from->last_lsn * HF_RECORD_BYTES);
    for (uint32_t i = 0; i < from->start_count; i++)
        note_start(server, from->starts[i] - 1);
    server->last_lsn = from->last_lsn;
    server->told_lsn = from->told_lsn;
}

void hf_sim_server_free(struct hf_sim_server *server)
{
    HF_CHECK(server->store == NULL);
    free(server->records);
    free(server->starts);
    free(server->images);
    *server = (struct hf_sim_server){0};
}

static void tell_broken(struct hf_sim_server *server, const char *what)
{
    if (server->broken[0] == '\0')
        snprintf(server->broken, sizeof server->broken, "%s", what);
}

/* ---- starting, stopping ---- */

static void note_failure(void *context, const char *text)
{
    struct hf_sim_server *server = context;
    (void)text;
    server->failures++;
    server->failed_commit_lsn = hf_flusher_commit_lsn(hf_sim_server_flusher(server));
}

/* What could not be recorded is looked at again a little later. */
static void fall_behind(struct hf_sim_server *server, uint64_t now_ns)
{
    server->is_behind = true;
    server->behind_until_ns = now_ns + CATCH_UP_NS;
}

int hf_sim_server_start(struct hf_sim_server *server)
{
    const struct hf_sim_server_options *options = &server->options;
    const struct hf_store_options store_options = {
        .directory = options->directory,
        .io = &options->disk->io,
        .max_inventories = HF_SIM_INVENTORIES,
        .max_reservations = HF_SIM_RESERVATIONS,
        .segment_bytes = options->segment_bytes,
        .ring_slots = options->ring_slots,
        .writes_inflight = options->writes_inflight,
        .retain_ns = options->retain_ns,
        .durability = options->durability,
        .archive_command = options->archive_command,
        .snapshot_log_bytes = options->snapshot_log_bytes,
        .snapshot_rate = UINT64_MAX / HF_NS_PER_S,
        .snapshot_copy_cells = options->snapshot_copy_cells,
        .manual = true,
        .on_failure = note_failure,
        .failure_context = server,
    };
    server->failures = 0;
    server->turned_away = 0;
    server->awaiting_count = 0;
    server->is_behind = false;
    int result = hf_store_open(&server->store, &store_options, server->error);
    if (result != 0)
        return result;
    for (uint32_t i = 0; i < HF_SIM_ACTORS; i++) {
        struct hf_actor *actor = &server->actors[i];
        HF_CHECK(hf_actor_init(actor, &server->store->engine, &server->store->log.ring) == 0);
    }
    server->recovered_lsn = hf_flusher_commit_lsn(hf_sim_server_flusher(server));
    /* On a full disk there may be no place for the offers that a start makes. Relaxed: one thread. */
    if (hf_load_relaxed(&server->store->engine.chores) != 0)
        fall_behind(server, hf_sim_server_now_ns(server));
    return 0;
}

uint64_t hf_sim_server_recovered_sequence(const struct hf_sim_server *server)
{
    return hf_sim_server_flusher(server)->next_sequence - 2; /* and the START block */
}

int hf_sim_server_stop(struct hf_sim_server *server)
{
    if (server->store == NULL)
        return 0;
    for (uint32_t i = 0; i < HF_SIM_ACTORS; i++)
        hf_actor_close(&server->actors[i]);
    int result = hf_store_close(server->store);
    server->store = NULL;
    return result;
}

/* ---- what it recorded ---- */

void hf_sim_server_forget_after(struct hf_sim_server *server, uint64_t lsn)
{
    note_start(server, lsn);
    server->last_lsn = lsn;
    if (server->told_lsn > lsn)
        server->told_lsn = lsn;
}

void hf_sim_server_note(struct hf_sim_server *server)
{
    const struct hf_ring *ring = &server->store->log.ring;
    uint64_t end = hf_load_relaxed(&ring->tail); /* one thread, here and below */
    make_room(server, end);
    while (server->last_lsn + 1 < end) {
        const struct hf_ring_slot *slot = hf_ring_slot(ring, ++server->last_lsn);
        HF_CHECK(hf_load_relaxed(&slot->lsn) == server->last_lsn);
        memcpy(server->records + (server->last_lsn - 1) * HF_RECORD_BYTES, slot, HF_RECORD_BYTES);
    }
}

const uint8_t *hf_sim_server_record(const struct hf_sim_server *server, uint64_t lsn)
{
    HF_CHECK(lsn != 0 && lsn <= server->last_lsn);
    return server->records + (lsn - 1) * HF_RECORD_BYTES;
}

static uint32_t server_logged(void *subject, const struct hf_image **images)
{
    struct hf_sim_server *server = subject;
    hf_sim_server_note(server);
    uint64_t count = server->last_lsn - server->told_lsn;
    if (count > server->image_room) {
        server->image_room = count * 2 + 64;
        server->images = realloc(server->images, server->image_room * sizeof *server->images);
        HF_CHECK(server->images != NULL);
    }
    for (uint64_t i = 0; i < count; i++) {
        const char *wrong = hf_image_decode(hf_sim_server_record(server, server->told_lsn + 1 + i),
                                            &server->images[i]);
        if (wrong != NULL)
            tell_broken(server, wrong);
    }
    server->told_lsn = server->last_lsn;
    *images = server->images;
    return (uint32_t)count;
}

/* ---- requests ---- */

uint64_t hf_sim_server_now_ns(const struct hf_sim_server *server)
{
    return hf_server_clock_now_ns(&server->store->log.clock);
}

static void set_time(struct hf_sim_server *server, uint64_t now_ns)
{
    hf_sim_clock_pass_until(now_ns - server->store->log.clock.date_at_boot_ns);
}

/* What an actor does at its next turn; with no budget, what does not depend on the time. */
static void end_turn(struct hf_actor *actor, uint32_t budget)
{
    hf_actor_enter(actor);
    hf_engine_tick(actor, budget);
    hf_actor_exit(actor);
}

static bool let_log_go_on(struct hf_sim_server *server)
{
    hf_sim_server_note(server);
    return server->options.progress(server->options.context);
}

static void answer_at_once(const struct hf_request *request, unsigned result,
                           struct hf_answer *answer)
{
    answer->wait_for_lsn = 0;
    answer->reply = (struct hf_reply){.operation = request->operation, .result = result};
}

/* True if an actor may get no credits. */
static bool is_nearly_full(const struct hf_ring *ring)
{
    uint64_t end = hf_load_relaxed(&ring->drained) + ring->slot_count;
    uint64_t limit = hf_load_relaxed(&ring->limit);
    return hf_load_relaxed(&ring->credited) + HF_RING_MAX_CREDITS > (end < limit ? end : limit);
}

/* What came free is offered: at the next turns, if the log has no room for it now. */
static void do_chores(struct hf_sim_server *server, struct hf_actor *actor)
{
    const _Atomic uint32_t *chores = &actor->engine->chores; /* relaxed: one thread */
    for (uint32_t tries = 0; hf_load_relaxed(chores) != 0 && tries < ATTEMPTS; tries++) {
        end_turn(actor, 0);
        if (hf_load_relaxed(chores) == 0)
            return;
        fall_behind(server, actor->now_ns);
        if (!let_log_go_on(server))
            return;
    }
}

/* Until it is decided. False: it is turned away. */
static bool decide(struct hf_sim_server *server, struct hf_actor *actor,
                   const struct hf_request *request, struct hf_answer *answer,
                   struct hf_outcome *outcome)
{
    for (uint32_t tries = 0; tries < ATTEMPTS; tries++) {
        hf_actor_enter(actor);
        HF_CHECK(hf_engine_execute(actor, request, answer->entries, outcome));
        hf_actor_exit(actor);
        if (actor->limbo.count != 0)
            end_turn(actor, 0);
        do_chores(server, actor);
        if (!hf_outcome_put_aside(outcome))
            return true;
        if (outcome->result == HF_PUT_ASIDE_BUSY)
            end_turn(actor, TICK_BUDGET);
        /* If BUSY: what it waits for cannot be recorded. */
        bool full = is_nearly_full(&server->store->log.ring);
        bool waits = outcome->result == HF_PUT_ASIDE_LOG_FULL || (tries > ATTEMPTS / 2 && full);
        if (full)
            fall_behind(server, actor->now_ns);
        if (waits && !let_log_go_on(server))
            return false;
    }
    tell_broken(server, "a request is put aside again and again");
    return false;
}

uint32_t hf_sim_server_answer(struct hf_sim_server *server)
{
    uint64_t commit_lsn = hf_flusher_commit_lsn(hf_sim_server_flusher(server));
    uint32_t waiting = 0, count = server->awaiting_count;
    for (uint32_t i = 0; i < count; i++)
        if (server->awaiting[i] > commit_lsn)
            server->awaiting[waiting++] = server->awaiting[i];
    server->awaiting_count = waiting;
    return count - waiting;
}

/* Makes sure that the answer can wait. False: too many do. */
static bool has_place(struct hf_sim_server *server)
{
    for (uint32_t tries = 0; server->awaiting_count == HF_SIM_AWAITING && tries < ATTEMPTS; tries++)
        if (!let_log_go_on(server))
            return false;
    return true;
}

static bool only_reads(enum hf_operation operation)
{
    return operation == HF_OP_RESERVATION_GET || operation == HF_OP_RESERVATION_LIST ||
           operation == HF_OP_INVENTORY_GET || operation == HF_OP_INVENTORY_SETTINGS;
}

static void server_execute(void *subject, unsigned thread, uint64_t now_ns,
                           const struct hf_request *request, struct hf_answer *answer)
{
    (void)thread;
    struct hf_sim_server *server = subject;
    struct hf_actor *actor = &server->actors[server->next_actor++ % HF_SIM_ACTORS];
    struct hf_outcome outcome;
    enum hf_field field;
    unsigned line;
    set_time(server, now_ns);
    actor->now_ns = hf_sim_server_now_ns(server);
    hf_outcome_begin(&outcome);
    outcome.result = hf_request_check(request, &field, &line);
    if (outcome.result != HF_OK) {
        answer_at_once(request, outcome.result, answer);
        answer->reply.field = field;
        answer->reply.line = line;
        return;
    }
    bool reads = only_reads(request->operation);
    do_chores(server, actor);
    if ((!reads && !has_place(server)) || !decide(server, actor, request, answer, &outcome)) {
        fall_behind(server, now_ns);
        server->turned_away++;
        answer_at_once(request, HF_STORAGE_FULL, answer);
        return;
    }
    answer->wait_for_lsn = outcome.wait_for_lsn;
    if (!reads && outcome.wait_for_lsn != 0)
        server->awaiting[server->awaiting_count++] = outcome.wait_for_lsn;
    hf_outcome_reply(&outcome, request->operation, answer->entries, &answer->reply);
}

static void server_tick(void *subject, uint64_t now_ns)
{
    struct hf_sim_server *server = subject;
    struct hf_actor *actor = &server->actors[0];
    bool more = true;
    set_time(server, now_ns);
    actor->now_ns = hf_sim_server_now_ns(server);
    /* Some turns more than it says: what was taken out of the table waits for two of them. */
    for (uint32_t turns = 0, tries = 0; turns < 3 || more; turns += !more) {
        hf_actor_enter(actor);
        more = hf_engine_tick(actor, TICK_BUDGET);
        more |= hf_load_relaxed(&actor->engine->chores) != 0; /* lists to be served: one thread */
        hf_actor_exit(actor);
        bool full = more && is_nearly_full(&server->store->log.ring);
        if (full)
            fall_behind(server, now_ns);
        if (full && !let_log_go_on(server))
            return;
        if (++tries == ATTEMPTS) {
            tell_broken(server, "what is due is never done");
            return;
        }
    }
    if (now_ns >= server->behind_until_ns && hf_segments_error(&server->store->log.segments) == 0)
        server->is_behind = false;
}

static bool server_is_behind(void *subject)
{
    const struct hf_sim_server *server = subject;
    return server->is_behind;
}

static const char *server_broken(void *subject)
{
    const struct hf_sim_server *server = subject;
    return server->broken[0] == '\0' ? NULL : server->broken;
}

/* ---- the state ---- */

bool hf_sim_server_hash(const struct hf_sim_server *server, uint64_t *sum)
{
    const struct hf_engine *engine = &server->store->engine;
    struct hf_state_hash hash;
    HF_CHECK(hf_state_hash_begin(&hash, &engine->region, hf_engine_forget_before_ns(engine)) == 0);
    enum hf_hashing hashing = hf_state_hash_step(&hash, &engine->region, UINT32_MAX);
    *sum = hash.sum;
    hf_state_hash_end(&hash);
    return hashing == HF_HASHING_DONE;
}

/* ---- as a subject ---- */

/* It is there before the trial is, and stays. */
static void *server_open(const struct hf_subject_options *options)
{
    return options->context;
}

static void server_close(void *subject)
{
    (void)subject;
}

struct hf_subject hf_sim_server_subject(struct hf_sim_server *server)
{
    return (struct hf_subject){
        .name = "server",
        .context = server,
        .open = server_open,
        .close = server_close,
        .execute = server_execute,
        .tick = server_tick,
        .logged = server_logged,
        .is_behind = server_is_behind,
        .broken = server_broken,
    };
}
