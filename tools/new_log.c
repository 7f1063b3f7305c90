/* New logs; see new_log.h. */
#include "tools/new_log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "wal/io.h"
#include "wal/record.h"
#include "wal/segment_header.h"
#include "wal/segments.h"
#include "wal/snapshot_writer.h"

/* A snapshot that is being made of a ledger. */
struct making {
    struct hf_snapshot_writer *writer;
    struct hf_progress progress;
    uint64_t records;
    int result; /* 0 or -errno */
};

/* A random id, shaped as a UUID of version 4. */
static bool choose_id(uint8_t id[16])
{
    if (getrandom(id, 16, 0) != 16)
        return false;
    id[6] = (uint8_t)((id[6] & 0x0f) | 0x40);
    id[8] = (uint8_t)((id[8] & 0x3f) | 0x80);
    return true;
}

/* Where the next record goes. NULL: an error has come. */
static uint8_t *make_room(struct making *making)
{
    for (;;) {
        uint32_t records;
        uint8_t *room = hf_snapshot_writer_room(making->writer, &records);
        if (records != 0)
            return room;
        int step = hf_snapshot_writer_step(making->writer);
        if (step < 0) {
            making->result = step;
            return NULL;
        }
    }
}

static void note_added(struct making *making)
{
    hf_snapshot_writer_add(making->writer, 1);
    making->records++;
    hf_progress_show(&making->progress, "wrote %llu records", (unsigned long long)making->records);
}

static bool add_inventory(void *context, const struct hf_ledger_inventory_view *view)
{
    struct making *making = context;
    uint8_t *room = make_room(making);
    if (room == NULL)
        return false;
    memcpy(room, view->record, HF_RECORD_BYTES);
    note_added(making);
    return true;
}

/* As docs/log-format.md wants it in a snapshot: nothing of what only the change was about. */
static bool add_reservation(void *context, const struct hf_ledger_reservation_image *image,
                            uint64_t lsn)
{
    struct making *making = context;
    struct hf_ledger_reservation_image kept = *image;
    uint8_t *room = make_room(making);
    if (room == NULL)
        return false;
    kept.inventory_version = 0;
    kept.flags = 0;
    kept.reason = image->state == LEDGER_EXPIRED ? LEDGER_DEADLINE : LEDGER_REQUEST;
    hf_ledger_image_write(&kept, lsn, room);
    note_added(making);
    return true;
}

/* All records, to the last step. 0 or -errno. */
static int fill(struct making *making, const struct hf_past *past)
{
    const struct hf_ledger_visitor visitor = {NULL, add_reservation, making};
    if (!hf_ledger_each_inventory(past->intake.ledger, add_inventory, making))
        return -ENOMEM;
    if (making->result == 0 &&
        !hf_ledger_each_reservation(past->intake.ledger, past->retain_ns, &visitor))
        return -ENOMEM;
    if (making->result != 0)
        return making->result;
    hf_snapshot_writer_finish(making->writer, past->lsn, past->newest_ns);
    int step;
    do {
        step = hf_snapshot_writer_step(making->writer);
    } while (step == HF_SNAPSHOT_ENDING);
    return step < 0 ? step : 0;
}

/* A server's clock goes on behind the snapshot's date, so it is none before any of the log. */
static uint64_t date_of(const struct hf_past *past)
{
    uint64_t now_ns = hf_date_now_ns();
    return now_ns > past->newest_ns ? now_ns : past->newest_ns;
}

static int write_snapshot(struct hf_new_log *log, const char *path, const struct hf_past *past)
{
    struct making making = {.result = 0};
    struct hf_snapshot_header header = {
        .start = {.segment = 1, .next_lsn = past->lsn + 1},
        .made_at_ns = date_of(past),
        .retain_ns = past->retain_ns,
        .segment_bytes = log->segment_bytes,
        .origin_last_lsn = hf_all_zero(past->log_id, sizeof past->log_id) ? 0 : past->lsn,
    };
    memcpy(header.log_id, log->log_id, sizeof header.log_id);
    memcpy(header.origin_log_id, past->log_id, sizeof header.origin_log_id);
    int result = hf_snapshot_writer_open(hf_io_posix(), path, &header, &making.writer);
    if (result != 0)
        return result;
    hf_progress_begin(&making.progress);
    result = fill(&making, past);
    hf_progress_clear(&making.progress);
    log->snapshot_bytes = hf_snapshot_writer_header(making.writer)->file_bytes;
    hf_snapshot_writer_close(making.writer);
    return result;
}

bool hf_new_log_write(struct hf_new_log *log, const struct hf_new_directory *directory,
                      const struct hf_past *past, char error[HF_FILES_ERROR_BYTES])
{
    const char *path = directory->path;
    log->segment_bytes = hf_segment_bytes_valid(past->segment_bytes) ? past->segment_bytes
                                                                     : HF_DEFAULT_SEGMENT_BYTES;
    int result = choose_id(log->log_id) ? 0 : -EIO;
    if (result == 0)
        result = write_snapshot(log, path, past);
    if (result == 0)
        result = hf_segment_create(hf_io_posix(), path, log->log_id, 1, log->segment_bytes);
    if (result != 0)
        snprintf(error, HF_FILES_ERROR_BYTES, "cannot write into %.300s: %s", path,
                 strerror(-result));
    return result == 0;
}
