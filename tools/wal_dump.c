/* holdfast-wal dump and history: records of a log, one a line. */
#include <inttypes.h>
#include <string.h>

#include "tools/image_text.h"
#include "tools/wal_command.h"
#include "tools/walk.h"
#include "wal/record.h"

struct dump {
    const struct hf_wal_task *task;
    struct hf_walk walk;
    struct hf_rows rows; /* of CSV */
    bool begun, ended;   /* the records from `from` on were come to; those up to `to` are over */
    uint64_t shown, unknown; /* records */
};

static void put_unknown(struct dump *dump, const uint8_t *record, const char *reason)
{
    if (dump->task->format == HF_ROWS_CSV)
        hf_image_row_put_unknown(&dump->rows, record, reason);
    else
        hf_image_put_unknown(stdout, record, reason, dump->task->format == HF_ROWS_JSONL);
    dump->unknown++;
}

static void put_record(struct dump *dump, const uint8_t *record)
{
    const struct hf_image_filter *filter = &dump->task->filter;
    struct hf_image image;
    if (!hf_image_filter_may_want(filter, record))
        return;
    const char *reason = hf_image_decode(record, &image);
    if (reason != NULL) {
        put_unknown(dump, record, reason);
        return;
    }
    if (!hf_image_filter_wants(filter, &image))
        return;
    dump->shown++;
    if (dump->task->format == HF_ROWS_CSV)
        hf_image_row_put(&dump->rows, &image);
    else
        (dump->task->format == HF_ROWS_JSONL ? hf_image_json_put : hf_image_text_put)(stdout,
                                                                                      &image);
}

/* Those of a block that are in the range. */
static void put_block(struct dump *dump, const struct hf_block_view *view)
{
    const struct hf_wal_task *task = dump->task;
    uint32_t count = view->header.record_count, first = 0;
    uint32_t end = hf_moment_count_to(&task->to, view->records, count);
    dump->ended = end < count || (task->to.by == HF_MOMENT_LSN &&
                                  view->header.first_lsn + count - 1 >= task->to.value);
    if (!dump->begun)
        first = hf_moment_count_before(&task->from, view->records, count);
    dump->begun = dump->begun || first < count;
    for (uint32_t i = first; i < end; i++)
        put_record(dump, view->records + (size_t)i * HF_RECORD_BYTES);
}

/* Shows what is wanted, to the log's end, or the range's. */
static void put_records(struct dump *dump)
{
    struct hf_block_view view;
    if (dump->task->format == HF_ROWS_CSV)
        hf_rows_open(&dump->rows, stdout, HF_ROWS_CSV, hf_image_columns);
    dump->ended =
        dump->task->to.by == HF_MOMENT_LSN && dump->task->to.value < hf_walk_first_lsn(&dump->walk);
    while (!dump->ended && !ferror(stdout) && hf_walk_next(&dump->walk, &view))
        put_block(dump, &view);
    fflush(stdout);
}

/* False: the log cannot be read. `progress`: the records themselves are none, as they are few. */
static bool open_dump(struct dump *dump, const struct hf_wal_task *task, bool progress)
{
    *dump = (struct dump){.task = task};
    if (hf_walk_open(&dump->walk, task->directory, NULL, progress))
        return true;
    hf_wal_complain("%s", dump->walk.finding.text);
    return false;
}

/* What was met that should not be. */
static enum hf_wal_exit judge(const struct dump *dump)
{
    const struct hf_walk *walk = &dump->walk;
    enum hf_wal_exit status = HF_WAL_OK;
    if (dump->unknown != 0)
        status = hf_wal_complain("%" PRIu64 " records are not known images", dump->unknown);
    if (!dump->ended && walk->end != HF_READ_BLOCK && !hf_walk_ended_well(walk))
        status = hf_wal_complain("%s", walk->finding.text);
    return status;
}

enum hf_wal_exit hf_wal_dump(const struct hf_wal_task *task)
{
    struct dump dump;
    if (!open_dump(&dump, task, false))
        return HF_WAL_BAD;
    put_records(&dump);
    if (dump.walk.end == HF_READ_TORN && !dump.walk.in_flight)
        hf_wal_complain("the log has a torn tail: %s", dump.walk.finding.text);
    enum hf_wal_exit status = judge(&dump);
    hf_walk_close(&dump.walk);
    return status;
}

enum hf_wal_exit hf_wal_history(const struct hf_wal_task *task)
{
    struct dump dump;
    char id[HF_ID_TEXT_BYTES];
    if (!open_dump(&dump, task, true))
        return HF_WAL_BAD;
    put_records(&dump);
    enum hf_wal_exit status = judge(&dump);
    hf_id_format(&task->filter.reservation_id, id);
    if (status == HF_WAL_OK && dump.shown == 0)
        status = hf_wal_complain("the log has no record of reservation %s", id);
    hf_walk_close(&dump.walk);
    return status;
}
