/*
 * In process; see inprocess.h.
 *
 * Every job of every round has an engine of its own, so that none finds what another has left. What a
 * job needs (holds to confirm, reservations to cancel or look up) is made before, all of it, so that a
 * job meets memory that is no longer in the cache, as a customer who comes back does.
 */
#include "bench/inprocess.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "bench/asker.h"
#include "bench/options.h"
#include "bench/sink.h"
#include "engine/burst.h"
#include "engine/execute.h"
#include "engine/hash.h"
#include "engine/lapse.h"
#include "holdfast/view.h"

#define LOOK_AHEAD      8u /* frames, in traffic.c */
#define LOOK_AGAIN      4u
#define TURN_OPERATIONS 256u
#define MOST_OPERATIONS (1u << 22) /* of all threads, where memory is needed for each */
#define SPARE_CELLS     (1u << 17) /* allotted to actors in rows, and not used up */
#define MAX_WORKERS     HF_MAX_ACTORS
#define SOLD_OUT_FIRST  (1ull << 40)
#define HOLD_NS         (3600 * HF_NS_PER_S)
#define ID_HIGH         0x0190000000007000ull
#define VIEW_STRIDE     0x9e3779b97f4a7c15ull /* spreads numbers over 64 bits */
#define PATH_TEXT_BYTES 4096
#define SINK_OF_DISK    "disk"
#define SINK_THAT_DROPS "none"

struct hf_inprocess_worker {
    const struct hf_inprocess_options *options;
    enum hf_inprocess_job job; /* what it does now */
    uint32_t number;
    bool measured;            /* else it prepares */
    uint64_t first_inventory; /* of those that it is about */
    uint64_t target;          /* operations of this stage, at most */
    uint64_t end_ns;          /* monotonic */
    uint64_t done;
    uint64_t began_ns, ended_ns; /* monotonic */
    uint64_t engine_ns, log_ns, cpu_ns;
    uint64_t waits; /* for room in the log */
    unsigned wrong; /* a result that should not be; 0: none */
    struct hf_sink *sink;
    struct hf_actor actor;
    struct hf_drain drain; /* of the thread that uses it */
    struct hf_spread spread;
    const struct hf_view *view; /* of all workers; NULL: for another job */
    struct hf_request request;
    struct hf_reservation_entry *entries;
    pthread_t thread;
};

struct job {
    const char *name;
    enum hf_operation operation;
    unsigned result;               /* that every one of them has */
    enum hf_inprocess_job prepare; /* what has to be there; itself: nothing */
    bool makes;                    /* needs room for a reservation each */
    bool looks_up;                 /* an id: that place is prefetched */
};

static const struct job jobs[] = {
    [HF_INPROCESS_GRANT] = {"grant", HF_OP_RESERVE, HF_GRANTED, HF_INPROCESS_GRANT, true, true},
    [HF_INPROCESS_BURST] = {"grant-burst", HF_OP_RESERVE, HF_GRANTED, HF_INPROCESS_BURST, true,
                            false},
    [HF_INPROCESS_REFUSE] = {"refuse", HF_OP_RESERVE, HF_SOLD_OUT, HF_INPROCESS_REFUSE, false,
                             true},
    [HF_INPROCESS_REFUSE_BURST] = {"refuse-burst", HF_OP_RESERVE, HF_SOLD_OUT,
                                   HF_INPROCESS_REFUSE_BURST, false, false},
    [HF_INPROCESS_HOLD] = {"hold", HF_OP_HOLD, HF_GRANTED, HF_INPROCESS_HOLD, true, true},
    [HF_INPROCESS_CONFIRM] = {"confirm", HF_OP_CONFIRM, HF_CONFIRMED, HF_INPROCESS_HOLD, true,
                              true},
    [HF_INPROCESS_CANCEL] = {"cancel", HF_OP_CANCEL, HF_CANCELLED, HF_INPROCESS_GRANT, true, true},
    [HF_INPROCESS_LOOKUP] = {"lookup", HF_OP_RESERVATION_GET, HF_FOUND, HF_INPROCESS_GRANT, true,
                             true},
    [HF_INPROCESS_READ] = {"read", HF_OP_INVENTORY_GET, HF_FOUND, HF_INPROCESS_READ, false, false},
    /* These two are no operations of the protocol. */
    [HF_INPROCESS_EXPIRE] = {"expire", HF_OP_PING, HF_OK, HF_INPROCESS_HOLD, true, false},
    [HF_INPROCESS_VIEW] = {"view", HF_OP_PING, HF_OK, HF_INPROCESS_VIEW, false, false},
};

bool hf_inprocess_parse(const char *text, enum hf_inprocess_job *job)
{
    for (unsigned i = 0; i < HF_INPROCESS_JOB_COUNT; i++) {
        if (strcmp(text, jobs[i].name) == 0) {
            *job = (enum hf_inprocess_job)i;
            return true;
        }
    }
    return false;
}

/* ---- one turn ---- */

static uint64_t number_of(const struct hf_inprocess_worker *worker, uint64_t place)
{
    return place * worker->options->threads + worker->number;
}

static void make_id(uint64_t number, struct hf_id *id)
{
    hf_put_u64(id->bytes, ID_HIGH);
    hf_put_u64(id->bytes + 8, hf_asker_id_low(number));
}

/* What operation `place` of this worker is about. */
static void aim(const struct hf_inprocess_worker *worker, uint64_t place, struct hf_id *id,
                uint64_t *inventory_id, uint64_t *customer_id)
{
    uint64_t number = number_of(worker, place);
    make_id(number, id);
    uint64_t id_low = hf_get_u64(id->bytes + 8);
    *inventory_id = worker->first_inventory +
                    hf_spread_draw(&worker->spread, number, id_low << 28 | id_low >> 36);
    *customer_id = id_low >> 44;
}

static uint64_t now_ns(void)
{
    return hf_date_now_ns();
}

/* One operation, as a worker of the server has it done. False: not now. */
static bool operate(struct hf_inprocess_worker *worker)
{
    struct hf_request *request = &worker->request;
    struct hf_outcome outcome;
    aim(worker, worker->done, &request->id, &request->inventory_id, &request->customer_id);
    if (hf_request_needs_clock(request->operation))
        worker->actor.now_ns = now_ns();
    HF_CHECK(hf_engine_execute(&worker->actor, request, worker->entries, &outcome));
    if (hf_outcome_put_aside(&outcome))
        return false;
    if (outcome.result != jobs[worker->job].result)
        worker->wrong = outcome.result;
    worker->done++;
    return true;
}

/* A burst of grants, or of refusals. Returns how many. */
static uint32_t operate_burst(struct hf_inprocess_worker *worker, uint32_t count)
{
    struct hf_reserve requests[HF_BURST_MAX];
    struct hf_reservation made[HF_BURST_MAX];
    struct hf_availability left[HF_BURST_MAX];
    for (uint32_t i = 0; i < count; i++) {
        requests[i].qty = 1;
        requests[i].ttl_ns = 0;
        aim(worker, worker->done + i, &requests[i].id, &requests[i].inventory_id,
            &requests[i].customer_id);
    }
    uint32_t done = worker->job == HF_INPROCESS_BURST
                        ? hf_engine_reserve_burst(&worker->actor, requests, count, made)
                        : hf_engine_refuse_burst(&worker->actor, requests, count, left);
    worker->done += done;
    return done;
}

/* What is due, `count` of it at most, as at the end of a worker's turn. Whatever is logged is an expiry:
 * nobody else logs anything meanwhile. */
static void expire_some(struct hf_inprocess_worker *worker, uint32_t count)
{
    const struct hf_ring *ring = worker->sink->ring;
    uint64_t before = hf_load_relaxed(&ring->tail); /* relaxed, both: this thread alone moves it */
    hf_engine_tick(&worker->actor, count);
    worker->done += hf_load_relaxed(&ring->tail) - before;
}

static void view_some(struct hf_inprocess_worker *worker, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint64_t number = number_of(worker, worker->done + i);
        int32_t available = 0;
        if (!hf_view_available(worker->view,
                               1 + hf_spread_draw(&worker->spread, number, number * VIEW_STRIDE),
                               &available) ||
            available != HF_MAX_UNITS)
            worker->wrong = HF_UNKNOWN_INVENTORY;
    }
    worker->done += count;
}

/* As hf_handler_prefetch() does for the frames behind the one at hand. Inlined: gcc takes a function that
 * only prefetches for one that does nothing. */
static inline __attribute__((always_inline)) void
look_ahead(const struct hf_inprocess_worker *worker, uint64_t place)
{
    struct hf_id id;
    const struct hf_region *region = &worker->actor.engine->region;
    make_id(number_of(worker, place), &id);
    hf_table_prefetch_head(region, hf_hash_id(&id, region->header->hash_seed));
}

/* As hf_handler_prefetch_again(). */
static inline __attribute__((always_inline)) void
look_again(const struct hf_inprocess_worker *worker, uint64_t place)
{
    struct hf_id id;
    const struct hf_region *region = &worker->actor.engine->region;
    make_id(number_of(worker, place), &id);
    hf_table_prefetch_change(region, hf_hash_id(&id, region->header->hash_seed));
}

/* Up to `count` operations: fewer, if one of them cannot be done now. */
static inline __attribute__((always_inline)) void do_turn(struct hf_inprocess_worker *worker,
                                                          uint32_t count)
{
    uint64_t until = worker->done + count;
    if (worker->job == HF_INPROCESS_VIEW) {
        view_some(worker, count);
        return;
    }
    hf_actor_enter(&worker->actor);
    if (worker->job == HF_INPROCESS_EXPIRE) {
        expire_some(worker, count);
        until = worker->done;
    }
    bool looks_ahead = jobs[worker->job].looks_up;
    bool in_bursts = worker->job == HF_INPROCESS_BURST || worker->job == HF_INPROCESS_REFUSE_BURST;
    enum hf_operation operation = jobs[worker->job].operation;
    bool looks_again = looks_ahead && operation != HF_OP_RESERVE && operation != HF_OP_HOLD;
    for (uint64_t i = 0; looks_ahead && i < LOOK_AHEAD; i++)
        look_ahead(worker, worker->done + i);
    for (uint64_t i = 0; looks_again && i < LOOK_AGAIN; i++)
        look_again(worker, worker->done + i);
    while (worker->done < until) {
        uint64_t left = until - worker->done;
        if (looks_ahead)
            look_ahead(worker, worker->done + LOOK_AHEAD);
        if (looks_again)
            look_again(worker, worker->done + LOOK_AGAIN);
        if (in_bursts && left > 1 &&
            operate_burst(worker, left < HF_BURST_MAX ? (uint32_t)left : HF_BURST_MAX) != 0)
            continue;
        if (!operate(worker))
            break;
    }
    hf_actor_exit(&worker->actor);
}

__attribute__((noinline)) void hf_inprocess_turn(struct hf_inprocess_worker *worker, uint32_t count)
{
    do_turn(worker, count);
}

/* The same of what only prepares: under another name. */
static __attribute__((noinline)) void preparing_turn(struct hf_inprocess_worker *worker,
                                                     uint32_t count)
{
    do_turn(worker, count);
}

/* ---- one stage of a worker ---- */

static void begin_stage(struct hf_inprocess_worker *worker, enum hf_inprocess_job job,
                        bool measured, uint64_t target, uint64_t end_ns)
{
    worker->job = job;
    worker->first_inventory = jobs[job].result == HF_SOLD_OUT ? SOLD_OUT_FIRST + 1 : 1;
    worker->measured = measured;
    worker->target = target;
    worker->end_ns = end_ns;
    worker->done = worker->engine_ns = worker->log_ns = worker->waits = 0;
    worker->request = (struct hf_request){
        .operation = jobs[job].operation,
        .qty = job == HF_INPROCESS_CONFIRM ? 0 : 1,
        .ttl_ns = job == HF_INPROCESS_HOLD ? HOLD_NS : 0,
    };
}

/* Turns, until all is done or time is over. */
static void take_turns(struct hf_inprocess_worker *worker)
{
    uint64_t begin_ns = worker->began_ns;
    while (worker->done < worker->target && begin_ns < worker->end_ns && worker->wrong == 0) {
        uint64_t left = worker->target - worker->done, before = worker->done;
        uint32_t count = left < TURN_OPERATIONS ? (uint32_t)left : TURN_OPERATIONS;
        /* Holds to expire lapse in this moment: their time is over, however long they took to make. */
        worker->actor.now_ns = now_ns() + (worker->job == HF_INPROCESS_EXPIRE ? HOLD_NS : 0);
        if (worker->measured)
            hf_inprocess_turn(worker, count);
        else
            preparing_turn(worker, count);
        uint64_t middle_ns = hf_monotonic_now_ns();
        if (worker->done == before) {
            worker->waits++;
            hf_drain_wait(&worker->drain);
        } else {
            hf_drain_run(&worker->drain);
        }
        uint64_t end_ns = hf_monotonic_now_ns();
        worker->engine_ns += middle_ns - begin_ns;
        worker->log_ns += end_ns - middle_ns;
        begin_ns = end_ns;
    }
    worker->ended_ns = begin_ns;
}

static void open_drain(struct hf_inprocess_worker *worker)
{
    char error[HF_LOG_ERROR_BYTES];
    if (hf_drain_open(&worker->drain, worker->sink, error) == 0)
        return;
    fprintf(stderr, "%s: %s\n", program_invocation_short_name, error);
    exit(HF_BENCH_SETUP);
}

static void *run_stage(void *context)
{
    struct hf_inprocess_worker *worker = context;
    open_drain(worker);
    uint64_t cpu_begin_ns = hf_clock_ns(CLOCK_THREAD_CPUTIME_ID);
    worker->began_ns = hf_monotonic_now_ns();
    take_turns(worker);
    worker->cpu_ns = hf_clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu_begin_ns;
    hf_drain_close(&worker->drain);
    return NULL;
}

/* All workers, at once. How long it took, from the first's begin to the last's end. */
static uint64_t run_all(struct hf_inprocess_worker *workers, uint32_t count)
{
    uint64_t began_ns = UINT64_MAX, ended_ns = 0;
    for (uint32_t i = 0; i < count; i++)
        HF_CHECK(pthread_create(&workers[i].thread, NULL, run_stage, &workers[i]) == 0);
    for (uint32_t i = 0; i < count; i++) {
        pthread_join(workers[i].thread, NULL);
        if (workers[i].began_ns < began_ns)
            began_ns = workers[i].began_ns;
        if (workers[i].ended_ns > ended_ns)
            ended_ns = workers[i].ended_ns;
    }
    return ended_ns - began_ns;
}

/* ---- one job ---- */

static void execute(struct hf_inprocess_worker *worker, const struct hf_request *request,
                    struct hf_outcome *outcome)
{
    for (;;) {
        worker->actor.now_ns = now_ns();
        hf_actor_enter(&worker->actor);
        HF_CHECK(hf_engine_execute(&worker->actor, request, worker->entries, outcome));
        hf_actor_exit(&worker->actor);
        if (!hf_outcome_put_aside(outcome))
            break;
        hf_drain_wait(&worker->drain);
    }
    hf_drain_run(&worker->drain);
}

/* False: the engine said something else. */
static bool make_inventories(struct hf_inprocess_worker *worker)
{
    bool right = true;
    const struct hf_inprocess_options *options = worker->options;
    struct hf_outcome outcome;
    open_drain(worker);
    for (uint64_t i = 0; i < 2ull * options->inventories && right; i++) {
        bool sold_out = i >= options->inventories;
        struct hf_request request = {
            .operation = HF_OP_INVENTORY_CREATE,
            .inventory_id = sold_out ? SOLD_OUT_FIRST + 1 + i - options->inventories : 1 + i,
            .capacity = sold_out ? 1 : HF_MAX_UNITS,
        };
        execute(worker, &request, &outcome);
        right = outcome.result == HF_CREATED;
        request.operation = HF_OP_RESERVE;
        request.qty = 1;
        hf_id_make(&request.id);
        if (sold_out && right) {
            execute(worker, &request, &outcome);
            right = outcome.result == HF_GRANTED;
        }
    }
    hf_drain_close(&worker->drain);
    return right;
}

/* Units that are taken from the inventories that are not sold out; and all that was logged is where it
 * belongs. */
static uint64_t count_taken(struct hf_inprocess_worker *worker)
{
    uint64_t taken = 0;
    open_drain(worker);
    for (uint64_t i = 0; i < worker->options->inventories; i++) {
        const struct hf_request request = {.operation = HF_OP_INVENTORY_GET, .inventory_id = 1 + i};
        struct hf_outcome outcome;
        execute(worker, &request, &outcome);
        taken += outcome.inventory.sell_limit - (uint32_t)outcome.inventory.available;
    }
    hf_drain_settle(&worker->drain);
    hf_drain_close(&worker->drain);
    return taken;
}

static uint64_t sum_done(const struct hf_inprocess_worker *workers, uint32_t count)
{
    uint64_t done = 0;
    for (uint32_t i = 0; i < count; i++)
        done += workers[i].done;
    return done;
}

static void print_row(const struct hf_inprocess_options *options,
                      const struct hf_inprocess_worker *workers, enum hf_inprocess_job job,
                      uint32_t round, uint64_t wall_ns)
{
    double engine_ns = 0, log_ns = 0, cpu_ns = 0;
    uint64_t done = sum_done(workers, options->threads), waits = 0;
    for (uint32_t i = 0; i < options->threads; i++) {
        engine_ns += (double)workers[i].engine_ns;
        log_ns += (double)workers[i].log_ns;
        cpu_ns += (double)workers[i].cpu_ns;
        waits += workers[i].waits;
    }
    double count = done != 0 ? (double)done : 1;
    double per_second = (double)done * (double)HF_NS_PER_S / (double)wall_ns;
    const char *sink = options->directory != NULL ? SINK_OF_DISK : SINK_THAT_DROPS;
    static const char *const formats[] = {
        [HF_INPROCESS_TABLE] =
            "%-12s %7u %6s %5u %11" PRIu64 " %10.1f %10.1f %10.1f %13.0f %8" PRIu64 "\n",
        [HF_INPROCESS_JSON] = "{\"job\":\"%s\",\"threads\":%u,\"durability\":\"%s\",\"round\":%u,"
                              "\"operations\":%" PRIu64 ",\"engine_ns\":%.1f,\"log_ns\":%.1f,"
                              "\"cpu_ns\":%.1f,\"per_second\":%.0f,\"waits\":%" PRIu64 "}\n",
        [HF_INPROCESS_CSV] = "%s,%u,%s,%u,%" PRIu64 ",%.1f,%.1f,%.1f,%.0f,%" PRIu64 "\n",
    };
    printf(formats[options->format], jobs[job].name, options->threads, sink, round, done,
           engine_ns / count, log_ns / count, cpu_ns / count, per_second, waits);
    fflush(stdout);
}

static void print_names(const struct hf_inprocess_options *options)
{
    if (options->format == HF_INPROCESS_CSV)
        printf(
            "job,threads,durability,round,operations,engine_ns,log_ns,cpu_ns,per_second,waits\n");
    if (options->format == HF_INPROCESS_TABLE)
        printf("ns an operation: in the engine, emptying the log's ring, processor time of both\n"
               "%-12s %7s %6s %5s %11s %10s %10s %10s %13s %8s\n",
               "job", "threads", "log", "round", "operations", "engine ns", "log ns", "cpu ns",
               "per second", "waits");
}

static int open_worker(struct hf_inprocess_worker *worker, struct hf_sink *sink, char *error)
{
    worker->sink = sink;
    int result = hf_actor_init(&worker->actor, sink->engine, sink->ring);
    worker->entries = malloc(HF_MAX_PAGE_ENTRIES * sizeof *worker->entries);
    hf_spread_init(&worker->spread, &worker->options->spread, worker->options->inventories);
    if (result != 0)
        snprintf(error, HF_LOG_ERROR_BYTES, "cannot make an actor: %s", strerror(-result));
    return result;
}

/* How many operations a worker is to do, if all workers have prepared so many. */
static uint64_t target_of(const struct hf_inprocess_worker *worker, enum hf_inprocess_job job,
                          uint64_t most, uint64_t prepared)
{
    if (job != HF_INPROCESS_EXPIRE)
        return most;
    return worker->number == 0 ? prepared : 0; /* one alone can tell what is its own */
}

/* What the job has to find is made, then it is done, then all is counted. 0 or an exit status. */
static int do_job(struct hf_inprocess_worker *workers, const struct hf_inprocess_options *options,
                  enum hf_inprocess_job job, uint32_t round)
{
    const struct job *what = &jobs[job];
    uint64_t most = options->operations;
    if (most == 0)
        most = what->makes ? MOST_OPERATIONS / options->threads : UINT64_MAX;
    uint64_t expected = 0;
    bool right = make_inventories(&workers[0]);
    if (right && what->prepare != job) {
        for (uint32_t i = 0; i < options->threads; i++)
            begin_stage(&workers[i], what->prepare, false, most, UINT64_MAX);
        run_all(workers, options->threads);
        expected = sum_done(workers, options->threads);
    }
    uint64_t limit_ns =
        options->operations != 0
            ? UINT64_MAX
            : hf_monotonic_now_ns() + (uint64_t)(options->seconds * (double)HF_NS_PER_S);
    for (uint32_t i = 0; i < options->threads; i++)
        begin_stage(&workers[i], job, true, target_of(&workers[i], job, most, expected), limit_ns);
    uint64_t wall_ns = run_all(workers, options->threads);
    uint64_t done = sum_done(workers, options->threads);
    if (job == HF_INPROCESS_CANCEL || job == HF_INPROCESS_EXPIRE)
        expected -= done;
    else if (what->prepare == job && what->makes)
        expected += done;
    print_row(options, workers, job, round, wall_ns);
    for (uint32_t i = 0; i < options->threads; i++)
        right = right && workers[i].wrong == 0;
    uint64_t taken = count_taken(&workers[0]);
    if (right && taken == expected)
        return 0;
    fprintf(stderr, "%s: %s: the engine did not do what it should\n", program_invocation_short_name,
            what->name);
    return HF_BENCH_WRONG;
}

static int give_up(const char *error)
{
    fprintf(stderr, "%s: %s\n", program_invocation_short_name, error);
    return HF_BENCH_SETUP;
}

/* One job on an engine of its own. 0 or an exit status. */
static int run_job(const struct hf_inprocess_options *options, enum hf_inprocess_job job,
                   uint32_t round)
{
    char error[HF_LOG_ERROR_BYTES] = "out of memory", path[PATH_TEXT_BYTES];
    const char *directory = options->directory != NULL ? path : NULL;
    uint64_t cells = options->operations * options->threads;
    if (cells == 0)
        cells = MOST_OPERATIONS;
    cells = (jobs[job].makes ? cells : 0) + options->inventories + SPARE_CELLS;
    snprintf(path, sizeof path, "%s/%s-%u", options->directory, jobs[job].name, round);
    if (cells > INT32_MAX)
        return give_up("that are too many operations: a reservation each does not fit");
    struct hf_inprocess_worker *workers = calloc(options->threads, sizeof *workers);
    struct hf_sink *sink;
    if (workers == NULL ||
        hf_sink_open(&sink, directory, 2 * options->inventories + 1, (uint32_t)cells, error) != 0) {
        free(workers);
        return give_up(error);
    }
    struct hf_view *view = NULL;
    if (job == HF_INPROCESS_VIEW && hf_sink_view(sink, directory, &view, error) != 0) {
        free(workers);
        hf_sink_close(sink, directory);
        return give_up(error);
    }
    uint32_t opened = 0;
    int result = 0;
    for (; opened < options->threads && result == 0; opened++) {
        workers[opened].options = options;
        workers[opened].number = opened;
        workers[opened].view = view;
        if (open_worker(&workers[opened], sink, error) != 0)
            return give_up(error); /* the process ends, and the sink with it */
    }
    result = do_job(workers, options, job, round);
    for (uint32_t i = 0; i < opened; i++) {
        hf_actor_close(&workers[i].actor);
        free(workers[i].entries);
    }
    free(workers);
    if (view != NULL)
        hf_view_close(view);
    if (hf_sink_close(sink, directory) != 0)
        return give_up("the log could not be closed");
    return result;
}

int hf_inprocess_run(const struct hf_inprocess_options *options)
{
    int worst = 0;
    if (options->threads > MAX_WORKERS)
        return give_up("an engine has fewer actors than that");
    print_names(options);
    for (uint32_t round = 1; round <= options->rounds; round++) {
        for (unsigned job = 0; job < HF_INPROCESS_JOB_COUNT; job++) {
            if (options->jobs != 0 && (options->jobs >> job & 1) == 0)
                continue;
            int result = run_job(options, (enum hf_inprocess_job)job, round);
            if (result == HF_BENCH_SETUP)
                return result;
            if (result != 0)
                worst = result;
        }
    }
    return worst;
}
