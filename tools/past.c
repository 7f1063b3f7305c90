/* States of the past; see past.h. */
#include "tools/past.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "wal/record.h"
#include "wal/segment_header.h"

/* What an attempt to begin with one snapshot comes to. */
enum attempt {
    REACHED,
    TOO_LATE, /* the state is known from a later moment on */
    DAMAGED,  /* the snapshot is */
    FAILED,   /* whatever it begins with */
};

struct search {
    struct hf_past *past;
    const char *directory;
    const struct hf_moment *moment;
    struct hf_files files;
    struct hf_snapshot_entries snapshots;
    uint64_t remember_ns;
    struct hf_progress progress;
    bool hopeless; /* whatever it begins with */
    bool failed;   /* the newest was tried; older ones tell what can be had instead */
    char error[HF_FILES_ERROR_BYTES]; /* of that */
};

__attribute__((format(printf, 2, 3))) static enum attempt fail(struct hf_past *past,
                                                               const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(past->error, sizeof past->error, format, arguments);
    va_end(arguments);
    return FAILED;
}

/* ---- the log ---------------------------------------------------------------------------- */

/* Sound up to this LSN: the state there can be had, if a snapshot that was begun with is known by
 * then. */
static void note_possible(struct hf_past *past, uint64_t lsn)
{
    if (past->has_possible || lsn < past->intake.known_lsn)
        return;
    past->has_possible = true;
    past->possible_lsn = lsn;
}

static void note_place(struct search *search, uint64_t segment, uint64_t offset)
{
    if (search->failed)
        return;
    search->past->fault_segment = segment;
    search->past->fault_offset = offset;
}

static enum attempt fail_at_record(struct search *search, const struct hf_block_view *view,
                                   uint32_t record, const char *reason)
{
    const struct hf_block *block = &view->header;
    char name[HF_SEGMENT_NAME_BYTES];
    hf_segment_name_format(block->segment, name);
    note_place(search, block->segment, block->offset);
    note_possible(search->past,
                  block->first_lsn + hf_moment_whole_chains(view->records, record) - 1);
    return fail(search->past, "LSN %" PRIu64 ", %s at %" PRIu64 ": %.300s",
                block->first_lsn + record, name,
                block->offset + HF_BLOCK_HEADER_BYTES + (uint64_t)record * HF_RECORD_BYTES, reason);
}

/* Reads until the moment, or to the end of the log. *reached: the moment has come. */
static enum attempt read_log(struct search *search, struct hf_walk *walk, bool *reached)
{
    struct hf_past *past = search->past;
    struct hf_block_view view;
    *reached = search->moment->by == HF_MOMENT_LSN && search->moment->value < walk->start.next_lsn;
    while (!*reached && hf_walk_next(walk, &view)) {
        uint32_t count = view.header.record_count, done;
        if ((view.header.flags & HF_BLOCK_START) != 0)
            hf_intake_start(&past->intake, view.header.epoch);
        uint32_t wanted = hf_moment_count_to(search->moment, view.records, count);
        *reached = wanted < count || (search->moment->by == HF_MOMENT_LSN &&
                                      view.header.first_lsn + count - 1 >= search->moment->value);
        uint32_t whole = hf_moment_whole_chains(view.records, wanted);
        const char *reason = hf_intake_records(&past->intake, view.records, whole, &done);
        if (reason != NULL)
            return fail_at_record(search, &view, done, reason);
    }
    hf_progress_clear(&walk->progress);
    if (*reached)
        return REACHED;
    if (!hf_walk_ended_well(walk)) {
        note_place(search, walk->finding.segment, walk->finding.offset);
        note_possible(past, hf_walk_last_lsn(walk));
        return fail(past, "%s", walk->finding.text);
    }
    past->torn = walk->end == HF_READ_TORN && !walk->in_flight;
    if (past->torn)
        snprintf(past->torn_text, sizeof past->torn_text, "%s", walk->finding.text);
    return REACHED;
}

/* A segment that could not be read tells no log. */
static bool is_of_another_log(const struct hf_past *past)
{
    return past->intake.has_snapshot && !hf_all_zero(past->log_id, sizeof past->log_id) &&
           memcmp(past->intake.snapshot.log_id, past->log_id, sizeof past->log_id) != 0;
}

static enum attempt read_from(struct search *search, const struct hf_log_start *start)
{
    struct hf_past *past = search->past;
    struct hf_walk walk;
    bool reached = false;
    if (!hf_walk_open(&walk, search->directory, start, true))
        return fail(past, "%s", walk.finding.text);
    memcpy(past->log_id, hf_reader_files(walk.reader)->log_id, sizeof past->log_id);
    if (hf_all_zero(past->log_id, sizeof past->log_id) && past->intake.has_snapshot)
        memcpy(past->log_id, past->intake.snapshot.log_id, sizeof past->log_id);
    past->segment_bytes = hf_reader_files(walk.reader)->segment_bytes;
    search->hopeless |= is_of_another_log(past);
    enum attempt attempt =
        search->hopeless
            ? fail(past,
                   "the snapshot up to LSN %" PRIu64 " in %s is of another log than its segments",
                   past->intake.snapshot.last_lsn, search->directory)
            : read_log(search, &walk, &reached);
    uint64_t last_lsn = hf_walk_last_lsn(&walk);
    hf_walk_close(&walk);
    if (attempt != REACHED)
        return attempt;
    if (!reached && search->moment->by == HF_MOMENT_LSN) {
        note_possible(past, last_lsn);
        return fail(past, "the log ends with LSN %" PRIu64 ": there is no LSN %" PRIu64 " yet",
                    last_lsn, search->moment->value);
    }
    if (!past->intake.settled && past->intake.next_lsn <= past->intake.known_lsn && reached)
        return TOO_LATE;
    const char *reason = hf_intake_end(&past->intake);
    return reason == NULL ? REACHED : fail(past, "%s: %s", search->directory, reason);
}

/* ---- where to begin --------------------------------------------------------------------- */

static bool begin_again(struct search *search)
{
    hf_intake_close(&search->past->intake);
    return hf_intake_open(&search->past->intake, search->remember_ns);
}

static enum attempt begin_with(struct search *search, const struct hf_snapshot_entry *entry)
{
    struct hf_past *past = search->past;
    struct hf_snapshot_finding finding;
    if (!begin_again(search))
        return fail(past, "out of memory");
    enum hf_snapshot_read read = hf_intake_snapshot(&past->intake, search->directory,
                                                    entry->last_lsn, &search->progress, &finding);
    hf_progress_clear(&search->progress);
    if (read == HF_SNAPSHOT_END)
        return read_from(search, &entry->header.start);
    fprintf(stderr,
            "holdfast-wal: a snapshot in %s is damaged, going on with what was before it: %s\n",
            search->directory, finding.text);
    return DAMAGED;
}

/* True if its state is none of a later moment, and the log behind it is there. */
static bool is_old_enough(const struct search *search, const struct hf_snapshot_entry *entry)
{
    if (entry->read != HF_SNAPSHOT_RIGHT ||
        entry->header.start.segment < search->files.first_segment)
        return false;
    switch (search->moment->by) {
    case HF_MOMENT_LSN:
        return entry->last_lsn <= search->moment->value;
    case HF_MOMENT_DATE:
        return entry->header.log_time_ns <= search->moment->value;
    default:
        return true;
    }
}

/* " (the oldest is up to LSN 42)", of those whose log is there. */
static void describe_oldest(const struct search *search, char text[64])
{
    text[0] = '\0';
    for (uint32_t i = search->snapshots.count; i-- > 0;) {
        const struct hf_snapshot_entry *entry = &search->snapshots.entries[i];
        if (entry->read != HF_SNAPSHOT_RIGHT ||
            entry->header.start.segment < search->files.first_segment)
            continue;
        snprintf(text, 64, " (the oldest is up to LSN %" PRIu64 ")", entry->last_lsn);
        return;
    }
}

/* There is no snapshot to begin with, or none is right. */
static enum attempt begin_with_log(struct search *search)
{
    char text[HF_MOMENT_TEXT_BYTES], oldest[64];
    describe_oldest(search, oldest);
    if (search->files.first_segment > 1 || hf_snapshot_entries_begin_later(&search->snapshots))
        return fail(
            search->past,
            "%.200s does not hold the state at %s: its log begins with segment %" PRIu64
            "%s, and it has no right snapshot of that time or before%s; look for an older "
            "copy or the archive",
            search->directory, hf_moment_format(search->moment, text), search->files.first_segment,
            search->files.first_segment > 1 ? "" : ", which was made of another log", oldest);
    if (!begin_again(search))
        return fail(search->past, "out of memory");
    return read_from(search, NULL);
}

/* Begins with the newest that is old enough. If that fails, older ones are asked how far they would
 * come: a snapshot attests more of the log than may be there. */
static enum attempt search_moment(struct search *search)
{
    struct hf_past *past = search->past;
    for (uint32_t i = 0; i <= search->snapshots.count; i++) {
        const struct hf_snapshot_entry *entry =
            i < search->snapshots.count ? &search->snapshots.entries[i] : NULL;
        if (entry != NULL && !is_old_enough(search, entry))
            continue;
        enum attempt attempt = entry != NULL ? begin_with(search, entry) : begin_with_log(search);
        if (attempt == REACHED && search->failed)
            note_possible(past, past->intake.next_lsn - 1);
        else if (attempt == REACHED)
            return REACHED;
        if (attempt == FAILED && !search->failed) {
            search->failed = true;
            memcpy(search->error, past->error, sizeof search->error);
        }
        if (search->failed && (past->has_possible || search->hopeless))
            break;
    }
    memcpy(past->error, search->error, sizeof past->error);
    return FAILED;
}

bool hf_past_open(struct hf_past *past, const char *directory, const struct hf_moment *moment,
                  uint64_t retain_ns)
{
    int keep = hf_files_keep(directory);
    struct search search = {.past = past, .directory = directory, .moment = moment};
    *past = (struct hf_past){.lsn = 0};
    hf_progress_begin(&search.progress);
    bool reached = false;
    if (hf_files_list(&search.files, directory, past->error)) {
        hf_snapshot_entries_read(&search.snapshots, directory, &search.files);
        past->retain_ns = hf_snapshot_entries_retain_ns(&search.snapshots, retain_ns);
        search.remember_ns = hf_snapshot_entries_remember_ns(&search.snapshots, past->retain_ns);
        reached = search_moment(&search) == REACHED;
    }
    hf_files_release(keep);
    if (!reached)
        return false;
    struct hf_ledger_totals totals;
    hf_ledger_totals(past->intake.ledger, &totals);
    past->lsn = past->intake.next_lsn - 1;
    past->newest_ns = totals.newest_ns;
    return true;
}

void hf_past_close(struct hf_past *past)
{
    hf_intake_close(&past->intake);
}
