/* The snapshotter; what it does and why that suffices is told in snapshotter.h. */
#include "engine/snapshotter.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/latch.h"
#include "engine/image.h"
#include "wal/snapshot_writer.h"

#define LOOK_PAUSE_NS    HF_NS_PER_S          /* how often it is asked whether one is due */
#define SETTLE_PAUSE_NS  HF_NS_PER_MS         /* while others are inside, or it is not durable */
#define FAILURE_PAUSE_NS (10 * HF_NS_PER_S)   /* after a failure, before the next attempt */
#define MARK_PAUSE_NS    (100 * HF_NS_PER_US) /* a mark stands for microseconds, as a rule */
#define COPY_CELLS       4096                 /* looked at in one stay */
#define NICENESS         10                   /* of the thread: whoever serves goes first; see .h */

#define REPORT_WORDS (sizeof(struct hf_snapshotter_report) / sizeof(uint64_t))
_Static_assert(sizeof(struct hf_snapshotter_report) % sizeof(uint64_t) == 0, "whole words");

enum stage {
    IDLE,
    SETTLING, /* before the copy */
    INVENTORIES,
    RESERVATIONS,
    SETTLING_AGAIN, /* behind it */
    ATTESTING,
    ENDING,
};

struct hf_snapshotter {
    struct hf_snapshotter_options options;
    struct hf_snapshot_writer *writer; /* NULL: none is open */
    char *directory;
    uint32_t actor; /* its number among those that the epochs know */

    /* Of the one under way. */
    enum stage stage;
    struct hf_log_start start;
    uint64_t stamp; /* of the settling */
    uint64_t begun_ns;
    uint64_t begun_log_bytes;  /* log_bytes() then */
    uint64_t forget_before_ns; /* what finished at this date or before is left out */
    uint64_t log_time_ns;      /* a newest date in the log, no older than any that was asked for */
    uint64_t last_lsn;
    uint32_t next, end;       /* cells to be copied */
    uint32_t inventory_count; /* of those that are copied */
    uint64_t written_bytes;
    uint64_t pace_ns; /* not before then the next group */

    /* Of the newest finished one, and of the last attempt. */
    uint64_t finished_ns;
    uint64_t finished_log_bytes;         /* log_bytes() at its begin */
    uint64_t retry_ns;                   /* not before then, after a failure */
    struct hf_snapshotter_report report; /* its own; what others see of it: */
    HF_LATCH(REPORT_WORDS) published;

    _Atomic uint32_t requested; /* set by anyone, cleared when one begins or is there */
    _Atomic uint32_t closing;
    sem_t wanted; /* posted with a request, and at close */
    pthread_t thread;
};

static struct hf_log *log_of(struct hf_snapshotter *snapshotter)
{
    return snapshotter->options.log;
}

static struct hf_engine *engine_of(struct hf_snapshotter *snapshotter)
{
    return snapshotter->options.engine;
}

/* Bytes of blocks from the newest snapshot's begin on that recovery has read, and what was written
 * since: only differences count. */
static uint64_t log_bytes(struct hf_snapshotter *snapshotter)
{
    struct hf_log *log = log_of(snapshotter);
    return log->recovery.bytes + hf_load_relaxed(&log->flusher.written_bytes); /* statistics */
}

/* The server's clock: it never goes back, and a simulation can have its own. */
static uint64_t now_ns(struct hf_snapshotter *snapshotter)
{
    return hf_server_clock_now_ns(&log_of(snapshotter)->clock);
}

static uint64_t newest_lsn(struct hf_snapshotter *snapshotter)
{
    return hf_load_acquire(&log_of(snapshotter)->ring.tail) - 1;
}

/* ---- when one is due ---- */

static bool is_due(struct hf_snapshotter *snapshotter)
{
    uint64_t at_ns = now_ns(snapshotter);
    const struct hf_snapshotter_options *options = &snapshotter->options;
    const struct hf_snapshotter_report *report = &snapshotter->report;
    uint64_t threshold = options->log_bytes > report->bytes ? options->log_bytes : report->bytes;
    /* acq_rel, pairs with hf_snapshotter_request(): what was done before it was asked for is seen
     * below; and who asks from now on asks for another one. */
    bool requested = hf_exchange_acq_rel(&snapshotter->requested, 0) != 0;
    if (newest_lsn(snapshotter) <= report->last_lsn)
        return false; /* there is a snapshot of this very state */
    if (requested)
        return true;
    if (at_ns < snapshotter->retry_ns)
        return false;
    if (report->last_error != 0) /* for whatever reason it was due, it still is */
        return true;
    if (options->interval_ns != 0 && at_ns - snapshotter->finished_ns >= options->interval_ns)
        return true;
    return options->log_bytes != UINT64_MAX &&
           log_bytes(snapshotter) - snapshotter->finished_log_bytes >= threshold;
}

/* ---- the report, and the end of an attempt ---- */

static void publish(struct hf_snapshotter *snapshotter)
{
    snapshotter->report.log_bytes = snapshotter->finished_log_bytes; /* where it is counted from */
    hf_latch_write(&snapshotter->published, &snapshotter->report);
}

static void begin_report(struct hf_snapshotter *snapshotter)
{
    struct hf_snapshotter_report *report = &snapshotter->report;
    report->running = true;
    report->done_bytes = 0;
    report->expected_bytes =
        (uint64_t)hf_cells_allotted(&engine_of(snapshotter)->region) * HF_RECORD_BYTES;
    publish(snapshotter);
}

static void note_bytes(struct hf_snapshotter *snapshotter)
{
    struct hf_snapshotter_report *report = &snapshotter->report;
    report->done_bytes = snapshotter->written_bytes;
    if (report->expected_bytes < report->done_bytes)
        report->expected_bytes = report->done_bytes;
    publish(snapshotter);
}

static uint64_t give_up(struct hf_snapshotter *snapshotter, int error)
{
    struct hf_snapshotter_report *report = &snapshotter->report;
    if (snapshotter->writer != NULL)
        hf_snapshot_writer_close(snapshotter->writer);
    snapshotter->writer = NULL;
    snapshotter->stage = IDLE;
    snapshotter->retry_ns = now_ns(snapshotter) + FAILURE_PAUSE_NS;
    fprintf(stderr,
            "holdfast: snapshot in %s failed: %s; the log is kept, trying again in %llu s\n",
            snapshotter->directory, strerror(-error), FAILURE_PAUSE_NS / HF_NS_PER_S);
    report->running = false;
    report->failures++;
    report->last_error = error;
    publish(snapshotter);
    return LOOK_PAUSE_NS;
}

static void succeed(struct hf_snapshotter *snapshotter, const struct hf_log_snapshot *made)
{
    struct hf_snapshotter_report *report = &snapshotter->report;
    uint64_t at_ns = now_ns(snapshotter);
    snapshotter->stage = IDLE;
    snapshotter->finished_ns = at_ns;
    snapshotter->finished_log_bytes = snapshotter->begun_log_bytes;
    report->running = false;
    report->last_lsn = made->last_lsn;
    report->made_at_ns = made->made_at_ns;
    report->bytes = made->bytes;
    report->duration_ns = at_ns - snapshotter->begun_ns;
    report->made++;
    report->last_error = 0;
    publish(snapshotter);
}

/* ---- the stages ---- */

static uint64_t begin(struct hf_snapshotter *snapshotter)
{
    hf_flusher_segment_start(&log_of(snapshotter)->flusher, &snapshotter->start);
    snapshotter->stamp = hf_epochs_retire(&engine_of(snapshotter)->epochs);
    snapshotter->begun_ns = now_ns(snapshotter);
    snapshotter->begun_log_bytes = log_bytes(snapshotter);
    snapshotter->written_bytes = 0;
    snapshotter->pace_ns = snapshotter->begun_ns;
    snapshotter->stage = SETTLING;
    begin_report(snapshotter);
    return 0;
}

/* Everybody has left who was inside: all that had an LSN at the begin shows. */
static uint64_t settled(struct hf_snapshotter *snapshotter)
{
    struct hf_log *log = log_of(snapshotter);
    struct hf_engine *engine = engine_of(snapshotter);
    struct hf_snapshot_header header = {
        .epoch = log->flusher.epoch,
        .start = snapshotter->start,
        .made_at_ns = now_ns(snapshotter),
        .retain_ns = engine->retain_ns,
        .segment_bytes = log->segments.segment_bytes,
    };
    memcpy(header.log_id, log->flusher.log_id, sizeof header.log_id);
    int result = hf_snapshot_writer_open(snapshotter->options.io, snapshotter->directory, &header,
                                         &snapshotter->writer);
    if (result != 0)
        return give_up(snapshotter, result);
    snapshotter->forget_before_ns = hf_engine_forget_before_ns(engine);
    /* Acquire, pairs with hf_region_insert_inventory(): all cells before it are filled. */
    snapshotter->inventory_count = hf_load_acquire(&engine->region.header->inventory_count);
    snapshotter->next = 0;
    snapshotter->end = snapshotter->inventory_count;
    snapshotter->stage = INVENTORIES;
    return 0;
}

/* The record of an inventory. False: its settings are being changed. */
static bool copy_inventory(struct hf_snapshotter *snapshotter, uint32_t number, uint8_t *record)
{
    const struct hf_region *region = &engine_of(snapshotter)->region;
    const struct hf_inventory_cell *cell = &region->inventories[number];
    struct hf_inventory inventory;
    struct hf_rules rules;
    /* Acquire, pairs with the release of who gives up the right: all that was done with it. */
    if (hf_load_acquire(&cell->setting) != 0 || !hf_inventory_copy_settings(cell, &rules))
        return false;
    hf_inventory_describe(cell, &region->mcas, &inventory);
    /* Relaxed: the loads above are acquires, so this one comes behind them; and who has changed what
     * they saw took the right before. */
    if (hf_load_relaxed(&cell->setting) != 0)
        return false;
    rules.settings.flags &= ~HF_INVENTORY_SOLD_OUT_CLOSED;
    rules.settings.flags |= inventory.flags & HF_INVENTORY_SOLD_OUT_CLOSED;
    inventory.capacity = rules.capacity;
    hf_image_encode_inventory(record, &inventory, &rules.settings, rules.sequence,
                              rules.changed_at_ns);
    hf_put_u64(record, rules.lsn);
    return true;
}

enum copied {
    COPIED,
    LEFT_OUT,
    NOT_NOW,
};

static enum copied copy_reservation(struct hf_snapshotter *snapshotter, uint32_t number,
                                    uint8_t *record)
{
    const struct hf_region *region = &engine_of(snapshotter)->region;
    const struct hf_reservation_cell *cell = &region->reservations[number];
    struct hf_reservation reservation;
    struct hf_image_notes notes;
    uint64_t word;
    switch (hf_reservation_copy(region, cell, &reservation, &word)) {
    case HF_COPIED:
        break;
    case HF_COPY_MARKED:
        return NOT_NOW;
    case HF_COPY_UNUSED:
        return LEFT_OUT;
    }
    hf_notes_of(region, cell, word, &notes);
    uint32_t inventory = hf_load_relaxed(&cell->inventory); /* constant while in use */
    /* Acquire: the notes were read before. They are those of the word if it is still the same. */
    if (hf_load_acquire(&cell->word) != word)
        return NOT_NOW;
    if (inventory >= snapshotter->inventory_count)
        return LEFT_OUT; /* it was made since, and so was this */
    if (hf_state_is_final(reservation.state) &&
        reservation.changed_at_ns <= snapshotter->forget_before_ns)
        return LEFT_OUT;
    notes.reason = reservation.state == HF_STATE_EXPIRED ? HF_REASON_DEADLINE : HF_REASON_REQUEST;
    hf_image_encode_reservation(record, &reservation, &notes);
    hf_put_u64(record, reservation.lsn);
    return COPIED;
}

static enum copied copy_next(struct hf_snapshotter *snapshotter, uint8_t *record)
{
    if (snapshotter->stage == RESERVATIONS)
        return copy_reservation(snapshotter, snapshotter->next, record);
    return copy_inventory(snapshotter, snapshotter->next, record) ? COPIED : NOT_NOW;
}

enum filled {
    GROUP_FULL,
    CELLS_COPIED, /* all of this stage */
    STAY_OVER,    /* others may want cells that we could stand on */
    MET_A_CHANGE,
};

/* Fills the group, as far as it goes in one stay. */
static enum filled fill_group(struct hf_snapshotter *snapshotter)
{
    uint32_t left, cells = 0;
    uint8_t *record = hf_snapshot_writer_room(snapshotter->writer, &left);
    while (left != 0 && snapshotter->next < snapshotter->end &&
           cells++ < snapshotter->options.copy_cells) {
        enum copied copied = copy_next(snapshotter, record);
        if (copied == NOT_NOW)
            return MET_A_CHANGE;
        if (copied == COPIED) {
            hf_snapshot_writer_add(snapshotter->writer, 1);
            record += HF_RECORD_BYTES;
            left--;
        }
        snapshotter->next++;
    }
    if (left == 0)
        return GROUP_FULL;
    return snapshotter->next < snapshotter->end ? STAY_OVER : CELLS_COPIED;
}

/* All cells of this stage are copied. */
static void go_on(struct hf_snapshotter *snapshotter)
{
    struct hf_engine *engine = engine_of(snapshotter);
    if (snapshotter->stage == INVENTORIES) {
        snapshotter->stage = RESERVATIONS;
        snapshotter->next = 1;
        snapshotter->end = hf_cells_allotted(&engine->region) + 1;
        return;
    }
    snapshotter->stage = SETTLING_AGAIN;
    snapshotter->stamp = hf_epochs_retire(&engine->epochs);
}

/* Writes the group that is full. Returns the pause that the rate demands. */
static uint64_t write_group(struct hf_snapshotter *snapshotter)
{
    int result = hf_snapshot_writer_step(snapshotter->writer);
    if (result < 0)
        return give_up(snapshotter, result);
    uint64_t bytes = hf_snapshot_writer_bytes(snapshotter->writer) - snapshotter->written_bytes;
    snapshotter->written_bytes += bytes;
    note_bytes(snapshotter);
    uint64_t at_ns = now_ns(snapshotter);
    snapshotter->pace_ns += bytes * HF_NS_PER_S / snapshotter->options.rate;
    if (snapshotter->pace_ns < at_ns)
        snapshotter->pace_ns = at_ns; /* a slow disk is not made up for */
    return snapshotter->pace_ns - at_ns;
}

static uint64_t copy(struct hf_snapshotter *snapshotter)
{
    struct hf_epochs *epochs = &engine_of(snapshotter)->epochs;
    hf_epochs_enter(epochs, snapshotter->actor);
    enum filled filled = fill_group(snapshotter);
    hf_epochs_exit(epochs, snapshotter->actor);
    switch (filled) {
    case GROUP_FULL:
        return write_group(snapshotter);
    case CELLS_COPIED:
        go_on(snapshotter);
        return 0;
    case MET_A_CHANGE:
        return MARK_PAUSE_NS;
    case STAY_OVER:
        break;
    }
    return 0;
}

static uint64_t attest(struct hf_snapshotter *snapshotter)
{
    /* Acquire: all blocks up to there are on the disk before the snapshot is. */
    if (hf_load_acquire(&log_of(snapshotter)->flusher.durable_lsn) < snapshotter->last_lsn)
        return SETTLE_PAUSE_NS;
    hf_snapshot_writer_finish(snapshotter->writer, snapshotter->last_lsn, snapshotter->log_time_ns);
    snapshotter->stage = ENDING;
    return 0;
}

static uint64_t end(struct hf_snapshotter *snapshotter)
{
    int result = hf_snapshot_writer_step(snapshotter->writer);
    if (result < 0)
        return give_up(snapshotter, result);
    if (result != HF_SNAPSHOT_DONE)
        return 0;
    const struct hf_snapshot_header *header = hf_snapshot_writer_header(snapshotter->writer);
    struct hf_log_snapshot made = {
        .last_lsn = header->last_lsn,
        .segment = header->start.segment,
        .made_at_ns = header->made_at_ns,
        .bytes = header->file_bytes,
    };
    hf_snapshot_writer_close(snapshotter->writer);
    snapshotter->writer = NULL;
    succeed(snapshotter, &made);
    hf_log_add_snapshot(log_of(snapshotter), &made);
    return 0;
}

uint64_t hf_snapshotter_step(struct hf_snapshotter *snapshotter)
{
    struct hf_epochs *epochs = &engine_of(snapshotter)->epochs;
    switch (snapshotter->stage) {
    case IDLE:
        hf_log_release(log_of(snapshotter)); /* what somebody kept us from removing */
        return is_due(snapshotter) ? begin(snapshotter) : LOOK_PAUSE_NS;
    case SETTLING:
        return hf_epochs_passed(epochs, snapshotter->stamp) ? settled(snapshotter)
                                                            : SETTLE_PAUSE_NS;
    case INVENTORIES:
    case RESERVATIONS:
        return copy(snapshotter);
    case SETTLING_AGAIN:
        if (!hf_epochs_passed(epochs, snapshotter->stamp))
            return SETTLE_PAUSE_NS;
        /* In this order: a date is told when its record has an LSN. */
        snapshotter->log_time_ns = hf_engine_log_time_ns(engine_of(snapshotter));
        snapshotter->last_lsn = newest_lsn(snapshotter);
        snapshotter->stage = ATTESTING;
        return 0;
    case ATTESTING:
        return attest(snapshotter);
    case ENDING:
        return end(snapshotter);
    }
    return LOOK_PAUSE_NS;
}

/* ---- the thread ---- */

static bool is_closing(struct hf_snapshotter *snapshotter)
{
    return hf_load_acquire(&snapshotter->closing) != 0; /* pairs with hf_snapshotter_close() */
}

/* A request ends the pause between two snapshots, and no pause within one. */
static void pause_for(struct hf_snapshotter *snapshotter, uint64_t pause_ns)
{
    uint64_t until_ns = hf_clock_ns(CLOCK_MONOTONIC) + pause_ns;
    struct timespec until = {
        .tv_sec = (time_t)(until_ns / HF_NS_PER_S),
        .tv_nsec = (long)(until_ns % HF_NS_PER_S),
    };
    bool again = true;
    while (again) {
        bool posted = sem_clockwait(&snapshotter->wanted, CLOCK_MONOTONIC, &until) == 0;
        again = posted ? snapshotter->stage != IDLE && !is_closing(snapshotter) : errno == EINTR;
    }
}

static void *snapshotter_main(void *context)
{
    struct hf_snapshotter *snapshotter = context;
    /* Of this thread alone, on Linux. Without it everything works as well, in more of a hurry. */
    setpriority(PRIO_PROCESS, 0, NICENESS);
    while (!is_closing(snapshotter)) {
        uint64_t pause_ns = hf_snapshotter_step(snapshotter);
        if (pause_ns != 0)
            pause_for(snapshotter, pause_ns);
    }
    return NULL;
}

static void free_snapshotter(struct hf_snapshotter *snapshotter)
{
    if (snapshotter->actor != UINT32_MAX)
        hf_epochs_leave(&engine_of(snapshotter)->epochs, snapshotter->actor);
    sem_destroy(&snapshotter->wanted);
    free(snapshotter->directory);
    free(snapshotter);
}

int hf_snapshotter_open(struct hf_snapshotter **opened,
                        const struct hf_snapshotter_options *options)
{
    struct hf_snapshotter *snapshotter = calloc(1, sizeof *snapshotter);
    if (snapshotter == NULL)
        return -ENOMEM;
    snapshotter->options = *options;
    if (options->io == NULL)
        snapshotter->options.io = hf_io_posix();
    if (options->log_bytes == 0)
        snapshotter->options.log_bytes = HF_DEFAULT_SNAPSHOT_LOG_BYTES;
    if (options->rate == 0)
        snapshotter->options.rate = HF_DEFAULT_SNAPSHOT_RATE;
    if (options->copy_cells == 0)
        snapshotter->options.copy_cells = COPY_CELLS;
    snapshotter->directory = strdup(options->directory);
    snapshotter->actor = hf_epochs_join(&options->engine->epochs);
    snapshotter->finished_ns = now_ns(snapshotter);
    const struct hf_log_snapshot *newest = &options->log->newest_snapshot;
    snapshotter->report.last_lsn = newest->last_lsn;
    snapshotter->report.made_at_ns = newest->made_at_ns;
    snapshotter->report.bytes = newest->bytes;
    publish(snapshotter);
    sem_init(&snapshotter->wanted, 0, 0);
    int result = snapshotter->directory == NULL     ? -ENOMEM
                 : snapshotter->actor == UINT32_MAX ? -EAGAIN
                                                    : 0;
    if (result == 0 && !options->manual)
        result = -pthread_create(&snapshotter->thread, NULL, snapshotter_main, snapshotter);
    if (result != 0)
        free_snapshotter(snapshotter);
    else
        *opened = snapshotter;
    return result;
}

void hf_snapshotter_close(struct hf_snapshotter *snapshotter)
{
    hf_store_release(&snapshotter->closing, 1); /* pairs with is_closing() */
    sem_post(&snapshotter->wanted);
    if (!snapshotter->options.manual)
        pthread_join(snapshotter->thread, NULL);
    if (snapshotter->writer != NULL)
        hf_snapshot_writer_close(snapshotter->writer);
    free_snapshotter(snapshotter);
}

void hf_snapshotter_request(struct hf_snapshotter *snapshotter)
{
    /* acq_rel, pairs with is_due(). */
    if (hf_exchange_acq_rel(&snapshotter->requested, 1) == 0)
        sem_post(&snapshotter->wanted);
}

void hf_snapshotter_describe(struct hf_snapshotter *snapshotter,
                             struct hf_snapshotter_report *report)
{
    hf_latch_read(&snapshotter->published, report);
    report->requested = hf_load_relaxed(&snapshotter->requested) != 0; /* a report */
    report->log_bytes = log_bytes(snapshotter) - report->log_bytes;
}
