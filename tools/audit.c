/* Audits; see audit.h. */
#include "tools/audit.h"

#include <inttypes.h>
#include <string.h>

#include "base/bytes.h"
#include "wal/io.h"
#include "wal/record.h"

/* ---- faults ----------------------------------------------------------------------------- */

static bool fail(struct hf_audit *audit, const char *text)
{
    snprintf(audit->fault, sizeof audit->fault, "%s", text);
    return false;
}

static void note_record_fault(struct hf_audit *audit, const struct hf_block *block, uint32_t record,
                              const char *reason)
{
    char name[HF_SEGMENT_NAME_BYTES];
    hf_segment_name_format(block->segment, name);
    audit->found = true;
    audit->fault_lsn = block->first_lsn + record;
    audit->fault_segment = block->segment;
    audit->fault_offset =
        block->offset + HF_BLOCK_HEADER_BYTES + (uint64_t)record * HF_RECORD_BYTES;
    snprintf(audit->fault, sizeof audit->fault, "LSN %" PRIu64 ", %s at %" PRIu64 ": %s",
             audit->fault_lsn, name, audit->fault_offset, reason);
}

static void note_log_fault(struct hf_audit *audit, const char *text)
{
    audit->found = true;
    audit->fault_segment = audit->walk.finding.segment;
    audit->fault_offset = audit->walk.finding.offset;
    fail(audit, text);
}

/* Only the first thing that is wrong with a snapshot is told. */
static void note_snapshot_fault(struct hf_audit *audit, uint32_t index, const char *text)
{
    struct hf_snapshot_entry *entry = &audit->snapshots.entries[index];
    if (audit->verdicts[index] == HF_AUDIT_SNAPSHOT_FAULTY)
        return;
    audit->verdicts[index] = HF_AUDIT_SNAPSHOT_FAULTY;
    audit->faulty_snapshots++;
    snprintf(entry->text, sizeof entry->text, "%s", text);
}

/* ---- snapshots -------------------------------------------------------------------------- */

/* What the headers tell. */
static void look_at_snapshots(struct hf_audit *audit)
{
    hf_snapshot_entries_read(&audit->snapshots, audit->options.directory, &audit->files);
    audit->retain_ns = hf_snapshot_entries_retain_ns(&audit->snapshots, audit->options.retain_ns);
    for (uint32_t i = 0; i < audit->snapshots.count; i++) {
        if (audit->snapshots.entries[i].read == HF_SNAPSHOT_RIGHT)
            continue;
        audit->verdicts[i] = HF_AUDIT_SNAPSHOT_FAULTY;
        audit->faulty_snapshots++;
    }
}

static bool open_intake(struct hf_audit *audit)
{
    return hf_intake_open(&audit->intake,
                          hf_snapshot_entries_remember_ns(&audit->snapshots, audit->retain_ns)) ||
           fail(audit, "out of memory");
}

/* What is done with each group of a snapshot that is read. NULL, or why not. */
typedef const char *group_judge(void *context, const struct hf_snapshot_view *view);

/* Reads a snapshot to its end. NULL, or what is wrong with it, in `text`. */
static const char *read_snapshot(struct hf_audit *audit, uint32_t index, group_judge *judge,
                                 void *context, struct hf_snapshot_finding *finding)
{
    struct hf_snapshot *snapshot;
    uint64_t last_lsn = audit->snapshots.entries[index].last_lsn;
    if (hf_snapshot_open(hf_io_posix(), audit->options.directory, last_lsn, true, &snapshot,
                         finding) != HF_SNAPSHOT_RIGHT)
        return finding->text;
    struct hf_snapshot_view view;
    const char *reason = NULL;
    enum hf_snapshot_read read = HF_SNAPSHOT_END;
    while (reason == NULL && (read = hf_snapshot_next(snapshot, &view)) == HF_SNAPSHOT_RIGHT) {
        reason = judge == NULL ? NULL : judge(context, &view);
        hf_progress_show(&audit->progress, "read %.0f MiB of the snapshot up to LSN %" PRIu64,
                         (double)hf_snapshot_bytes_done(snapshot) / (1 << 20), last_lsn);
    }
    if (reason == NULL && read != HF_SNAPSHOT_END) {
        *finding = *hf_snapshot_finding(snapshot);
        reason = finding->text;
    }
    hf_snapshot_close(snapshot);
    return reason;
}

static void check_snapshot(struct hf_audit *audit, uint32_t index)
{
    struct hf_snapshot_finding finding;
    const char *reason = read_snapshot(audit, index, NULL, NULL, &finding);
    if (reason != NULL)
        note_snapshot_fault(audit, index, reason);
    else
        audit->verdicts[index] = HF_AUDIT_SNAPSHOT_RIGHT;
}

static const char *compare_group(void *context, const struct hf_snapshot_view *view)
{
    const char *reason = NULL;
    for (uint32_t i = 0; i < view->record_count && reason == NULL; i++)
        reason = hf_ledger_compare(context, view->records + (size_t)i * HF_RECORD_BYTES);
    return reason;
}

/* The ledger is at an LSN from which on the snapshot makes the state known. */
static bool compare_snapshot(struct hf_audit *audit, uint32_t index)
{
    const struct hf_snapshot_header *header = &audit->snapshots.entries[index].header;
    struct hf_snapshot_finding finding;
    struct hf_ledger_comparison *comparison =
        hf_ledger_compare_open(audit->intake.ledger, header->start.next_lsn,
                               hf_snapshot_entries_least_retain_ns(&audit->snapshots, index));
    if (comparison == NULL)
        return fail(audit, "out of memory");
    const char *reason = read_snapshot(audit, index, compare_group, comparison, &finding);
    if (reason == NULL)
        reason = hf_ledger_compare_end(comparison);
    if (reason != NULL)
        note_snapshot_fault(audit, index, reason);
    else
        audit->verdicts[index] = HF_AUDIT_SNAPSHOT_AGREES;
    hf_ledger_compare_close(comparison);
    return true;
}

static const char *meet_group(void *context, const struct hf_snapshot_view *view)
{
    hf_acks_meet_snapshot(context, view->records, view->record_count);
    return NULL;
}

/* ---- where to begin --------------------------------------------------------------------- */

/* Begins with the oldest snapshot that is right and whose log is there. */
static bool begin_with_snapshot(struct hf_audit *audit, struct hf_log_start *start)
{
    struct hf_snapshot_finding finding;
    for (uint32_t i = audit->snapshots.count; i-- > 0;) {
        const struct hf_snapshot_entry *entry = &audit->snapshots.entries[i];
        if (entry->read != HF_SNAPSHOT_RIGHT ||
            entry->header.start.segment < audit->files.first_segment)
            continue;
        if (hf_intake_snapshot(&audit->intake, audit->options.directory, entry->last_lsn,
                               &audit->progress, &finding) == HF_SNAPSHOT_END) {
            *start = entry->header.start;
            audit->comparable = i; /* those that are newer */
            audit->verdicts[i] = HF_AUDIT_SNAPSHOT_BEGUN;
            if (audit->options.acks != NULL)
                read_snapshot(audit, i, meet_group, audit->options.acks, &finding);
            return true;
        }
        note_snapshot_fault(audit, i, finding.text);
        hf_intake_close(&audit->intake);
        if (!open_intake(audit))
            return false;
    }
    snprintf(audit->fault, sizeof audit->fault,
             "the log in %.200s begins with segment %" PRIu64
             ", and no snapshot in it is right to begin with",
             audit->options.directory, audit->files.first_segment);
    return false;
}

/* A quick look does not begin with a snapshot; but what was acknowledged may be in one alone. */
static void find_acks_in_snapshot(struct hf_audit *audit)
{
    struct hf_snapshot_finding finding;
    for (uint32_t i = audit->snapshots.count; i-- > 0;) {
        if (audit->snapshots.entries[i].read == HF_SNAPSHOT_RIGHT &&
            read_snapshot(audit, i, meet_group, audit->options.acks, &finding) == NULL)
            return;
    }
}

/* Opens the walk where the audit begins. */
static bool begin(struct hf_audit *audit)
{
    const char *directory = audit->options.directory;
    struct hf_log_start start, *from = NULL;
    audit->comparable = audit->snapshots.count;
    bool is_whole =
        (audit->files.first_segment == 1 && !hf_snapshot_entries_begin_later(&audit->snapshots)) ||
        (audit->files.segments == 0 && audit->files.snapshots == 0);
    if (!is_whole && !audit->options.quick) {
        if (!begin_with_snapshot(audit, &start))
            return false;
        from = &start;
    }
    if (!is_whole && audit->options.quick && audit->options.acks != NULL)
        find_acks_in_snapshot(audit);
    hf_progress_clear(&audit->progress);
    audit->walks = hf_walk_open(&audit->walk, directory, from, true);
    if (!audit->walks)
        return fail(audit, audit->walk.finding.text);
    return true;
}

/* ---- the log ---------------------------------------------------------------------------- */

/* A segment begins: the snapshots that begin with it must begin behind this block's predecessor. */
static void check_starts(struct hf_audit *audit, const struct hf_block *block)
{
    for (uint32_t i = 0; i < audit->snapshots.count; i++) {
        const struct hf_snapshot_entry *entry = &audit->snapshots.entries[i];
        const struct hf_log_start *start = &entry->header.start;
        if (entry->read != HF_SNAPSHOT_RIGHT || start->segment != block->segment)
            continue;
        if (start->previous_hash != block->previous_hash ||
            start->sequence + 1 != block->sequence || start->next_lsn != block->first_lsn)
            note_snapshot_fault(
                audit, i, "it begins behind a block that is not in the log before its segment");
    }
}

/* The snapshots of this log, and none of another, can be compared with it. */
static void check_log_ids(struct hf_audit *audit)
{
    const uint8_t *log_id = hf_reader_files(audit->walk.reader)->log_id;
    if (hf_all_zero(log_id, sizeof audit->intake.snapshot.log_id))
        return; /* no segment could be read */
    for (uint32_t i = 0; i < audit->snapshots.count; i++) {
        struct hf_snapshot_entry *entry = &audit->snapshots.entries[i];
        if (entry->read == HF_SNAPSHOT_RIGHT &&
            memcmp(entry->header.log_id, log_id, sizeof entry->header.log_id) != 0)
            note_snapshot_fault(audit, i, "it is of another log");
    }
}

/* The oldest snapshot that is still to be compared. NULL: there is none. */
static const struct hf_snapshot_entry *next_to_compare(const struct hf_audit *audit)
{
    for (uint32_t i = audit->comparable; i-- > 0;) {
        if (audit->verdicts[i] == HF_AUDIT_SNAPSHOT_UNREAD)
            return &audit->snapshots.entries[i];
    }
    return NULL;
}

/* How many of the records to enter before a snapshot is compared: to the end of the chain in which
 * its last one is. */
static uint32_t count_to_compare(const struct hf_audit *audit, const uint8_t *records,
                                 uint32_t count)
{
    const struct hf_snapshot_entry *next = next_to_compare(audit);
    if (next == NULL)
        return count;
    uint64_t next_lsn = audit->intake.next_lsn;
    uint64_t before = next->last_lsn < next_lsn ? 0 : next->last_lsn - next_lsn + 1;
    uint32_t index = before < count ? (uint32_t)before : count;
    while (index < count && records[(size_t)index * HF_RECORD_BYTES + HF_RECORD_CHAIN_INDEX] != 0)
        index++;
    return index;
}

/* Compares what can be compared at this place of the log. The state of a snapshot that the ledger
 * skipped, as that was known to it only from later on, is only looked at. */
static bool compare_due(struct hf_audit *audit)
{
    const struct hf_snapshot_entry *next;
    while (audit->intake.settled && (next = next_to_compare(audit)) != NULL &&
           next->last_lsn < audit->intake.next_lsn) {
        uint32_t index = (uint32_t)(next - audit->snapshots.entries);
        if (next->last_lsn < audit->intake.known_lsn)
            check_snapshot(audit, index);
        else if (!compare_snapshot(audit, index))
            return false;
    }
    return true;
}

static bool enter_records(struct hf_audit *audit, const struct hf_block_view *view)
{
    uint32_t count = view->header.record_count;
    for (uint32_t done = 0; done < count;) {
        const uint8_t *records = view->records + (size_t)done * HF_RECORD_BYTES;
        uint32_t entered, part = count_to_compare(audit, records, count - done);
        const char *reason = hf_intake_records(&audit->intake, records, part, &entered);
        if (reason != NULL) {
            note_record_fault(audit, &view->header, done + entered, reason);
            return true;
        }
        done += part;
        if (!compare_due(audit))
            return false;
    }
    return true;
}

static bool enter_block(struct hf_audit *audit, const struct hf_block_view *view)
{
    if (view->header.offset == HF_SEGMENT_HEADER_BYTES)
        check_starts(audit, &view->header);
    if (audit->options.acks != NULL)
        hf_acks_meet(audit->options.acks, view->records, view->header.record_count);
    if (audit->options.quick)
        return true;
    if ((view->header.flags & HF_BLOCK_START) != 0)
        hf_intake_start(&audit->intake, view->header.epoch);
    return enter_records(audit, view);
}

/* ---- the end ---------------------------------------------------------------------------- */

/* What snapshots attest is there. Those that were not compared are looked at all the same. */
static void end_snapshots(struct hf_audit *audit)
{
    for (uint32_t i = 0; i < audit->snapshots.count; i++) {
        const struct hf_snapshot_entry *entry = &audit->snapshots.entries[i];
        char text[128];
        snprintf(text, sizeof text,
                 "it attests the log up to its last LSN, but the log ends with LSN %" PRIu64,
                 hf_walk_last_lsn(&audit->walk));
        if (entry->read == HF_SNAPSHOT_RIGHT && !audit->walk.grows &&
            entry->last_lsn > hf_walk_last_lsn(&audit->walk))
            note_snapshot_fault(audit, i, text);
        else if (audit->verdicts[i] == HF_AUDIT_SNAPSHOT_UNREAD)
            check_snapshot(audit, i);
    }
}

static void end_acks(struct hf_audit *audit)
{
    const struct hf_acks *acks = audit->options.acks;
    uint64_t known_lsn = hf_audit_known_lsn(audit);
    for (uint32_t i = 0; acks != NULL && i < acks->count; i++) {
        bool unprovable = hf_ack_is_unprovable(&acks->acks[i], known_lsn);
        audit->unprovable_acks += unprovable;
        audit->missing_acks += !acks->acks[i].found && !unprovable;
    }
}

static bool end(struct hf_audit *audit)
{
    const char *reason = NULL;
    if (!audit->found && !hf_walk_ended_well(&audit->walk))
        note_log_fault(audit, audit->walk.finding.text);
    if (!audit->found && !audit->options.quick && (reason = hf_intake_end(&audit->intake)) != NULL)
        note_log_fault(audit, reason);
    if (audit->found)
        return true;
    if (!audit->options.quick && !compare_due(audit))
        return false;
    end_snapshots(audit);
    end_acks(audit);
    return true;
}

bool hf_audit_open(struct hf_audit *audit, const struct hf_audit_options *options)
{
    *audit = (struct hf_audit){.options = *options, .keep = hf_files_keep(options->directory)};
    hf_progress_begin(&audit->progress);
    char error[HF_FILES_ERROR_BYTES];
    if (!hf_files_list(&audit->files, options->directory, error))
        return fail(audit, error);
    look_at_snapshots(audit);
    if (!open_intake(audit) || !begin(audit))
        return false;
    check_log_ids(audit);
    struct hf_block_view view;
    while (!audit->found && hf_walk_next(&audit->walk, &view)) {
        if (!enter_block(audit, &view))
            return false;
    }
    bool done = end(audit);
    hf_progress_clear(&audit->walk.progress);
    hf_progress_clear(&audit->progress);
    return done;
}

void hf_audit_close(struct hf_audit *audit)
{
    if (audit->walks)
        hf_walk_close(&audit->walk);
    hf_intake_close(&audit->intake);
    hf_files_release(audit->keep);
}

uint64_t hf_audit_known_lsn(const struct hf_audit *audit)
{
    return audit->options.quick ? hf_walk_first_lsn(&audit->walk) - 1 : audit->intake.known_lsn;
}

bool hf_audit_passed(const struct hf_audit *audit)
{
    return !audit->found && audit->faulty_snapshots == 0 && audit->missing_acks == 0;
}
