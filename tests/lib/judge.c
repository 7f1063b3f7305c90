/* The judge; what it looks for is told in judge.h. */
#include "tests/lib/judge.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "tests/lib/stress.h"

#define QTY_DIFFERS UINT32_MAX

static void *allocate(size_t count, size_t bytes)
{
    void *memory = calloc(count != 0 ? count : 1, bytes);
    HF_CHECK(memory != NULL);
    return memory;
}

void hf_judge_open(struct hf_judge *judge, uint64_t first_lsn, uint64_t records,
                   uint32_t reservations, uint32_t inventories)
{
    *judge = (struct hf_judge){
        .next_lsn = first_lsn,
        .first_lsn = first_lsn,
        .reservation_count = reservations,
        .inventory_count = inventories,
        .reservations = allocate(reservations, sizeof *judge->reservations),
        .inventories = allocate(inventories, sizeof *judge->inventories),
        .grants = allocate(reservations, sizeof *judge->grants),
        .records = allocate(records, HF_RECORD_BYTES),
        .record_room = records,
    };
}

void hf_judge_close(struct hf_judge *judge)
{
    free(judge->reservations);
    free(judge->inventories);
    free(judge->grants);
    free(judge->records);
}

__attribute__((format(printf, 2, 3))) static const char *say(struct hf_judge *judge,
                                                             const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(judge->text, sizeof judge->text, format, arguments);
    va_end(arguments);
    return judge->text;
}

/* ---- record by record ---- */

static struct hf_judged_inventory *inventory_of(struct hf_judge *judge, uint64_t inventory_id)
{
    if (inventory_id == 0 || inventory_id > judge->inventory_count)
        return NULL;
    return &judge->inventories[inventory_id - 1];
}

static const char *judge_inventory(struct hf_judge *judge, const struct hf_image *image)
{
    unsigned long long lsn = image->lsn, id = image->inventory.inventory_id;
    struct hf_judged_inventory *inventory = inventory_of(judge, id);
    if (inventory == NULL)
        return say(judge, "LSN %llu: inventory %llu was never asked for", lsn, id);
    if (inventory->sell_limit != 0)
        return say(judge, "LSN %llu: inventory %llu is created a second time", lsn, id);
    if (image->inventory_sequence != 1 || image->inventory.sell_limit == 0)
        return say(judge, "LSN %llu: inventory %llu begins with sequence %u and limit %u", lsn, id,
                   image->inventory_sequence, image->inventory.sell_limit);
    inventory->sell_limit = image->inventory.sell_limit;
    return NULL;
}

static const char *judge_grant(struct hf_judge *judge, const struct hf_image *image,
                               struct hf_judged_inventory *inventory,
                               struct hf_judged_reservation *known, uint32_t number)
{
    unsigned long long lsn = image->lsn;
    const struct hf_reservation *made = &image->reservation;
    if (known->grant_lsn != 0)
        return say(judge, "LSN %llu: reservation %u is granted a second time, first at LSN %llu",
                   lsn, number, (unsigned long long)known->grant_lsn);
    if (made->sequence != 1 || made->state != HF_STATE_CONFIRMED ||
        made->changed_at_ns != made->made_at_ns)
        return say(judge, "LSN %llu: reservation %u begins as %s with sequence %u", lsn, number,
                   hf_state_name(made->state), made->sequence);
    inventory->active_units += made->qty;
    if (inventory->active_units > inventory->sell_limit)
        return say(judge,
                   "LSN %llu: inventory %llu has %u units active in this prefix of the log, the "
                   "limit is %u (NO-OVERSELL)",
                   lsn, (unsigned long long)made->inventory_id, inventory->active_units,
                   inventory->sell_limit);
    inventory->grants++;
    if (inventory->common_qty == 0)
        inventory->common_qty = made->qty;
    else if (inventory->common_qty != made->qty)
        inventory->common_qty = QTY_DIFFERS;
    judge->grants[judge->grant_count++] = (struct hf_judged_grant){
        .lsn = image->lsn,
        .inventory = (uint32_t)(inventory - judge->inventories),
        .version = image->notes.inventory_version,
    };
    known->grant_lsn = image->lsn;
    return NULL;
}

static const char *judge_cancel(struct hf_judge *judge, const struct hf_image *image,
                                struct hf_judged_inventory *inventory,
                                const struct hf_judged_reservation *known, uint32_t number)
{
    unsigned long long lsn = image->lsn;
    const struct hf_reservation *cancelled = &image->reservation, *before = &known->newest;
    if (known->grant_lsn == 0)
        return say(judge, "LSN %llu: reservation %u is cancelled before it is granted", lsn,
                   number);
    if (before->state != HF_STATE_CONFIRMED)
        return say(judge, "LSN %llu: reservation %u is cancelled a second time (RESOLVES-ONCE)",
                   lsn, number);
    if (cancelled->sequence != before->sequence + 1)
        return say(judge, "LSN %llu: sequence %u of reservation %u follows %u", lsn,
                   cancelled->sequence, number, before->sequence);
    if (cancelled->qty != before->qty || cancelled->customer_id != before->customer_id ||
        cancelled->inventory_id != before->inventory_id ||
        cancelled->made_at_ns != before->made_at_ns)
        return say(judge, "LSN %llu: reservation %u changed its parameters", lsn, number);
    if (cancelled->changed_at_ns < before->changed_at_ns)
        return say(judge, "LSN %llu: the date of reservation %u goes back", lsn, number);
    inventory->active_units -= cancelled->qty;
    inventory->cancels++;
    return NULL;
}

static const char *judge_reservation(struct hf_judge *judge, const struct hf_image *image)
{
    unsigned long long lsn = image->lsn;
    uint32_t number = hf_id_to_number(&image->reservation.id);
    struct hf_id id = hf_id_of_number(number);
    if (number >= judge->reservation_count || !hf_id_equal(&id, &image->reservation.id))
        return say(judge, "LSN %llu: a reservation that was never asked for", lsn);
    struct hf_judged_inventory *inventory = inventory_of(judge, image->reservation.inventory_id);
    if (inventory == NULL || inventory->sell_limit == 0)
        return say(judge, "LSN %llu: its inventory %llu does not exist in this prefix of the log",
                   lsn, (unsigned long long)image->reservation.inventory_id);
    struct hf_judged_reservation *known = &judge->reservations[number];
    const char *wrong = image->reservation.state == HF_STATE_CANCELLED
                            ? judge_cancel(judge, image, inventory, known, number)
                            : judge_grant(judge, image, inventory, known, number);
    known->newest = image->reservation;
    return wrong;
}

/* Units of an inventory can be had again. */
static const char *judge_event(struct hf_judge *judge, const struct hf_image *image)
{
    const struct hf_inventory *told = &image->inventory;
    const struct hf_judged_inventory *inventory = inventory_of(judge, told->inventory_id);
    if (inventory == NULL || inventory->sell_limit == 0)
        return say(judge, "LSN %llu: its inventory %llu does not exist in this prefix of the log",
                   (unsigned long long)image->lsn, (unsigned long long)told->inventory_id);
    if (told->available <= 0 || told->available > (int32_t)inventory->sell_limit)
        return say(judge, "LSN %llu: %d units of inventory %llu can be had again, of %u",
                   (unsigned long long)image->lsn, told->available,
                   (unsigned long long)told->inventory_id, inventory->sell_limit);
    return NULL;
}

const char *hf_judge_record(struct hf_judge *judge, const uint8_t *record)
{
    struct hf_image image;
    unsigned long long lsn = hf_get_u64(record);
    if (lsn != judge->next_lsn)
        return say(judge, "LSN %llu where %llu was due", lsn, (unsigned long long)judge->next_lsn);
    const char *fault = hf_image_decode(record, &image);
    if (fault != NULL)
        return say(judge, "LSN %llu: %s", lsn, fault);
    HF_CHECK(hf_judge_count(judge) < judge->record_room);
    memcpy(judge->records + hf_judge_count(judge) * HF_RECORD_BYTES, record, HF_RECORD_BYTES);
    judge->next_lsn++;
    switch (image.kind) {
    case HF_IMAGE_INVENTORY:
        return judge_inventory(judge, &image);
    case HF_IMAGE_RESERVATION:
        return judge_reservation(judge, &image);
    case HF_IMAGE_EVENT:
        return judge_event(judge, &image);
    }
    return NULL;
}

/* ---- the whole ---- */

static int compare_grants(const void *left, const void *right)
{
    const struct hf_judged_grant *a = left, *b = right;
    if (a->inventory != b->inventory)
        return a->inventory < b->inventory ? -1 : 1;
    return a->version < b->version ? -1 : a->version > b->version;
}

/* LSNs of the cancels of all inventories, sorted by inventory, then by LSN. */
struct cancels {
    uint64_t *lsns;
    uint32_t *first; /* by inventory; one more at the end */
};

static void collect_cancels(const struct hf_judge *judge, struct cancels *cancels)
{
    uint64_t count = hf_judge_count(judge);
    cancels->lsns = allocate(count, sizeof *cancels->lsns);
    cancels->first = allocate(judge->inventory_count + 1ull, sizeof *cancels->first);
    uint32_t *next = allocate(judge->inventory_count + 1ull, sizeof *next);
    for (uint32_t i = 0; i < judge->inventory_count; i++)
        cancels->first[i + 1] = cancels->first[i] + judge->inventories[i].cancels;
    memcpy(next, cancels->first, (judge->inventory_count + 1ull) * sizeof *next);
    for (uint64_t lsn = judge->first_lsn; lsn < judge->next_lsn; lsn++) {
        struct hf_image image = {0};
        hf_judge_image(judge, lsn, &image);
        if (image.kind == HF_IMAGE_RESERVATION && image.reservation.state == HF_STATE_CANCELLED)
            cancels->lsns[next[image.reservation.inventory_id - 1]++] = lsn;
    }
    free(next);
}

static uint32_t cancels_before(const struct cancels *cancels, uint32_t inventory, uint64_t lsn)
{
    uint32_t low = cancels->first[inventory], high = cancels->first[inventory + 1];
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (cancels->lsns[middle] < lsn)
            low = middle + 1;
        else
            high = middle;
    }
    return low - cancels->first[inventory];
}

/* Grant number `rank` (1: the first) of its inventory, by version. */
static const char *judge_order(struct hf_judge *judge, const struct hf_judged_grant *grant,
                               uint32_t rank, const struct cancels *cancels)
{
    unsigned long long lsn = grant->lsn;
    /* Version 1 is the creation's; every grant and every release added 1. */
    if (grant->version < 1 + rank)
        return say(judge, "LSN %llu: version %u is too low for grant %u of inventory %u", lsn,
                   grant->version, rank, grant->inventory + 1);
    if (rank > 1 && grant[-1].version == grant->version)
        return say(judge, "LSN %llu and %llu: two grants of inventory %u produced version %u", lsn,
                   (unsigned long long)grant[-1].lsn, grant->inventory + 1, grant->version);
    uint32_t released = grant->version - 1 - rank;
    uint32_t logged = cancels_before(cancels, grant->inventory, grant->lsn);
    if (released > logged)
        return say(judge,
                   "LSN %llu: this grant came after %u releases of inventory %u, of which only %u "
                   "have an earlier LSN (LSN-ORDER)",
                   lsn, released, grant->inventory + 1, logged);
    return NULL;
}

const char *hf_judge_finish(struct hf_judge *judge)
{
    qsort(judge->grants, judge->grant_count, sizeof *judge->grants, compare_grants);
    struct cancels cancels;
    collect_cancels(judge, &cancels);
    const char *wrong = NULL;
    uint32_t next = 0;
    for (uint32_t i = 0; i < judge->inventory_count && wrong == NULL; i++) {
        judge->inventories[i].first = next;
        for (uint32_t rank = 1; rank <= judge->inventories[i].grants && wrong == NULL; rank++)
            wrong = judge_order(judge, &judge->grants[next++], rank, &cancels);
    }
    free(cancels.lsns);
    free(cancels.first);
    return wrong;
}

/* How many grants of the inventory have at most this version. */
static uint32_t grants_until(const struct hf_judge *judge,
                             const struct hf_judged_inventory *inventory, uint32_t version)
{
    uint32_t low = inventory->first, high = inventory->first + inventory->grants;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (judge->grants[middle].version <= version)
            low = middle + 1;
        else
            high = middle;
    }
    return low - inventory->first;
}

const char *hf_judge_denial(struct hf_judge *judge, uint32_t number, uint64_t inventory_id,
                            uint32_t version)
{
    struct hf_image granted;
    HF_CHECK(number < judge->reservation_count);
    if (!hf_judge_image(judge, judge->reservations[number].grant_lsn, &granted) ||
        granted.reservation.inventory_id != inventory_id ||
        granted.notes.inventory_version > version)
        return NULL;
    return say(judge,
               "reservation %u was refused at version %u of inventory %llu, when its grant had "
               "made version %u (HONEST-NO)",
               number, version, (unsigned long long)inventory_id, granted.notes.inventory_version);
}

const char *hf_judge_refusal(struct hf_judge *judge, uint64_t inventory_id, uint32_t qty,
                             int32_t available, uint32_t version)
{
    const struct hf_judged_inventory *inventory = inventory_of(judge, inventory_id);
    unsigned long long id = inventory_id;
    if (inventory == NULL)
        return say(judge, "inventory %llu was never asked for", id);
    if (available >= (int32_t)qty || available < 0)
        return say(judge, "%u units of inventory %llu were refused as there were %d (HONEST-NO)",
                   qty, id, available);
    if (version == 0 || version > 1 + inventory->grants + inventory->cancels)
        return say(judge, "a refusal saw version %u of inventory %llu, which never was", version,
                   id);
    if (inventory->common_qty == 0 || inventory->common_qty == QTY_DIFFERS)
        return NULL;
    uint32_t grants = grants_until(judge, inventory, version);
    uint32_t releases = version - 1 - grants;
    int64_t active = ((int64_t)grants - releases) * inventory->common_qty;
    if (available != (int64_t)inventory->sell_limit - active)
        return say(judge,
                   "a refusal saw %d units of inventory %llu at version %u, when there were %lld "
                   "(HONEST-NO)",
                   available, id, version, (long long)inventory->sell_limit - (long long)active);
    return NULL;
}

bool hf_judge_image(const struct hf_judge *judge, uint64_t lsn, struct hf_image *image)
{
    if (lsn < judge->first_lsn || lsn >= judge->next_lsn)
        return false;
    return hf_image_decode(judge->records + (lsn - judge->first_lsn) * HF_RECORD_BYTES, image) ==
           NULL;
}

uint64_t hf_judge_count(const struct hf_judge *judge)
{
    return judge->next_lsn - judge->first_lsn;
}

const uint8_t *hf_judge_records(const struct hf_judge *judge)
{
    return judge->records;
}
