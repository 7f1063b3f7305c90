/* The log builder; what it is for is told in log_builder.h. */
#include "tests/lib/log_builder.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/bytes.h"
#include "base/check.h"
#include "wal/record.h"
#include "wal/segment_header.h"

static const uint8_t builder_log_id[16] = {0x0f, 0x1e, 0x2d, 0x3c, 0x4b, 0x5a, 0x49, 0x78,
                                           0x87, 0x96, 0xa5, 0xb4, 0xc3, 0xd2, 0xe1, 0xf0};

void hf_log_builder_path(const struct hf_log_builder *builder, const char *name, char *path,
                         size_t path_bytes)
{
    int length = snprintf(path, path_bytes, "%s/%s", builder->directory, name);
    HF_CHECK(length > 0 && (size_t)length < path_bytes);
}

void hf_log_builder_segment_path(const struct hf_log_builder *builder, uint64_t segment, char *path,
                                 size_t path_bytes)
{
    char name[HF_SEGMENT_NAME_BYTES];
    hf_segment_name_format(segment, name);
    hf_log_builder_path(builder, name, path, path_bytes);
}

static int open_segment(const struct hf_log_builder *builder, uint64_t segment, int flags)
{
    char path[HF_DIRECTORY_TEXT_BYTES + HF_SEGMENT_NAME_BYTES];
    hf_log_builder_segment_path(builder, segment, path, sizeof(path));
    int file = open(path, flags | O_CLOEXEC, 0640);
    HF_CHECK(file >= 0);
    return file;
}

void hf_log_builder_peek(const struct hf_log_builder *builder, uint64_t segment, uint64_t offset,
                         void *bytes, size_t count)
{
    int file = open_segment(builder, segment, O_RDONLY);
    HF_CHECK(pread(file, bytes, count, (off_t)offset) == (ssize_t)count);
    close(file);
}

void hf_log_builder_poke(const struct hf_log_builder *builder, uint64_t segment, uint64_t offset,
                         const void *bytes, size_t count)
{
    int file = open_segment(builder, segment, O_WRONLY);
    HF_CHECK(pwrite(file, bytes, count, (off_t)offset) == (ssize_t)count);
    close(file);
}

void hf_log_builder_flip(const struct hf_log_builder *builder, uint64_t segment, uint64_t offset,
                         uint8_t mask)
{
    uint8_t byte;
    hf_log_builder_peek(builder, segment, offset, &byte, 1);
    byte ^= mask;
    hf_log_builder_poke(builder, segment, offset, &byte, 1);
}

void hf_log_builder_zero(const struct hf_log_builder *builder, uint64_t segment, uint64_t offset,
                         size_t count)
{
    uint8_t *zeros = calloc(1, count);
    HF_CHECK(zeros != NULL);
    hf_log_builder_poke(builder, segment, offset, zeros, count);
    free(zeros);
}

void hf_log_builder_truncate(const struct hf_log_builder *builder, uint64_t segment,
                             uint64_t file_bytes)
{
    int file = open_segment(builder, segment, O_WRONLY);
    HF_CHECK(ftruncate(file, (off_t)file_bytes) == 0);
    close(file);
}

void hf_log_builder_forge(const struct hf_log_builder *builder, const struct hf_block *block,
                          unsigned offset, uint64_t value, unsigned value_bytes)
{
    uint8_t header[HF_BLOCK_HEADER_BYTES];
    uint8_t bytes[8];
    hf_put_u64(bytes, value);
    hf_log_builder_peek(builder, block->segment, block->offset, header, sizeof(header));
    memcpy(header + offset, bytes, value_bytes);
    hf_put_u64(header + 120, XXH3_64bits(header, 120));
    hf_log_builder_poke(builder, block->segment, block->offset, header, sizeof(header));
}

/* Sparse behind its header: reads as the zeros that a server writes. */
void hf_log_builder_prepare(struct hf_log_builder *builder, uint64_t last)
{
    while (builder->last_segment < last) {
        uint8_t bytes[HF_SEGMENT_HEADER_BYTES];
        struct hf_segment_header header = {
            .number = ++builder->last_segment,
            .segment_bytes = builder->segment_bytes,
            .created_at_ns = HF_BUILDER_MADE_AT,
        };
        memcpy(header.log_id, builder_log_id, sizeof(header.log_id));
        hf_segment_header_encode(bytes, &header);
        close(open_segment(builder, header.number, O_WRONLY | O_CREAT | O_EXCL));
        hf_log_builder_poke(builder, header.number, 0, bytes, sizeof(bytes));
        hf_log_builder_truncate(builder, header.number, builder->segment_bytes);
    }
}

void hf_log_builder_open(struct hf_log_builder *builder, uint64_t segment_bytes)
{
    *builder = (struct hf_log_builder){
        .segment_bytes = segment_bytes,
        .next = {.sequence = 1,
                 .first_lsn = 1,
                 .segment = 1,
                 .offset = HF_SEGMENT_HEADER_BYTES,
                 .written_at_ns = HF_BUILDER_MADE_AT},
        .commits = true,
        .bytes = malloc(HF_MAX_BLOCK_BYTES),
    };
    HF_CHECK(builder->bytes != NULL);
    memcpy(builder->next.log_id, builder_log_id, sizeof(builder_log_id));
    HF_CHECK(hf_directory_make(builder->directory) == 0);
    hf_log_builder_prepare(builder, 1);
}

void hf_log_builder_close(struct hf_log_builder *builder)
{
    hf_directory_remove(builder->directory);
    free(builder->bytes);
}

uint64_t hf_log_builder_record(struct hf_log_builder *builder, const uint8_t *record)
{
    HF_CHECK(builder->next.record_count < HF_MAX_BLOCK_RECORDS);
    uint64_t lsn = builder->next.first_lsn + builder->next.record_count;
    uint8_t *place = builder->bytes + HF_BLOCK_HEADER_BYTES +
                     (size_t)builder->next.record_count * HF_RECORD_BYTES;
    memcpy(place, record, HF_RECORD_BYTES);
    hf_put_u64(place, lsn);
    builder->next.record_count++;
    return lsn;
}

struct hf_inventory hf_builder_inventory(uint64_t inventory_id, uint32_t capacity)
{
    return (struct hf_inventory){
        .inventory_id = inventory_id,
        .product_id = inventory_id + 1000,
        .made_at_ns = HF_BUILDER_MADE_AT,
        .capacity = capacity,
        .sell_limit = capacity,
        .version = 1,
    };
}

struct hf_settings hf_builder_settings(uint32_t sell_limit)
{
    return (struct hf_settings){
        .sell_limit = sell_limit,
        .waiting_limit = HF_DEFAULT_WAITING_LIMIT,
        .offer_ttl_ns = HF_DEFAULT_OFFER_TTL_NS,
    };
}

uint64_t hf_log_builder_set(struct hf_log_builder *builder, const struct hf_inventory *inventory,
                            const struct hf_settings *settings, uint32_t sequence)
{
    uint8_t record[HF_RECORD_BYTES] = {0};
    hf_image_encode_inventory(record, inventory, settings, sequence,
                              HF_BUILDER_MADE_AT + sequence - 1);
    return hf_log_builder_record(builder, record);
}

uint64_t hf_log_builder_inventory(struct hf_log_builder *builder, uint64_t inventory_id,
                                  uint32_t capacity)
{
    struct hf_inventory inventory = hf_builder_inventory(inventory_id, capacity);
    struct hf_settings settings = hf_builder_settings(capacity);
    return hf_log_builder_set(builder, &inventory, &settings, 1);
}

static uint64_t changed_after_ns(enum hf_state state)
{
    if (state == HF_STATE_EXPIRED)
        return HF_BUILDER_TTL_NS;
    return hf_state_is_final(state) ? 5 : 0;
}

struct hf_reservation hf_builder_reservation(uint64_t number, uint64_t inventory_id, uint32_t qty,
                                             enum hf_state state)
{
    uint64_t made_at_ns = HF_BUILDER_MADE_AT + number;
    struct hf_reservation reservation = {
        .inventory_id = inventory_id,
        .customer_id = number + 7000,
        .made_at_ns = made_at_ns,
        .changed_at_ns = made_at_ns + changed_after_ns(state),
        .deadline_ns = state == HF_STATE_HELD ? made_at_ns + HF_BUILDER_TTL_NS : 0,
        .qty = qty,
        .sequence = hf_state_is_final(state) ? 2 : 1,
        .state = state,
    };
    reservation.id.bytes[6] = 0x70;
    hf_put_u64(reservation.id.bytes + 8, number + 1);
    return reservation;
}

uint64_t hf_log_builder_image(struct hf_log_builder *builder,
                              const struct hf_reservation *reservation,
                              const struct hf_image_notes *notes)
{
    uint8_t record[HF_RECORD_BYTES] = {0};
    hf_image_encode_reservation(record, reservation, notes);
    return hf_log_builder_record(builder, record);
}

uint64_t hf_log_builder_reservation(struct hf_log_builder *builder, uint64_t number,
                                    uint64_t inventory_id, uint32_t qty, uint32_t version)
{
    struct hf_reservation reservation = hf_builder_reservation(
        number, inventory_id, qty, version == 0 ? HF_STATE_CANCELLED : HF_STATE_CONFIRMED);
    struct hf_image_notes notes = {.inventory_version = version};
    return hf_log_builder_image(builder, &reservation, &notes);
}

uint32_t hf_log_builder_block(struct hf_log_builder *builder, uint16_t flags)
{
    struct hf_block *next = &builder->next;
    if (next->offset == builder->segment_bytes) {
        next->segment++;
        next->offset = HF_SEGMENT_HEADER_BYTES;
        hf_log_builder_prepare(builder, next->segment);
    }
    HF_CHECK(builder->block_count < HF_BUILT_BLOCKS_MAX);
    HF_CHECK(next->offset + hf_block_bytes(next->record_count) <= builder->segment_bytes);
    next->flags = flags;
    if ((flags & HF_BLOCK_START) != 0)
        next->epoch++;
    if (builder->commits) {
        next->commit_sequence = next->sequence - 1;
        next->commit_lsn = next->first_lsn - 1;
    }
    hf_block_seal(builder->bytes, next);
    hf_log_builder_poke(builder, next->segment, next->offset, builder->bytes, next->block_bytes);

    uint32_t number = builder->block_count++;
    builder->blocks[number] = *next;
    next->previous_hash = next->header_hash;
    next->sequence++;
    next->first_lsn += next->record_count;
    next->record_count = 0;
    next->offset += next->block_bytes;
    return number;
}

uint32_t hf_log_builder_filler(struct hf_log_builder *builder, uint32_t block_bytes)
{
    for (uint32_t i = 0; i < block_bytes / HF_RECORD_BYTES - 1; i++)
        hf_log_builder_inventory(builder,
                                 1000000 + builder->next.first_lsn + builder->next.record_count, 1);
    return hf_log_builder_block(builder, 0);
}

void hf_log_builder_fill(struct hf_log_builder *builder, uint32_t left_bytes)
{
    for (;;) {
        uint64_t room = builder->segment_bytes - builder->next.offset;
        HF_CHECK(room >= left_bytes);
        if (room == left_bytes)
            return;
        uint64_t bytes = room - left_bytes;
        hf_log_builder_filler(builder,
                              bytes < HF_MAX_BLOCK_BYTES ? (uint32_t)bytes : HF_MAX_BLOCK_BYTES);
    }
}

static void check_view(const struct hf_log_builder *builder, uint32_t number,
                       const struct hf_block_view *view)
{
    HF_CHECK(number < builder->block_count);
    const struct hf_block *built = &builder->blocks[number];
    HF_CHECK(view->header.header_hash == built->header_hash);
    HF_CHECK(view->header.segment == built->segment && view->header.offset == built->offset);
    HF_CHECK(view->records == view->bytes + HF_BLOCK_HEADER_BYTES);
    HF_CHECK(hf_block_check_payload(view->bytes, built) == HF_BLOCK_VALID);
}

struct hf_log_walk hf_log_builder_walk(const struct hf_log_builder *builder, struct hf_io *io)
{
    struct hf_log_walk walk = {0};
    struct hf_reader *reader;
    walk.opened = hf_reader_open(io != NULL ? io : hf_io_posix(), builder->directory, false, NULL,
                                 &reader, &walk.finding);
    HF_CHECK(strchr(walk.finding.text, '\n') == NULL);
    if (walk.opened != 0)
        return walk;
    struct hf_block_view view;
    while ((walk.end = hf_reader_next(reader, &view)) == HF_READ_BLOCK) {
        check_view(builder, walk.blocks++, &view);
        HF_CHECK(hf_reader_bytes_done(reader) <= hf_reader_bytes_total(reader));
    }
    HF_CHECK(hf_reader_next(reader, &view) == walk.end);
    HF_CHECK(hf_reader_bytes_done(reader) == hf_reader_bytes_total(reader));
    walk.finding = *hf_reader_finding(reader);
    walk.growths = hf_reader_growths(reader);
    HF_CHECK(walk.finding.text[0] != '\0' && strchr(walk.finding.text, '\n') == NULL);
    hf_reader_close(reader);
    return walk;
}
