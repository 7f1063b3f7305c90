/* A life; see life.h. */
#include "tests/sim/life.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "tests/sim/clock.h"
#include "tests/sim/origin.h"
#include "tests/sim/proof.h"
#include "tests/sim/speech.h"
#include "wal/record.h"
#include "wal/segment_header.h"

#define SEGMENT_BYTES       (1u << 20)
#define SMALL_SEGMENT_BYTES 32768u /* the least that the program is built for */
#define RING_SLOTS          512u
#define RETAIN_NS           (600 * HF_NS_PER_S)
#define BEGIN_NS            (1000 * HF_NS_PER_S)
#define START_ATTEMPTS      4u  /* that may be cut short, one after the other */
#define START_CHANGES       24u /* of the disk in a start, about */
#define FOLLOWED_AT_ONCE    128u

_Static_assert(BEGIN_NS > HF_SIM_ORIGIN_NS, "the clock does not go back at the beginning");

static uint32_t below(struct hf_sim_life *life, uint32_t end)
{
    return hf_random_below(&life->random, end);
}

static bool chance(struct hf_sim_life *life, uint32_t percent)
{
    return hf_random_chance(&life->random, percent);
}

const char *hf_sim_life_wrong(struct hf_sim_life *life, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(life->text, sizeof life->text, format, arguments);
    va_end(arguments);
    return life->text;
}

void hf_sim_life_tell(const struct hf_sim_life *life, const char *format, ...)
{
    if (life->setting->out == NULL)
        return;
    va_list arguments;
    va_start(arguments, format);
    fputs("  -- ", life->setting->out);
    vfprintf(life->setting->out, format, arguments);
    fputc('\n', life->setting->out);
    va_end(arguments);
}

/* ---- beginning and end ---- */

static bool progress(void *context);

static struct hf_id symbol_of(void *context, const struct hf_id *id)
{
    return hf_trial_symbol_of(context, id);
}

static void begin(struct hf_sim_life *life, const struct hf_sim_setting *setting, uint64_t seed,
                  uint64_t number)
{
    *life = (struct hf_sim_life){
        .setting = setting,
        .coverage = setting->coverage,
        .seed = seed,
        .random = hf_random_for(seed, 2 * number),
        .keep = -1,
    };
    hf_sim_disk_init(&life->disk, seed);
    hf_sim_disk_init(&life->healed, seed);
    life->disk.random = hf_random_for(seed, 2 * number + 1);
}

static void begin_clients(struct hf_sim_life *life)
{
    life->subject = hf_sim_server_subject(&life->server);
    life->trial = hf_trial_open(&life->subject, 0, life->seed, RETAIN_NS, NULL, life->setting->out);
    hf_workload_init(&life->workload, life->seed, RETAIN_NS);
    life->workload.symbol_of = symbol_of;
    life->workload.context = life->trial;
    life->workload.crash_every = UINT32_MAX;
    life->is_followed = chance(life, 25);
    life->ask_percent = 30 + below(life, 50);
    life->burst_percent = chance(life, 25) ? 8 : 0;
}

/* Most segments are small, and full soon. */
static uint64_t some_segment_bytes(struct hf_sim_life *life)
{
    static const uint32_t sizes[] = {SMALL_SEGMENT_BYTES,     SMALL_SEGMENT_BYTES,
                                     2 * SMALL_SEGMENT_BYTES, 2 * SMALL_SEGMENT_BYTES,
                                     4 * SMALL_SEGMENT_BYTES, SEGMENT_BYTES,
                                     SEGMENT_BYTES,           SEGMENT_BYTES};
    return sizes[below(life, sizeof sizes / sizeof *sizes)];
}

static void init_server(struct hf_sim_life *life, const struct hf_sim_wish *wish)
{
    bool snapshots = wish->busy || chance(life, 70);
    bool archives = snapshots && (wish->busy || chance(life, 50));
    uint64_t segment_bytes = wish->segment_bytes != 0 ? wish->segment_bytes
                             : wish->busy             ? SMALL_SEGMENT_BYTES
                                                      : some_segment_bytes(life);
    uint32_t snapshot_pages = 1 + below(life, wish->busy ? 6 : 24);
    if (archives)
        hf_sim_archive_init(&life->archive, &life->disk, life->seed);
    hf_sim_server_init(
        &life->server,
        &(struct hf_sim_server_options){
            .disk = &life->disk,
            .directory = life->setting->directory,
            .segment_bytes = segment_bytes,
            .ring_slots = RING_SLOTS,
            .writes_inflight = below(life, HF_MAX_INFLIGHT + 1),
            .retain_ns = RETAIN_NS,
            .durability = chance(life, 5) ? HF_DURABILITY_MEMORY : HF_DURABILITY_DISK,
            .snapshot_log_bytes = snapshots ? snapshot_pages * HF_SIM_PAGE_BYTES : UINT64_MAX,
            .snapshot_copy_cells = 1 + below(life, 100),
            .archive_command = archives ? HF_SIM_ARCHIVE_COMMAND : NULL,
            .progress = progress,
            .context = life,
        });
}

void hf_sim_life_begin(struct hf_sim_life *life, const struct hf_sim_setting *setting,
                       uint64_t seed, const struct hf_sim_wish *wish)
{
    hf_sim_clock_begin(seed, BEGIN_NS);
    begin(life, setting, seed, 2);
    init_server(life, wish);
    begin_clients(life);
    if (wish->anew || life->server.options.segment_bytes != SEGMENT_BYTES)
        return;
    struct hf_random random = life->disk.random;
    hf_sim_origin_copy(&life->disk, &life->random);
    life->disk.random = random;
}

void hf_sim_life_branch(struct hf_sim_life *branch, const struct hf_sim_life *from, uint64_t number)
{
    begin(branch, from->setting, from->seed, 3 + number);
    struct hf_random random = branch->disk.random;
    hf_sim_disk_copy(&branch->disk, &from->disk);
    branch->disk.random = random;
    struct hf_sim_server_options options = from->server.options;
    options.disk = &branch->disk;
    options.context = branch;
    hf_sim_server_init_like(&branch->server, &from->server, &options);
    if (options.archive_command != NULL)
        hf_sim_archive_copy(&branch->archive, &from->archive, &branch->disk);
    branch->promised_lsn = from->promised_lsn;
    branch->workload.now_ns = from->workload.now_ns;
}

void hf_sim_life_end(struct hf_sim_life *life)
{
    hf_sim_life_stop_dead(life);
    if (life->trial != NULL)
        hf_trial_close(life->trial);
    hf_steps_close(&life->steps);
    hf_sim_server_free(&life->server);
    hf_sim_archive_close(&life->archive);
    hf_sim_disk_close(&life->disk);
    hf_sim_disk_close(&life->healed);
}

/* ---- what was promised ---- */

static struct hf_flusher *flusher_of(struct hf_sim_life *life)
{
    return hf_sim_server_flusher(&life->server);
}

/* Commit may have moved: what it tells is a promise, and answers go out. (With the durability
 * `memory`, it promises what is on the disk.) */
static void look_at_commit(struct hf_sim_life *life)
{
    struct hf_flusher *flusher = flusher_of(life);
    uint64_t promised_lsn = life->server.options.durability == HF_DURABILITY_DISK
                                ? hf_flusher_commit_lsn(flusher)
                                : hf_tail_limit(flusher);
    if (promised_lsn > life->promised_lsn)
        life->promised_lsn = promised_lsn;
    life->coverage->acknowledged += hf_sim_server_answer(&life->server);
}

/* ---- steps of the log ---- */

static void run_flusher(struct hf_sim_life *life)
{
    hf_sim_server_note(&life->server);
    hf_flusher_run(flusher_of(life), &life->disk.queue);
    look_at_commit(life);
}

static void count_fate(struct hf_sim_coverage *coverage, const struct hf_sim_fate *fate)
{
    coverage->not_tried += fate->end == HF_SIM_NOT_TRIED;
    coverage->short_writes += fate->end == HF_SIM_SHORT;
    coverage->cancelled_writes += fate->error == -ECANCELED;
    coverage->refused_writes += fate->error == -EIO;
    coverage->unplaced_writes += fate->error == -ENOSPC;
    coverage->lost_writes += fate->end == HF_SIM_LOST;
    coverage->misdirected_writes += fate->end == HF_SIM_MISDIRECTED;
}

static struct hf_sim_fate next_fate(struct hf_sim_life *life)
{
    struct hf_sim_trouble *trouble = &life->trouble;
    if (chance(life, trouble->again_percent))
        return (struct hf_sim_fate){HF_SIM_NOT_TRIED, chance(life, 50) ? -EAGAIN : -EINTR, 0, NULL,
                                    0};
    if (trouble->fate_in == 0 || --trouble->fate_in != 0)
        return (struct hf_sim_fate){.end = HF_SIM_DONE};
    if (trouble->fate.end == HF_SIM_SHORT)
        trouble->fate.bytes = HF_SIM_SECTOR_BYTES * (1 + below(life, chance(life, 60) ? 1 : 7));
    return trouble->fate;
}

/* One of the writes in flight ends. */
static void finish_one(struct hf_sim_life *life)
{
    struct hf_sim_completion completion;
    struct hf_sim_fate fate = next_fate(life);
    uint32_t number = below(life, life->disk.inflight_count);
    hf_sim_server_note(&life->server);
    if (!hf_sim_disk_finish(&life->disk, number, &fate, &completion))
        return;
    count_fate(life->coverage, &fate);
    hf_sim_life_tell(life, "write %u of %u in flight ends with %d", number,
                     life->disk.inflight_count + 1, completion.result);
    hf_flusher_complete(flusher_of(life), &life->disk.queue, completion.cookie, completion.result);
    look_at_commit(life);
}

static bool goes_on(const struct hf_sim_life *life)
{
    return !life->disk.dead && life->server.failures == 0;
}

/* ---- steps of the background ---- */

static uint32_t errors_left(const struct hf_sim_disk *disk)
{
    uint32_t left = 0;
    for (unsigned i = 0; i < HF_SIM_OPERATIONS; i++)
        left += disk->rules[i].times;
    return left;
}

/* What there is to be removed, and what not while somebody reads. */
struct store_room {
    uint64_t first_segment, snapshot_lsn;
    uint32_t errors;
};

static struct store_room look_at_room(const struct hf_sim_life *life)
{
    const struct hf_log *log = &life->server.store->log;
    return (struct store_room){hf_segments_first(&log->segments), log->newest_snapshot.last_lsn,
                               errors_left(&life->disk)};
}

/* Nothing is removed while somebody reads. True: segments went. */
static bool check_room(struct hf_sim_life *life, const struct store_room *before)
{
    uint64_t first = hf_segments_first(&life->server.store->log.segments);
    if (first != before->first_segment && life->keep >= 0)
        life->wrong = hf_sim_life_wrong(life, "segments were removed that somebody reads");
    return first != before->first_segment;
}

int hf_sim_life_prepare(struct hf_sim_life *life)
{
    struct store_room before = look_at_room(life);
    uint64_t changes = life->disk.changes;
    int result = hf_log_step(&life->server.store->log);
    bool recycles = check_room(life, &before);
    bool failed = errors_left(&life->disk) < before.errors;
    life->coverage->recycled += recycles;
    life->coverage->preparing_errors += failed;
    if (life->disk.dead && life->disk.changes != changes) {
        life->coverage->crashes_in_preparing++;
        life->coverage->crashes_in_recycling += recycles;
    }
    if (life->disk.dead)
        return result;
    if (result != 0 && !failed && !life->is_full)
        life->wrong = hf_sim_life_wrong(life, "a segment could not be prepared, for no reason: %s",
                                        strerror(-result));
    if (result == 0 && failed)
        life->wrong = hf_sim_life_wrong(life, "an I/O error in preparing a segment was ignored");
    return result;
}

static void count_removing(struct hf_sim_life *life, const struct store_room *before)
{
    uint64_t first = hf_segments_first(&life->server.store->log.segments);
    check_room(life, before);
    life->coverage->released += first - before->first_segment;
    for (uint32_t i = 0; i < life->disk.renaming_count && life->disk.dead; i++)
        if (life->disk.renamings[i].to[0] == '\0') {
            life->coverage->crashes_in_release++;
            return;
        }
}

/* Some steps of the snapshot that is being made, or that is due. */
static void make_snapshot(struct hf_sim_life *life)
{
    struct hf_store *store = life->server.store;
    struct store_room before = look_at_room(life);
    struct hf_snapshotter_report report;
    if (chance(life, 4))
        hf_store_request_snapshot(store);
    for (uint32_t steps = 1 + below(life, 8); steps > 0 && !life->disk.dead; steps--)
        hf_snapshotter_step(store->snapshotter);
    hf_snapshotter_describe(store->snapshotter, &report);
    life->coverage->crashes_in_snapshot += life->disk.dead;
    count_removing(life, &before);
    if (!life->disk.dead && report.last_lsn != before.snapshot_lsn &&
        store->log.newest_snapshot.last_lsn == report.last_lsn) {
        life->coverage->snapshots++;
        hf_sim_life_tell(life, "a snapshot up to LSN %" PRIu64 " is there", report.last_lsn);
    }
}

static void archive(struct hf_sim_life *life)
{
    struct store_room before = look_at_room(life);
    hf_archiver_step(life->server.store->log.archiver, hf_monotonic_now_ns());
    count_removing(life, &before);
    if (life->archive.wrong[0] != '\0')
        life->wrong = hf_sim_life_wrong(life, "%s", life->archive.wrong);
}

/* Somebody begins to read the files beside the server, or is done. */
static void read_beside(struct hf_sim_life *life)
{
    char path[512];
    if (life->keep >= 0) {
        close(life->keep);
        life->keep = -1;
        life->coverage->kept++;
        return;
    }
    snprintf(path, sizeof path, "%s/keep", life->setting->directory);
    life->keep = open(path, O_RDONLY | O_CLOEXEC);
    HF_CHECK(life->keep >= 0 && flock(life->keep, LOCK_SH | LOCK_NB) == 0);
}

/* The log goes on by one step, if it can: for those who wait for it. */
static bool progress(void *context)
{
    struct hf_sim_life *life = context;
    if (life->is_stalled || !goes_on(life))
        return false;
    const struct hf_ring *ring = &life->server.store->log.ring;
    uint64_t limit = hf_load_relaxed(&ring->limit); /* one thread */
    run_flusher(life);
    /* On a full disk it is tried now and then only. */
    bool prepares = !life->is_full || chance(life, 5);
    if (life->disk.inflight_count == 0 && goes_on(life) && prepares) {
        hf_sim_life_prepare(life);
        run_flusher(life);
    }
    if (life->disk.inflight_count == 0 || !goes_on(life))
        return hf_load_relaxed(&ring->limit) > limit;
    finish_one(life);
    return true;
}

void hf_sim_life_settle(struct hf_sim_life *life)
{
    while (goes_on(life) && !hf_flusher_idle(flusher_of(life)) && progress(life))
        ;
}

/* An idle server writes a block that attests its newest record, if none does yet. */
static void attest(struct hf_sim_life *life)
{
    struct hf_flusher *flusher = flusher_of(life);
    uint64_t submitted = life->disk.submitted;
    hf_sim_server_note(&life->server);
    bool wanted = hf_flusher_wants_attest(flusher) && hf_flusher_idle(flusher) && goes_on(life);
    hf_flusher_attest(flusher, &life->disk.queue);
    if (wanted && life->disk.submitted == submitted && !hf_flusher_stalled(flusher))
        life->wrong = hf_sim_life_wrong(life, "the server is idle, and does not attest");
    life->coverage->attests += life->disk.submitted - submitted;
    look_at_commit(life);
}

/* ---- whoever follows the log ---- */

static const char *check_span(struct hf_sim_life *life, const struct hf_tail_span *span)
{
    uint64_t lsn = life->tail.next_lsn - span->count;
    for (uint32_t i = 0; i < span->count; i++, lsn++)
        if (memcmp(span->records + (size_t)i * HF_RECORD_BYTES,
                   hf_sim_server_record(&life->server, lsn), HF_RECORD_BYTES) != 0)
            return hf_sim_life_wrong(life, "LSN %" PRIu64 " was read as it was never recorded",
                                     lsn);
    life->coverage->followed += span->count;
    return NULL;
}

static const char *follow(struct hf_sim_life *life)
{
    static uint8_t room[FOLLOWED_AT_ONCE * HF_RECORD_BYTES];
    struct hf_tail_span span;
    if (life->follower == NULL) {
        struct hf_tail_log log = hf_tail_log_of(&life->server.store->log, NULL);
        HF_CHECK(hf_tail_reader_open(&life->follower, &log) == 0);
        life->tail =
            (struct hf_tail){.next_lsn = 1 + below(life, (uint32_t)life->promised_lsn + 1)};
    }
    uint64_t limit_lsn = hf_tail_limit(flusher_of(life));
    switch (hf_tail_next(&life->tail, life->follower, limit_lsn, room, FOLLOWED_AT_ONCE, &span)) {
    case HF_TAIL_RECORDS:
        return check_span(life, &span);
    case HF_TAIL_FAILED:
        if (life->disk.wound_count != 0 || life->disk.dead)
            return NULL;
        return hf_sim_life_wrong(life, "what is committed cannot be read: %s",
                                 hf_tail_reader_text(life->follower));
    default:
        return NULL;
    }
}

/* ---- steps of all ---- */

const char *hf_sim_life_ask(struct hf_sim_life *life)
{
    struct hf_step *step =
        hf_workload_next(&life->workload, hf_trial_world(life->trial), &life->steps);
    if (step->kind == HF_STEP_CRASH)
        step->kind = HF_STEP_COMPARE;
    life->coverage->steps++;
    const char *error = hf_trial_step(life->trial, step, life->steps.lines);
    return error != NULL ? hf_sim_life_wrong(life, "%s", error) : NULL;
}

/* Of the log, or of those who use it. */
static const char *act_behind(struct hf_sim_life *life)
{
    uint32_t dice = below(life, 100);
    if (dice < 36 && life->disk.inflight_count != 0 && !life->is_stalled)
        finish_one(life);
    else if (dice < 62)
        run_flusher(life);
    else if (dice < 72)
        hf_sim_life_prepare(life);
    else if (dice < 85)
        make_snapshot(life);
    else if (dice < 90)
        archive(life);
    else if (dice < (life->keep >= 0 ? 94 : 91))
        read_beside(life);
    else if (dice < 96)
        attest(life);
    else if (life->is_followed)
        return follow(life);
    return NULL;
}

/* Many clients at once: what they do is in one block, or in a few. */
static const char *ask_often(struct hf_sim_life *life)
{
    const char *error = NULL;
    for (uint32_t i = 10 + below(life, 150); i > 0 && error == NULL; i--)
        error = hf_sim_life_ask(life);
    return error;
}

const char *hf_sim_life_ask_plainly(struct hf_sim_life *life, uint32_t number)
{
    static struct hf_answer answer;
    const struct hf_request create = {
        .operation = HF_OP_INVENTORY_CREATE, .inventory_id = 1, .product_id = 1, .capacity = 9};
    const struct hf_request hold = {.operation = HF_OP_HOLD,
                                    .id = hf_id_of_number(900000 + number),
                                    .inventory_id = 1,
                                    .customer_id = 1,
                                    .qty = 1,
                                    .ttl_ns = HF_NS_PER_S};
    struct hf_subject subject = hf_sim_server_subject(&life->server);
    uint64_t now_ns = hf_sim_server_now_ns(&life->server);
    subject.execute(&life->server, 0, now_ns, &create, &answer);
    subject.execute(&life->server, 0, now_ns, &hold, &answer);
    hf_sim_life_settle(life);
    return life->wrong;
}

static const char *act(struct hf_sim_life *life)
{
    if (chance(life, life->burst_percent))
        return ask_often(life);
    return chance(life, life->ask_percent) ? hf_sim_life_ask(life) : act_behind(life);
}

const char *hf_sim_life_run(struct hf_sim_life *life, uint32_t count)
{
    const char *error = NULL;
    for (uint32_t i = 0; i < count && error == NULL && goes_on(life); i++) {
        error = act(life);
        if (error == NULL)
            error = life->wrong;
        if (life->disk.inflight_count > HF_MAX_INFLIGHT)
            error = hf_sim_life_wrong(life, "%u writes in flight", life->disk.inflight_count);
    }
    return error;
}

/* ---- the end of a run ---- */

static void count_run(struct hf_sim_life *life)
{
    struct hf_flusher *flusher = flusher_of(life);
    life->coverage->blocks += hf_load_relaxed(&flusher->written_blocks); /* one thread */
    life->coverage->rotations += flusher->segment.number - life->first_segment;
    life->coverage->turned_away += life->server.turned_away;
    struct hf_snapshotter_report report;
    hf_snapshotter_describe(life->server.store->snapshotter, &report);
    if (!life->disk.dead)
        life->coverage->snapshot_failures += report.failures;
    life->coverage->archived += life->archive.taken;
    life->coverage->archive_failures += life->archive.failures;
    life->archive.taken = life->archive.failures = 0;
    life->coverage->fail_stops += life->server.failures != 0;
}

/* Whoever uses the disk is gone. */
static void leave(struct hf_sim_life *life)
{
    if (life->server.store != NULL)
        hf_sim_server_note(&life->server);
    hf_tail_reader_close(life->follower);
    life->follower = NULL;
    if (life->keep >= 0)
        read_beside(life);
}

void hf_sim_life_stop_dead(struct hf_sim_life *life)
{
    hf_sim_disk_die(&life->disk);
    leave(life);
    if (life->server.store != NULL)
        count_run(life);
    hf_sim_server_stop(&life->server);
    life->stopped_well = false;
}

static bool has_renamed(const struct hf_sim_disk *disk)
{
    for (uint32_t i = 0; i < disk->renaming_count; i++)
        if (disk->renamings[i].from[0] != '\0' && disk->renamings[i].to[0] != '\0')
            return true;
    return false;
}

static bool has_segment(const struct hf_sim_disk *disk)
{
    uint64_t number;
    for (uint32_t i = 0; i < disk->seen.count; i++)
        if (hf_segment_name_parse(disk->seen.names[i].name, &number))
            return true;
    return false;
}

void hf_sim_life_crash(struct hf_sim_life *life, enum hf_sim_loss loss)
{
    struct hf_sim_coverage *coverage = life->coverage;
    hf_sim_life_stop_dead(life);
    coverage->crashes++;
    coverage->power_failures += loss == HF_SIM_POWER;
    coverage->kills += loss == HF_SIM_KILL;
    coverage->crashes_in_creation += !has_segment(&life->disk);
    coverage->crashes_before_name_sync += has_renamed(&life->disk);
    coverage->crashes_in_flight += life->disk.died_inflight != 0;
    coverage->crashes_in_archiving += hf_sim_archive_runs();
    coverage->crashes_in_several += life->disk.died_inflight > 1;
    hf_sim_life_tell(life, "%s at change %" PRIu64 ", %u writes in flight",
                     loss == HF_SIM_POWER ? "the power fails" : "the process is killed",
                     life->disk.changes, life->disk.died_inflight);
    if (life->disk.wound_count != 0) {
        hf_sim_disk_copy(&life->healed, &life->disk);
        hf_sim_disk_heal(&life->healed);
        hf_sim_disk_restart(&life->healed, loss);
    }
    hf_sim_disk_restart(&life->disk, loss);
}

const char *hf_sim_life_stop(struct hf_sim_life *life)
{
    hf_sim_life_settle(life);
    bool idle = goes_on(life) && hf_flusher_idle(flusher_of(life));
    leave(life);
    count_run(life);
    int result = hf_sim_server_stop(&life->server);
    HF_CHECK(result != 0 || hf_sim_disk_open_count(&life->disk) == 0);
    hf_sim_life_tell(life, "the server ends: %s", result == 0 ? "well" : strerror(-result));
    life->stopped_well = result == 0;
    life->coverage->clean_stops += result == 0;
    if (result == 0 && life->disk.wound_count != 0) {
        hf_sim_disk_copy(&life->healed, &life->disk);
        hf_sim_disk_heal(&life->healed);
    }
    if (result != 0 && idle && !life->disk.dead && !life->is_full)
        return hf_sim_life_wrong(life, "the server did not end well: %s", strerror(-result));
    if (result == 0 && life->promised_lsn < life->server.last_lsn)
        life->promised_lsn = life->server.last_lsn;
    return life->wrong;
}

/* ---- starting ---- */

/* While it was down, time went by; or somebody set the clock. */
static void pass_downtime(struct hf_sim_life *life)
{
    static const uint64_t downtimes[] = {0, 1, HF_NS_PER_MS, HF_NS_PER_S, 3600 * HF_NS_PER_S};
    uint64_t date_ns = life->workload.now_ns + downtimes[below(life, chance(life, 10) ? 5 : 4)];
    if (chance(life, 10))
        date_ns = (10 + below(life, 990)) * HF_NS_PER_S;
    hf_sim_clock_set_date(date_ns);
    hf_sim_clock_pass(HF_NS_PER_MS);
}

int hf_sim_life_try(struct hf_sim_life *life)
{
    hf_speech_clear();
    hf_sim_archive_use(&life->archive);
    int result = hf_sim_server_start(&life->server);
    hf_sim_life_tell(life, "the server starts: %s",
                     life->disk.dead ? "crashed"
                     : result == 0   ? "well"
                                     : life->server.error);
    if (hf_speech_text()[0] != '\0')
        hf_sim_life_tell(life, "it says: %s", hf_speech_text());
    if (!life->disk.dead || !hf_speech_has("torn tail cut"))
        return result;
    life->coverage->crashes_in_cut++;
    return result;
}

/* True if an I/O error in a start need not be told, or was. What was read ahead in vain is read
 * again; what could not be listed is removed later; of a removal that was not synced, what comes
 * back is. */
static bool may_start_with(enum hf_sim_operation operation, uint32_t skip)
{
    return operation == HF_SIM_READ || operation == HF_SIM_LIST ||
           (operation == HF_SIM_SYNC_DIRECTORY && skip != 0) || hf_speech_text()[0] != '\0';
}

/* A start that is cut short, or meets an error: then it is done again. */
static const char *try_disturbed(struct hf_sim_life *life, bool *again)
{
    enum hf_sim_operation operation = (enum hf_sim_operation)below(life, HF_SIM_OPERATIONS);
    uint32_t skip = below(life, 6);
    bool dies = chance(life, 60);
    if (dies)
        life->disk.die_at = life->disk.changes + below(life, START_CHANGES);
    else
        hf_sim_disk_fail(&life->disk, operation, skip, 1, -EIO);
    int result = hf_sim_life_try(life);
    bool failed = !dies && life->disk.rules[operation].times == 0;
    life->disk.die_at = HF_SIM_NEVER;
    memset(life->disk.rules, 0, sizeof life->disk.rules);
    *again = life->disk.dead || result != 0;
    if (life->disk.dead) {
        life->coverage->crashes_in_recovery++;
        hf_sim_life_crash(life, chance(life, 60) ? HF_SIM_POWER : HF_SIM_KILL);
        return NULL;
    }
    if (failed && result == 0 && !may_start_with(operation, skip))
        return hf_sim_life_wrong(life, "an I/O error in a start was ignored (operation %u)",
                                 operation);
    if (!failed && result != 0)
        return hf_sim_life_wrong(life, "refused to start: %s", life->server.error);
    life->coverage->start_errors += result != 0;
    if (result != 0)
        hf_sim_life_crash(life, HF_SIM_KILL);
    return NULL;
}

static const char *try_until_started(struct hf_sim_life *life, bool disturbed)
{
    const char *error = NULL;
    bool again = true;
    disturbed = disturbed && !life->is_full;
    for (uint32_t i = 0; i < START_ATTEMPTS && disturbed && again && chance(life, 45); i++) {
        error = try_disturbed(life, &again);
        if (error != NULL || !again)
            return error;
        hf_sim_clock_pass(below(life, 3) * HF_NS_PER_MS);
    }
    int result = hf_sim_life_try(life);
    if (result == -ENOSPC && life->is_full && hf_speech_text() != NULL) {
        life->coverage->full_starts++;
        life->is_full = false;
        life->disk.room_bytes = UINT64_MAX;
        result = hf_sim_life_try(life);
    }
    return result == 0 ? NULL : hf_sim_life_wrong(life, "refused to start: %s", life->server.error);
}

/* What recovery says that it cut. */
static void count_recovery(struct hf_sim_life *life)
{
    const struct hf_log_recovery *recovery = &life->server.store->log.recovery;
    struct hf_sim_coverage *coverage = life->coverage;
    coverage->starts++;
    coverage->snapshot_starts += recovery->snapshot.segment != 0;
    coverage->torn_tails += recovery->cut_bytes != 0;
    coverage->torn_blocks += recovery->cut_blocks != 0;
    coverage->torn_over_segments +=
        flusher_of(life)->segment_offset + recovery->cut_bytes > life->server.options.segment_bytes;
    coverage->survived += life->server.recovered_lsn > life->promised_lsn;
    coverage->lost += life->server.recovered_lsn < life->server.last_lsn;
}

/* What is gone is archived. */
static const char *check_archive(struct hf_sim_life *life)
{
    uint64_t first = hf_segments_first(&life->server.store->log.segments);
    char name[HF_SEGMENT_NAME_BYTES];
    if (life->server.options.archive_command == NULL || life->is_damaged)
        return NULL;
    for (uint64_t segment = 1; segment < first; segment++) {
        hf_segment_name_format(segment, name);
        if (hf_sim_archive_find(&life->archive, name) == NULL)
            return "a segment is gone that was never archived";
    }
    return NULL;
}

const char *hf_sim_life_prove(struct hf_sim_life *life)
{
    struct hf_sim_server *server = &life->server;
    uint64_t lsn = server->recovered_lsn, hash;
    count_recovery(life);
    const struct hf_log_recovery *recovery = &server->store->log.recovery;
    if (lsn < life->promised_lsn)
        return hf_sim_life_wrong(
            life, "LSN %" PRIu64 " was promised; recovered is only %" PRIu64 " (ACK-AFTER-COMMIT)",
            life->promised_lsn, lsn);
    if (lsn > server->last_lsn)
        return hf_sim_life_wrong(life, "LSN %" PRIu64 " was recovered, and never recorded", lsn);
    if ((recovery->cut_bytes != 0) != hf_speech_has("torn tail cut"))
        return hf_sim_life_wrong(life, "%" PRIu64 " bytes were cut, and it said: %s",
                                 recovery->cut_bytes, hf_speech_text());
    if (life->stopped_well && (!recovery->stopped || recovery->cut_bytes != 0))
        return hf_sim_life_wrong(life, "after a clean end, the log is not clean");
    hf_sim_server_forget_after(server, lsn);
    hf_sim_server_note(server);
    life->first_segment = flusher_of(life)->segment.number;
    char text[600];
    const char *error = hf_sim_prove(server, life->is_damaged, &hash, text, sizeof text);
    if (error == NULL)
        error = check_archive(life);
    if (error != NULL)
        return hf_sim_life_wrong(life, "%s", error);
    life->promised_lsn = lsn;
    hf_sim_life_tell(life, "recovered up to LSN %" PRIu64 ", state %016" PRIx64, lsn, hash);
    return NULL;
}

/* What the server has recorded since it was started: units that it has offered, at once if the log has
 * room, or later. */
static uint64_t recorded_since(const struct hf_sim_life *life)
{
    const struct hf_ring *ring = &life->server.store->log.ring;
    return hf_load_relaxed(&ring->tail) - 1 - life->server.recovered_lsn; /* no other thread */
}

/* Once more, at the same instant: it must come to the same. */
static const char *recover_again(struct hf_sim_life *life)
{
    uint64_t hash, hash_again, lsn = life->server.recovered_lsn;
    uint64_t recorded = recorded_since(life);
    HF_CHECK(hf_sim_server_hash(&life->server, &hash));
    hf_sim_life_crash(life, HF_SIM_POWER);
    const char *error = try_until_started(life, false);
    if (error == NULL)
        error = hf_sim_life_prove(life);
    if (error != NULL)
        return error;
    HF_CHECK(hf_sim_server_hash(&life->server, &hash_again));
    bool differs = hash != hash_again && recorded == recorded_since(life);
    if (life->server.recovered_lsn != lsn || differs)
        return hf_sim_life_wrong(life,
                                 "recovered again, it ends at LSN %" PRIu64 " with %016" PRIx64
                                 ", not at LSN %" PRIu64 " with %016" PRIx64,
                                 life->server.recovered_lsn, hash_again, lsn, hash);
    life->coverage->second_recoveries++;
    return NULL;
}

const char *hf_sim_life_resume(struct hf_sim_life *life)
{
    life->stopped_well = false;
    life->workload.now_ns = hf_sim_server_now_ns(&life->server);
    const char *error =
        hf_trial_restarted(life->trial, life->server.recovered_lsn, life->workload.now_ns,
                           (uint32_t)hf_random_next(&life->random));
    return error != NULL ? hf_sim_life_wrong(life, "%s", error) : NULL;
}

const char *hf_sim_life_start(struct hf_sim_life *life, bool disturbed)
{
    pass_downtime(life);
    life->trouble = (struct hf_sim_trouble){0};
    life->is_stalled = false;
    const char *error = try_until_started(life, disturbed);
    if (error == NULL)
        error = hf_sim_life_prove(life);
    if (error == NULL && disturbed && chance(life, 15))
        error = recover_again(life);
    return error != NULL ? error : hf_sim_life_resume(life);
}
