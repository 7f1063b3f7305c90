/* Feeds; see intake.h. */
#include "tools/intake.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/bytes.h"
#include "wal/io.h"
#include "wal/record.h"

bool hf_intake_open(struct hf_intake *intake, uint64_t remember_ns)
{
    *intake =
        (struct hf_intake){.ledger = hf_ledger_open(remember_ns), .settled = true, .next_lsn = 1};
    return intake->ledger != NULL;
}

void hf_intake_close(struct hf_intake *intake)
{
    hf_ledger_close(intake->ledger);
    intake->ledger = NULL;
}

/* ---- the snapshot ----------------------------------------------------------------------- */

static enum hf_snapshot_read load_groups(struct hf_intake *intake, struct hf_snapshot *snapshot,
                                         struct hf_progress *progress,
                                         struct hf_snapshot_finding *finding)
{
    struct hf_snapshot_view view;
    enum hf_snapshot_read read;
    while ((read = hf_snapshot_next(snapshot, &view)) == HF_SNAPSHOT_RIGHT) {
        uint32_t loaded;
        const char *reason = hf_ledger_load_all(intake->ledger, view.records, view.record_count,
                                                HF_LEDGER_FROM_SNAPSHOT, &loaded);
        if (reason != NULL) {
            snprintf(finding->text, sizeof finding->text,
                     "record %" PRIu64 " of the snapshot up to LSN %" PRIu64 ": %.200s",
                     view.first + loaded, intake->snapshot.last_lsn, reason);
            return HF_SNAPSHOT_CORRUPT;
        }
        hf_progress_show(progress, "read %.0f of %.0f MiB of the snapshot",
                         (double)hf_snapshot_bytes_done(snapshot) / (1 << 20),
                         (double)intake->snapshot.file_bytes / (1 << 20));
    }
    if (read != HF_SNAPSHOT_END)
        *finding = *hf_snapshot_finding(snapshot);
    return read;
}

enum hf_snapshot_read hf_intake_snapshot(struct hf_intake *intake, const char *directory,
                                         uint64_t last_lsn, struct hf_progress *progress,
                                         struct hf_snapshot_finding *finding)
{
    struct hf_snapshot *snapshot;
    enum hf_snapshot_read read =
        hf_snapshot_open(hf_io_posix(), directory, last_lsn, true, &snapshot, finding);
    if (read != HF_SNAPSHOT_RIGHT)
        return read;
    intake->snapshot = *hf_snapshot_header(snapshot);
    intake->has_snapshot = true;
    intake->settled = false;
    intake->known_lsn = last_lsn;
    intake->next_lsn = intake->snapshot.start.next_lsn;
    hf_ledger_load_date(intake->ledger, intake->snapshot.log_time_ns);
    read = load_groups(intake, snapshot, progress, finding);
    hf_snapshot_close(snapshot);
    return read;
}

/* ---- the log ---------------------------------------------------------------------------- */

void hf_intake_start(struct hf_intake *intake, uint64_t epoch)
{
    /* The versions that a snapshot tells are those of the run that made it: they do not move up once
     * more, wherever that run's START block stands. */
    if (epoch > intake->snapshot.epoch)
        hf_ledger_start(intake->ledger);
}

/* How many of the records are to be loaded: up to the last one that the snapshot can know of, and
 * to the end of its chain. */
static uint32_t count_to_load(const struct hf_intake *intake, const uint8_t *records,
                              uint32_t count)
{
    uint32_t index = 0;
    while (index < count && intake->next_lsn + index <= intake->known_lsn)
        index++;
    while (index < count && records[(size_t)index * HF_RECORD_BYTES + HF_RECORD_CHAIN_INDEX] != 0)
        index++;
    return index;
}

static const char *settle(struct hf_intake *intake)
{
    intake->known_lsn = intake->next_lsn - 1;
    intake->settled = true;
    return hf_ledger_settle(intake->ledger, intake->known_lsn);
}

const char *hf_intake_records(struct hf_intake *intake, const uint8_t *records, uint32_t count,
                              uint32_t *done)
{
    *done = 0;
    if (!intake->settled) {
        uint32_t loads = count_to_load(intake, records, count);
        const char *reason =
            hf_ledger_load_all(intake->ledger, records, loads, HF_LEDGER_FROM_LOG, done);
        intake->next_lsn += *done;
        if (reason != NULL)
            return reason;
        if (loads == count && intake->next_lsn <= intake->known_lsn)
            return NULL;
        if ((reason = settle(intake)) != NULL) {
            *done -= *done != 0; /* it is about the last one that was loaded */
            return reason;
        }
    }
    uint32_t entered;
    const char *reason = hf_ledger_enter_all(
        intake->ledger, records + (size_t)*done * HF_RECORD_BYTES, count - *done, &entered);
    *done += entered;
    intake->next_lsn += entered;
    if (reason == NULL && (reason = hf_ledger_end_block(intake->ledger)) != NULL)
        --*done;
    return reason;
}

const char *hf_intake_end(struct hf_intake *intake)
{
    if (intake->settled)
        return NULL;
    if (intake->next_lsn > intake->known_lsn)
        return settle(intake);
    return "the log ends before the last LSN that its snapshot attests";
}
