/*
 * A scene: the engine as a server drives it, without a server, on a clock that is simulated. Months
 * pass in seconds: nothing in the engine knows another clock than its actors' `now_ns`.
 *
 * Each thread is a player with an actor and a clock of its own. Clocks differ, as those of workers do
 * that began their turns at different times; but nobody does anything that is more than
 * HF_SCENE_SKEW_NS ahead of the slowest, so that a thread that the machine does not run for some
 * milliseconds is not left behind by days. One player's turn is a worker's: enter, tick, execute,
 * exit. The log is drained and forgotten by whoever finds nobody else at it.
 *
 * Each tick is timed, by the processor time of its thread: what the machine does meanwhile does not
 * count, what the engine takes does.
 */
#ifndef HF_TESTS_RETENTION_SCENE_H
#define HF_TESTS_RETENTION_SCENE_H

#include "engine/engine.h"
#include "holdfast/message.h"
#include "tests/lib/stress.h"

#define HF_SCENE_PLAYERS  8
#define HF_SCENE_START_NS 1700000000000000000ull
#define HF_SCENE_SKEW_NS  (60ull * 1000000000ull)

/* ThreadSanitizer costs more than the rest. */
#ifdef __SANITIZE_THREAD__
#define HF_SLOW_TICK_NS 50000000u
#else
#define HF_SLOW_TICK_NS 1000000u
#endif

#define HF_MINUTE_NS (60ull * 1000000000ull)
#define HF_HOUR_NS   (60ull * HF_MINUTE_NS)
#define HF_DAY_NS    (24ull * HF_HOUR_NS)

struct hf_player;

struct hf_scene {
    struct hf_engine engine;
    struct hf_ring ring;
    uint64_t seed;
    uint32_t player_count;
    struct hf_player *players[HF_SCENE_PLAYERS];
    /* One cache line each: written by its player, read by the others. */
    struct hf_scene_clock {
        alignas(HF_CACHE_LINE_BYTES) _Atomic uint64_t now_ns;
    } clocks[HF_SCENE_PLAYERS];
    alignas(HF_CACHE_LINE_BYTES) _Atomic uint32_t draining; /* 1: somebody is at it */
    uint64_t drained;                                       /* records, of whoever drains */
};

struct hf_player {
    struct hf_scene *scene;
    uint32_t index;
    struct hf_actor actor;
    struct hf_random random;
    struct hf_outcome outcome; /* of the newest request */
    struct hf_reservation_entry entries[HF_MAX_PAGE_ENTRIES];
    /* Since the last report. */
    uint64_t ticks, slow_ticks, longest_tick_ns;
    uint64_t puts_aside;
};

/* Prints what is wrong, with the seed, and ends the program with status 1. Any thread. */
_Noreturn void hf_scene_fail(const struct hf_scene *scene, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Whatever the machine refuses ends the program. */
void hf_scene_open(struct hf_scene *scene, uint32_t players, uint32_t max_reservations,
                   uint64_t retain_ns, uint64_t seed);
void hf_scene_close(struct hf_scene *scene);

void hf_player_open(struct hf_player *player, struct hf_scene *scene, uint32_t index);
void hf_player_close(struct hf_player *player);

/* It is `now_ns` for this player: waits for the slowest, then does what is due, as much as a worker
 * does in a turn. True: there is more. */
bool hf_player_turn(struct hf_player *player, uint64_t now_ns);

/* The same, until nothing more is due: as a server does that has nothing else to do. */
void hf_player_catch_up(struct hf_player *player, uint64_t now_ns);

/* Carries a request out, in as many turns as it takes; the result. Values that the server would
 * refuse, and a server that is full, end the program. */
unsigned hf_player_do(struct hf_player *player, const struct hf_request *request);

/* Reservations that are retained, by looking at every cell. No player is active. */
uint32_t hf_scene_retained(const struct hf_scene *scene);

/* Cells that are free for the next reservation, in the common stack and in the players' stocks. No
 * player is active. */
uint32_t hf_scene_free(const struct hf_scene *scene);

/* CONSERVATION, and that counters and reservations agree. No player is active. */
void hf_scene_check(const struct hf_scene *scene);

#endif
