/* Snapshots for tests; what they are is told in built_snapshot.h. */
#include "tests/lib/built_snapshot.h"

#include <string.h>
#include <xxhash.h>

#include "base/bytes.h"
#include "base/check.h"

/* Multiplied by it, numbers are scattered. */
#define SCATTER 0x9e3779b97f4a7c15ull

struct hf_snapshot_header hf_built_header(uint64_t made_at_ns)
{
    return (struct hf_snapshot_header){
        .log_id = {0x0f, 0x1e, 0x2d, 0x3c, 0x4b, 0x5a, 0x49, 0x78, 0x87, 0x96, 0xa5, 0xb4, 0xc3,
                   0xd2, 0xe1, 0xf0},
        .epoch = 3,
        .start = {.segment = 4,
                  .epoch = 2,
                  .sequence = 77,
                  .previous_hash = 0x1122334455667788,
                  .next_lsn = 50,
                  .written_at_ns = 1767323045000000006},
        .made_at_ns = made_at_ns,
        .retain_ns = 86400000000000,
        .segment_bytes = 16 << 20,
    };
}

uint64_t hf_built_last_lsn(uint64_t records)
{
    return 100 + 3 * records;
}

void hf_built_record(uint64_t made_at_ns, uint64_t records, uint64_t inventories, uint64_t number,
                     uint8_t *record)
{
    uint64_t bits = made_at_ns * SCATTER;
    for (unsigned at = 0; at < HF_RECORD_BYTES; at += 8) {
        bits = (bits + number + at + 1) * SCATTER;
        hf_put_u64(record + at, bits ^ bits >> 29);
    }
    hf_put_u64(record, 1 + bits % hf_built_last_lsn(records));
    record[HF_RECORD_KIND] =
        number < inventories ? HF_SNAPSHOT_KIND_INVENTORY : HF_SNAPSHOT_KIND_RESERVATION;
    record[HF_RECORD_CHAIN_INDEX] = record[HF_RECORD_CHAIN_LENGTH] = 0;
}

int hf_built_fill(struct hf_snapshot_writer *writer, uint64_t records, uint64_t inventories)
{
    uint64_t made_at_ns = hf_snapshot_writer_header(writer)->made_at_ns;
    uint64_t number = 0;
    while (number < records) {
        uint32_t room;
        uint8_t *record = hf_snapshot_writer_room(writer, &room);
        if (room == 0) {
            int step = hf_snapshot_writer_step(writer);
            if (step < 0)
                return step;
            HF_CHECK(step == HF_SNAPSHOT_FILLING);
            continue;
        }
        /* In portions of many sizes. */
        uint64_t portion = 1 + number % 700;
        if (portion > room)
            portion = room;
        if (portion > records - number)
            portion = records - number;
        for (uint64_t i = 0; i < portion; i++, number++, record += HF_RECORD_BYTES)
            hf_built_record(made_at_ns, records, inventories, number, record);
        hf_snapshot_writer_add(writer, (uint32_t)portion);
    }
    return 0;
}

struct hf_snapshot_header hf_built_snapshot(struct hf_io *io, const char *directory,
                                            uint64_t made_at_ns, uint64_t records,
                                            uint64_t inventories)
{
    struct hf_snapshot_header header = hf_built_header(made_at_ns);
    struct hf_snapshot_writer *writer;
    HF_CHECK(hf_snapshot_writer_open(io, directory, &header, &writer) == 0);
    HF_CHECK(hf_built_fill(writer, records, inventories) == 0);
    hf_snapshot_writer_finish(writer, hf_built_last_lsn(records), made_at_ns - 1);
    int step = HF_SNAPSHOT_ENDING;
    while (step == HF_SNAPSHOT_ENDING)
        step = hf_snapshot_writer_step(writer);
    HF_CHECK(step == HF_SNAPSHOT_DONE);
    header = *hf_snapshot_writer_header(writer);
    hf_snapshot_writer_close(writer);
    return header;
}

/* ---- reading ---------------------------------------------------------------------------- */

static void check_records(const struct hf_snapshot_header *header,
                          const struct hf_snapshot_view *view)
{
    uint8_t expected[HF_RECORD_BYTES];
    for (uint32_t i = 0; i < view->record_count; i++) {
        hf_built_record(header->made_at_ns, header->records, header->inventories, view->first + i,
                        expected);
        HF_CHECK(memcmp(view->records + (size_t)i * HF_RECORD_BYTES, expected, HF_RECORD_BYTES) ==
                 0);
    }
}

static void read_groups(struct hf_snapshot *snapshot, struct hf_built_walk *walk)
{
    struct hf_snapshot_view view;
    while ((walk->end = hf_snapshot_next(snapshot, &view)) == HF_SNAPSHOT_RIGHT) {
        HF_CHECK(view.first == walk->records && view.record_count != 0);
        check_records(&walk->header, &view);
        walk->records += view.record_count;
        HF_CHECK(hf_snapshot_bytes_done(snapshot) <= walk->header.file_bytes);
    }
}

struct hf_built_walk hf_built_read(struct hf_io *io, const char *directory, uint64_t last_lsn)
{
    struct hf_built_walk walk = {0};
    struct hf_snapshot *snapshot;
    walk.end = hf_snapshot_open(io, directory, last_lsn, true, &snapshot, &walk.finding);
    HF_CHECK(walk.end != HF_SNAPSHOT_END);
    if (walk.end == HF_SNAPSHOT_RIGHT) {
        walk.header = *hf_snapshot_header(snapshot);
        read_groups(snapshot, &walk);
        struct hf_snapshot_view view;
        HF_CHECK(hf_snapshot_next(snapshot, &view) == walk.end);
        HF_CHECK(walk.end != HF_SNAPSHOT_END ||
                 hf_snapshot_bytes_done(snapshot) == walk.header.file_bytes);
        walk.finding = *hf_snapshot_finding(snapshot);
        hf_snapshot_close(snapshot);
    } else {
        HF_CHECK(snapshot == NULL);
    }
    HF_CHECK((walk.finding.text[0] == '\0') == (walk.end == HF_SNAPSHOT_END));
    HF_CHECK((walk.finding.error != 0) == (walk.end == HF_SNAPSHOT_ERROR));
    HF_CHECK(strchr(walk.finding.text, '\n') == NULL);
    return walk;
}

/* ---- damage ----------------------------------------------------------------------------- */

struct hf_memory_file *hf_built_file(struct hf_memory_io *disk, uint64_t last_lsn)
{
    char name[HF_SNAPSHOT_NAME_BYTES];
    hf_snapshot_name_format(last_lsn, name);
    return hf_memory_io_file(disk, name);
}

/* Offsets are those of docs/log-format.md. */
void hf_built_forge_header(uint8_t *file)
{
    hf_put_u64(file + 4088, XXH3_64bits(file, 4088));
}

void hf_built_forge_group(uint8_t *file, uint64_t file_bytes, uint64_t offset)
{
    uint8_t *group = file + offset;
    size_t records_bytes = (size_t)hf_get_u32(group + 64) * HF_RECORD_BYTES;
    if (records_bytes <= file_bytes - offset - HF_SNAPSHOT_GROUP_HEADER_BYTES)
        hf_put_u64(group + 112, XXH3_64bits(group + 128, records_bytes));
    hf_put_u64(group + 120, XXH3_64bits(group, 120));
}

void hf_built_forge_all(uint8_t *file, uint64_t file_bytes)
{
    uint64_t previous_hash = 0;
    for (uint64_t offset = HF_SNAPSHOT_HEADER_BYTES; offset < file_bytes;
         offset += HF_SNAPSHOT_GROUP_BYTES) {
        hf_put_u64(file + offset + 56, previous_hash);
        hf_built_forge_group(file, file_bytes, offset);
        previous_hash = hf_get_u64(file + offset + 120);
    }
    hf_put_u64(file + 184, previous_hash);
    hf_built_forge_header(file);
}
