/*
 * Spoiled blocks, images and whole logs into all that reads a log.
 *
 * A log is made from the seed, in memory and in files: three segments of the smallest size, of
 * which the last is prepared but not used, with blocks of all sizes whose headers attest commits as
 * a live flusher's do. Every round spoils one block or record in memory of exactly its size; every
 * 100th spoils the files, walks them with the reader, and mends them again.
 *
 * What must hold:
 *   - an accepted header is sealed to the same bytes again; so is an accepted image;
 *   - the engine's decoder and that of the ledger of holdfast-wal, which share no code, accept the
 *     same images, but for a hold whose deadline is not ahead of it: only the ledger judges that;
 *   - a block of which one byte was changed is never accepted;
 *   - the reader gives exactly the blocks before the first that was changed, as they were written;
 *   - then it ends as the policy in wal/reader.h says, decided here a second time from the bytes:
 *     CORRUPT if a segment's head was changed, or if a later block that is whole attests that the
 *     changed one was durable; TORN if anything but zeros stands there; END otherwise;
 *   - a block that was moved is CORRUPT; so is a log with a file cut short or missing;
 *   - a forged header (a right hash over other fields) is CORRUPT if no block can have the fields;
 *     else it is whatever it is, but what the reader gives continues what it gave before.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/bytes.h"
#include "engine/image.h"
#include "tests/fuzz/fuzz.h"
#include "tests/lib/process.h"
#include "tools/ledger_image.h"
#include "wal/block.h"
#include "wal/io.h"
#include "wal/reader.h"
#include "wal/segment_header.h"

#define SEGMENTS      3
#define SEGMENT_BYTES HF_SEGMENT_BYTES_MIN
#define LOG_BYTES     (SEGMENTS * SEGMENT_BYTES)
#define MAX_BLOCKS    1024
#define WALK_EVERY    100
#define HASHED_BYTES  120 /* of a block's header */

/* One log, as it was written (`right`) and as it is now (`now`): all segments, one after the other.
 */
struct log {
    uint8_t *right, *now;
    struct hf_block blocks[MAX_BLOCKS];
    size_t at[MAX_BLOCKS]; /* where each begins in `right` */
    uint32_t block_count;
    int files[SEGMENTS];
    char directory[HF_DIRECTORY_TEXT_BYTES];
};

/* ---- making a log ----------------------------------------------------------------------- */

static void make_inventory_image(struct hf_fuzz *fuzz, uint8_t *record, uint64_t made_at_ns,
                                 uint64_t changed_at_ns)
{
    uint32_t min_qty = (uint32_t)hf_fuzz_number(fuzz), max_qty = (uint32_t)hf_fuzz_number(fuzz);
    struct hf_inventory inventory = {
        .inventory_id = hf_fuzz_number(fuzz),
        .product_id = hf_fuzz_number(fuzz),
        .made_at_ns = made_at_ns,
        .capacity = 1 + (uint32_t)hf_fuzz_below(fuzz, HF_MAX_UNITS),
        .flags = (uint32_t)hf_fuzz_below(fuzz, 32),
        .version = (uint32_t)hf_fuzz_number(fuzz),
    };
    struct hf_settings settings = {
        .sell_limit = (uint32_t)hf_fuzz_below(fuzz, HF_MAX_UNITS + 1),
        .customer_limit = (uint32_t)hf_fuzz_number(fuzz),
        .min_qty = max_qty != 0 && min_qty > max_qty ? max_qty : min_qty,
        .max_qty = max_qty,
        .waiting_limit = (uint32_t)hf_fuzz_number(fuzz),
        .flags = (uint32_t)hf_fuzz_below(fuzz, 32),
        .opens_at_ns = hf_fuzz_number(fuzz),
        .closes_at_ns = hf_fuzz_number(fuzz),
        .longest_hold_ns = hf_fuzz_number(fuzz) % (HF_MAX_TTL_NS + 1),
        .cancel_until_ns = hf_fuzz_number(fuzz),
        .offer_ttl_ns = hf_fuzz_number(fuzz) % (HF_MAX_TTL_NS + 1),
    };
    hf_image_encode_inventory(record, &inventory, &settings, 1 + (uint32_t)hf_fuzz_below(fuzz, 9),
                              changed_at_ns);
}

/* Ways of making and reasons that go with a state: one of those that there are. */
static void make_notes(struct hf_fuzz *fuzz, enum hf_state state, struct hf_image_notes *notes)
{
    static const uint8_t made[] = {HF_STATE_HELD, HF_STATE_WAITING, 0};
    bool was_held =
        state == HF_STATE_HELD || state == HF_STATE_RELEASED || state == HF_STATE_EXPIRED;
    *notes = (struct hf_image_notes){
        .inventory_version = (uint32_t)hf_fuzz_number(fuzz),
        .origin = (uint32_t)hf_fuzz_number(fuzz),
        .made_as = made[hf_fuzz_below(fuzz, was_held ? 2 : 3)],
        .flags = hf_state_is_active(state) ? (uint8_t)hf_fuzz_below(fuzz, 2) : 0,
        .chain_length = hf_fuzz_one_in(fuzz, 4) ? 1 + (uint8_t)hf_fuzz_below(fuzz, 128) : 0,
    };
    if (notes->chain_length != 0)
        notes->chain_index = (uint8_t)hf_fuzz_below(fuzz, notes->chain_length);
    if (state == HF_STATE_WAITING || hf_fuzz_one_in(fuzz, 4))
        notes->made_as = HF_STATE_WAITING;
    bool from_list = notes->made_as == HF_STATE_WAITING && hf_fuzz_one_in(fuzz, 2);
    if (state == HF_STATE_EXPIRED)
        notes->reason = HF_REASON_DEADLINE;
    else if (from_list && state == HF_STATE_HELD)
        notes->reason = HF_REASON_OFFER;
    else if (from_list && state == HF_STATE_CANCELLED)
        notes->reason = HF_REASON_LIMIT;
}

static void make_reservation_image(struct hf_fuzz *fuzz, uint8_t *record, uint64_t made_at_ns,
                                   uint64_t changed_at_ns)
{
    struct hf_reservation reservation = {
        .inventory_id = hf_fuzz_number(fuzz),
        .customer_id = hf_fuzz_number(fuzz),
        .made_at_ns = made_at_ns,
        .changed_at_ns = changed_at_ns,
        .qty = 1 + (uint32_t)hf_fuzz_below(fuzz, HF_MAX_UNITS),
        .sequence = 1 + (uint32_t)hf_fuzz_below(fuzz, 9),
        .state = (enum hf_state)(1 + hf_fuzz_below(fuzz, 6)),
    };
    struct hf_image_notes notes;
    make_notes(fuzz, reservation.state, &notes);
    if (reservation.state == HF_STATE_HELD)
        reservation.deadline_ns = changed_at_ns + 1 + hf_fuzz_below(fuzz, HF_MAX_TTL_NS);
    hf_fuzz_fill(fuzz, reservation.id.bytes, sizeof reservation.id.bytes);
    if (notes.made_as == 0 && hf_fuzz_one_in(fuzz, 2))
        hf_fuzz_fill(fuzz, reservation.linked_id.bytes, sizeof reservation.linked_id.bytes);
    hf_image_encode_reservation(record, &reservation, &notes);
}

static void make_image(struct hf_fuzz *fuzz, uint8_t *record)
{
    uint64_t made_at_ns = hf_fuzz_next(fuzz) >> 2;
    uint64_t changed_at_ns = made_at_ns + hf_fuzz_below(fuzz, 1000);
    struct hf_inventory inventory;
    switch (hf_fuzz_below(fuzz, 8)) {
    case 0:
    case 1:
        make_inventory_image(fuzz, record, made_at_ns, changed_at_ns);
        break;
    case 2:
        inventory = (struct hf_inventory){
            .inventory_id = hf_fuzz_number(fuzz),
            .available = 1 + (int32_t)hf_fuzz_below(fuzz, HF_MAX_UNITS),
            .version = (uint32_t)hf_fuzz_number(fuzz),
        };
        hf_image_encode_event(record, HF_EVENT_AVAILABLE_AGAIN, &inventory, changed_at_ns);
        break;
    default:
        make_reservation_image(fuzz, record, made_at_ns, changed_at_ns);
    }
}

/* Fills in a block's records and seals it. */
static void make_block(struct hf_fuzz *fuzz, uint8_t *bytes, struct hf_block *block)
{
    for (uint32_t i = 0; i < block->record_count; i++) {
        uint8_t *record = bytes + HF_BLOCK_HEADER_BYTES + (size_t)i * HF_RECORD_BYTES;
        hf_put_u64(record, block->first_lsn + i);
        make_image(fuzz, record);
    }
    hf_block_seal(bytes, block);
}

/* Up to `room` bytes' worth of records, mostly few. */
static uint32_t any_record_count(struct hf_fuzz *fuzz, size_t room)
{
    uint32_t most = (uint32_t)(room / HF_RECORD_BYTES) - 1;
    uint64_t count = hf_fuzz_below(fuzz, hf_fuzz_one_in(fuzz, 16) ? 2000 : 100);
    return count < most ? (uint32_t)count : most;
}

/* Appends blocks until `end`. Up to `inflight` blocks are attested later than those behind them. */
static void append_blocks(struct hf_fuzz *fuzz, struct log *log, size_t segment, size_t end)
{
    size_t at = segment * SEGMENT_BYTES + HF_SEGMENT_HEADER_BYTES;
    while (at < end && log->block_count < MAX_BLOCKS) {
        struct hf_block last = {.first_lsn = 1};
        if (log->block_count > 0)
            last = log->blocks[log->block_count - 1];
        bool starts = log->block_count == 0 || hf_fuzz_one_in(fuzz, 20);
        uint64_t inflight = hf_fuzz_below(fuzz, HF_MAX_INFLIGHT);
        uint64_t commit = last.sequence > inflight ? last.sequence - inflight : 0;
        if (commit < last.commit_sequence)
            commit = last.commit_sequence;
        struct hf_block block = {
            .flags = starts ? HF_BLOCK_START : 0,
            .epoch = last.epoch + (starts ? 1 + hf_fuzz_below(fuzz, 3) : 0),
            .sequence = last.sequence + 1,
            .previous_hash = last.header_hash,
            .first_lsn = last.first_lsn + last.record_count,
            .record_count = any_record_count(fuzz, end - at),
            .commit_sequence = commit,
            .segment = segment + 1,
            .offset = (uint32_t)(at - segment * SEGMENT_BYTES),
            .written_at_ns = hf_fuzz_next(fuzz),
        };
        if (commit > 0) {
            const struct hf_block *committed = &log->blocks[commit - 1];
            block.commit_lsn = committed->first_lsn + committed->record_count - 1;
        }
        memcpy(block.log_id, "a log to be read", sizeof block.log_id);
        make_block(fuzz, log->right + at, &block);
        log->blocks[log->block_count] = block;
        log->at[log->block_count++] = at;
        at += block.block_bytes;
    }
}

/* One full segment, one that ends somewhere, one that is prepared. */
static void make_log(struct hf_fuzz *fuzz, struct log *log)
{
    hf_fuzz_begin(fuzz, UINT64_MAX); /* the log depends on the seed only */
    log->block_count = 0;
    memset(log->right, 0, LOG_BYTES);
    for (size_t segment = 0; segment < SEGMENTS; segment++) {
        struct hf_segment_header header = {.number = segment + 1, .segment_bytes = SEGMENT_BYTES};
        memcpy(header.log_id, "a log to be read", sizeof header.log_id);
        hf_segment_header_encode(log->right + segment * SEGMENT_BYTES, &header);
    }
    append_blocks(fuzz, log, 0, SEGMENT_BYTES);
    append_blocks(fuzz, log, 1,
                  SEGMENT_BYTES + HF_SEGMENT_HEADER_BYTES +
                      HF_BLOCK_ALIGN_BYTES * (1 + hf_fuzz_below(fuzz, 200)));
    HF_FUZZ_CHECK(fuzz, log->block_count > 4 && log->block_count < MAX_BLOCKS);
    memcpy(log->now, log->right, LOG_BYTES);
}

static void file_path(const struct log *log, size_t segment, char *path, size_t path_bytes)
{
    char name[HF_SEGMENT_NAME_BYTES];
    hf_segment_name_format(segment + 1, name);
    snprintf(path, path_bytes, "%s/%s", log->directory, name);
}

static void write_files(struct hf_fuzz *fuzz, struct log *log, size_t from, size_t behind)
{
    for (size_t at = from; at < behind;) {
        size_t segment = at / SEGMENT_BYTES;
        size_t segment_end = (segment + 1) * SEGMENT_BYTES;
        size_t count = (behind < segment_end ? behind : segment_end) - at;
        ssize_t written =
            pwrite(log->files[segment], log->now + at, count, (off_t)(at % SEGMENT_BYTES));
        HF_FUZZ_CHECK(fuzz, written == (ssize_t)count);
        at += count;
    }
}

static void open_log(struct hf_fuzz *fuzz, struct log *log)
{
    log->right = malloc(LOG_BYTES);
    log->now = malloc(LOG_BYTES);
    HF_FUZZ_CHECK(fuzz, log->right && log->now);
    HF_FUZZ_CHECK(fuzz, hf_directory_make(log->directory) == 0);
    for (size_t segment = 0; segment < SEGMENTS; segment++) {
        char path[2 * HF_DIRECTORY_TEXT_BYTES];
        file_path(log, segment, path, sizeof path);
        log->files[segment] = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        HF_FUZZ_CHECK(fuzz, log->files[segment] >= 0);
    }
    make_log(fuzz, log);
    write_files(fuzz, log, 0, LOG_BYTES);
}

static void close_log(struct log *log)
{
    for (size_t segment = 0; segment < SEGMENTS; segment++)
        close(log->files[segment]);
    hf_directory_remove(log->directory);
    free(log->now);
    free(log->right);
}

/* ---- one block or image ----------------------------------------------------------------- */

/* Makes the header's hash right again: what remains wrong are its fields. */
static void forge_header(uint8_t *bytes)
{
    hf_put_u64(bytes + HASHED_BYTES, XXH3_64bits(bytes, HASHED_BYTES));
}

/* A copy of one of the log's blocks, in memory of its size. */
static uint8_t *copy_block(struct hf_fuzz *fuzz, const struct log *log, size_t *count)
{
    uint32_t index = (uint32_t)hf_fuzz_below(fuzz, log->block_count);
    *count = log->blocks[index].block_bytes;
    uint8_t *bytes = malloc(*count);
    HF_FUZZ_CHECK(fuzz, bytes);
    memcpy(bytes, log->right + log->at[index], *count);
    return bytes;
}

/* Judges a whole block as the reader does. */
static bool accepts_block(const uint8_t *bytes, size_t count, struct hf_block *block)
{
    return hf_block_read_header(bytes, block) == HF_BLOCK_VALID && block->block_bytes <= count &&
           hf_block_check_payload(bytes, block) == HF_BLOCK_VALID;
}

/* What must hold of an accepted block. */
static void check_accepted(struct hf_fuzz *fuzz, uint8_t *bytes, const struct hf_block *block)
{
    uint8_t *again = malloc(block->block_bytes);
    struct hf_block sealed = *block;
    HF_FUZZ_CHECK(fuzz, again);
    memcpy(again, bytes, block->block_bytes);
    hf_block_seal(again, &sealed);
    HF_FUZZ_CHECK(fuzz, memcmp(again, bytes, block->block_bytes) == 0);
    HF_FUZZ_CHECK(fuzz, sealed.header_hash == block->header_hash);
    HF_FUZZ_CHECK(fuzz, sealed.payload_hash == block->payload_hash);
    for (uint32_t i = 0; i < block->record_count; i++)
        HF_FUZZ_CHECK(fuzz, hf_get_u64(bytes + HF_BLOCK_HEADER_BYTES +
                                       (size_t)i * HF_RECORD_BYTES) == block->first_lsn + i);
    free(again);
}

static void fuzz_block(struct hf_fuzz *fuzz, const struct log *log)
{
    struct hf_block block;
    size_t count;
    uint8_t *bytes = copy_block(fuzz, log, &count);
    size_t at = (size_t)hf_fuzz_below(fuzz, count);
    switch (hf_fuzz_below(fuzz, 4)) {
    case 0: /* one byte */
        bytes[at] ^= (uint8_t)(1 + hf_fuzz_below(fuzz, 255));
        HF_FUZZ_CHECK(fuzz, !accepts_block(bytes, count, &block));
        break;
    case 1: /* a forged header over whole records */
        hf_fuzz_spoil(fuzz, bytes, HASHED_BYTES);
        forge_header(bytes);
        if (accepts_block(bytes, count, &block))
            check_accepted(fuzz, bytes, &block);
        break;
    case 2: /* a forged header over spoiled records: their LSNs and the padding are checked, too */
        hf_fuzz_spoil(fuzz, bytes + HF_BLOCK_HEADER_BYTES, count - HF_BLOCK_HEADER_BYTES);
        HF_FUZZ_CHECK(fuzz, hf_block_read_header(bytes, &block) == HF_BLOCK_VALID);
        if (block.record_count > 0)
            hf_put_u64(bytes + 112, XXH3_64bits(bytes + HF_BLOCK_HEADER_BYTES,
                                                (size_t)block.record_count * HF_RECORD_BYTES));
        forge_header(bytes);
        if (accepts_block(bytes, count, &block))
            check_accepted(fuzz, bytes, &block);
        break;
    default: /* made up, but for the magic now and then */
        hf_fuzz_fill(fuzz, bytes, HF_BLOCK_HEADER_BYTES);
        if (!hf_fuzz_one_in(fuzz, 4))
            hf_put_u64(bytes, HF_BLOCK_MAGIC);
        if (!hf_fuzz_one_in(fuzz, 4))
            forge_header(bytes);
        HF_FUZZ_CHECK(fuzz, !accepts_block(bytes, count, &block));
        break;
    }
    free(bytes);
}

static void check_inventory_image(struct hf_fuzz *fuzz, const struct hf_image *image)
{
    const struct hf_inventory *inventory = &image->inventory;
    HF_FUZZ_CHECK(fuzz, inventory->capacity >= 1 && inventory->capacity <= HF_MAX_UNITS);
    HF_FUZZ_CHECK(fuzz, inventory->sell_limit <= HF_MAX_UNITS);
    HF_FUZZ_CHECK(fuzz, inventory->sell_limit == image->settings.sell_limit);
    HF_FUZZ_CHECK(fuzz, inventory->flags < 32 && inventory->flags == image->settings.flags);
    HF_FUZZ_CHECK(fuzz, image->settings.max_qty == 0 ||
                            image->settings.min_qty <= image->settings.max_qty);
    HF_FUZZ_CHECK(fuzz, image->settings.offer_ttl_ns <= HF_MAX_TTL_NS);
    HF_FUZZ_CHECK(fuzz, image->settings.longest_hold_ns <= HF_MAX_TTL_NS);
    HF_FUZZ_CHECK(fuzz, image->inventory_sequence >= 1);
    HF_FUZZ_CHECK(fuzz, image->inventory_changed_at_ns >= inventory->made_at_ns);
    HF_FUZZ_CHECK(fuzz, image->chain_length == 0);
}

static void check_reservation_image(struct hf_fuzz *fuzz, const struct hf_image *image)
{
    const struct hf_reservation *reservation = &image->reservation;
    unsigned state = reservation->state;
    HF_FUZZ_CHECK(fuzz, image->kind == HF_IMAGE_RESERVATION);
    HF_FUZZ_CHECK(fuzz, reservation->qty >= 1 && reservation->qty <= HF_MAX_UNITS);
    HF_FUZZ_CHECK(fuzz, !hf_id_is_zero(&reservation->id));
    HF_FUZZ_CHECK(fuzz, state >= HF_STATE_HELD && state <= HF_STATE_WAITING);
    HF_FUZZ_CHECK(fuzz, reservation->sequence >= 1);
    HF_FUZZ_CHECK(fuzz, reservation->changed_at_ns >= reservation->made_at_ns);
    HF_FUZZ_CHECK(fuzz, (reservation->deadline_ns != 0) == (state == HF_STATE_HELD));
    HF_FUZZ_CHECK(fuzz, (image->notes.reason == HF_REASON_DEADLINE) == (state == HF_STATE_EXPIRED));
    HF_FUZZ_CHECK(fuzz, image->notes.flags == 0 || hf_state_is_active(state));
    HF_FUZZ_CHECK(fuzz, image->chain_length <= HF_MAX_CHAIN_RECORDS);
    HF_FUZZ_CHECK(fuzz, image->chain_index == 0 || image->chain_index < image->chain_length);
}

/* True if its deadline has passed, or is farther away than any hold may last. */
static bool is_beyond_its_time(const struct hf_image *image)
{
    const struct hf_reservation *reservation = &image->reservation;
    return image->kind == HF_IMAGE_RESERVATION && reservation->state == HF_STATE_HELD &&
           (reservation->deadline_ns <= reservation->changed_at_ns ||
            reservation->deadline_ns - reservation->changed_at_ns > HF_MAX_TTL_NS);
}

static void check_second_opinion(struct hf_fuzz *fuzz, const uint8_t *record, const char *wrong,
                                 const struct hf_image *image)
{
    struct hf_ledger_image second;
    char reason[HF_LEDGER_REASON_BYTES];
    bool refused = hf_ledger_image_read(record, &second, reason) != NULL;
    HF_FUZZ_CHECK(fuzz, refused == (wrong != NULL || is_beyond_its_time(image)));
    HF_FUZZ_CHECK(fuzz, refused || second.lsn == image->lsn);
}

/* Encodes what was decoded, behind the LSN. */
static void encode_again(const struct hf_image *image, uint8_t *again)
{
    switch (image->kind) {
    case HF_IMAGE_INVENTORY:
        hf_image_encode_inventory(again, &image->inventory, &image->settings,
                                  image->inventory_sequence, image->inventory_changed_at_ns);
        break;
    case HF_IMAGE_RESERVATION:
        hf_image_encode_reservation(again, &image->reservation, &image->notes);
        break;
    case HF_IMAGE_EVENT:
        hf_image_encode_event(again, (enum hf_image_event)image->event, &image->inventory,
                              image->event_at_ns);
        break;
    }
}

/* True if the image was accepted. */
static bool fuzz_image(struct hf_fuzz *fuzz)
{
    uint8_t *record = malloc(HF_RECORD_BYTES);
    uint8_t again[HF_RECORD_BYTES];
    struct hf_image image;
    HF_FUZZ_CHECK(fuzz, record);
    hf_put_u64(record, hf_fuzz_number(fuzz));
    make_image(fuzz, record);
    const char *wrong = hf_image_decode(record, &image);
    HF_FUZZ_CHECK(fuzz, wrong == NULL); /* what is encoded is accepted */
    if (!hf_fuzz_one_in(fuzz, 4))
        hf_fuzz_spoil(fuzz, record + HF_RECORD_IMAGE, HF_RECORD_IMAGE_BYTES);
    if (hf_fuzz_one_in(fuzz, 8))
        hf_fuzz_fill(fuzz, record + HF_RECORD_IMAGE + 1, HF_RECORD_IMAGE_BYTES - 1);

    wrong = hf_image_decode(record, &image);
    HF_FUZZ_CHECK(fuzz, !wrong || wrong[0] != '\0');
    check_second_opinion(fuzz, record, wrong, &image);
    if (!wrong) {
        memcpy(again, record, HF_RECORD_IMAGE);
        memset(again + HF_RECORD_IMAGE, 0xaa, HF_RECORD_IMAGE_BYTES);
        HF_FUZZ_CHECK(fuzz, image.lsn == hf_get_u64(record));
        if (image.kind == HF_IMAGE_INVENTORY)
            check_inventory_image(fuzz, &image);
        else if (image.kind != HF_IMAGE_EVENT)
            check_reservation_image(fuzz, &image);
        encode_again(&image, again);
        HF_FUZZ_CHECK(fuzz, memcmp(again, record, HF_RECORD_BYTES) == 0);
    }
    free(record);
    return !wrong;
}

/* ---- whole logs ------------------------------------------------------------------------- */

/* What the reader must say of the log as it is now. */
struct verdict {
    uint32_t blocks; /* that it gives */
    enum hf_read end;
};

static bool same(const struct log *log, size_t at, size_t count)
{
    return memcmp(log->now + at, log->right + at, count) == 0;
}

/* The policy, a second time. For bytes that were spoiled, not forged. */
static struct verdict judge_log(const struct log *log)
{
    struct verdict verdict = {0, HF_READ_END};
    while (verdict.blocks < log->block_count &&
           same(log, log->at[verdict.blocks], log->blocks[verdict.blocks].block_bytes))
        verdict.blocks++;
    for (size_t segment = 0; segment < SEGMENTS; segment++) {
        if (same(log, segment * SEGMENT_BYTES, HF_SEGMENT_HEADER_BYTES))
            continue;
        verdict.end = HF_READ_CORRUPT;
        while (verdict.blocks > 0 && log->at[verdict.blocks - 1] >= segment * SEGMENT_BYTES)
            verdict.blocks--;
        return verdict;
    }
    for (uint32_t later = verdict.blocks; later < log->block_count; later++)
        if (same(log, log->at[later], HF_BLOCK_HEADER_BYTES) &&
            log->blocks[later].commit_sequence > verdict.blocks) {
            verdict.end = HF_READ_CORRUPT;
            return verdict;
        }
    size_t at = HF_SEGMENT_HEADER_BYTES;
    if (verdict.blocks > 0)
        at = log->at[verdict.blocks - 1] + log->blocks[verdict.blocks - 1].block_bytes;
    for (; at < LOG_BYTES; at++) {
        if (at % SEGMENT_BYTES == 0)
            at += HF_SEGMENT_HEADER_BYTES;
        if (log->now[at] != 0) {
            verdict.end = HF_READ_TORN;
            break;
        }
    }
    return verdict;
}

/* Walks the files, and holds every block against what was written. `forged`: only against the one
 * before. */
static struct verdict walk(struct hf_fuzz *fuzz, const struct log *log, bool forged)
{
    struct verdict verdict = {0};
    struct hf_reader *reader;
    struct hf_finding finding;
    struct hf_block_view view;
    struct hf_block last = {.first_lsn = 1};
    HF_FUZZ_CHECK(
        fuzz, hf_reader_open(hf_io_posix(), log->directory, false, NULL, &reader, &finding) == 0);
    while ((verdict.end = hf_reader_next(reader, &view)) == HF_READ_BLOCK) {
        const struct hf_block *block = &view.header;
        HF_FUZZ_CHECK(fuzz, view.records == view.bytes + HF_BLOCK_HEADER_BYTES);
        HF_FUZZ_CHECK(fuzz, block->sequence == last.sequence + 1);
        HF_FUZZ_CHECK(fuzz, block->previous_hash == last.header_hash);
        HF_FUZZ_CHECK(fuzz, block->first_lsn == last.first_lsn + last.record_count);
        HF_FUZZ_CHECK(fuzz, block->block_bytes == hf_block_bytes(block->record_count));
        HF_FUZZ_CHECK(fuzz, (block->epoch > last.epoch) == ((block->flags & HF_BLOCK_START) != 0));
        HF_FUZZ_CHECK(fuzz, block->epoch >= last.epoch);
        if (!forged) {
            HF_FUZZ_CHECK(fuzz, verdict.blocks < log->block_count);
            HF_FUZZ_CHECK(fuzz, memcmp(view.bytes, log->right + log->at[verdict.blocks],
                                       block->block_bytes) == 0);
        }
        last = *block;
        verdict.blocks++;
    }
    HF_FUZZ_CHECK(fuzz, verdict.end != HF_READ_ERROR);
    HF_FUZZ_CHECK(fuzz, hf_reader_finding(reader)->text[0] != '\0');
    HF_FUZZ_CHECK(fuzz,
                  (hf_reader_finding(reader)->cut_bytes != 0) == (verdict.end == HF_READ_TORN));
    HF_FUZZ_CHECK(fuzz, hf_reader_next(reader, &view) == verdict.end); /* again at every call */
    hf_reader_close(reader);
    return verdict;
}

/* Mostly in the part that is in use, and often near its end. */
static size_t any_place(struct hf_fuzz *fuzz, const struct log *log)
{
    const uint32_t last = log->block_count - 1;
    switch (hf_fuzz_below(fuzz, 8)) {
    case 0:
        return (size_t)hf_fuzz_below(fuzz, LOG_BYTES);
    case 1:
        return (size_t)hf_fuzz_below(fuzz, SEGMENTS) * SEGMENT_BYTES +
               (size_t)hf_fuzz_below(fuzz, hf_fuzz_one_in(fuzz, 4) ? HF_SEGMENT_HEADER_BYTES : 64);
    case 2:
    case 3:
        return (size_t)hf_fuzz_below(fuzz, log->at[last] + log->blocks[last].block_bytes);
    default: {
        uint32_t index = last - (uint32_t)hf_fuzz_below(fuzz, last < 12 ? last : 12);
        return log->at[index] + (size_t)hf_fuzz_below(fuzz, log->blocks[index].block_bytes);
    }
    }
}

/* Bytes anywhere. */
static void spoil_anywhere(struct hf_fuzz *fuzz, struct log *log)
{
    size_t at = any_place(fuzz, log);
    size_t room = SEGMENT_BYTES - at % SEGMENT_BYTES;
    hf_fuzz_spoil(fuzz, log->now + at, room < 300 ? room : 300);
}

/* The last few blocks as a crash leaves them: of each sector the old bytes, zero, or the new. */
static void tear(struct hf_fuzz *fuzz, struct log *log)
{
    uint32_t count = 1 + (uint32_t)hf_fuzz_below(fuzz, HF_MAX_INFLIGHT);
    uint64_t kept_in = 1 + hf_fuzz_below(fuzz, 8);
    if (count > log->block_count)
        count = log->block_count;
    size_t from = log->at[log->block_count - count];
    size_t behind = log->at[log->block_count - 1] + log->blocks[log->block_count - 1].block_bytes;
    for (size_t at = from; at < behind; at += 512)
        if (at % SEGMENT_BYTES >= HF_SEGMENT_HEADER_BYTES && !hf_fuzz_one_in(fuzz, kept_in))
            memset(log->now + at, 0, 512);
}

/* A block's place is taken by a copy of another one. */
static void move_block(struct hf_fuzz *fuzz, struct log *log, uint32_t *place)
{
    uint32_t from = (uint32_t)hf_fuzz_below(fuzz, log->block_count);
    *place = (uint32_t)hf_fuzz_below(fuzz, log->block_count - 1);
    *place += *place >= from;
    size_t count = log->blocks[from].block_bytes;
    if (count > log->blocks[*place].block_bytes)
        count = log->blocks[*place].block_bytes;
    memcpy(log->now + log->at[*place], log->right + log->at[from], count);
}

/* A block with other fields, and right hashes over them. False: fields that no block can have. */
static bool forge(struct hf_fuzz *fuzz, struct log *log)
{
    uint32_t index = (uint32_t)hf_fuzz_below(fuzz, log->block_count);
    uint8_t *bytes = log->now + log->at[index];
    struct hf_block block;
    hf_fuzz_spoil(fuzz, bytes, HASHED_BYTES);
    forge_header(bytes);
    enum hf_block_fault fault = hf_block_read_header(bytes, &block);
    HF_FUZZ_CHECK(fuzz, fault != HF_BLOCK_BAD_HEADER_HASH);
    if (hf_fuzz_one_in(fuzz, 2) && fault == HF_BLOCK_VALID &&
        log->at[index] + block.block_bytes <= LOG_BYTES && block.record_count > 0) {
        hf_put_u64(bytes + 112, XXH3_64bits(bytes + HF_BLOCK_HEADER_BYTES,
                                            (size_t)block.record_count * HF_RECORD_BYTES));
        forge_header(bytes);
    }
    return fault == HF_BLOCK_VALID || fault == HF_BLOCK_BAD_MAGIC;
}

/* Writes what differs to the files; `mend`: puts it right again, in memory and in the files. */
static void sync_files(struct hf_fuzz *fuzz, struct log *log, bool mend)
{
    for (size_t at = 0; at < LOG_BYTES; at += HF_BLOCK_ALIGN_BYTES) {
        if (same(log, at, HF_BLOCK_ALIGN_BYTES))
            continue;
        if (mend)
            memcpy(log->now + at, log->right + at, HF_BLOCK_ALIGN_BYTES);
        write_files(fuzz, log, at, at + HF_BLOCK_ALIGN_BYTES);
    }
}

/* A file that is too short or too long, or missing with another one behind it. */
static void fuzz_file(struct hf_fuzz *fuzz, struct log *log)
{
    size_t segment = (size_t)hf_fuzz_below(fuzz, SEGMENTS);
    char path[2 * HF_DIRECTORY_TEXT_BYTES], away[2 * HF_DIRECTORY_TEXT_BYTES + 8];
    file_path(log, segment, path, sizeof path);
    if (segment + 1 < SEGMENTS && hf_fuzz_one_in(fuzz, 3)) {
        snprintf(away, sizeof away, "%s.away", path);
        HF_FUZZ_CHECK(fuzz, rename(path, away) == 0);
        HF_FUZZ_CHECK(fuzz, walk(fuzz, log, false).end == HF_READ_CORRUPT);
        HF_FUZZ_CHECK(fuzz, rename(away, path) == 0);
        return;
    }
    size_t bytes = (size_t)hf_fuzz_below(fuzz, 2 * SEGMENT_BYTES);
    bytes += bytes == SEGMENT_BYTES;
    HF_FUZZ_CHECK(fuzz, ftruncate(log->files[segment], (off_t)bytes) == 0);
    HF_FUZZ_CHECK(fuzz, walk(fuzz, log, false).end == HF_READ_CORRUPT);
    HF_FUZZ_CHECK(fuzz, ftruncate(log->files[segment], SEGMENT_BYTES) == 0);
    write_files(fuzz, log, segment * SEGMENT_BYTES, (segment + 1) * SEGMENT_BYTES);
}

/* Spoils the files in one way, walks them, mends them. Returns how the reader ended. */
static enum hf_read fuzz_files(struct hf_fuzz *fuzz, struct log *log)
{
    uint32_t place = 0;
    uint64_t way = hf_fuzz_below(fuzz, 8);
    if (way == 0) {
        fuzz_file(fuzz, log);
        return HF_READ_CORRUPT;
    }
    bool possible = true;
    if (way == 1)
        possible = forge(fuzz, log);
    else if (way == 2)
        move_block(fuzz, log, &place);
    else if (way <= 4)
        tear(fuzz, log);
    else
        spoil_anywhere(fuzz, log);
    sync_files(fuzz, log, false);

    struct verdict found = walk(fuzz, log, way == 1);
    if (way == 2) {
        HF_FUZZ_CHECK(fuzz, found.end == HF_READ_CORRUPT);
        HF_FUZZ_CHECK(fuzz, found.blocks == place);
    } else if (way == 1) {
        HF_FUZZ_CHECK(fuzz, possible || found.end == HF_READ_CORRUPT);
    } else {
        struct verdict right = judge_log(log);
        HF_FUZZ_CHECK(fuzz, found.blocks == right.blocks);
        HF_FUZZ_CHECK(fuzz, found.end == right.end);
    }
    sync_files(fuzz, log, true);
    return found.end;
}

int main(int argc, char **argv)
{
    static struct log log;
    struct hf_fuzz fuzz;
    uint64_t images = 0, ends[HF_READ_ERROR + 1] = {0};
    hf_fuzz_open(&fuzz, "fuzz_log", argc, argv);
    open_log(&fuzz, &log);
    struct verdict whole = walk(&fuzz, &log, false);
    HF_FUZZ_CHECK(&fuzz, whole.end == HF_READ_END && whole.blocks == log.block_count);
    for (uint64_t i = 0; i < fuzz.rounds; i++) {
        hf_fuzz_begin(&fuzz, fuzz.first + i);
        fuzz_block(&fuzz, &log);
        images += fuzz_image(&fuzz);
        if (fuzz.round % WALK_EVERY == 0)
            ends[fuzz_files(&fuzz, &log)]++;
    }
    close_log(&log);
    printf(
        "fuzz_log: ok, %llu images were accepted; of the spoiled logs %llu ended, %llu were torn, "
        "%llu corrupt\n",
        (unsigned long long)images, (unsigned long long)ends[HF_READ_END],
        (unsigned long long)ends[HF_READ_TORN], (unsigned long long)ends[HF_READ_CORRUPT]);
    return 0;
}
