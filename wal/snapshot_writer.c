/* The writer of snapshots; the life of one is told in snapshot_writer.h. */
#include "wal/snapshot_writer.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "wal/block.h"
#include "wal/io.h"

_Static_assert(HF_SNAPSHOT_HEADER_BYTES <= HF_SNAPSHOT_GROUP_BYTES, "one buffer does for both");

/* What step() does next. */
enum stage {
    STAGE_FILL, /* write the group, if it is full */
    STAGE_LAST_GROUP,
    STAGE_SYNC_GROUPS,
    STAGE_HEADER,
    STAGE_SYNC_HEADER,
    STAGE_RENAME,
    STAGE_SYNC_DIRECTORY,
    STAGE_DONE,
};

struct hf_snapshot_writer {
    struct hf_io *io;
    char *directory;
    struct hf_snapshot_header header;
    struct hf_snapshot_group group; /* the next to be written; record_count is what it has so far */
    uint8_t *bytes;                 /* that group; at last the header */
    uint64_t newest_lsn;
    enum stage stage;
    int file;        /* -1: closed */
    bool is_renamed; /* no "snapshot.tmp" any more */
    int error;       /* -errno of the step that failed; 0: none has */
};

/* What was told at the begin must be what a header may say; else the end would find that out. */
static void check_told(struct hf_snapshot_writer *writer)
{
    struct hf_snapshot_header header = writer->header;
    header.last_lsn = header.start.next_lsn - 1;
    header.last_group_hash = 0;
    HF_CHECK(hf_snapshot_header_measure(&header));
    hf_snapshot_header_encode(writer->bytes, &header);
}

int hf_snapshot_writer_open(struct hf_io *io, const char *directory,
                            const struct hf_snapshot_header *header,
                            struct hf_snapshot_writer **opened)
{
    *opened = NULL;
    struct hf_snapshot_writer *writer = malloc(sizeof(*writer));
    if (writer == NULL)
        return -ENOMEM;
    *writer = (struct hf_snapshot_writer){
        .io = io,
        .directory = strdup(directory),
        .header = *header,
        .group = {.made_at_ns = header->made_at_ns, .offset = HF_SNAPSHOT_HEADER_BYTES},
        .bytes = aligned_alloc(HF_BLOCK_ALIGN_BYTES, HF_SNAPSHOT_GROUP_BYTES),
        .stage = STAGE_FILL,
    };
    memcpy(writer->group.log_id, header->log_id, sizeof(header->log_id));
    writer->header.records = writer->header.inventories = 0;
    int result = -ENOMEM;
    if (writer->directory == NULL || writer->bytes == NULL)
        goto free_writer;
    check_told(writer);
    result = io->open_file(io, directory, HF_SNAPSHOT_TEMPORARY, HF_IO_CREATE);
    if (result < 0)
        goto free_writer;
    writer->file = result;
    *opened = writer;
    return 0;
free_writer:
    free(writer->bytes);
    free(writer->directory);
    free(writer);
    return result;
}

static int close_file(struct hf_snapshot_writer *writer)
{
    int file = writer->file;
    writer->file = -1;
    return file < 0 ? 0 : writer->io->close_file(writer->io, file);
}

void hf_snapshot_writer_close(struct hf_snapshot_writer *writer)
{
    if (writer == NULL)
        return;
    close_file(writer);
    if (!writer->is_renamed)
        writer->io->remove_file(writer->io, writer->directory, HF_SNAPSHOT_TEMPORARY);
    free(writer->bytes);
    free(writer->directory);
    free(writer);
}

/* ---- filling ---------------------------------------------------------------------------- */

uint8_t *hf_snapshot_writer_room(struct hf_snapshot_writer *writer, uint32_t *records)
{
    *records =
        writer->stage == STAGE_FILL ? HF_SNAPSHOT_GROUP_RECORDS - writer->group.record_count : 0;
    return writer->bytes + HF_SNAPSHOT_GROUP_HEADER_BYTES +
           (size_t)writer->group.record_count * HF_RECORD_BYTES;
}

/* What a reader refuses, a writer must not write: rule 12 of snapshot_header.h. */
static void enter_record(struct hf_snapshot_writer *writer, const uint8_t *record)
{
    struct hf_snapshot_header *header = &writer->header;
    uint64_t lsn = hf_get_u64(record);
    HF_CHECK(lsn != 0);
    HF_CHECK(record[HF_RECORD_CHAIN_INDEX] == 0 && record[HF_RECORD_CHAIN_LENGTH] == 0);
    if (record[HF_RECORD_KIND] == HF_SNAPSHOT_KIND_INVENTORY) {
        HF_CHECK(header->inventories == header->records);
        header->inventories++;
    } else {
        HF_CHECK(record[HF_RECORD_KIND] == HF_SNAPSHOT_KIND_RESERVATION);
    }
    header->records++;
    if (writer->newest_lsn < lsn)
        writer->newest_lsn = lsn;
}

void hf_snapshot_writer_add(struct hf_snapshot_writer *writer, uint32_t records)
{
    uint32_t room;
    const uint8_t *record = hf_snapshot_writer_room(writer, &room);
    HF_CHECK(records <= room);
    for (uint32_t i = 0; i < records; i++, record += HF_RECORD_BYTES)
        enter_record(writer, record);
    writer->group.record_count += records;
}

/* Seals and writes the group that is in memory; begins the next one. */
static int write_group(struct hf_snapshot_writer *writer)
{
    struct hf_snapshot_group *group = &writer->group;
    hf_snapshot_group_seal(writer->bytes, group);
    int result = writer->io->write_at(writer->io, writer->file, writer->bytes, group->group_bytes,
                                      group->offset);
    if (result != 0)
        return result;
    group->index++;
    group->offset += group->group_bytes;
    group->previous_hash = group->header_hash;
    group->record_count = 0;
    return 0;
}

/* ---- ending ----------------------------------------------------------------------------- */

void hf_snapshot_writer_finish(struct hf_snapshot_writer *writer, uint64_t last_lsn,
                               uint64_t log_time_ns)
{
    struct hf_snapshot_header *header = &writer->header;
    HF_CHECK(writer->stage == STAGE_FILL);
    HF_CHECK(last_lsn >= writer->newest_lsn);
    header->last_lsn = last_lsn;
    header->log_time_ns = log_time_ns;
    HF_CHECK(hf_snapshot_header_measure(header));
    writer->stage = writer->group.record_count != 0 ? STAGE_LAST_GROUP : STAGE_SYNC_GROUPS;
}

static int write_header(struct hf_snapshot_writer *writer)
{
    struct hf_snapshot_header *header = &writer->header;
    HF_CHECK(writer->group.index == header->groups && writer->group.offset == header->file_bytes);
    header->last_group_hash = writer->group.previous_hash;
    hf_snapshot_header_encode(writer->bytes, header);
    return writer->io->write_at(writer->io, writer->file, writer->bytes, HF_SNAPSHOT_HEADER_BYTES,
                                0);
}

static int rename_file(struct hf_snapshot_writer *writer)
{
    char name[HF_SNAPSHOT_NAME_BYTES];
    hf_snapshot_name_format(writer->header.last_lsn, name);
    int result = close_file(writer);
    if (result == 0)
        result =
            writer->io->rename_file(writer->io, writer->directory, HF_SNAPSHOT_TEMPORARY, name);
    writer->is_renamed = result == 0;
    return result;
}

static int do_stage(struct hf_snapshot_writer *writer)
{
    switch (writer->stage) {
    case STAGE_LAST_GROUP:
        return write_group(writer);
    case STAGE_SYNC_GROUPS:
    case STAGE_SYNC_HEADER:
        return writer->io->sync_file(writer->io, writer->file);
    case STAGE_HEADER:
        return write_header(writer);
    case STAGE_RENAME:
        return rename_file(writer);
    case STAGE_SYNC_DIRECTORY:
        return writer->io->sync_directory(writer->io, writer->directory);
    default:
        return 0;
    }
}

int hf_snapshot_writer_step(struct hf_snapshot_writer *writer)
{
    if (writer->error != 0)
        return writer->error;
    if (writer->stage == STAGE_FILL) {
        if (writer->group.record_count == HF_SNAPSHOT_GROUP_RECORDS)
            writer->error = write_group(writer);
    } else if (writer->stage != STAGE_DONE) {
        writer->error = do_stage(writer);
        writer->stage += writer->error == 0;
    }
    if (writer->error != 0)
        return writer->error;
    return writer->stage == STAGE_FILL   ? HF_SNAPSHOT_FILLING
           : writer->stage == STAGE_DONE ? HF_SNAPSHOT_DONE
                                         : HF_SNAPSHOT_ENDING;
}

const struct hf_snapshot_header *hf_snapshot_writer_header(const struct hf_snapshot_writer *writer)
{
    return &writer->header;
}

uint64_t hf_snapshot_writer_bytes(const struct hf_snapshot_writer *writer)
{
    return writer->group.offset - HF_SNAPSHOT_HEADER_BYTES;
}

uint64_t hf_snapshot_writer_newest_lsn(const struct hf_snapshot_writer *writer)
{
    return writer->newest_lsn;
}
