/*
 * The model: what the clients of a server know. See model.h.
 *
 * A reservation's life in here: it is added; asked for (`unanswered` counts requests in flight);
 * then some answer reveals that it exists (learn_grant) and perhaps that it is cancelled
 * (learn_cancel). Requests that end without an answer leave *_unknown marks, which only a request
 * with the purpose RESOLVE takes away: it is alone, so its answer is the whole truth.
 */
#include "tests/lib/model.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"

#define CHUNK_RESERVATIONS 4096u
#define MAX_CHUNKS         8192u
#define MAX_INVENTORIES    65536u
#define NOT_ACTIVE         UINT32_MAX

/* A refusal, until the cycle that it belongs to is judged. */
struct refusal {
    const struct hf_model_inventory *inventory;
    const struct hf_model_reservation *reservation;
    uint32_t qty;
    uint64_t asked_ns, answered_ns;
};

/* From `at_ns` on, `units` more (or fewer) were possibly held. */
struct step {
    uint32_t inventory;
    uint64_t at_ns;
    int64_t units;
};

struct hf_model {
    struct hf_model_reservation *chunks[MAX_CHUNKS];
    uint32_t reservation_count;
    struct hf_model_inventory *inventories[MAX_INVENTORIES];
    uint32_t inventory_count;

    struct hf_model_reservation **touched;
    uint32_t touched_count, touched_room;
    struct refusal *refusals;
    uint32_t refusal_count, refusal_room;

    /* Who owns an LSN: 1 + 2 * index + (1 if it is the cancel), negative for an inventory. */
    int64_t *lsn_owners;
    uint64_t lsn_room;

    struct hf_model_request *free_requests;
    struct hf_model_figures figures;
    uint64_t
        forgotten_until_ns; /* NOT_FOUND is right for what was cancelled at this date or before */
    char violation[600];
};

/* Room for one more element; the array moves. */
static void *grow(void *array, uint32_t count, uint32_t *room, size_t element_bytes)
{
    if (count < *room)
        return array;
    *room = *room ? *room * 2 : 64;
    array = realloc(array, *room * element_bytes);
    HF_CHECK(array);
    return array;
}

struct hf_model *hf_model_open(void)
{
    struct hf_model *model = calloc(1, sizeof *model);
    HF_CHECK(model);
    return model;
}

void hf_model_close(struct hf_model *model)
{
    for (uint32_t i = 0; i < model->reservation_count; i += CHUNK_RESERVATIONS)
        free(model->chunks[i / CHUNK_RESERVATIONS]);
    for (uint32_t i = 0; i < model->inventory_count; i++) {
        free(model->inventories[i]->active);
        free(model->inventories[i]);
    }
    while (model->free_requests) {
        struct hf_model_request *request = model->free_requests;
        model->free_requests = request->next_free;
        free(request);
    }
    free(model->touched);
    free(model->refusals);
    free(model->lsn_owners);
    free(model);
}

void hf_model_contradict(struct hf_model *model, const char *format, ...)
{
    va_list arguments;
    if (model->violation[0])
        return;
    va_start(arguments, format);
    vsnprintf(model->violation, sizeof model->violation, format, arguments);
    va_end(arguments);
}

const char *hf_model_violation(const struct hf_model *model)
{
    return model->violation[0] ? model->violation : NULL;
}

const struct hf_model_figures *hf_model_figures(const struct hf_model *model)
{
    return &model->figures;
}

struct hf_model_inventory *hf_model_add_inventory(struct hf_model *model, uint32_t capacity)
{
    struct hf_model_inventory *inventory = calloc(1, sizeof *inventory);
    HF_CHECK(inventory && model->inventory_count < MAX_INVENTORIES);
    inventory->index = model->inventory_count;
    inventory->inventory_id = inventory->index + 1;
    inventory->product_id = 1000000 + inventory->index / 10;
    inventory->capacity = capacity;
    model->inventories[model->inventory_count++] = inventory;
    return inventory;
}

struct hf_model_reservation *hf_model_add_reservation(struct hf_model *model,
                                                      struct hf_model_inventory *inventory,
                                                      uint64_t customer_id, uint32_t qty)
{
    uint32_t index = model->reservation_count++;
    uint32_t chunk = index / CHUNK_RESERVATIONS;
    HF_CHECK(chunk < MAX_CHUNKS);
    if (!model->chunks[chunk])
        model->chunks[chunk] = calloc(CHUNK_RESERVATIONS, sizeof *model->chunks[chunk]);
    HF_CHECK(model->chunks[chunk]);
    struct hf_model_reservation *reservation = &model->chunks[chunk][index % CHUNK_RESERVATIONS];
    hf_id_make(&reservation->id);
    reservation->inventory = inventory;
    reservation->customer_id = customer_id;
    reservation->qty = qty;
    reservation->index = index;
    reservation->active_index = NOT_ACTIVE;
    model->figures.reservations++;
    return reservation;
}

uint32_t hf_model_inventory_count(const struct hf_model *model)
{
    return model->inventory_count;
}

struct hf_model_inventory *hf_model_inventory(const struct hf_model *model, uint32_t index)
{
    return model->inventories[index];
}

uint32_t hf_model_reservation_count(const struct hf_model *model)
{
    return model->reservation_count;
}

struct hf_model_reservation *hf_model_reservation(const struct hf_model *model, uint32_t index)
{
    return &model->chunks[index / CHUNK_RESERVATIONS][index % CHUNK_RESERVATIONS];
}

uint32_t hf_model_touched_count(const struct hf_model *model)
{
    return model->touched_count;
}

struct hf_model_reservation *hf_model_touched(const struct hf_model *model, uint32_t index)
{
    return model->touched[index];
}

static const char *id_text(const struct hf_model_reservation *reservation)
{
    static char text[HF_ID_TEXT_BYTES];
    hf_id_format(&reservation->id, text);
    return text;
}

/* Surely active from now on. NO-OVERSELL: all in the list are so at this instant. */
static void activate(struct hf_model *model, struct hf_model_reservation *reservation)
{
    struct hf_model_inventory *inventory = reservation->inventory;
    if (reservation->active_index != NOT_ACTIVE)
        return;
    inventory->active = grow(inventory->active, inventory->active_count, &inventory->active_room,
                             sizeof *inventory->active);
    reservation->active_index = inventory->active_count;
    inventory->active[inventory->active_count++] = reservation;
    inventory->active_units += reservation->qty;
    if (inventory->active_units > inventory->capacity)
        hf_model_contradict(model,
                            "NO-OVERSELL: inventory %llu of %u has %llu units acknowledged and not "
                            "cancelled, the last for %s",
                            (unsigned long long)inventory->inventory_id, inventory->capacity,
                            (unsigned long long)inventory->active_units, id_text(reservation));
}

static void deactivate(struct hf_model_reservation *reservation)
{
    struct hf_model_inventory *inventory = reservation->inventory;
    uint32_t index = reservation->active_index;
    if (index == NOT_ACTIVE)
        return;
    struct hf_model_reservation *last = inventory->active[--inventory->active_count];
    inventory->active[index] = last;
    last->active_index = index;
    reservation->active_index = NOT_ACTIVE;
    inventory->active_units -= reservation->qty;
}

/* Notes who owns an acknowledged LSN; nobody else may, and it must be above the floor. */
static void learn_lsn(struct hf_model *model, uint64_t lsn, uint64_t floor, int64_t owner,
                      const char *what)
{
    if (lsn == 0 || lsn > 1ull << 32) {
        hf_model_contradict(model, "%s has the impossible LSN %llu", what, (unsigned long long)lsn);
        return;
    }
    if (lsn <= floor)
        hf_model_contradict(model, "%s has LSN %llu, but was asked for after %llu was acknowledged",
                            what, (unsigned long long)lsn, (unsigned long long)floor);
    if (lsn >= model->lsn_room) {
        uint64_t room = lsn + lsn / 2 + 4096;
        model->lsn_owners = realloc(model->lsn_owners, room * sizeof *model->lsn_owners);
        HF_CHECK(model->lsn_owners);
        memset(model->lsn_owners + model->lsn_room, 0,
               (room - model->lsn_room) * sizeof *model->lsn_owners);
        model->lsn_room = room;
    }
    if (model->lsn_owners[lsn] && model->lsn_owners[lsn] != owner)
        hf_model_contradict(model, "%s has LSN %llu, which belongs to another change", what,
                            (unsigned long long)lsn);
    model->lsn_owners[lsn] = owner;
    if (lsn > model->figures.lsn)
        model->figures.lsn = lsn;
}

/* Marks a reservation as one of this cycle's. */
static void touch(struct hf_model *model, struct hf_model_reservation *reservation)
{
    if (reservation->touched)
        return;
    reservation->touched = true;
    reservation->held_before = reservation->granted && !reservation->cancelled;
    model->touched =
        grow(model->touched, model->touched_count, &model->touched_room, sizeof *model->touched);
    model->touched[model->touched_count++] = reservation;
}

static struct hf_model_request *new_request(struct hf_model *model, enum hf_operation operation,
                                            enum hf_model_purpose purpose,
                                            struct hf_model_inventory *inventory)
{
    struct hf_model_request *request = model->free_requests;
    if (request)
        model->free_requests = request->next_free;
    else
        request = malloc(sizeof *request);
    HF_CHECK(request);
    *request = (struct hf_model_request){.model = model,
                                         .purpose = purpose,
                                         .inventory = inventory,
                                         .asked_ns = hf_monotonic_now_ns(),
                                         .wire = {.operation = operation,
                                                  .inventory_id = inventory->inventory_id,
                                                  .product_id = inventory->product_id,
                                                  .capacity = inventory->capacity}};
    return request;
}

struct hf_model_request *hf_model_ask(struct hf_model *model, enum hf_operation operation,
                                      struct hf_model_reservation *reservation,
                                      enum hf_model_purpose purpose)
{
    struct hf_model_request *request =
        new_request(model, operation, purpose, reservation->inventory);
    request->reservation = reservation;
    request->granted_before = reservation->granted;
    request->cancelled_before = reservation->cancelled;
    request->wire.id = reservation->id;
    request->wire.customer_id = reservation->customer_id;
    request->wire.qty = reservation->qty;
    reservation->unanswered++;
    if (purpose == HF_MODEL_EXACT)
        return request;
    touch(model, reservation);
    if (operation == HF_OP_RESERVE && purpose != HF_MODEL_REUSE && reservation->asked_ns == 0) {
        reservation->asked_ns = request->asked_ns;
        if (!reservation->granted)
            reservation->grant_lsn_floor = model->figures.lsn;
    }
    if (operation == HF_OP_CANCEL && !reservation->cancel_asked) {
        reservation->cancel_asked = true;
        reservation->cancel_lsn_floor = model->figures.lsn;
        deactivate(reservation);
    }
    return request;
}

struct hf_model_request *hf_model_ask_create(struct hf_model *model,
                                             struct hf_model_inventory *inventory)
{
    if (!inventory->created && !inventory->create_unknown)
        inventory->lsn_floor = model->figures.lsn;
    return new_request(model, HF_OP_INVENTORY_CREATE, HF_MODEL_LOAD, inventory);
}

void hf_model_ask_other(struct hf_model_request *request, enum hf_field field, uint64_t value)
{
    request->reused_field = field;
    if (field == HF_FIELD_INVENTORY_ID)
        request->wire.inventory_id = value;
    else if (field == HF_FIELD_CUSTOMER_ID)
        request->wire.customer_id = value;
    else
        request->wire.qty = (uint32_t)value;
}

/* An answer revealed that the reservation exists; `lsn` is its grant's, or 0 if not told. */
static void learn_grant(struct hf_model *model, struct hf_model_reservation *reservation,
                        uint64_t lsn, uint64_t made_at_ns)
{
    if (!reservation->granted)
        model->figures.grants++;
    reservation->granted = true;
    if (reservation->made_at_ns && reservation->made_at_ns != made_at_ns)
        hf_model_contradict(model, "%s has changed its reservation date", id_text(reservation));
    reservation->made_at_ns = made_at_ns;
    if (lsn && reservation->grant_lsn && lsn != reservation->grant_lsn)
        hf_model_contradict(model, "the grant of %s was acknowledged with LSN %llu, now has %llu",
                            id_text(reservation), (unsigned long long)reservation->grant_lsn,
                            (unsigned long long)lsn);
    if (lsn && !reservation->grant_lsn) {
        reservation->grant_lsn = lsn;
        learn_lsn(model, lsn, reservation->grant_lsn_floor, 1 + 2 * (int64_t)reservation->index,
                  id_text(reservation));
    }
    if (!reservation->cancel_asked)
        activate(model, reservation);
}

/* An answer revealed that the reservation is cancelled. */
static void learn_cancel(struct hf_model *model, struct hf_model_reservation *reservation,
                         uint64_t lsn, uint64_t cancelled_at_ns)
{
    if (!reservation->cancel_asked)
        hf_model_contradict(model, "%s is cancelled, but nobody asked for that",
                            id_text(reservation));
    if (lsn <= reservation->grant_lsn)
        hf_model_contradict(model, "%s was granted with LSN %llu and cancelled with %llu",
                            id_text(reservation), (unsigned long long)reservation->grant_lsn,
                            (unsigned long long)lsn);
    if (reservation->cancelled) {
        if (reservation->cancel_lsn != lsn || reservation->cancelled_at_ns != cancelled_at_ns)
            hf_model_contradict(model,
                                "the cancel of %s was acknowledged with LSN %llu, now has %llu",
                                id_text(reservation), (unsigned long long)reservation->cancel_lsn,
                                (unsigned long long)lsn);
        return;
    }
    model->figures.cancels++;
    reservation->cancelled = true;
    reservation->cancelled_known_ns = hf_monotonic_now_ns();
    reservation->cancel_lsn = lsn;
    reservation->cancelled_at_ns = cancelled_at_ns;
    learn_lsn(model, lsn, reservation->cancel_lsn_floor, 2 + 2 * (int64_t)reservation->index,
              id_text(reservation));
}

/* A yes that shows a reservation. */
static void learn_reservation(struct hf_model_request *request, const struct hf_reply *reply)
{
    struct hf_model *model = request->model;
    struct hf_model_reservation *known = request->reservation;
    const struct hf_reservation *said = &reply->reservation;
    bool cancelled = said->state == HF_STATE_CANCELLED;
    if (!hf_id_equal(&said->id, &known->id) || said->qty != known->qty ||
        said->inventory_id != known->inventory->inventory_id ||
        said->customer_id != known->customer_id)
        hf_model_contradict(model, "%s came back with other parameters", id_text(known));
    if (said->state != HF_STATE_CONFIRMED && !cancelled)
        hf_model_contradict(model, "%s has state %u", id_text(known), (unsigned)said->state);
    if (said->sequence != (cancelled ? 2u : 1u) || said->changed_at_ns < said->made_at_ns ||
        said->made_at_ns == 0 || (!cancelled && said->changed_at_ns != said->made_at_ns))
        hf_model_contradict(
            model, "%s has state %s, but sequence %u, made at %llu, changed at %llu",
            id_text(known), hf_state_name(said->state), said->sequence,
            (unsigned long long)said->made_at_ns, (unsigned long long)said->changed_at_ns);
    if (request->cancelled_before && !cancelled)
        hf_model_contradict(model, "%s is %s again after its cancel was acknowledged",
                            id_text(known), hf_state_name(said->state));
    if (!known->granted && known->asked_ns == 0) /* asked before this cycle, or never */
        hf_model_contradict(model, "%s exists, but every answer about it was a no", id_text(known));
    if (request->purpose == HF_MODEL_EXACT && cancelled && !request->cancelled_before)
        hf_model_contradict(model, "%s is cancelled, but its cancel was never done",
                            id_text(known));
    learn_grant(model, known, cancelled ? 0 : said->lsn, said->made_at_ns);
    if (cancelled)
        learn_cancel(model, known, said->lsn, said->changed_at_ns);
    if (reply->repeated)
        model->figures.repeats++;
}

/* A no: nothing stands under this id, or (SOLD_OUT) nothing stood and there was no room. */
static void learn_refusal(struct hf_model_request *request, const struct hf_reply *reply)
{
    struct hf_model *model = request->model;
    struct hf_model_reservation *known = request->reservation;
    bool forgotten = request->cancelled_before && reply->result == HF_NOT_FOUND &&
                     known->cancelled_at_ns <= model->forgotten_until_ns;
    if (request->granted_before && !forgotten)
        hf_model_contradict(
            model, "%s of %s got %s, but its grant was acknowledged before (LSN %llu)",
            request->wire.operation == HF_OP_RESERVE  ? "a repeat"
            : request->wire.operation == HF_OP_CANCEL ? "a cancel"
                                                      : "a lookup",
            id_text(known), hf_result_name(reply->result), (unsigned long long)known->grant_lsn);
    if (reply->result != HF_SOLD_OUT)
        return;
    if (reply->available >= (int32_t)known->qty)
        hf_model_contradict(model, "%u units of inventory %llu refused, with %d available",
                            known->qty, (unsigned long long)known->inventory->inventory_id,
                            reply->available);
    model->figures.refusals++;
    model->refusals =
        grow(model->refusals, model->refusal_count, &model->refusal_room, sizeof *model->refusals);
    model->refusals[model->refusal_count++] =
        (struct refusal){.inventory = known->inventory,
                         .reservation = known,
                         .qty = known->qty,
                         .asked_ns = request->asked_ns,
                         .answered_ns = hf_monotonic_now_ns()};
}

static void learn_inventory(struct hf_model_request *request, const struct hf_reply *reply)
{
    struct hf_model *model = request->model;
    struct hf_model_inventory *known = request->inventory;
    const struct hf_inventory *said = &reply->inventory;
    char what[64];
    snprintf(what, sizeof what, "inventory %llu", (unsigned long long)known->inventory_id);
    known->create_unknown = false;
    if (said->inventory_id != known->inventory_id || said->product_id != known->product_id ||
        said->capacity != known->capacity || said->sell_limit != known->capacity)
        hf_model_contradict(model, "%s came back with other parameters", what);
    if (known->created && (said->lsn != known->lsn || said->made_at_ns != known->made_at_ns))
        hf_model_contradict(model, "%s has changed its LSN or its date", what);
    known->created = true;
    known->lsn = said->lsn;
    known->made_at_ns = said->made_at_ns;
    learn_lsn(model, said->lsn, known->lsn_floor, -1 - (int64_t)known->index, what);
}

/* No answer came: it may or may not have been done. */
static void learn_unknown(struct hf_model_request *request)
{
    struct hf_model_reservation *reservation = request->reservation;
    request->model->figures.unknown++;
    if (!reservation)
        request->inventory->create_unknown = true;
    else if (request->wire.operation == HF_OP_RESERVE && request->purpose != HF_MODEL_REUSE) {
        reservation->reserve_unknown = true;
        reservation->lost_in_crash = true;
    } else if (request->wire.operation == HF_OP_CANCEL)
        reservation->cancel_unknown = true;
}

/* What a definite answer means for the marks of a reservation. */
static void resolve(struct hf_model_request *request, const struct hf_reply *reply)
{
    struct hf_model_reservation *reservation = request->reservation;
    bool yes = hf_result_group(reply->result) == HF_GROUP_YES;
    if (request->purpose != HF_MODEL_RESOLVE || reservation->unanswered != 0)
        return;
    if (request->wire.operation != HF_OP_CANCEL || yes)
        reservation->reserve_unknown = false;
    if (request->wire.operation != HF_OP_RESERVE)
        reservation->cancel_unknown = false;
}

/* Is this answer one that the operation can have, the request being right? */
static bool fits(const struct hf_model_request *request, const struct hf_reply *reply)
{
    switch (request->wire.operation) {
    case HF_OP_RESERVE:
        if (request->purpose == HF_MODEL_REUSE)
            return reply->result == HF_ID_REUSED && reply->field == request->reused_field;
        return reply->result == HF_GRANTED || reply->result == HF_SOLD_OUT;
    case HF_OP_CANCEL:
        return (reply->result == HF_CANCELLED && reply->reservation.state == HF_STATE_CANCELLED) ||
               reply->result == HF_NOT_FOUND;
    case HF_OP_RESERVATION_GET:
        return reply->result == HF_FOUND || reply->result == HF_NOT_FOUND;
    case HF_OP_INVENTORY_CREATE:
        return reply->result == HF_CREATED;
    default:
        return false;
    }
}

void hf_model_answer(struct hf_model_request *request, const struct hf_reply *reply)
{
    struct hf_model *model = request->model;
    if (request->reservation)
        request->reservation->unanswered--;
    if (reply->resent) {
        model->figures.resent++;
        if (request->reservation && request->wire.operation == HF_OP_RESERVE)
            request->reservation->lost_in_crash = true;
    }
    if (reply->result == HF_OUTCOME_UNKNOWN)
        learn_unknown(request);
    else if (reply->result == HF_SHUTTING_DOWN || reply->result == HF_NOT_READY ||
             reply->result == HF_OVERLOADED || reply->result == HF_NOT_CONNECTED)
        model->figures.nothing_done++;
    else if (!fits(request, reply))
        hf_model_contradict(model, "operation %u on %s of inventory %llu was answered %s (%s)",
                            (unsigned)request->wire.operation,
                            request->reservation ? id_text(request->reservation) : "the whole",
                            (unsigned long long)request->inventory->inventory_id,
                            hf_result_name(reply->result), hf_field_name(reply->field));
    else if (!request->reservation)
        learn_inventory(request, reply);
    else if (reply->result == HF_ID_REUSED)
        model->figures.reuses++;
    else if (hf_result_group(reply->result) == HF_GROUP_YES) {
        learn_reservation(request, reply);
        resolve(request, reply);
    } else {
        learn_refusal(request, reply);
        resolve(request, reply);
    }
    request->next_free = model->free_requests;
    model->free_requests = request;
}

/* By inventory, then by time; at one instant what adds comes before what takes away. */
static int compare_steps(const void *left_pointer, const void *right_pointer)
{
    const struct step *left = left_pointer, *right = right_pointer;
    if (left->inventory != right->inventory)
        return left->inventory < right->inventory ? -1 : 1;
    if (left->at_ns != right->at_ns)
        return left->at_ns < right->at_ns ? -1 : 1;
    return (left->units < right->units) - (left->units > right->units);
}

/* The steps that a reservation of this cycle adds to what was possibly held. Returns 0 .. 2. */
static uint32_t steps_of(const struct hf_model_reservation *reservation, uint64_t gone_ns,
                         struct step *steps)
{
    uint32_t count = 0;
    bool was_cancelled = reservation->cancelled && reservation->cancelled_known_ns == 0;
    if (was_cancelled || (!reservation->granted && !reservation->lost_in_crash))
        return 0;
    if (!reservation->held_before)
        steps[count++] =
            (struct step){reservation->inventory->index, reservation->asked_ns, reservation->qty};
    uint64_t until_ns = !reservation->granted ? gone_ns : reservation->cancelled_known_ns;
    if (until_ns)
        steps[count++] =
            (struct step){reservation->inventory->index, until_ns, -(int64_t)reservation->qty};
    return count;
}

/* HONEST-NO: was there an instant in the refusal's interval at which it may have been true? */
static void judge(struct hf_model *model, const struct refusal *refusal, const struct step *steps,
                  uint32_t step_count, int64_t units)
{
    int64_t most = units;
    uint32_t next = 0;
    while (next < step_count && (steps[next].at_ns < refusal->asked_ns ||
                                 (steps[next].at_ns == refusal->asked_ns && steps[next].units > 0)))
        units += steps[next++].units;
    most = units;
    for (; next < step_count && steps[next].at_ns <= refusal->answered_ns; next++) {
        units += steps[next].units;
        most = units > most ? units : most;
    }
    if (most + refusal->qty <= refusal->inventory->capacity)
        hf_model_contradict(
            model,
            "HONEST-NO: %u units of inventory %llu of %u were refused to %s, but at "
            "most %lld can have been held at any time",
            refusal->qty, (unsigned long long)refusal->inventory->inventory_id,
            refusal->inventory->capacity, id_text(refusal->reservation), (long long)most);
}

/* All refusals of the cycle, against what was possibly held over time. */
static void judge_refusals(struct hf_model *model, uint64_t gone_ns)
{
    struct step *steps = calloc(2 * (size_t)model->touched_count + 1, sizeof *steps);
    uint32_t *first = calloc((size_t)model->inventory_count + 1, sizeof *first);
    int64_t *units = calloc((size_t)model->inventory_count + 1, sizeof *units);
    uint32_t count = 0;
    HF_CHECK(steps && first && units);
    for (uint32_t i = 0; i < model->touched_count; i++)
        count += steps_of(model->touched[i], gone_ns, steps + count);
    qsort(steps, count, sizeof *steps, compare_steps);
    /* What is held now, less what this cycle added, is what was held when it began. */
    for (uint32_t i = 0; i < model->inventory_count; i++)
        units[i] = (int64_t)model->inventories[i]->active_units;
    for (uint32_t i = 0; i < count; i++) {
        units[steps[i].inventory] -= steps[i].units;
        first[steps[i].inventory + 1]++;
    }
    for (uint32_t i = 0; i < model->inventory_count; i++)
        first[i + 1] += first[i];
    for (uint32_t i = 0; i < model->refusal_count; i++) {
        uint32_t inventory = model->refusals[i].inventory->index;
        judge(model, &model->refusals[i], steps + first[inventory],
              first[inventory + 1] - first[inventory], units[inventory]);
    }
    free(steps);
    free(first);
    free(units);
}

void hf_model_settle(struct hf_model *model, uint64_t gone_ns)
{
    for (uint32_t i = 0; i < model->touched_count; i++) {
        struct hf_model_reservation *reservation = model->touched[i];
        HF_CHECK(reservation->unanswered == 0 && !reservation->reserve_unknown &&
                 !reservation->cancel_unknown);
        if (!reservation->cancelled)
            reservation->cancel_asked = false; /* it was answered with a no, or never arrived */
        if (reservation->granted && !reservation->cancelled)
            activate(model, reservation);
    }
    judge_refusals(model, gone_ns);
    for (uint32_t i = 0; i < model->touched_count; i++) {
        struct hf_model_reservation *reservation = model->touched[i];
        reservation->touched = false;
        reservation->lost_in_crash = false;
        reservation->asked_ns = 0;
        reservation->cancelled_known_ns = 0;
    }
    model->touched_count = 0;
    model->refusal_count = 0;
}

void hf_model_set_forgotten_until(struct hf_model *model, uint64_t until_ns)
{
    model->forgotten_until_ns = until_ns;
}

void hf_model_check_inventory(struct hf_model *model, const struct hf_inventory *said)
{
    unsigned long long id = said->inventory_id;
    if (id == 0 || id > model->inventory_count || !model->inventories[id - 1]->created) {
        hf_model_contradict(model, "inventory %llu exists, but was never acknowledged", id);
        return;
    }
    const struct hf_model_inventory *known = model->inventories[id - 1];
    if (said->product_id != known->product_id || said->capacity != known->capacity ||
        said->sell_limit != known->capacity || said->lsn != known->lsn ||
        said->made_at_ns != known->made_at_ns)
        hf_model_contradict(model, "inventory %llu came back with other parameters", id);
    if ((int64_t)said->available + said->held + said->confirmed != said->sell_limit)
        hf_model_contradict(
            model,
            "CONSERVATION: inventory %llu: available %d + held %u + confirmed %u is "
            "not its sell limit %u",
            id, said->available, said->held, said->confirmed, said->sell_limit);
    if (said->held != 0 || said->confirmed != known->active_units)
        hf_model_contradict(model,
                            "CONSERVATION: inventory %llu has %u confirmed and %u held units, its "
                            "clients %llu",
                            id, said->confirmed, said->held,
                            (unsigned long long)known->active_units);
}
