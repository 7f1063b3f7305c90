/* The annals; see annals.h. Whom a record is about is 17 bytes: its kind, and the id that follows. */
#include "tests/lib/annals.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/bytes.h"
#include "base/check.h"
#include "wal/io.h"
#include "wal/reader.h"
#include "wal/record.h"
#include "wal/segment_header.h"

struct noun {
    uint8_t bytes[17];
};

static struct noun noun_of_inventory(uint64_t inventory_id)
{
    struct noun noun = {.bytes = {HF_IMAGE_INVENTORY}};
    hf_put_u64(noun.bytes + 1, inventory_id);
    return noun;
}

static struct noun noun_of_reservation(const void *id)
{
    struct noun noun = {.bytes = {HF_IMAGE_RESERVATION}};
    memcpy(noun.bytes + 1, id, 16);
    return noun;
}

static const uint8_t *record_at(const struct hf_annals *annals, uint64_t lsn)
{
    return annals->records + (lsn - 1) * HF_RECORD_BYTES;
}

static struct noun noun_of_record(const uint8_t *record)
{
    if (record[8] == HF_IMAGE_RESERVATION)
        return noun_of_reservation(record + HF_IMAGE_ID);
    return noun_of_inventory(hf_get_u64(record + HF_IMAGE_ID));
}

/* The slot of a noun, or the free one where it belongs. */
static uint64_t *slot_of(const struct hf_annals *annals, const struct noun *noun)
{
    uint64_t at = XXH3_64bits(noun, sizeof *noun);
    for (;; at++) {
        uint64_t *slot = &annals->newest[at & annals->slot_mask];
        if (*slot == 0)
            return slot;
        struct noun other = noun_of_record(record_at(annals, *slot));
        if (memcmp(&other, noun, sizeof other) == 0)
            return slot;
    }
}

static void grow_slots(struct hf_annals *annals)
{
    uint64_t *old = annals->newest;
    uint64_t old_count = old ? annals->slot_mask + 1 : 0;
    uint64_t count = old_count ? old_count * 2 : 4096;
    annals->newest = calloc(count, sizeof *annals->newest);
    HF_CHECK(annals->newest);
    annals->slot_mask = count - 1;
    for (uint64_t i = 0; i < old_count; i++)
        if (old[i] != 0) {
            struct noun noun = noun_of_record(record_at(annals, old[i]));
            *slot_of(annals, &noun) = old[i];
        }
    free(old);
}

static void grow_records(struct hf_annals *annals)
{
    annals->room = annals->room ? annals->room * 2 : 4096;
    annals->records = realloc(annals->records, annals->room * HF_RECORD_BYTES);
    annals->earlier = realloc(annals->earlier, annals->room * sizeof *annals->earlier);
    annals->later = realloc(annals->later, annals->room * sizeof *annals->later);
    HF_CHECK(annals->records && annals->earlier && annals->later);
}

static const char *take_in(struct hf_annals *annals, const uint8_t *record)
{
    struct hf_image image;
    const char *reason = hf_image_decode(record, &image);
    uint64_t lsn = annals->last_lsn + 1;
    if (reason || image.lsn != lsn) {
        snprintf(annals->text, sizeof annals->text, "the record at LSN %llu: %s",
                 (unsigned long long)lsn, reason ? reason : "another LSN");
        return annals->text;
    }
    if (annals->last_lsn == annals->room)
        grow_records(annals);
    if (2 * annals->noun_count >= annals->slot_mask)
        grow_slots(annals);
    memcpy(annals->records + (lsn - 1) * HF_RECORD_BYTES, record, HF_RECORD_BYTES);
    annals->earlier[lsn - 1] = 0;
    annals->later[lsn - 1] = 0;
    annals->last_lsn = lsn;
    uint64_t at_ns = image.kind == HF_IMAGE_RESERVATION ? image.reservation.changed_at_ns
                     : image.kind == HF_IMAGE_INVENTORY ? image.inventory_changed_at_ns
                                                        : image.event_at_ns;
    annals->time_ns = at_ns > annals->time_ns ? at_ns : annals->time_ns;
    if (image.kind == HF_IMAGE_EVENT)
        return NULL;
    struct noun noun = noun_of_record(record);
    uint64_t *slot = slot_of(annals, &noun);
    annals->noun_count += *slot == 0;
    annals->earlier[lsn - 1] = *slot;
    if (*slot)
        annals->later[*slot - 1] = lsn;
    *slot = lsn;
    return NULL;
}

/* ---- the files ---- */

__attribute__((format(printf, 2, 3))) static const char *say(struct hf_annals *annals,
                                                             const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(annals->text, sizeof annals->text, format, arguments);
    va_end(arguments);
    return annals->text;
}

static const char *compare(struct hf_annals *annals, const struct hf_block_view *view)
{
    for (uint32_t i = 0; i < view->header.record_count; i++) {
        uint64_t lsn = view->header.first_lsn + i;
        if (lsn > annals->last_lsn ||
            memcmp(record_at(annals, lsn), view->records + (size_t)i * HF_RECORD_BYTES,
                   HF_RECORD_BYTES) != 0)
            return say(annals, "the record at LSN %llu is not the one it was",
                       (unsigned long long)lsn);
    }
    return NULL;
}

/* The log goes on at the beginning of a segment, behind this block. */
static void note_start(struct hf_annals *annals, uint64_t segment, const struct hf_block *last)
{
    if (segment > annals->starts_room) {
        annals->starts_room = 2 * segment + 16;
        annals->starts = realloc(annals->starts, annals->starts_room * sizeof *annals->starts);
        HF_CHECK(annals->starts);
    }
    annals->segment = segment;
    annals->starts[segment - 1] = (struct hf_log_start){
        .segment = segment,
        .epoch = last->epoch,
        .sequence = last->sequence,
        .previous_hash = last->header_hash,
        .next_lsn = last->first_lsn + last->record_count,
        .written_at_ns = last->written_at_ns,
    };
}

static const char *enter_new(struct hf_annals *annals, const struct hf_block_view *view,
                             uint64_t segment_bytes)
{
    const struct hf_block *block = &view->header;
    const char *wrong = NULL;
    for (uint32_t i = 0; !wrong && i < block->record_count; i++)
        wrong = take_in(annals, view->records + (size_t)i * HF_RECORD_BYTES);
    annals->sequence = block->sequence;
    if (block->offset + (uint64_t)block->block_bytes == segment_bytes)
        note_start(annals, block->segment + 1, block);
    if (!wrong && annals->on_block)
        wrong = annals->on_block(annals->context, view);
    return wrong;
}

static const char *read_blocks(struct hf_annals *annals, struct hf_reader *reader)
{
    const struct hf_log_files *files = hf_reader_files(reader);
    struct hf_block_view view;
    uint64_t sequence = annals->starts[files->first_segment - 1].sequence;
    enum hf_read status = HF_READ_BLOCK;
    const char *wrong = NULL;
    while (!wrong && (status = hf_reader_next(reader, &view)) == HF_READ_BLOCK) {
        sequence = view.header.sequence;
        wrong = sequence <= annals->sequence ? compare(annals, &view)
                                             : enter_new(annals, &view, files->segment_bytes);
    }
    if (wrong)
        return wrong;
    if (status == HF_READ_CORRUPT || status == HF_READ_ERROR)
        return say(annals, "%s", hf_reader_finding(reader)->text);
    if (sequence < annals->sequence)
        return say(annals, "the log ends with block %llu, and had %llu before",
                   (unsigned long long)sequence, (unsigned long long)annals->sequence);
    return NULL;
}

static bool segment_exists(const char *directory, uint64_t number)
{
    char path[4096], name[HF_SEGMENT_NAME_BYTES];
    if (number == 0)
        return false;
    hf_segment_name_format(number, name);
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return access(path, F_OK) == 0;
}

/* The segment to begin with: that of the last place, or the oldest from which on none is missing. 0:
 * what was not read yet is gone. */
static uint64_t first_to_read(const struct hf_annals *annals, const char *directory, bool all)
{
    uint64_t first = annals->segment;
    if (first > 1 && !segment_exists(directory, first))
        first--; /* the next one is not there yet */
    if (first > 1 && !segment_exists(directory, first))
        return 0;
    while (all && segment_exists(directory, first - 1))
        first--;
    return first;
}

static const char *read_from(struct hf_annals *annals, const char *directory, bool all)
{
    struct hf_finding finding;
    struct hf_reader *reader;
    const char *wrong = NULL;
    uint64_t first = first_to_read(annals, directory, all);
    if (first == 0)
        return say(annals, "segment %llu is gone before it was read",
                   (unsigned long long)annals->segment);
    if (hf_reader_open(hf_io_posix(), directory, true, &annals->starts[first - 1], &reader,
                       &finding) < 0)
        return say(annals, "%s", finding.text);
    if (hf_reader_files(reader)->last_segment == 0)
        goto close_reader; /* there is no log yet */
    const uint8_t *log_id = hf_reader_files(reader)->log_id;
    if (annals->sequence == 0)
        memcpy(annals->log_id, log_id, sizeof annals->log_id);
    else if (memcmp(annals->log_id, log_id, sizeof annals->log_id) != 0)
        wrong = say(annals, "segment %llu is of another log", (unsigned long long)first);
    if (!wrong)
        wrong = read_blocks(annals, reader);
close_reader:
    hf_reader_close(reader);
    return wrong;
}

/* Nothing goes as long as this is open. -1: no server ever made the file. */
static int hold_keep(const char *directory)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/keep", directory);
    int keep = open(path, O_RDONLY | O_CLOEXEC);
    while (keep >= 0 && flock(keep, LOCK_SH) != 0)
        HF_CHECK(errno == EINTR);
    return keep;
}

static const char *read_held(struct hf_annals *annals, const char *directory, bool all)
{
    if (annals->segment == 0)
        note_start(annals, 1, &(struct hf_block){.first_lsn = 1});
    int keep = hold_keep(directory);
    const char *wrong = read_from(annals, directory, all);
    if (keep >= 0)
        close(keep);
    return wrong;
}

const char *hf_annals_follow(struct hf_annals *annals, const char *directory)
{
    return read_held(annals, directory, false);
}

const char *hf_annals_read(struct hf_annals *annals, const char *directory)
{
    return read_held(annals, directory, true);
}

static const char *compare_blocks(struct hf_annals *annals, struct hf_reader *reader,
                                  uint64_t segment)
{
    struct hf_block_view view;
    uint64_t sequence = annals->starts[segment - 1].sequence;
    const char *wrong = NULL;
    while (!wrong && sequence < annals->starts[segment].sequence) {
        if (hf_reader_next(reader, &view) != HF_READ_BLOCK)
            return say(annals, "%s", hf_reader_finding(reader)->text);
        sequence = view.header.sequence;
        wrong = compare(annals, &view);
    }
    return wrong;
}

const char *hf_annals_compare_segment(struct hf_annals *annals, const char *directory,
                                      uint64_t segment)
{
    struct hf_finding finding;
    struct hf_reader *reader;
    if (segment >= annals->segment)
        return say(annals, "segment %llu was not read to its end", (unsigned long long)segment);
    if (hf_reader_open(hf_io_posix(), directory, false, &annals->starts[segment - 1], &reader,
                       &finding) != 0)
        return say(annals, "%s", finding.text);
    const char *wrong = compare_blocks(annals, reader, segment);
    hf_reader_close(reader);
    return wrong;
}

void hf_annals_close(struct hf_annals *annals)
{
    free(annals->records);
    free(annals->earlier);
    free(annals->later);
    free(annals->newest);
    free(annals->starts);
    *annals = (struct hf_annals){0};
}

bool hf_annals_image(const struct hf_annals *annals, uint64_t lsn, struct hf_image *image)
{
    if (lsn == 0 || lsn > annals->last_lsn)
        return false;
    return hf_image_decode(record_at(annals, lsn), image) == NULL;
}

static uint64_t newest_of(const struct hf_annals *annals, const struct noun *noun)
{
    return annals->newest ? *slot_of(annals, noun) : 0;
}

uint64_t hf_annals_of(const struct hf_annals *annals, const struct hf_id *id)
{
    struct noun noun = noun_of_reservation(id->bytes);
    return newest_of(annals, &noun);
}

uint64_t hf_annals_of_inventory(const struct hf_annals *annals, uint64_t inventory_id)
{
    struct noun noun = noun_of_inventory(inventory_id);
    return newest_of(annals, &noun);
}

uint64_t hf_annals_up_to(const struct hf_annals *annals, const struct hf_id *id, uint64_t lsn)
{
    uint64_t at = hf_annals_of(annals, id);
    while (at > lsn)
        at = hf_annals_earlier(annals, at);
    return at;
}

uint64_t hf_annals_earlier(const struct hf_annals *annals, uint64_t lsn)
{
    return annals->earlier[lsn - 1];
}

uint64_t hf_annals_later(const struct hf_annals *annals, uint64_t lsn)
{
    return annals->later[lsn - 1];
}
