/* A scene. See scene.h. */
#include "tests/retention/scene.h"

#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "engine/execute.h"
#include "engine/lapse.h"
#include "engine/request.h"
#include "engine/state_hash.h"

#define MAX_INVENTORIES 256
#define RING_SLOTS      4096
#define DRAIN_RECORDS   256
#define TICK_BUDGET     512      /* of a turn, as net/worker.c has it */
#define ATTEMPTS        10000000 /* of one request: more than any other thread can be away */

void hf_scene_fail(const struct hf_scene *scene, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fflush(stdout);
    fprintf(stderr, "retention: FAILED: %s (seed %llu)\n", text, (unsigned long long)scene->seed);
    _exit(1);
}

void hf_scene_open(struct hf_scene *scene, uint32_t players, uint32_t max_reservations,
                   uint64_t retain_ns, uint64_t seed)
{
    struct hf_region region;
    memset((void *)scene, 0, sizeof *scene);
    scene->seed = seed;
    scene->player_count = players;
    for (uint32_t i = 0; i < players; i++) /* relaxed: no other thread yet */
        hf_store_relaxed(&scene->clocks[i].now_ns, HF_SCENE_START_NS);
    if (hf_region_create(&region, MAX_INVENTORIES, max_reservations) != 0 ||
        hf_ring_init(&scene->ring, RING_SLOTS, 1) != 0 ||
        hf_engine_init(&scene->engine, &region, retain_ns, HF_SCENE_START_NS) != 0)
        hf_scene_fail(scene, "cannot make an engine");
}

void hf_scene_close(struct hf_scene *scene)
{
    hf_engine_close(&scene->engine);
    hf_region_close(&scene->engine.region);
    hf_ring_close(&scene->ring);
}

void hf_player_open(struct hf_player *player, struct hf_scene *scene, uint32_t index)
{
    memset((void *)player, 0, sizeof *player);
    player->scene = scene;
    player->index = index;
    player->random = hf_random_for(scene->seed, index);
    if (hf_actor_init(&player->actor, &scene->engine, &scene->ring) != 0)
        hf_scene_fail(scene, "cannot make an actor");
    player->actor.now_ns = HF_SCENE_START_NS;
    scene->players[index] = player;
}

void hf_player_close(struct hf_player *player)
{
    player->scene->players[player->index] = NULL;
    hf_actor_close(&player->actor);
}

/* ---- a turn ---- */

static void drain(struct hf_scene *scene)
{
    uint8_t records[DRAIN_RECORDS * HF_RECORD_BYTES];
    /* acq_rel, pairs with the release below: the ring has one consumer at a time. */
    if (hf_exchange_acq_rel(&scene->draining, 1) != 0)
        return;
    uint32_t count;
    while ((count = hf_ring_published(&scene->ring, DRAIN_RECORDS)) != 0) {
        hf_ring_drain(&scene->ring, records, count);
        scene->drained += count;
    }
    hf_store_release(&scene->draining, 0);
}

static uint64_t slowest_ns(const struct hf_scene *scene)
{
    uint64_t slowest = UINT64_MAX;
    for (uint32_t i = 0; i < scene->player_count; i++) {
        uint64_t now_ns = hf_load_acquire(&scene->clocks[i].now_ns); /* pairs with set_clock() */
        if (now_ns < slowest)
            slowest = now_ns;
    }
    return slowest;
}

/* Outside, as this may wait. */
static void set_clock(struct hf_player *player, uint64_t now_ns)
{
    struct hf_scene *scene = player->scene;
    /* Release: whoever sees it sees what we did before. */
    hf_store_release(&scene->clocks[player->index].now_ns, now_ns);
    while (slowest_ns(scene) + HF_SCENE_SKEW_NS < now_ns) {
        drain(scene);
        sched_yield();
    }
    player->actor.now_ns = now_ns;
}

/* Inside. */
static bool tick(struct hf_player *player)
{
    uint64_t begun_ns = hf_clock_ns(CLOCK_THREAD_CPUTIME_ID);
    bool more = hf_engine_tick(&player->actor, TICK_BUDGET);
    uint64_t took_ns = hf_clock_ns(CLOCK_THREAD_CPUTIME_ID) - begun_ns;
    player->ticks++;
    player->slow_ticks += took_ns > HF_SLOW_TICK_NS;
    if (took_ns > player->longest_tick_ns)
        player->longest_tick_ns = took_ns;
    return more;
}

bool hf_player_turn(struct hf_player *player, uint64_t now_ns)
{
    set_clock(player, now_ns);
    hf_actor_enter(&player->actor);
    bool more = tick(player);
    hf_actor_exit(&player->actor);
    drain(player->scene);
    return more;
}

void hf_player_catch_up(struct hf_player *player, uint64_t now_ns)
{
    /* Twice more: what was forgotten waits until all have left. */
    for (int rest = 2; rest != 0; rest -= !hf_player_turn(player, now_ns))
        ;
}

/* One attempt: the result, or HF_PUT_ASIDE_*. */
static unsigned attempt(struct hf_player *player, const struct hf_request *request)
{
    hf_actor_enter(&player->actor);
    if (!hf_engine_execute(&player->actor, request, player->entries, &player->outcome))
        hf_scene_fail(player->scene, "operation %u is none of the engine's",
                      (unsigned)request->operation);
    hf_actor_exit(&player->actor);
    drain(player->scene);
    return player->outcome.result;
}

static bool is_full(unsigned result)
{
    return hf_result_group(result) == HF_GROUP_RETRY;
}

unsigned hf_player_do(struct hf_player *player, const struct hf_request *request)
{
    const struct hf_scene *scene = player->scene;
    enum hf_field field;
    unsigned line;
    enum hf_result checked = hf_request_check(request, &field, &line);
    if (checked != HF_OK)
        hf_scene_fail(scene, "operation %u: %s", (unsigned)request->operation,
                      hf_field_name(field));
    uint32_t attempts = 0;
    while (attempt(player, request) <= HF_PUT_ASIDE_LOG_FULL) {
        if (++attempts == ATTEMPTS)
            hf_scene_fail(scene, "operation %u is put aside for ever",
                          (unsigned)request->operation);
        hf_player_turn(player, player->actor.now_ns);
        sched_yield();
    }
    player->puts_aside += attempts;
    if (is_full(player->outcome.result))
        hf_scene_fail(scene, "%s, with %u of %u cells allotted",
                      hf_result_name(player->outcome.result),
                      hf_cells_allotted(&scene->engine.region),
                      scene->engine.region.header->max_reservations);
    return player->outcome.result;
}

/* ---- looking ---- */

uint32_t hf_scene_retained(const struct hf_scene *scene)
{
    const struct hf_region *region = &scene->engine.region;
    uint32_t end = hf_cells_allotted(region), retained = 0;
    for (uint32_t number = 1; number <= end; number++) /* relaxed: nobody else is active */
        retained += hf_load_relaxed(&region->reservations[number].word) != 0;
    return retained;
}

uint32_t hf_scene_free(const struct hf_scene *scene)
{
    uint32_t count = hf_cells_count_free(&scene->engine.region);
    for (uint32_t i = 0; i < HF_SCENE_PLAYERS && scene->players[i] != NULL; i++) {
        const struct hf_allotment *own = &scene->players[i]->actor.allotment;
        count += own->end - own->next + own->run.count + own->spare.count;
    }
    return count;
}

void hf_scene_check(const struct hf_scene *scene)
{
    struct hf_state_hash hash;
    enum hf_hashing hashing = HF_HASHING_MORE;
    if (hf_state_hash_begin(&hash, &scene->engine.region,
                            hf_engine_forget_before_ns(&scene->engine)) != 0)
        hf_scene_fail(scene, "out of memory");
    for (int i = 0; i < 1000000 && hashing == HF_HASHING_MORE; i++)
        hashing = hf_state_hash_step(&hash, &scene->engine.region, 10000);
    if (hashing != HF_HASHING_DONE)
        hf_scene_fail(scene, "at rest, counters and reservations do not agree (CONSERVATION)");
    hf_state_hash_end(&hash);
}
