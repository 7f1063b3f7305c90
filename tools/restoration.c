/* Restorations; see restoration.h. */
#include "tools/restoration.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "tools/summary.h"

__attribute__((format(printf, 2, 3))) static bool fail(struct hf_restoration *restoration,
                                                       const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(restoration->error, sizeof restoration->error, format, arguments);
    va_end(arguments);
    return false;
}

/* ---- what is missing -------------------------------------------------------------------- */

/* "segments 12 to 14 are missing; ", if the log ends because of that. */
static void describe_missing(const char *from, const struct hf_past *past, char text[96])
{
    uint64_t first = past->fault_segment;
    uint64_t next = first == 0 ? 0 : hf_files_next_segment(from, first);
    text[0] = '\0';
    if (first == 0 || next == first)
        return;
    if (next == 0 || next == first + 1)
        snprintf(text, 96, "segment %" PRIu64 " is missing; ", first);
    else
        snprintf(text, 96, "segments %" PRIu64 " to %" PRIu64 " are missing; ", first, next - 1);
}

void hf_restoration_explain(struct hf_restoration *restoration, const char *from,
                            const struct hf_past *past)
{
    char missing[96], possible[96] = "";
    describe_missing(from, past, missing);
    if (past->has_possible)
        snprintf(possible, sizeof possible,
                 "; the last LSN that can be restored is %" PRIu64 ": use --until %" PRIu64,
                 past->possible_lsn, past->possible_lsn);
    fail(restoration, "%s%s%s", missing, past->error, possible);
}

bool hf_restoration_is_whole(struct hf_past *past, const char *from)
{
    struct hf_files files;
    if (!hf_files_list(&files, from, past->error))
        return false;
    if (files.snapshots == 0 || files.last_lsns[0] <= past->lsn)
        return true;
    past->has_possible = true;
    past->possible_lsn = past->lsn;
    if (files.last_lsns[0] == HF_SNAPSHOT_LSN_MAX)
        snprintf(past->error, sizeof past->error,
                 "%.200s was being written by holdfast-wal, which did not finish: it is not whole",
                 from);
    else
        snprintf(past->error, sizeof past->error,
                 "the log in %.200s ends with LSN %" PRIu64 ", but a snapshot attests that all up "
                 "to LSN %" PRIu64 " was durable",
                 from, past->lsn, files.last_lsns[0]);
    return false;
}

/* ---- one state, twice ------------------------------------------------------------------- */

static void note_state(struct hf_restoration *restoration, const struct hf_past *past)
{
    struct hf_ledger_totals totals;
    hf_ledger_totals(past->intake.ledger, &totals);
    memcpy(restoration->origin_log_id, past->log_id, sizeof restoration->origin_log_id);
    restoration->lsn = past->lsn;
    restoration->newest_ns = past->newest_ns;
    restoration->inventories = totals.inventories;
    restoration->retain_ns = past->retain_ns;
    restoration->state_hash =
        hf_ledger_state_hash(past->intake.ledger, past->retain_ns, &restoration->retained);
    restoration->torn = past->torn;
    memcpy(restoration->torn_text, past->torn_text, sizeof restoration->torn_text);
}

/* SAME-STATE: what was written says what was read. */
static bool read_back(struct hf_restoration *restoration, const char *to)
{
    const struct hf_moment end = {.by = HF_MOMENT_END};
    struct hf_past past;
    uint64_t retained, hash;
    bool same = false;
    if (!hf_past_open(&past, to, &end, restoration->retain_ns)) {
        fail(restoration, "what was written to %.200s is not right: %s", to, past.error);
    } else {
        hash = hf_ledger_state_hash(past.intake.ledger, restoration->retain_ns, &retained);
        same = hash == restoration->state_hash && past.lsn == restoration->lsn &&
               retained == restoration->retained && past.newest_ns == restoration->newest_ns;
        if (!same)
            fail(restoration,
                 "what was written to %.200s is another state than was read: hash %016" PRIx64
                 " and LSN %" PRIu64 ", expected %016" PRIx64 " and %" PRIu64,
                 to, hash, past.lsn, restoration->state_hash, restoration->lsn);
    }
    hf_past_close(&past);
    return same;
}

/* ---- restoring -------------------------------------------------------------------------- */

static bool read_state(struct hf_restoration *restoration, const struct hf_restoration_order *order,
                       struct hf_past *past)
{
    bool known = hf_past_open(past, order->from, order->until, order->retain_ns) &&
                 (order->until->by != HF_MOMENT_END || hf_restoration_is_whole(past, order->from));
    if (known)
        note_state(restoration, past);
    else
        hf_restoration_explain(restoration, order->from, past);
    return known;
}

static bool write_state(struct hf_restoration *restoration,
                        const struct hf_restoration_order *order,
                        struct hf_new_directory *directory)
{
    struct hf_past past;
    char error[HF_FILES_ERROR_BYTES];
    bool done = read_state(restoration, order, &past);
    if (done && !hf_new_log_write(&restoration->log, directory, &past, error))
        done = fail(restoration, "%s", error);
    hf_past_close(
        &past); /* before the other is read: two states may be more than there is memory for */
    return done && (order->no_verify || read_back(restoration, order->to));
}

bool hf_restore(struct hf_restoration *restoration, const struct hf_restoration_order *order)
{
    struct hf_new_directory directory;
    char error[HF_FILES_ERROR_BYTES];
    uint64_t began_ns = hf_monotonic_now_ns();
    *restoration = (struct hf_restoration){.lsn = 0};
    if (!hf_new_directory_open(&directory, order->to, error))
        return fail(restoration, "%s", error);
    bool done = write_state(restoration, order, &directory);
    if (done && !hf_new_directory_finish(&directory, error))
        done = fail(restoration, "%s", error);
    hf_new_directory_drop(&directory);
    restoration->duration_ns = hf_monotonic_now_ns() - began_ns;
    return done;
}

void hf_restoration_put(const struct hf_restoration *restoration,
                        const struct hf_restoration_order *order, const char *what, bool json)
{
    struct hf_summary summary;
    hf_summary_begin(&summary, stdout, json);
    hf_summary_text(&summary, what, order->to);
    hf_summary_text(&summary, "from", order->from);
    hf_summary_id(&summary, "log_id", restoration->log.log_id);
    hf_summary_id(&summary, "origin_log_id", restoration->origin_log_id);
    hf_summary_number(&summary, "last_lsn", restoration->lsn);
    hf_summary_date(&summary, "newest_date", restoration->newest_ns);
    hf_summary_number(&summary, "inventories", restoration->inventories);
    hf_summary_number(&summary, "retained", restoration->retained);
    hf_summary_duration(&summary, "retain", restoration->retain_ns);
    hf_summary_hash(&summary, "state_hash", restoration->state_hash);
    hf_summary_text(&summary, "torn_tail", restoration->torn ? restoration->torn_text : NULL);
    hf_summary_number(&summary, "bytes",
                      restoration->log.snapshot_bytes + restoration->log.segment_bytes);
    hf_summary_seconds(&summary, "seconds", restoration->duration_ns);
    hf_summary_end(&summary);
    if (!json)
        printf("start the server with: holdfastd --dir %s\n", order->to);
}
