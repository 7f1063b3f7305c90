/* The annals; see annals.h. Whom a record is about is 17 bytes: its kind, and the id that follows. */
#include "tests/lib/annals.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/bytes.h"
#include "base/check.h"
#include "wal/io.h"
#include "wal/reader.h"
#include "wal/record.h"

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

/* One record more of the log: known already, and the same; or new. */
static const char *enter(struct hf_annals *annals, uint64_t lsn, const uint8_t *record)
{
    if (lsn > annals->last_lsn)
        return take_in(annals, record);
    if (memcmp(record_at(annals, lsn), record, HF_RECORD_BYTES) == 0)
        return NULL;
    snprintf(annals->text, sizeof annals->text, "the record at LSN %llu is not the one it was",
             (unsigned long long)lsn);
    return annals->text;
}

static const char *read_all(struct hf_annals *annals, struct hf_reader *reader)
{
    struct hf_block_view view;
    uint64_t lsn = 0;
    enum hf_read status = HF_READ_BLOCK;
    const char *wrong = NULL;
    while (!wrong && (status = hf_reader_next(reader, &view)) == HF_READ_BLOCK)
        for (uint32_t i = 0; !wrong && i < view.header.record_count; i++)
            wrong = enter(annals, ++lsn, view.records + (size_t)i * HF_RECORD_BYTES);
    if (wrong)
        return wrong;
    if (status == HF_READ_CORRUPT || status == HF_READ_ERROR)
        snprintf(annals->text, sizeof annals->text, "%s", hf_reader_finding(reader)->text);
    else if (lsn < annals->last_lsn)
        snprintf(annals->text, sizeof annals->text,
                 "the log ends at LSN %llu, and went to %llu before", (unsigned long long)lsn,
                 (unsigned long long)annals->last_lsn);
    else
        return NULL;
    return annals->text;
}

const char *hf_annals_read(struct hf_annals *annals, const char *directory)
{
    struct hf_finding finding;
    struct hf_reader *reader;
    if (hf_reader_open(hf_io_posix(), directory, true, NULL, &reader, &finding) < 0) {
        snprintf(annals->text, sizeof annals->text, "%s", finding.text);
        return annals->text;
    }
    const char *wrong = read_all(annals, reader);
    hf_reader_close(reader);
    return wrong;
}

void hf_annals_close(struct hf_annals *annals)
{
    free(annals->records);
    free(annals->earlier);
    free(annals->later);
    free(annals->newest);
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
