/* A rig for a store: see store_rig.h. */
#include "tests/lib/store_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "engine/execute.h"
#include "engine/lapse.h"
#include "engine/replay.h"
#include "engine/request.h"
#include "engine/units.h"
#include "tests/lib/digest.h"
#include "tests/lib/log_replay.h"
#include "wal/segment_header.h"
#include "wal/snapshot.h"

#define TICK_BUDGET 100000u

/* More attempts than anything takes that comes about by itself. */
#define ATTEMPTS 200u
#define STEPS    1000000u

#define MAX_FILES 64

static void end_process(void *context, const char *text)
{
    (void)context;
    fprintf(stderr, "%s\n", text);
    abort();
}

struct hf_memory_io *hf_store_rig_new_disk(void)
{
    struct hf_memory_io *disk = calloc(1, sizeof *disk);
    HF_CHECK(disk != NULL);
    hf_memory_io_init(disk);
    return disk;
}

void hf_store_rig_free_disk(struct hf_memory_io *disk)
{
    hf_memory_io_close(disk);
    free(disk);
}

struct hf_memory_io *hf_store_rig_copy_disk(struct hf_store_rig *rig)
{
    struct hf_memory_io *copy = hf_store_rig_new_disk();
    hf_memory_io_copy_crashed(rig->memory, copy);
    return copy;
}

/* ---- opening, closing, crashing ---- */

static int start(struct hf_store_rig *rig)
{
    const struct hf_store_options options = {
        .directory = rig->directory,
        .io = &rig->memory->io,
        .max_inventories = rig->options.max_inventories,
        .max_reservations = rig->options.max_reservations,
        .segment_bytes = rig->options.segment_bytes,
        .ring_slots = rig->options.ring_slots,
        .retain_ns = rig->options.retain_ns,
        .durability = rig->options.durability,
        .snapshot_log_bytes =
            rig->options.snapshot_log_bytes != 0 ? rig->options.snapshot_log_bytes : UINT64_MAX,
        .snapshot_interval_ns = rig->options.snapshot_interval_ns,
        .snapshot_rate = 1ull << 40,
        .snapshot_copy_cells = rig->options.snapshot_copy_cells,
        .manual = !rig->options.threaded,
        .on_failure = end_process,
    };
    int result = hf_store_open(&rig->store, &options, rig->text);
    if (result != 0) {
        rig->store = NULL;
        return result;
    }
    hf_manual_queue_init(&rig->queue, rig->memory);
    for (uint32_t i = 0; i < HF_STORE_RIG_ACTORS; i++)
        HF_CHECK(hf_actor_init(&rig->actors[i], &rig->store->engine, &rig->store->log.ring) == 0);
    rig->last_lsn = hf_flusher_commit_lsn(&rig->store->log.flusher);
    hf_store_rig_note(rig);
    return 0;
}

void hf_store_rig_open(struct hf_store_rig *rig, const struct hf_store_rig_options *options)
{
    memset(rig, 0, sizeof *rig);
    rig->options = *options;
    if (rig->options.max_inventories == 0)
        rig->options.max_inventories = 16;
    if (rig->options.max_reservations == 0)
        rig->options.max_reservations = 4096;
    if (rig->options.ring_slots == 0)
        rig->options.ring_slots = 1024;
    if (rig->options.segment_bytes == 0)
        rig->options.segment_bytes = HF_MIN_SEGMENT_BYTES;
    HF_CHECK(hf_directory_make(rig->directory) == 0);
    HF_CHECK(hf_directory_make(rig->recovery_directory) == 0);
    rig->memory = hf_store_rig_new_disk();
    if (start(rig) != 0)
        end_process(NULL, rig->text);
}

static void stop(struct hf_store_rig *rig)
{
    if (rig->store == NULL)
        return;
    for (uint32_t i = 0; i < HF_STORE_RIG_ACTORS; i++)
        hf_actor_close(&rig->actors[i]);
    hf_store_rig_write(rig);
    HF_CHECK(hf_store_close(rig->store) == 0);
    HF_CHECK(hf_memory_io_open_count(rig->memory) == 0);
    hf_manual_queue_close(&rig->queue);
    rig->store = NULL;
}

void hf_store_rig_close(struct hf_store_rig *rig)
{
    stop(rig);
    hf_store_rig_free_disk(rig->memory);
    free(rig->records);
    hf_directory_remove(rig->directory);
    hf_directory_remove(rig->recovery_directory);
}

int hf_store_rig_restart_on(struct hf_store_rig *rig, struct hf_memory_io *disk)
{
    disk->room_bytes = rig->memory->room_bytes;
    hf_memory_io_set_room(rig->memory, UINT64_MAX); /* what it still writes is lost */
    hf_memory_io_die_after(rig->memory, UINT64_MAX);
    stop(rig);
    hf_store_rig_free_disk(rig->memory);
    rig->memory = disk;
    return start(rig);
}

int hf_store_rig_crash(struct hf_store_rig *rig)
{
    return hf_store_rig_restart_on(rig, hf_store_rig_copy_disk(rig));
}

/* ---- records ---- */

void hf_store_rig_note(struct hf_store_rig *rig)
{
    const struct hf_ring *ring = &rig->store->log.ring;
    uint64_t end = hf_load_relaxed(&ring->tail); /* one thread, here and below */
    if (end > rig->record_room) {
        rig->record_room = 2 * end;
        rig->records = realloc(rig->records, rig->record_room * HF_RECORD_BYTES);
        HF_CHECK(rig->records != NULL);
    }
    while (rig->last_lsn + 1 < end) {
        const struct hf_ring_slot *slot = hf_ring_slot(ring, ++rig->last_lsn);
        /* One that is not published yet is the test's own affair. */
        HF_CHECK(hf_load_relaxed(&slot->lsn) <= rig->last_lsn);
        uint8_t *record = rig->records + (rig->last_lsn - 1) * HF_RECORD_BYTES;
        memcpy(record, slot, HF_RECORD_BYTES);
        hf_put_u64(record, rig->last_lsn);
    }
}

/* ---- what happens ---- */

uint64_t hf_store_rig_now_ns(const struct hf_store_rig *rig)
{
    return hf_server_clock_now_ns(&rig->store->log.clock);
}

static void end_turn(struct hf_actor *actor, uint32_t budget)
{
    hf_actor_enter(actor);
    hf_engine_tick(actor, budget);
    hf_actor_exit(actor);
}

static void try_once(struct hf_store_rig *rig, const struct hf_request *request)
{
    uint32_t next = rig->by_hand ? 0 : rig->next_actor++ % HF_STORE_RIG_ACTORS;
    struct hf_actor *actor = &rig->actors[next];
    enum hf_field field;
    unsigned line;
    actor->now_ns = hf_store_rig_now_ns(rig);
    hf_actor_enter(actor);
    enum hf_result checked = hf_request_check(request, &field, &line);
    hf_outcome_begin(&rig->outcome);
    if (checked != HF_OK)
        rig->outcome.result = checked;
    else
        HF_CHECK(hf_engine_execute(actor, request, rig->entries, &rig->outcome));
    hf_actor_exit(actor);
    end_turn(actor, 0);
    hf_store_rig_note(rig);
}

unsigned hf_store_rig_ask(struct hf_store_rig *rig, const struct hf_request *request)
{
    try_once(rig, request);
    for (uint32_t i = 0; i < ATTEMPTS && hf_outcome_put_aside(&rig->outcome); i++) {
        if (rig->outcome.result == HF_PUT_ASIDE_LOG_FULL)
            hf_store_rig_write(rig);
        else
            end_turn(&rig->actors[0], TICK_BUDGET);
        try_once(rig, request);
    }
    return rig->outcome.result;
}

void hf_store_rig_pass(struct hf_store_rig *rig, uint64_t ns)
{
    rig->store->log.clock.date_at_boot_ns += ns;
    struct hf_actor *actor = &rig->actors[0];
    bool more = true;
    /* Some turns more than it says: what was taken out of the table waits for two of them. */
    for (int turns = 0; turns < 3 || more; turns += !more) {
        actor->now_ns = hf_store_rig_now_ns(rig);
        hf_actor_enter(actor);
        more = hf_engine_tick(actor, TICK_BUDGET);
        hf_actor_exit(actor);
        hf_store_rig_note(rig);
        if (more)
            hf_store_rig_write(rig);
    }
}

/* Ends write `place` of those in flight, in the way that a disk should. */
static bool end_write(struct hf_store_rig *rig, uint32_t place)
{
    struct hf_manual_write write;
    if (!hf_manual_queue_take(&rig->queue, place, &write))
        return false;
    hf_manual_write_apply(&rig->queue, &write, (int)write.bytes);
    hf_flusher_complete(&rig->store->log.flusher, &rig->queue.queue, write.cookie,
                        (int)write.bytes);
    return true;
}

void hf_store_rig_write(struct hf_store_rig *rig)
{
    struct hf_flusher *flusher = &rig->store->log.flusher;
    hf_store_rig_note(rig);
    for (uint32_t steps = 0; steps < STEPS; steps++) {
        hf_flusher_run(flusher, &rig->queue.queue);
        if (end_write(rig, 0))
            continue;
        if (hf_flusher_idle(flusher) || !hf_flusher_stalled(flusher))
            return; /* all is written, but what is not published */
        if (hf_log_step(&rig->store->log) != 0)
            return; /* there is no room */
    }
    HF_CHECK(false);
}

void hf_store_rig_stir(struct hf_store_rig *rig, uint32_t dice)
{
    struct hf_flusher *flusher = &rig->store->log.flusher;
    switch (dice % 4) {
    case 0:
        hf_flusher_run(flusher, &rig->queue.queue);
        break;
    case 1:
        hf_log_step(&rig->store->log);
        break;
    default:
        if (rig->queue.count != 0)
            end_write(rig, dice / 4 % rig->queue.count);
        break;
    }
}

static void log_event(struct hf_store_rig *rig)
{
    const struct hf_inventory_cell cell = {.inventory_id = 1};
    struct hf_actor *actor = &rig->actors[0];
    actor->now_ns = hf_store_rig_now_ns(rig);
    /* No credit: the log has no place for a record until the next segment is prepared. */
    for (uint32_t i = 0; i < STEPS && !hf_ring_credit(&actor->log, 1); i++) {
        hf_log_step(&rig->store->log);
        hf_store_rig_write(rig);
    }
    hf_actor_enter(actor);
    HF_CHECK(hf_ring_credit(&actor->log, 1));
    hf_units_tell_again(actor, &cell, hf_word_make(1, 1));
    hf_actor_exit(actor);
}

void hf_store_rig_fill_until(struct hf_store_rig *rig, uint64_t segment)
{
    struct hf_flusher *flusher = &rig->store->log.flusher;
    hf_store_rig_write(rig);
    for (uint32_t i = 0; i < STEPS && flusher->segment.number < segment; i++) {
        /* A full segment is left for the next by whatever is written then. */
        if (flusher->segment_offset != rig->options.segment_bytes)
            log_event(rig);
        else if (hf_log_step(&rig->store->log) == 0)
            hf_flusher_attest(flusher, &rig->queue.queue);
        hf_store_rig_write(rig);
    }
    HF_CHECK(flusher->segment.number == segment);
}

bool hf_store_rig_snapshot_step(struct hf_store_rig *rig)
{
    hf_snapshotter_step(rig->store->snapshotter);
    return !hf_store_rig_report(rig).running;
}

struct hf_snapshotter_report hf_store_rig_report(struct hf_store_rig *rig)
{
    struct hf_snapshotter_report report;
    hf_snapshotter_describe(rig->store->snapshotter, &report);
    return report;
}

void hf_store_rig_snapshot(struct hf_store_rig *rig)
{
    uint64_t made = hf_store_rig_report(rig).made;
    hf_snapshotter_request(rig->store->snapshotter);
    for (uint32_t steps = 0; steps < STEPS && hf_store_rig_report(rig).made == made; steps++) {
        hf_store_rig_write(rig);
        hf_store_rig_snapshot_step(rig);
    }
    HF_CHECK(hf_store_rig_report(rig).made == made + 1);
}

/* ---- what a crash would leave ---- */

struct rebuilding {
    struct hf_region region;
    struct hf_replay replay;
};

static void begin_rebuilding(const struct hf_store_rig *rig, struct rebuilding *rebuilding)
{
    uint64_t retain_ns =
        rig->options.retain_ns != 0 ? rig->options.retain_ns : HF_DEFAULT_RETAIN_NS;
    /* Twice the room: a snapshot whose cells were used again while it was made may need more cells
     * than there ever were at once (engine/README.md). */
    HF_CHECK(hf_region_create(&rebuilding->region, rig->options.max_inventories,
                              2 * rig->options.max_reservations) == 0);
    HF_CHECK(hf_replay_init(&rebuilding->replay, &rebuilding->region, retain_ns) == 0);
}

static void end_rebuilding(struct rebuilding *rebuilding, struct hf_rebuilt *rebuilt)
{
    rebuilt->engine = aligned_alloc(HF_CACHE_LINE_BYTES, sizeof *rebuilt->engine);
    HF_CHECK(rebuilt->engine != NULL);
    HF_CHECK(hf_engine_init(rebuilt->engine, &rebuilding->region, rebuilding->replay.retain_ns,
                            hf_date_now_ns()) == 0);
    HF_CHECK(hf_replay_start_engine(&rebuilding->replay, rebuilt->engine));
    hf_replay_close(&rebuilding->replay);
}

void hf_rebuilt_close(struct hf_rebuilt *rebuilt)
{
    hf_engine_close(rebuilt->engine);
    hf_region_close(&rebuilt->engine->region);
    free(rebuilt->engine);
}

void hf_store_rig_rebuild(struct hf_store_rig *rig, uint64_t lsn, struct hf_rebuilt *rebuilt)
{
    struct rebuilding rebuilding;
    const char *wrong = NULL;
    HF_CHECK(lsn <= rig->last_lsn);
    begin_rebuilding(rig, &rebuilding);
    for (uint64_t i = 0; i < lsn && wrong == NULL; i++)
        wrong = hf_replay_apply(&rebuilding.replay, rig->records + i * HF_RECORD_BYTES);
    if (wrong == NULL)
        wrong = hf_replay_finish(&rebuilding.replay);
    if (wrong != NULL)
        end_process(NULL, wrong);
    *rebuilt = (struct hf_rebuilt){.last_lsn = lsn};
    end_rebuilding(&rebuilding, rebuilt);
}

int hf_store_rig_recover(struct hf_store_rig *rig, struct hf_memory_io *disk,
                         struct hf_rebuilt *rebuilt)
{
    static struct hf_log log; /* it is aligned */
    struct rebuilding rebuilding;
    begin_rebuilding(rig, &rebuilding);
    struct hf_log_options options = {
        .directory = rig->recovery_directory,
        .io = &disk->io,
        .segment_bytes = rig->options.segment_bytes,
        .ring_slots = rig->options.ring_slots,
        .manual = true,
        .on_failure = end_process,
    };
    hf_log_replay_into(&options, &rebuilding.replay);
    int result = hf_log_open(&log, &options, rig->text);
    if (result != 0) {
        hf_replay_close(&rebuilding.replay);
        hf_region_close(&rebuilding.region);
        return result;
    }
    *rebuilt = (struct hf_rebuilt){
        .last_lsn = hf_flusher_commit_lsn(&log.flusher),
        .found = log.recovery,
    };
    HF_CHECK(hf_log_close(&log) == 0);
    end_rebuilding(&rebuilding, rebuilt);
    return 0;
}

/* No version that the whole log makes new is made new once more. */
static bool versions_go_on(const struct hf_region *whole, const struct hf_region *recovered)
{
    uint32_t count = hf_load_acquire(&recovered->header->inventory_count); /* as any reader */
    for (uint32_t i = 0; i < count; i++) {
        const struct hf_inventory_cell *cell = &recovered->inventories[i];
        const struct hf_inventory_cell *same = hf_region_find_inventory(whole, cell->inventory_id);
        uint32_t ahead = hf_word_version(hf_load_relaxed(&cell->word)) -
                         hf_word_version(hf_load_relaxed(&same->word)); /* nobody else is there */
        if ((int32_t)(ahead << 1) < 0)
            return false;
    }
    return true;
}

const char *hf_store_rig_compare(struct hf_store_rig *rig, const struct hf_rebuilt *recovered)
{
    struct hf_rebuilt expected;
    unsigned long long lsn = recovered->last_lsn;
    const char *wrong = NULL;
    if (lsn > rig->last_lsn)
        return "it was recovered to an LSN that was never given out";
    hf_store_rig_rebuild(rig, lsn, &expected);
    if (hf_digest_engine(recovered->engine) != hf_digest_engine(expected.engine))
        wrong = "is not the one that the whole log makes (SAME-STATE)";
    else if (hf_digest_state_hash(recovered->engine) != hf_digest_state_hash(expected.engine))
        wrong = "has another hash than the one that the whole log makes (SAME-STATE)";
    else if (hf_engine_log_time_ns(recovered->engine) != hf_engine_log_time_ns(expected.engine))
        wrong = "has another newest date than the whole log";
    else if (!versions_go_on(&expected.engine->region, &recovered->engine->region))
        wrong = "has a version of an inventory that was told before";
    hf_rebuilt_close(&expected);
    if (wrong == NULL)
        return NULL;
    snprintf(rig->text, sizeof rig->text,
             "the state at LSN %llu, recovered from the snapshot up to %llu, %s", lsn,
             (unsigned long long)recovered->found.snapshot.last_lsn, wrong);
    return rig->text;
}

const char *hf_store_rig_check_disk(struct hf_store_rig *rig, struct hf_memory_io *disk)
{
    struct hf_rebuilt recovered;
    if (hf_store_rig_recover(rig, disk, &recovered) != 0)
        return rig->text;
    const char *wrong = hf_store_rig_compare(rig, &recovered);
    hf_rebuilt_close(&recovered);
    return wrong;
}

const char *hf_store_rig_check(struct hf_store_rig *rig)
{
    struct hf_memory_io *left = hf_store_rig_copy_disk(rig);
    const char *wrong = hf_store_rig_check_disk(rig, left);
    hf_store_rig_free_disk(left);
    return wrong;
}

/* ---- the snapshots ---- */

/* What a snapshot says of a record of the log: docs/log-format.md, "what a snapshot holds". */
static void expect_in_snapshot(const uint8_t *record, const uint8_t *found, uint8_t *expected)
{
    memcpy(expected, record, HF_RECORD_BYTES);
    if (record[8] == HF_IMAGE_INVENTORY) {
        hf_put_u32(expected + 76, hf_get_u32(found + 76));
        expected[40] = (uint8_t)((record[40] & ~HF_INVENTORY_SOLD_OUT_CLOSED) |
                                 (found[40] & HF_INVENTORY_SOLD_OUT_CLOSED));
        return;
    }
    expected[10] = expected[11] = 0;
    hf_put_u32(expected + 76, 0);
    memcpy(expected + 80, found + 80, 16);
    expected[101] = 0;
    expected[102] = record[9] == HF_STATE_EXPIRED ? HF_REASON_DEADLINE : HF_REASON_REQUEST;
}

/* Versions are not older, and a link is the log's, or none. */
static bool is_as_logged(const uint8_t *record, const uint8_t *found)
{
    static const uint8_t none[16];
    uint8_t expected[HF_RECORD_BYTES];
    expect_in_snapshot(record, found, expected);
    if (memcmp(expected, found, HF_RECORD_BYTES) != 0)
        return false;
    uint32_t ahead = hf_get_u32(found + 76) - hf_get_u32(record + 76);
    return record[8] == HF_IMAGE_INVENTORY
               ? (int32_t)(ahead << 1) >= 0
               : memcmp(found + 80, record + 80, 16) == 0 || memcmp(found + 80, none, 16) == 0;
}

static const char *check_group(struct hf_store_rig *rig, const struct hf_snapshot_view *view)
{
    for (uint32_t i = 0; i < view->record_count; i++) {
        const uint8_t *found = view->records + (size_t)i * HF_RECORD_BYTES;
        uint64_t lsn = hf_get_u64(found);
        if (lsn <= rig->last_lsn && is_as_logged(rig->records + (lsn - 1) * HF_RECORD_BYTES, found))
            continue;
        snprintf(rig->text, sizeof rig->text,
                 "record %llu of a snapshot is not that of the log at LSN %llu",
                 (unsigned long long)view->first + i, (unsigned long long)lsn);
        return rig->text;
    }
    return NULL;
}

static const char *check_snapshot(struct hf_store_rig *rig, struct hf_memory_io *disk,
                                  uint64_t last_lsn)
{
    struct hf_snapshot *snapshot;
    struct hf_snapshot_finding finding;
    struct hf_snapshot_view view;
    const char *wrong = NULL;
    enum hf_snapshot_read read =
        hf_snapshot_open(&disk->io, rig->directory, last_lsn, true, &snapshot, &finding);
    HF_CHECK(read == HF_SNAPSHOT_RIGHT);
    while (wrong == NULL && (read = hf_snapshot_next(snapshot, &view)) == HF_SNAPSHOT_RIGHT)
        wrong = check_group(rig, &view);
    HF_CHECK(wrong != NULL || read == HF_SNAPSHOT_END);
    hf_snapshot_close(snapshot);
    return wrong;
}

const char *hf_store_rig_check_snapshots(struct hf_store_rig *rig, struct hf_memory_io *disk)
{
    uint64_t last_lsns[MAX_FILES];
    const char *wrong = NULL;
    int count = hf_snapshots_list(&disk->io, rig->directory, last_lsns, MAX_FILES);
    for (int i = 0; i < count && wrong == NULL; i++)
        wrong = check_snapshot(rig, disk, last_lsns[i]);
    return wrong;
}

/* ---- the files ---- */

struct names {
    uint64_t segments[MAX_FILES], snapshots[MAX_FILES];
    uint32_t segment_count, snapshot_count;
};

static int note_name(void *context, const char *name)
{
    struct names *names = context;
    uint64_t number;
    HF_CHECK(names->segment_count < MAX_FILES && names->snapshot_count < MAX_FILES);
    if (hf_segment_name_parse(name, &number))
        names->segments[names->segment_count++] = number;
    else if (hf_snapshot_name_parse(name, &number))
        names->snapshots[names->snapshot_count++] = number;
    return 0;
}

static int by_number(const void *left, const void *right)
{
    uint64_t one = *(const uint64_t *)left, other = *(const uint64_t *)right;
    return one < other ? -1 : one > other;
}

static size_t print_numbers(char *text, size_t bytes, const uint64_t *numbers, uint32_t count)
{
    size_t length = 0;
    for (uint32_t i = 0; i < count && length < bytes; i++)
        length += (size_t)snprintf(text + length, bytes - length, "%s%llu", i == 0 ? "" : " ",
                                   (unsigned long long)numbers[i]);
    return length;
}

const char *hf_store_rig_files(struct hf_store_rig *rig)
{
    struct names names = {0};
    rig->memory->io.list(&rig->memory->io, rig->directory, note_name, &names);
    qsort(names.segments, names.segment_count, sizeof names.segments[0], by_number);
    qsort(names.snapshots, names.snapshot_count, sizeof names.snapshots[0], by_number);
    size_t length = print_numbers(rig->text, sizeof rig->text, names.segments, names.segment_count);
    if (length < sizeof rig->text)
        length += (size_t)snprintf(rig->text + length, sizeof rig->text - length, ";%s",
                                   names.snapshot_count == 0 ? "" : " ");
    if (length < sizeof rig->text)
        print_numbers(rig->text + length, sizeof rig->text - length, names.snapshots,
                      names.snapshot_count);
    return rig->text;
}

static const char *check_name(struct hf_store_rig *rig, const struct hf_memory_file *file)
{
    struct hf_segment_header header;
    uint64_t number;
    if (!hf_segment_name_parse(file->name, &number))
        return NULL;
    if (file->file_bytes == rig->store->log.segments.segment_bytes &&
        hf_segment_header_decode(file->bytes, &header) == HF_SEGMENT_VALID &&
        header.number == number)
        return NULL;
    snprintf(rig->text, sizeof rig->text, "%s is no right segment of that number", file->name);
    return rig->text;
}

const char *hf_store_rig_check_names(struct hf_store_rig *rig)
{
    struct hf_memory_io *left = hf_store_rig_copy_disk(rig);
    const char *wrong = NULL;
    for (uint32_t i = 0; i < left->file_count && wrong == NULL; i++)
        wrong = check_name(rig, &left->files[i]);
    hf_store_rig_free_disk(left);
    return wrong;
}
