/* What is lost; see lost.h. */
#include "tools/lost.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "tools/image_text.h"
#include "wal/block.h"
#include "wal/io.h"
#include "wal/record.h"
#include "wal/segment_header.h"
#include "wal/snapshot_header.h"

#define BUFFER_BYTES (4u << 20)

/* A look at one segment after the other, through a window. */
struct search {
    struct hf_lost *lost;
    const struct hf_lost_place *place;
    FILE *list;
    struct hf_io *io;
    int file;
    uint8_t *buffer;
    uint64_t buffer_offset;
    size_t buffer_bytes;
    struct hf_id *ids; /* of reservations, with repetitions */
    uint64_t id_count, id_room;
    struct hf_progress progress;
};

/* Bytes of the segment. NULL: it ends before, or cannot be read. */
static const uint8_t *load(struct search *search, uint64_t offset, size_t bytes)
{
    uint64_t end = search->buffer_offset + search->buffer_bytes;
    if (offset < search->buffer_offset || offset + bytes > end) {
        ssize_t count =
            search->io->read_at(search->io, search->file, search->buffer, BUFFER_BYTES, offset);
        search->buffer_offset = offset;
        search->buffer_bytes = count > 0 ? (size_t)count : 0;
        if (search->buffer_bytes < bytes)
            return NULL;
    }
    return search->buffer + (offset - search->buffer_offset);
}

static bool keep_id(struct search *search, const struct hf_id *id)
{
    if (search->id_count == search->id_room) {
        uint64_t room = search->id_room == 0 ? 4096 : 2 * search->id_room;
        struct hf_id *ids = realloc(search->ids, room * sizeof *ids);
        if (ids == NULL)
            return false;
        search->ids = ids;
        search->id_room = room;
    }
    search->ids[search->id_count++] = *id;
    return true;
}

static bool note_record(struct search *search, const uint8_t *record)
{
    struct hf_lost *lost = search->lost;
    struct hf_image image;
    uint64_t lsn = hf_get_u64(record);
    const char *reason = hf_image_decode(record, &image);
    if (lsn <= search->place->after_lsn)
        return true;
    lost->records++;
    if (lost->first_lsn == 0 || lsn < lost->first_lsn)
        lost->first_lsn = lsn;
    if (lsn > lost->last_lsn)
        lost->last_lsn = lsn;
    if (search->list != NULL && reason != NULL)
        hf_image_put_unknown(search->list, record, reason, true);
    else if (search->list != NULL)
        hf_image_json_put(search->list, &image);
    return reason != NULL || image.kind != HF_IMAGE_RESERVATION ||
           keep_id(search, &image.reservation.id);
}

/* Without an id any will do: the segment that told it is damaged. */
static bool is_of_log(const struct search *search, const struct hf_block *block)
{
    const uint8_t *log_id = search->place->log_id;
    return hf_all_zero(log_id, sizeof block->log_id) ||
           memcmp(block->log_id, log_id, sizeof block->log_id) == 0;
}

/* One place. Returns how many bytes belong together there; 0: out of memory. */
static uint32_t note_place(struct search *search, uint64_t segment, uint64_t offset,
                           const uint8_t *bytes)
{
    struct hf_block block;
    if (hf_block_read_header(bytes, &block) != HF_BLOCK_VALID || !is_of_log(search, &block) ||
        block.segment != segment || block.offset != offset)
        return HF_BLOCK_ALIGN_BYTES;
    if (block.commit_lsn > search->lost->attested_lsn)
        search->lost->attested_lsn = block.commit_lsn;
    bytes = load(search, offset, block.block_bytes);
    if (bytes == NULL || hf_block_check_payload(bytes, &block) != HF_BLOCK_VALID)
        return HF_BLOCK_ALIGN_BYTES;
    for (uint32_t i = 0; i < block.record_count; i++) {
        const uint8_t *record = bytes + HF_BLOCK_HEADER_BYTES + (size_t)i * HF_RECORD_BYTES;
        if (!note_record(search, record))
            return 0;
    }
    return block.block_bytes;
}

static bool look_at_segment(struct search *search, uint64_t segment)
{
    char name[HF_SEGMENT_NAME_BYTES];
    const uint8_t *bytes;
    hf_segment_name_format(segment, name);
    search->file =
        search->io->open_file(search->io, search->place->directory, name, HF_IO_READ_DIRECT);
    if (search->file < 0)
        return true;
    search->buffer_bytes = 0;
    uint32_t step = HF_BLOCK_ALIGN_BYTES;
    for (uint64_t offset = HF_SEGMENT_HEADER_BYTES;
         step != 0 && (bytes = load(search, offset, HF_BLOCK_ALIGN_BYTES)) != NULL; offset += step)
        step = note_place(search, segment, offset, bytes);
    search->io->close_file(search->io, search->file);
    hf_progress_show(&search->progress, "looked at segment %llu behind the damage",
                     (unsigned long long)segment);
    return step != 0;
}

static int compare_ids(const void *left, const void *right)
{
    return memcmp(left, right, sizeof(struct hf_id));
}

static uint64_t count_different(struct hf_id *ids, uint64_t count)
{
    uint64_t different = count != 0;
    if (count != 0)
        qsort(ids, count, sizeof *ids, compare_ids);
    for (uint64_t i = 1; i < count; i++)
        different += compare_ids(&ids[i - 1], &ids[i]) != 0;
    return different;
}

/* Right or not, a snapshot's name says what was durable. */
static void note_snapshots(struct hf_lost *lost, const struct hf_files *files)
{
    for (uint64_t i = 0; i < files->snapshots && i < HF_FILES_SNAPSHOTS_MAX; i++) {
        uint64_t last_lsn = files->last_lsns[i];
        if (last_lsn != HF_SNAPSHOT_LSN_MAX && last_lsn > lost->attested_lsn)
            lost->attested_lsn = last_lsn;
    }
}

bool hf_lost_find(struct hf_lost *lost, const struct hf_lost_place *place, FILE *list)
{
    struct hf_files files;
    struct search search = {.lost = lost, .place = place, .list = list, .io = hf_io_posix()};
    *lost = (struct hf_lost){.records = 0};
    if (!hf_files_list(&files, place->directory, lost->error))
        return false;
    search.buffer = aligned_alloc(HF_BLOCK_ALIGN_BYTES, BUFFER_BYTES);
    bool done = search.buffer != NULL;
    hf_progress_begin(&search.progress);
    uint64_t segment = hf_files_next_segment(place->directory, place->segment);
    for (; done && segment != 0; segment = hf_files_next_segment(place->directory, segment + 1))
        done = look_at_segment(&search, segment);
    hf_progress_clear(&search.progress);
    note_snapshots(lost, &files);
    lost->reservations = count_different(search.ids, search.id_count);
    if (!done)
        snprintf(lost->error, sizeof lost->error, "out of memory");
    free(search.ids);
    free(search.buffer);
    return done;
}
