/* Holds. See holds.h. */
#include "bench/holds.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"

/* Requests in flight on each connection: few of those that are made with a deadline in mind, so that
 * it is not long on its way. */
#define DEPTH      HF_DRIVE_DEPTH
#define MAKE_DEPTH 64
#define ID_VARIANT (1ull << 63) /* of RFC 9562, in the second half */
#define ID_OTHERS  (1ull << 56)

enum fate { FATE_LAPSES, FATE_RACED, FATE_CONFIRMED, FATE_EXTENDED };

/* ---- what follows from the number ---- */

static uint64_t mix(uint64_t key)
{
    key = (key ^ (key >> 30)) * 0xbf58476d1ce4e5b9ull;
    key = (key ^ (key >> 27)) * 0x94d049bb133111ebull;
    return key ^ (key >> 31);
}

int hf_holds_open(struct hf_holds *holds)
{
    holds->deadlines_ns = calloc(holds->count, sizeof *holds->deadlines_ns);
    return holds->deadlines_ns != NULL ? 0 : -ENOMEM;
}

void hf_holds_close(struct hf_holds *holds)
{
    free(holds->deadlines_ns);
}

static enum fate fate_of(const struct hf_holds *holds, uint32_t number)
{
    if (number < holds->alone)
        return FATE_LAPSES;
    if (number < holds->alone + holds->raced)
        return FATE_RACED;
    uint32_t dice = (uint32_t)(mix(holds->seed ^ ~(uint64_t)number) % 100);
    if (dice < holds->confirmed_percent)
        return FATE_CONFIRMED;
    return dice < holds->confirmed_percent + holds->extended_percent ? FATE_EXTENDED : FATE_LAPSES;
}

uint32_t hf_holds_place(const struct hf_holds *holds, uint32_t number)
{
    return number < holds->alone ? holds->shared + number : number % holds->shared;
}

/* Units of an inventory. */
static uint32_t capacity_of(const struct hf_holds *holds, uint32_t place)
{
    return place < holds->shared ? holds->count / holds->shared + 1 : 1;
}

struct hf_id hf_holds_id(const struct hf_holds *holds, uint32_t number, bool others_claim)
{
    struct hf_id id = {{0}};
    hf_put_u64(id.bytes, holds->id_high);
    hf_put_u64(id.bytes + 8,
               __builtin_bswap64(ID_VARIANT | (others_claim ? ID_OTHERS : 0) | number));
    return id;
}

bool hf_holds_number(const struct hf_holds *holds, const struct hf_id *id, uint32_t *number,
                     bool *others_claim)
{
    uint64_t low = __builtin_bswap64(hf_get_u64(id->bytes + 8));
    *number = (uint32_t)low;
    *others_claim = (low & ID_OTHERS) != 0;
    return hf_get_u64(id->bytes) == holds->id_high &&
           (low & ~ID_OTHERS) == (ID_VARIANT | *number) &&
           *number < (*others_claim ? holds->alone : holds->count);
}

/* The deadline that it is to get; the server stamps the one that it has. */
static uint64_t wanted_ns(const struct hf_holds *holds, uint32_t number)
{
    return holds->begin_ns + mix(holds->seed + number) % (holds->end_ns - holds->begin_ns + 1);
}

/* The time from now until then, as far as there is any. */
static uint64_t ttl_until(const struct hf_holds *holds, uint64_t date_ns)
{
    uint64_t now_ns = hf_server_time_now_ns(holds->time);
    return date_ns > now_ns ? date_ns - now_ns : 1;
}

static bool complain(const struct hf_reply *reply, const char *what, uint64_t number)
{
    fprintf(stderr, "%s: %s %" PRIu64 ": %s: %s%s%s\n", program_invocation_short_name, what, number,
            hf_result_name(reply->result), hf_result_meaning(reply->result),
            reply->field ? ": " : "", reply->field ? hf_field_name(reply->field) : "");
    if (reply->result == HF_HOLD_EXPIRED)
        fprintf(stderr, "%s: it takes long to make the holds: give it time, with --from and --to\n",
                program_invocation_short_name);
    return false;
}

/* ---- inventories ---- */

static void ask_create(void *context, uint32_t place, struct hf_request *request)
{
    const struct hf_holds *holds = context;
    request->operation = HF_OP_INVENTORY_CREATE;
    request->inventory_id = holds->first_inventory_id + place;
    request->product_id = 1;
    request->capacity = capacity_of(holds, place);
}

static bool take_created(void *context, uint32_t place, const struct hf_reply *reply)
{
    const struct hf_holds *holds = context;
    if (reply->result == HF_CREATED)
        return true;
    complain(reply, "inventory", holds->first_inventory_id + place);
    if (reply->result == HF_INVENTORIES_FULL)
        fprintf(stderr, "%s: start the server with a larger --max-inventories\n",
                program_invocation_short_name);
    return false;
}

bool hf_holds_make_inventories(struct hf_holds *holds, struct hf_drive *drive)
{
    const struct hf_drive_work work = {.count = hf_holds_inventories(holds),
                                       .ask = ask_create,
                                       .take = take_created,
                                       .context = holds};
    return hf_drive_run(drive, &work, DEPTH);
}

/* ---- holds ---- */

static void ask_hold(void *context, uint32_t number, struct hf_request *request)
{
    const struct hf_holds *holds = context;
    request->operation = HF_OP_HOLD;
    request->id = hf_holds_id(holds, number, false);
    request->inventory_id = holds->first_inventory_id + hf_holds_place(holds, number);
    request->customer_id = 1 + (uint64_t)number;
    request->qty = 1;
    request->ttl_ns = ttl_until(holds, wanted_ns(holds, number));
}

static bool take_hold(void *context, uint32_t number, const struct hf_reply *reply)
{
    struct hf_holds *holds = context;
    const struct hf_reservation *hold = &reply->reservation;
    if (reply->result != HF_GRANTED || hold->state != HF_STATE_HELD || reply->repeated ||
        hold->deadline_ns <= hold->made_at_ns) {
        complain(reply, "hold", number);
        if (reply->result == HF_RESERVATIONS_FULL)
            fprintf(stderr, "%s: start the server with a larger --max-reservations\n",
                    program_invocation_short_name);
        return false;
    }
    holds->deadlines_ns[number] = hold->deadline_ns;
    return true;
}

bool hf_holds_make(struct hf_holds *holds, struct hf_drive *drive)
{
    const struct hf_drive_work work = {
        .count = holds->count, .ask = ask_hold, .take = take_hold, .context = holds};
    return hf_drive_run(drive, &work, MAKE_DEPTH);
}

/* ---- what becomes of some before their deadline ---- */

/* Those of one fate, by their order among these. */
struct chosen {
    struct hf_holds *holds;
    uint32_t *numbers;
    uint32_t count;
};

static bool choose(struct hf_holds *holds, enum fate fate, struct chosen *chosen)
{
    *chosen = (struct chosen){.holds = holds, .numbers = calloc(holds->count, sizeof(uint32_t))};
    if (chosen->numbers == NULL) {
        fprintf(stderr, "%s: out of memory\n", program_invocation_short_name);
        return false;
    }
    for (uint32_t number = 0; number < holds->count; number++)
        if (fate_of(holds, number) == fate)
            chosen->numbers[chosen->count++] = number;
    return true;
}

/* Some time between the deadline that it has and the last of all. */
static void ask_extend(void *context, uint32_t place, struct hf_request *request)
{
    const struct chosen *chosen = context;
    const struct hf_holds *holds = chosen->holds;
    uint32_t number = chosen->numbers[place];
    uint64_t deadline_ns = holds->deadlines_ns[number];
    uint64_t room_ns = holds->end_ns > deadline_ns ? holds->end_ns - deadline_ns : 0;
    request->operation = HF_OP_EXTEND;
    request->id = hf_holds_id(holds, number, false);
    request->expected = 1;
    request->ttl_ns = ttl_until(holds, deadline_ns + mix(number) % (room_ns + 1));
}

static bool take_extended(void *context, uint32_t place, const struct hf_reply *reply)
{
    const struct chosen *chosen = context;
    uint32_t number = chosen->numbers[place];
    uint64_t *deadline_ns = &chosen->holds->deadlines_ns[number];
    if (reply->result != HF_EXTENDED || reply->reservation.deadline_ns < *deadline_ns)
        return complain(reply, "extension of hold", number);
    *deadline_ns = reply->reservation.deadline_ns;
    return true;
}

static void ask_confirm(void *context, uint32_t place, struct hf_request *request)
{
    const struct chosen *chosen = context;
    request->operation = HF_OP_CONFIRM;
    request->id = hf_holds_id(chosen->holds, chosen->numbers[place], false);
}

static bool take_confirmed(void *context, uint32_t place, const struct hf_reply *reply)
{
    const struct chosen *chosen = context;
    if (reply->result == HF_CONFIRMED && reply->reservation.state == HF_STATE_CONFIRMED)
        return true;
    return complain(reply, "confirmation of hold", chosen->numbers[place]);
}

static bool drive_chosen(struct hf_holds *holds, struct hf_drive *drive, enum fate fate,
                         struct hf_drive_work work)
{
    struct chosen chosen;
    if (!choose(holds, fate, &chosen))
        return false;
    work.context = &chosen;
    work.count = chosen.count;
    bool right = hf_drive_run(drive, &work, MAKE_DEPTH);
    free(chosen.numbers);
    return right;
}

bool hf_holds_extend(struct hf_holds *holds, struct hf_drive *drive)
{
    const struct hf_drive_work work = {.ask = ask_extend, .take = take_extended};
    return drive_chosen(holds, drive, FATE_EXTENDED, work);
}

bool hf_holds_confirm(struct hf_holds *holds, struct hf_drive *drive)
{
    const struct hf_drive_work work = {.ask = ask_confirm, .take = take_confirmed};
    return drive_chosen(holds, drive, FATE_CONFIRMED, work);
}

/* ---- CONSERVATION ---- */

static void ask_inventory(void *context, uint32_t place, struct hf_request *request)
{
    const struct hf_holds *holds = context;
    request->operation = HF_OP_INVENTORY_GET;
    request->inventory_id = holds->first_inventory_id + place;
}

static bool take_inventory(void *context, uint32_t place, const struct hf_reply *reply)
{
    const struct hf_holds *holds = context;
    const struct hf_inventory *inventory = &reply->inventory;
    uint32_t confirmed = holds->confirmed_in[place];
    uint32_t free_units = capacity_of(holds, place) - confirmed;
    if (reply->result != HF_FOUND)
        return complain(reply, "inventory", holds->first_inventory_id + place);
    if (inventory->held == 0 && inventory->confirmed == confirmed &&
        inventory->available == (int32_t)free_units)
        return true;
    fprintf(stderr,
            "%s: inventory %" PRIu64 " has %d units available, %u held, %u confirmed: %u, 0 and %u "
            "are right\n",
            program_invocation_short_name, inventory->inventory_id, inventory->available,
            inventory->held, inventory->confirmed, free_units, confirmed);
    return false;
}

bool hf_holds_check_units(struct hf_holds *holds, struct hf_drive *drive,
                          const uint32_t *confirmed_in)
{
    const struct hf_drive_work work = {.count = hf_holds_inventories(holds),
                                       .ask = ask_inventory,
                                       .take = take_inventory,
                                       .context = holds};
    holds->confirmed_in = confirmed_in;
    return hf_drive_run(drive, &work, DEPTH);
}
