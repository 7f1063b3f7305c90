/*
 * Retention: months of traffic on a small table, in a minute.
 *
 * Each thread plays guests (guests.h) on the engine (scene.h); the table has room for little more
 * than a day's reservations. Nights are quiet, and at times the clock skips two days, as if the server
 * had been stopped: all that was due meanwhile is due at once.
 *
 * Every thirty days all stand still, and one line tells what the engine holds. Checked:
 *   - nobody is ever refused since something is full, with ever new customers and ids
 *   - an id is known until its retention ends, and is new some time after (guests.h)
 *   - cells, counters of customers and resident memory do not grow after the second month
 *   - no tick takes long
 *   - CONSERVATION, every month; and when the last guest has gone and a day has passed, nothing is
 *     left of them
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/retention/guests.h"
#include "tests/retention/resident.h"

#define EXIT_USAGE 2

#define MONTH_DAYS      30u
#define SKIP_DAYS       40u /* the clock skips every so often, ... */
#define FIRST_SKIP_DAY  12u /* ... first on this day, ... */
#define SKIP_NS         (2 * HF_DAY_NS)
#define RETAIN_NS       HF_DAY_NS
#define HOP_NS          HF_MINUTE_NS /* turns are half of that apart, or more */
#define QUIET_HOURS     5u           /* of every night */
#define QUIET_FACTOR    10u          /* so much less happens then */
#define CELLS_PER_GUEST 1.55

/* Growth after the second month that is chance: the busiest hour of a month is not that of another. */
#define GROWTH_PERCENT 3
#define GROWTH_CELLS   128
#define GROWTH_RSS_KIB 256
/* A tick is slow from here on. The machine makes some of them so: it may take the processor away and
 * count that as ours. One in so many is forgiven, and a few. */
#define SLOW_FORGIVEN   5000
#define LONGEST_TICK_NS (200 * HF_NS_PER_MS)

struct options {
    uint32_t days, per_day, threads, table;
    uint64_t seed;
};

/* What a month tells. */
struct month {
    uint64_t made, refused, expired, remembered, forgotten, puts_aside;
    uint64_t ticks, slow_ticks, longest_tick_ns;
    uint32_t retained, cells, counters, limbo;
    uint64_t rss_kib;
};

struct cast {
    struct hf_player player;
    struct hf_guests guests;
    const struct options *options;
    pthread_barrier_t *standstill;
    pthread_t thread;
    uint64_t arrival_ns; /* when the next guest comes */
    uint64_t skip_ns;    /* when the clock skips next */
};

static struct hf_scene scene;
static struct cast casts[HF_SCENE_PLAYERS];

/* ---- options ---- */

static _Noreturn void refuse_options(void)
{
    fprintf(stderr,
            "usage: retention [--days N] [--per-day RESERVATIONS] [--threads 1..%d] "
            "[--table RESERVATIONS] [--seed N]\n",
            HF_SCENE_PLAYERS);
    exit(EXIT_USAGE);
}

static uint64_t read_number(const char *text, uint64_t least, uint64_t most)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || value < least ||
        value > most)
        refuse_options();
    return value;
}

static void read_options(struct options *options, int argc, char **argv)
{
    static const struct option known[] = {
        {"days", required_argument, NULL, 'd'},    {"per-day", required_argument, NULL, 'p'},
        {"threads", required_argument, NULL, 't'}, {"table", required_argument, NULL, 'm'},
        {"seed", required_argument, NULL, 's'},    {NULL, 0, NULL, 0}};
    int which;
    while ((which = getopt_long(argc, argv, "", known, NULL)) != -1) {
        if (which == 'd')
            options->days = (uint32_t)read_number(optarg, 1, 100000);
        else if (which == 'p')
            options->per_day = (uint32_t)read_number(optarg, 100, 10000000);
        else if (which == 't')
            options->threads = (uint32_t)read_number(optarg, 1, HF_SCENE_PLAYERS);
        else if (which == 'm')
            options->table = (uint32_t)read_number(optarg, 1, HF_MAX_UNITS);
        else if (which == 's')
            options->seed = read_number(optarg, 0, UINT64_MAX);
        else
            refuse_options();
    }
    if (optind < argc)
        refuse_options();
    /* A day's, those that live, and what waits for the log's time to move on; and stocks. */
    if (options->table == 0)
        options->table = options->per_day / 10 * 16 + 64 * options->threads;
}

/* ---- time ---- */

static uint64_t month_end_ns(const struct options *options, uint32_t month)
{
    uint64_t days = (uint64_t)(month + 1) * MONTH_DAYS;
    return HF_SCENE_START_NS + (days < options->days ? days : options->days) * HF_DAY_NS;
}

static bool is_quiet(uint64_t at_ns)
{
    return (at_ns - HF_SCENE_START_NS) % HF_DAY_NS < QUIET_HOURS * HF_HOUR_NS;
}

/* So that a whole day has as many reservations as it should. */
static uint64_t next_arrival_ns(struct cast *cast, uint64_t at_ns)
{
    const struct options *options = cast->options;
    double hours = 24.0 - QUIET_HOURS + (double)QUIET_HOURS / QUIET_FACTOR;
    double mean_ns =
        hours / 24 * (double)HF_DAY_NS * options->threads * CELLS_PER_GUEST / options->per_day;
    if (is_quiet(at_ns))
        mean_ns *= QUIET_FACTOR;
    return at_ns + hf_random_next(&cast->player.random) % (uint64_t)(2 * mean_ns) + 1;
}

/* ---- playing ---- */

/* The clock skips: guests that should have come meanwhile do not. */
static uint64_t skip(struct cast *cast)
{
    uint64_t at_ns = cast->skip_ns + SKIP_NS;
    cast->skip_ns += SKIP_DAYS * HF_DAY_NS;
    cast->arrival_ns = next_arrival_ns(cast, at_ns);
    cast->guests.skipped_ns = at_ns;
    hf_player_catch_up(&cast->player, at_ns);
    return at_ns;
}

static uint64_t earlier(uint64_t one, uint64_t other)
{
    return one < other ? one : other;
}

/* When the next turn is. What happens in between is done then: a turn on a clock that has moved by
 * seconds costs much more than one of a server, and the guests have time. */
static uint64_t next_turn_ns(struct cast *cast)
{
    uint64_t next_ns = cast->player.actor.now_ns + hf_random_next(&cast->player.random) % HOP_NS;
    uint64_t event_ns = earlier(hf_guests_next_ns(&cast->guests), cast->arrival_ns);
    return next_ns > event_ns ? next_ns : event_ns;
}

/* A player's time never goes back: what should have been done while it was skipped is done now. */
static void play_until(struct cast *cast, uint64_t until_ns)
{
    uint64_t now_ns = cast->player.actor.now_ns;
    while (now_ns < until_ns) {
        now_ns = earlier(next_turn_ns(cast), until_ns);
        if (now_ns >= cast->skip_ns)
            now_ns = skip(cast);
        hf_player_turn(&cast->player, now_ns);
        for (; cast->arrival_ns <= now_ns;
             cast->arrival_ns = next_arrival_ns(cast, cast->arrival_ns))
            hf_guests_arrive(&cast->guests);
        while (hf_guests_next_ns(&cast->guests) <= now_ns)
            hf_guests_step(&cast->guests);
    }
}

/* Nobody comes any more; those who are there go their ways, and a day passes. */
static void play_out(struct cast *cast)
{
    uint64_t end_ns = cast->player.actor.now_ns + 4 * HF_DAY_NS;
    cast->arrival_ns = cast->skip_ns = UINT64_MAX;
    cast->guests.closing = true;
    play_until(cast, end_ns);
}

/* ---- months ---- */

/* All stand still. Takes the counts from the players, and begins them anew. */
static void take_month(struct month *month)
{
    const struct hf_engine *engine = &scene.engine;
    memset(month, 0, sizeof *month);
    for (uint32_t i = 0; i < scene.player_count; i++) {
        struct hf_player *player = &casts[i].player;
        struct hf_guests *guests = &casts[i].guests;
        month->made += guests->made;
        month->refused += guests->refused;
        month->expired += guests->expired;
        month->remembered += guests->remembered;
        month->forgotten += guests->forgotten;
        month->puts_aside += player->puts_aside;
        month->ticks += player->ticks;
        month->slow_ticks += player->slow_ticks;
        month->limbo += player->actor.limbo.capacity;
        if (player->longest_tick_ns > month->longest_tick_ns)
            month->longest_tick_ns = player->longest_tick_ns;
        guests->made = guests->refused = guests->expired = 0;
        guests->remembered = guests->forgotten = 0;
        player->puts_aside = player->ticks = 0;
        player->slow_ticks = player->longest_tick_ns = 0;
    }
    month->retained = hf_scene_retained(&scene);
    month->cells = hf_cells_allotted(&engine->region);
    month->counters = hf_load_relaxed(&engine->customers.used); /* nobody is active */
    month->rss_kib = hf_resident_kib(getpid());
}

static void print_head(const struct options *options)
{
    printf("retention: %u days, %u reservations a day, %u threads, a table of %u, kept for 24 h "
           "(seed %" PRIu64 ")\n",
           options->days, options->per_day, options->threads, options->table, options->seed);
    printf("%5s %9s %8s %8s %6s %6s %9s %8s %9s %6s %9s %5s %10s %8s\n", "month", "made", "refused",
           "expired", "known", "new", "retained", "cells", "counters", "limbo", "ticks", "slow",
           "longest us", "rss KiB");
}

static void print_month(uint32_t number, const struct month *month)
{
    printf("%5u %9" PRIu64 " %8" PRIu64 " %8" PRIu64 " %6" PRIu64 " %6" PRIu64
           " %9u %8u %9u %6u %9" PRIu64 " %5" PRIu64 " %10.1f %8" PRIu64 "\n",
           number + 1, month->made, month->refused, month->expired, month->remembered,
           month->forgotten, month->retained, month->cells, month->counters, month->limbo,
           month->ticks, month->slow_ticks, (double)month->longest_tick_ns / (double)HF_NS_PER_US,
           month->rss_kib);
    fflush(stdout);
}

static void check_growth(const char *what, uint64_t now, uint64_t before, uint64_t allowed)
{
    if (now > before + allowed)
        hf_scene_fail(&scene,
                      "%s have grown to %" PRIu64 ": they were %" PRIu64 " at most in the "
                      "first two months",
                      what, now, before);
}

static uint64_t percent_of(uint64_t amount)
{
    return amount * GROWTH_PERCENT / 100;
}

static void raise_to(uint64_t *most, uint64_t value)
{
    if (value > *most)
        *most = value;
}

static void check_month(uint32_t number, const struct month *month)
{
    static uint64_t cells, counters, kib;
    if (month->longest_tick_ns > LONGEST_TICK_NS ||
        month->slow_ticks > 5 + month->ticks / SLOW_FORGIVEN)
        hf_scene_fail(&scene, "%" PRIu64 " of %" PRIu64 " ticks took over %u us, one %.1f ms",
                      month->slow_ticks, month->ticks, HF_SLOW_TICK_NS / 1000,
                      (double)month->longest_tick_ns / (double)HF_NS_PER_MS);
    if (number < 2) {
        raise_to(&cells, month->cells);
        raise_to(&counters, month->counters);
        raise_to(&kib, month->rss_kib);
        return;
    }
    if (month->rss_kib == 0)
        hf_scene_fail(&scene, "/proc does not tell resident memory");
    check_growth("cells", month->cells, cells, percent_of(cells) + GROWTH_CELLS);
    check_growth("counters", month->counters, counters, percent_of(month->cells) + GROWTH_CELLS);
    /* Limbo is bounded by the table: all of it may be forgotten at once after a skip. */
    uint64_t limbo_kib = 2 * month->limbo * sizeof(struct hf_limbo_cell) / 1024;
    check_growth("KiB of resident memory", month->rss_kib, kib,
                 percent_of(kib) + GROWTH_RSS_KIB + limbo_kib);
}

static void *play(void *context)
{
    struct cast *cast = context;
    const struct options *options = cast->options;
    struct month month;
    for (uint32_t number = 0; month_end_ns(options, number) > cast->player.actor.now_ns; number++) {
        play_until(cast, month_end_ns(options, number));
        pthread_barrier_wait(cast->standstill);
        if (cast->player.index == 0) {
            take_month(&month);
            print_month(number, &month);
            check_month(number, &month);
            hf_scene_check(&scene);
        }
        pthread_barrier_wait(cast->standstill);
    }
    play_out(cast);
    return NULL;
}

/* ---- the end ---- */

/* A day after the last guest something happens again: the log's time moves on, and what is left of
 * them can go. */
static void check_empty(void)
{
    struct hf_player *player = &casts[0].player;
    const struct hf_request reserve = {.operation = HF_OP_RESERVE,
                                       .id = hf_id_of_number(1),
                                       .inventory_id = 2,
                                       .customer_id = 1,
                                       .qty = 1};
    uint64_t now_ns = player->actor.now_ns + 2 * HF_DAY_NS;
    hf_player_catch_up(player, now_ns);
    if (hf_player_do(player, &reserve) != HF_GRANTED)
        hf_scene_fail(&scene, "after the last guest nothing can be had");
    hf_player_catch_up(player, now_ns + HF_DAY_NS);
    uint32_t retained = hf_scene_retained(&scene);
    if (retained != 1)
        hf_scene_fail(&scene, "%u reservations are left of guests who went days ago", retained - 1);
    uint32_t cells = hf_cells_allotted(&scene.engine.region), free_cells = hf_scene_free(&scene);
    if (free_cells + retained != cells)
        hf_scene_fail(&scene, "of %u cells, %u are free, and %u are used: the others are lost",
                      cells, free_cells, retained);
    hf_scene_check(&scene);
}

static void open_casts(const struct options *options, pthread_barrier_t *standstill)
{
    pthread_barrier_init(standstill, NULL, options->threads);
    for (uint32_t i = 0; i < options->threads; i++) {
        struct cast *cast = &casts[i];
        cast->options = options;
        cast->standstill = standstill;
        hf_player_open(&cast->player, &scene, i);
        if (i == 0)
            hf_guests_build(&cast->player);
        hf_guests_open(&cast->guests, &cast->player, options->per_day * 2);
        cast->arrival_ns = next_arrival_ns(cast, HF_SCENE_START_NS);
        cast->skip_ns = HF_SCENE_START_NS + FIRST_SKIP_DAY * HF_DAY_NS + HF_DAY_NS / 2;
    }
}

int main(int argc, char **argv)
{
    static struct options options = {.days = 365, .per_day = 20000, .threads = 1};
    pthread_barrier_t standstill;
    options.seed = hf_date_now_ns() >> 10 & UINT32_MAX;
    read_options(&options, argc, argv);
    print_head(&options);
    hf_scene_open(&scene, options.threads, options.table, RETAIN_NS, options.seed);
    open_casts(&options, &standstill);
    for (uint32_t i = 0; i < options.threads; i++)
        if (pthread_create(&casts[i].thread, NULL, play, &casts[i]) != 0)
            hf_scene_fail(&scene, "cannot start a thread");
    for (uint32_t i = 0; i < options.threads; i++)
        pthread_join(casts[i].thread, NULL);
    scene.player_count = 1; /* the others' clocks stand still from now on */
    check_empty();
    for (uint32_t i = 0; i < options.threads; i++) {
        hf_guests_close(&casts[i].guests);
        hf_player_close(&casts[i].player);
    }
    hf_scene_close(&scene);
    printf("retention: ok: %" PRIu64 " records (seed %" PRIu64 ")\n", scene.drained, options.seed);
    return 0;
}
