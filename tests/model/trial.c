/* A trial of a subject: see trial.h. */
#include "tests/model/trial_private.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"

#define MAX_OVERDUE   8 /* reservations of a request whose retention may end while it is decided */
#define EXPIRY_LAG_NS (2 * HF_NS_PER_MS) /* a lapsed unit can be had again within */
#define VERSION_MASK  ((1u << 31) - 1)
#define CHANGES_MAX   (2 * HF_MAX_BATCH_LINES)

struct hf_trial *hf_trial_open(const struct hf_subject *subject, unsigned mistake, uint64_t seed,
                               uint64_t retain_ns, struct hf_coverage *coverage, FILE *out)
{
    struct hf_trial *trial = calloc(1, sizeof *trial);
    HF_CHECK(trial);
    trial->subject = subject;
    trial->coverage = coverage;
    trial->out = out;
    trial->retain_ns = retain_ns;
    trial->first_lsn = trial->next_lsn = 1;
    trial->world = hf_world_open(HF_WORKLOAD_INVENTORIES, HF_TRIAL_MAX_RESERVATIONS);
    trial->engine = subject->open(&(struct hf_subject_options){
        .threads = 1,
        .max_inventories = HF_WORKLOAD_INVENTORIES,
        .max_reservations = HF_TRIAL_MAX_RESERVATIONS,
        .retain_ns = retain_ns,
        .seed = seed,
        .mistake = mistake,
        .context = subject->context,
    });
    return trial;
}

void hf_trial_close(struct hf_trial *trial)
{
    trial->subject->close(trial->engine);
    hf_world_close(trial->world);
    free(trial->symbols);
    free(trial->marks);
    free(trial);
}

void hf_trial_print(struct hf_trial *trial, FILE *out)
{
    trial->out = out;
}

const struct hf_world *hf_trial_world(const struct hf_trial *trial)
{
    return trial->world;
}

/* ---- what is said ---- */

const char *hf_trial_wrong(struct hf_trial *trial, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(trial->error, sizeof trial->error, format, arguments);
    va_end(arguments);
    return trial->error;
}

void hf_trial_print_reservation(const struct hf_trial *trial, const char *before,
                                const struct hf_reservation *reservation)
{
    if (trial->out == NULL)
        return;
    fputs(before, trial->out);
    hf_print_reservation(trial->out, reservation);
    fputc('\n', trial->out);
}

static void count_result(const struct hf_trial *trial, enum hf_operation operation, unsigned result)
{
    if (trial->coverage && result < HF_TRIAL_RESULTS)
        trial->coverage->counts[operation][result]++;
}

/* ---- ids that the server chose ---- */

static void note_symbol(struct hf_trial *trial, const struct hf_id *symbol, const struct hf_id *id)
{
    if (trial->symbol_count == trial->symbol_room) {
        trial->symbol_room = trial->symbol_room * 2 + 64;
        trial->symbols = realloc(trial->symbols, trial->symbol_room * sizeof *trial->symbols);
        HF_CHECK(trial->symbols);
    }
    trial->symbols[trial->symbol_count++] = (struct hf_trial_symbol){*symbol, *id};
}

/* Newest first: most of what is spoken of is new. */
static struct hf_id resolved(const struct hf_trial *trial, const struct hf_id *id)
{
    for (uint32_t i = trial->symbol_count; hf_is_symbol(id) && i > 0; i--) {
        if (hf_id_equal(&trial->symbols[i - 1].symbol, id))
            return trial->symbols[i - 1].id;
    }
    return *id;
}

struct hf_id hf_trial_symbol_of(const struct hf_trial *trial, const struct hf_id *id)
{
    for (uint32_t i = trial->symbol_count; i > 0; i--) {
        if (hf_id_equal(&trial->symbols[i - 1].id, id))
            return trial->symbols[i - 1].symbol;
    }
    return *id;
}

/* ---- what the server may have forgotten ---- */

bool hf_trial_retention_is_over(const struct hf_trial *trial, const struct hf_reservation *one)
{
    return hf_state_is_final(one->state) && trial->now_ns >= one->changed_at_ns + trial->retain_ns;
}

/*
 * A reservation that was made from a lapsed hold tells that hold's id for as long as the hold is
 * kept. After its retention the server may have forgotten it or not.
 */
void hf_trial_loosen_link(const struct hf_trial *trial, struct hf_reservation *expected,
                          const struct hf_reservation *actual)
{
    const struct hf_world_reservation *old = hf_world_find_any(trial->world, &expected->linked_id);
    /* Its id may be another's by now. */
    bool kept = old && !old->forgotten && old->now.made_at_ns < expected->made_at_ns &&
                !hf_trial_retention_is_over(trial, &old->now);
    if (!kept && hf_id_is_zero(&actual->linked_id))
        expected->linked_id = actual->linked_id;
}

/* Its log has no room, or had none: what is due may not be done yet. */
static bool is_behind(const struct hf_trial *trial)
{
    return trial->subject->is_behind != NULL && trial->subject->is_behind(trial->engine);
}

/* ---- the log ---- */

static void note_mark(struct hf_trial *trial, uint64_t lsn, size_t mark)
{
    uint64_t place = lsn - trial->first_lsn;
    if (place >= trial->mark_room) {
        trial->mark_room = (place + 64) * 2;
        trial->marks = realloc(trial->marks, trial->mark_room * sizeof *trial->marks);
        HF_CHECK(trial->marks);
    }
    trial->marks[place] = mark;
}

/* What a step logged, and how far it was read. */
struct reading {
    const struct hf_image *images;
    uint32_t count, next;
};

static struct reading read_log(struct hf_trial *trial)
{
    struct reading reading = {0};
    reading.count = trial->subject->logged(trial->engine, &reading.images);
    return reading;
}

static const char *check_lsn(struct hf_trial *trial, const struct hf_image *image)
{
    if (image->lsn != trial->next_lsn)
        return hf_trial_wrong(trial, "LSN %" PRIu64 " was logged instead of %" PRIu64, image->lsn,
                              trial->next_lsn);
    trial->next_lsn++;
    return NULL;
}

/* A change that the server made by itself: no request asked for it, or it is an expiry that a
 * request's decision stands on. What is in a chain is the request's. */
static bool is_by_server(const struct hf_image *image)
{
    return image->kind == HF_IMAGE_EVENT ||
           (image->kind == HF_IMAGE_RESERVATION && image->chain_length == 0 &&
            (image->notes.reason != HF_REASON_REQUEST ||
             image->reservation.state == HF_STATE_EXPIRED));
}

static void count_followed(const struct hf_trial *trial, const struct hf_image *image)
{
    if (trial->coverage == NULL)
        return;
    trial->coverage->expiries += image->reservation.state == HF_STATE_EXPIRED;
    trial->coverage->offers += image->reservation.state == HF_STATE_HELD;
    trial->coverage->drops += image->reservation.state == HF_STATE_CANCELLED;
}

static const char *follow_image(struct hf_trial *trial, const struct hf_image *image)
{
    const struct hf_reservation *reservation = &image->reservation;
    const char *error = hf_reference_follow(trial->world, trial->now_ns, reservation,
                                            (enum hf_reason)image->notes.reason);
    hf_trial_print_reservation(trial, "    by itself: ", reservation);
    if (error) {
        const struct hf_world_reservation *one = hf_world_find(trial->world, &reservation->id);
        if (one)
            hf_trial_print_reservation(trial, "    the model has: ", &one->now);
        return hf_trial_wrong(trial, "the server %s", error);
    }
    hf_world_note_lsn(trial->world, &reservation->id, image->lsn);
    count_followed(trial, image);
    return NULL;
}

/* Follows the server as far as it went on by itself. */
static const char *follow(struct hf_trial *trial, struct reading *reading)
{
    for (; reading->next < reading->count; reading->next++) {
        const struct hf_image *image = &reading->images[reading->next];
        const char *error = NULL;
        if (!is_by_server(image))
            return NULL;
        if (image->kind == HF_IMAGE_RESERVATION)
            error = follow_image(trial, image);
        if (error || (error = check_lsn(trial, image)))
            return error;
        note_mark(trial, image->lsn, hf_world_mark(trial->world));
    }
    return NULL;
}

/* Takes `image` out of the model's changes. False: it is none of them. */
static bool take_change(const struct hf_trial *trial, struct hf_reservation *changes,
                        uint32_t *count, const struct hf_reservation *image)
{
    for (uint32_t i = 0; i < *count; i++) {
        struct hf_reservation change = changes[i];
        hf_trial_loosen_link(trial, &change, image);
        if (hf_compare_reservations(&change, image) == NULL) {
            changes[i] = changes[--*count];
            return true;
        }
    }
    return false;
}

/* The images of what the request itself did, against what it did to the model since `mark`. */
static const char *read_own_changes(struct hf_trial *trial, struct reading *reading, size_t mark)
{
    struct hf_reservation changes[CHANGES_MAX];
    uint32_t count = hf_world_changes(trial->world, mark, changes, CHANGES_MAX);
    uint32_t inventories = 0;
    HF_CHECK(count <= CHANGES_MAX);
    for (; reading->next < reading->count; reading->next++) {
        const struct hf_image *image = &reading->images[reading->next];
        if (image->kind == HF_IMAGE_RESERVATION && count == 0 && is_by_server(image))
            break;
        if (image->kind == HF_IMAGE_EVENT)
            break;
        const char *error = check_lsn(trial, image);
        if (error)
            return error;
        /* A crash before the last one undoes all of them. */
        note_mark(trial, image->lsn, count > 1 ? mark : hf_world_mark(trial->world));
        if (image->kind == HF_IMAGE_INVENTORY) {
            inventories++;
        } else if (!take_change(trial, changes, &count, &image->reservation)) {
            hf_trial_print_reservation(trial, "    logged: ", &image->reservation);
            return hf_trial_wrong(trial, "a change was logged that the request does not make");
        } else {
            hf_world_note_lsn(trial->world, &image->reservation.id, image->lsn);
        }
    }
    if (count != 0) {
        hf_trial_print_reservation(trial, "    not logged: ", &changes[0]);
        return hf_trial_wrong(trial, "%u changes of the request were not logged", count);
    }
    return inventories > 1 ? hf_trial_wrong(trial, "an inventory was logged twice") : NULL;
}

/* Nothing but what the server did by itself is left, and nobody waits for units that are free. */
static const char *finish_reading(struct hf_trial *trial, struct reading *reading)
{
    const char *error = follow(trial, reading);
    if (error)
        return error;
    if (reading->next != reading->count)
        return hf_trial_wrong(trial, "a request's change was logged that no request made");
    if (is_behind(trial))
        return NULL;
    for (uint32_t i = 0; i < hf_world_inventory_count(trial->world); i++) {
        uint64_t inventory_id = hf_world_inventory(trial->world, i)->inventory_id;
        bool dropped;
        const struct hf_world_reservation *next =
            hf_reference_next_offer(trial->world, inventory_id, &dropped);
        if (next == NULL)
            continue;
        hf_trial_print_reservation(trial, "    waits: ", &next->now);
        return hf_trial_wrong(trial,
                              "units of inventory %" PRIu64 " are free, and nobody offered them",
                              inventory_id);
    }
    return NULL;
}

/* ---- before a request ---- */

static void ask(struct hf_trial *trial, const struct hf_request *request)
{
    trial->subject->execute(trial->engine, 0, trial->now_ns, request, &trial->answer);
}

/* A read whose answer is not looked at by itself; what the server does by it is followed. */
const char *hf_trial_ask_and_follow(struct hf_trial *trial, const struct hf_request *request)
{
    ask(trial, request);
    struct reading reading = read_log(trial);
    return finish_reading(trial, &reading);
}

/* Versions differ when what is shown differs, and only then if nothing was touched. */
const char *hf_trial_check_version(struct hf_trial *trial, const struct hf_inventory *read)
{
    const struct hf_world_inventory *known =
        hf_world_find_inventory(trial->world, read->inventory_id);
    uint32_t place = 0;
    while (hf_world_inventory(trial->world, place) != known)
        place++;
    struct hf_trial_seen *seen = &trial->seen[place];
    /* What found no room in the log may have made one, and gone no further. */
    if (known->version_known && known->version != read->version && !is_behind(trial))
        return hf_trial_wrong(
            trial, "nothing of inventory %" PRIu64 " changed, but its version did: %u to %u",
            read->inventory_id, known->version, read->version);
    bool differs = seen->inventory.available != read->available ||
                   seen->inventory.flags != read->flags ||
                   seen->inventory.capacity != read->capacity ||
                   memcmp(&seen->settings, &known->settings, sizeof seen->settings) != 0;
    if (seen->seen && differs && seen->inventory.version == read->version)
        return hf_trial_wrong(trial, "inventory %" PRIu64 " changed, but its version %u did not",
                              read->inventory_id, read->version);
    *seen = (struct hf_trial_seen){true, *read, known->settings};
    hf_world_note_version(trial->world, read->inventory_id, read->version);
    return NULL;
}

static const char *learn_version(struct hf_trial *trial, uint64_t inventory_id)
{
    const struct hf_request request = {.operation = HF_OP_INVENTORY_GET,
                                       .inventory_id = inventory_id};
    const char *error = hf_trial_ask_and_follow(trial, &request);
    if (error || trial->answer.reply.result != HF_FOUND)
        return error;
    return hf_trial_check_version(trial, &trial->answer.reply.inventory);
}

/* What was kept long enough is there or not, as the server likes: looks. */
static const char *learn_if_forgotten(struct hf_trial *trial, const struct hf_id *id)
{
    const struct hf_world_reservation *one = hf_world_find_any(trial->world, id);
    if (one == NULL || !hf_trial_retention_is_over(trial, &one->now))
        return NULL;
    const struct hf_request request = {.operation = HF_OP_RESERVATION_GET, .id = *id};
    const char *error = hf_trial_ask_and_follow(trial, &request);
    if (error)
        return error;
    bool forgotten = trial->answer.reply.result == HF_NOT_FOUND;
    if (forgotten != one->forgotten)
        hf_world_note_forgotten(trial->world, id, forgotten);
    if (trial->coverage)
        trial->coverage->forgotten += forgotten;
    return NULL;
}

static const char *learn_of_line(struct hf_trial *trial, const struct hf_line *line)
{
    const char *error = learn_if_forgotten(trial, &line->id);
    if (error == NULL)
        error = learn_if_forgotten(trial, &line->new_id);
    struct hf_id derived_id;
    hf_id_derive(&line->id, &derived_id);
    return error ? error : learn_if_forgotten(trial, &derived_id);
}

static struct hf_line *first_claim(struct hf_trial *trial, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        enum hf_operation operation = trial->lines[i].operation;
        if (operation == HF_OP_RESERVE || operation == HF_OP_HOLD || operation == HF_OP_JOIN)
            return &trial->lines[i];
    }
    return NULL;
}

/* Puts the version that the inventory has, or another one, into a request or a line. */
static const char *guard(struct hf_trial *trial, const struct hf_step *step, uint64_t inventory_id,
                         uint16_t *flags, uint32_t *expected)
{
    const char *error = learn_version(trial, inventory_id);
    const struct hf_world_inventory *inventory =
        hf_world_find_inventory(trial->world, inventory_id);
    if (error || inventory == NULL)
        return error;
    *flags |= HF_REQUEST_EXPECT_VERSION;
    *expected = inventory->version;
    if (step->guard == HF_GUARD_WRONG) /* one that it will not have soon */
        *expected = (*expected + 1000000000) & VERSION_MASK;
    return NULL;
}

/* The step's request as it is asked: symbols resolved, the guard put in, what must be known learnt.
 */
static const char *prepare(struct hf_trial *trial, const struct hf_step *step,
                           const struct hf_line *lines, struct hf_request *request)
{
    *request = step->request;
    request->id = resolved(trial, &request->id);
    request->new_id = resolved(trial, &request->new_id);
    const struct hf_line single = {.id = request->id, .new_id = request->new_id};
    const char *error = learn_of_line(trial, &single);
    bool batch = request->operation == HF_OP_BATCH;
    request->lines = trial->lines;
    for (uint32_t i = 0; batch && error == NULL && i < request->count; i++) {
        struct hf_line *line = &trial->lines[i];
        *line = lines[step->first_line + i];
        line->id = resolved(trial, &line->id);
        line->new_id = resolved(trial, &line->new_id);
        error = learn_of_line(trial, line);
    }
    if (error || step->guard == HF_GUARD_NONE)
        return error;
    if (!batch)
        return guard(trial, step, request->inventory_id, &request->flags, &request->expected);
    struct hf_line *claim = first_claim(trial, request->count);
    return claim ? guard(trial, step, claim->inventory_id, &claim->flags, &claim->expected) : NULL;
}

/* ---- a request ---- */

/* Which ids the server chose, as its answer tells. */
static void learn_chosen(struct hf_trial *trial, const struct hf_request *request)
{
    const struct hf_reply *reply = &trial->answer.reply;
    memset(&trial->chosen, 0, sizeof trial->chosen);
    if (hf_result_group(reply->result) != HF_GROUP_YES)
        return;
    if (request->operation != HF_OP_BATCH)
        trial->chosen.ids[0] = reply->reservation.id;
    for (uint32_t i = 0; reply->entries && i < reply->count && i < HF_MAX_BATCH_LINES; i++)
        trial->chosen.ids[i] = reply->entries[i].reservation.id;
}

static void note_symbols(struct hf_trial *trial, const struct hf_step *step,
                         const struct hf_request *request)
{
    bool batch = request->operation == HF_OP_BATCH;
    uint32_t count = batch ? trial->expected.count : 1;
    for (uint32_t i = 0; i < count; i++) {
        const struct hf_id *id = &trial->chosen.ids[i];
        const struct hf_id *asked = batch ? &trial->lines[i].id : &request->id;
        const struct hf_id *new_id = batch ? &trial->lines[i].new_id : &request->new_id;
        if (hf_id_is_zero(id) || hf_id_equal(id, asked) || hf_id_equal(id, new_id))
            continue;
        struct hf_id symbol = hf_symbol(step->number, i);
        note_symbol(trial, &symbol, id);
    }
}

static void loosen_links(struct hf_trial *trial)
{
    const struct hf_reply *reply = &trial->answer.reply;
    for (uint32_t i = 0; i < trial->expected.count; i++) {
        struct hf_expected_entry *entry = &trial->expected.entries[i];
        const struct hf_reservation *actual = reply->entries && i < reply->count
                                                  ? &reply->entries[i].reservation
                                                  : &reply->reservation;
        hf_trial_loosen_link(trial, &entry->reservation, actual);
        hf_trial_loosen_link(trial, &entry->settled, actual);
    }
}

/* The answer waits for what it tells, and tells the LSN of what it tells. */
static const char *check_reservation_lsn(struct hf_trial *trial, const struct hf_reservation *told)
{
    const struct hf_world_reservation *one = hf_world_find(trial->world, &told->id);
    if (trial->answer.wait_for_lsn < told->lsn)
        return hf_trial_wrong(trial,
                              "ACK-AFTER-COMMIT: the answer tells of LSN %" PRIu64
                              ", but waits for %" PRIu64 " only",
                              told->lsn, trial->answer.wait_for_lsn);
    if (one && one->now.sequence == told->sequence && one->now.lsn != told->lsn)
        return hf_trial_wrong(trial, "the answer says LSN %" PRIu64 ", the log says %" PRIu64,
                              told->lsn, one->now.lsn);
    return NULL;
}

static const char *check_lsns(struct hf_trial *trial)
{
    const struct hf_reply *reply = &trial->answer.reply;
    const char *error = NULL;
    if (hf_result_group(reply->result) != HF_GROUP_YES)
        return NULL;
    if (!hf_id_is_zero(&reply->reservation.id) && reply->entries == NULL)
        error = check_reservation_lsn(trial, &reply->reservation);
    for (uint32_t i = 0; error == NULL && reply->entries && i < reply->count; i++)
        error = check_reservation_lsn(trial, &reply->entries[i].reservation);
    return error;
}

/* A refusal for want of units must hold even if every lapsed hold is noticed. */
static const char *check_refusal(struct hf_trial *trial, const struct hf_request *request)
{
    if (is_behind(trial)) /* it cannot notice them */
        return NULL;
    if (hf_reference_refuses_early(trial->world, trial->now_ns, request, &trial->chosen,
                                   trial->expected.result))
        return hf_trial_wrong(trial, "%s was refused, but lapsed holds would satisfy it",
                              hf_result_name(trial->expected.result));
    return NULL;
}

const char *hf_trial_check_answer(struct hf_trial *trial, const struct hf_request *request)
{
    const struct hf_reply *reply = &trial->answer.reply;
    loosen_links(trial);
    const char *difference = hf_compare_reply(&trial->expected, reply);
    /* Units told in the middle of serving a list, for which the log had no room at once. */
    bool tells_units = trial->expected.tells_inventory || trial->expected.tells_available;
    if (tells_units && trial->expected.result == reply->result && is_behind(trial))
        difference = NULL;
    if (trial->out) {
        fputs("    answered: ", trial->out);
        hf_print_reply(trial->out, reply);
    }
    if (difference) {
        if (trial->out) {
            fputs("    expected: ", trial->out);
            hf_print_expectation(trial->out, &trial->expected);
        }
        return hf_trial_wrong(trial, "the answer is %s, expected is %s: %s differs",
                              hf_result_name(reply->result), hf_result_name(trial->expected.result),
                              difference);
    }
    const char *error = check_lsns(trial);
    return error ? error : check_refusal(trial, request);
}

/* ---- deciding what should have been answered ---- */

/* As far as it can be said before the offers that follow from it are made. */
static bool is_alike(const struct hf_expectation *expected, const struct hf_reply *reply)
{
    if (expected->result != reply->result ||
        (hf_result_group(reply->result) != HF_GROUP_YES && expected->line != reply->line))
        return false;
    for (uint32_t i = 0; reply->entries && i < reply->count && i < expected->count; i++) {
        if (expected->entries[i].repeated != reply->entries[i].repeated)
            return false;
    }
    return expected->any_repeated || expected->repeated == reply->repeated;
}

static void decide(struct hf_trial *trial, const struct hf_request *request)
{
    hf_reference_execute(trial->world, trial->now_ns, request, &trial->chosen, false,
                         &trial->expected);
}

/* In the state that stands. False: another answer was given, and nothing was done. */
static bool try_to_decide(struct hf_trial *trial, const struct hf_request *request)
{
    size_t mark = hf_world_mark(trial->world);
    decide(trial, request);
    if (is_alike(&trial->expected, &trial->answer.reply))
        return true;
    hf_world_rollback(trial->world, mark);
    return false;
}

/* Of those that the request speaks of, the ones whose retention is over, and that are there still as far
 * as the model knows: the first MAX_OVERDUE of them. */
static unsigned find_overdue(const struct hf_trial *trial, const struct hf_request *request,
                             const struct hf_world_reservation *overdue[MAX_OVERDUE])
{
    unsigned count = 0;
    bool batch = request->operation == HF_OP_BATCH;
    const struct hf_line single = {.id = request->id, .new_id = request->new_id};
    for (uint32_t i = 0; i < (batch ? request->count : 1); i++) {
        const struct hf_line *line = batch ? &request->lines[i] : &single;
        struct hf_id derived_id;
        hf_id_derive(&line->id, &derived_id);
        const struct hf_world_reservation *found[] = {hf_world_find(trial->world, &line->id),
                                                      hf_world_find(trial->world, &line->new_id),
                                                      hf_world_find(trial->world, &derived_id)};
        for (unsigned j = 0; j < 3; j++) {
            bool known = false;
            for (unsigned k = 0; k < count; k++)
                known = known || overdue[k] == found[j];
            if (count < MAX_OVERDUE && found[j] && !known &&
                hf_trial_retention_is_over(trial, &found[j]->now))
                overdue[count++] = found[j];
        }
    }
    return count;
}

/* While it decided, the server forgot some whose retention was over: any of them, as the time of its log
 * may have jumped over all their ends at once, and it looks at them in the order in which it has
 * filed them last. */
static bool decide_without_overdue(struct hf_trial *trial, const struct hf_request *request)
{
    const struct hf_world_reservation *overdue[MAX_OVERDUE];
    unsigned count = find_overdue(trial, request, overdue);
    struct hf_id ids[MAX_OVERDUE];
    for (unsigned i = 0; i < count; i++)
        ids[i] = overdue[i]->now.id;
    size_t mark = hf_world_mark(trial->world);
    for (unsigned which = 1; which < 1u << count; which++) {
        for (unsigned i = 0; i < count; i++)
            if (which & 1u << i)
                hf_world_note_forgotten(trial->world, &ids[i], true);
        if (try_to_decide(trial, request))
            return true;
        hf_world_rollback(trial->world, mark);
    }
    return false;
}

/* A refusal may be as old as the request: from before what the server did by itself meanwhile. */
static bool decide_earlier(struct hf_trial *trial, const struct hf_request *request,
                           const struct reading *reading, size_t asked)
{
    bool found = false;
    if (hf_result_group(trial->answer.reply.result) == HF_GROUP_YES)
        return false;
    hf_world_rollback(trial->world, asked);
    for (uint32_t i = 0; i < reading->next; i++) {
        const struct hf_image *image = &reading->images[i];
        found = found || try_to_decide(trial, request);
        if (image->kind != HF_IMAGE_RESERVATION)
            continue;
        HF_CHECK(hf_reference_follow(trial->world, trial->now_ns, &image->reservation,
                                     (enum hf_reason)image->notes.reason) == NULL);
        hf_world_note_lsn(trial->world, &image->reservation.id, image->lsn);
    }
    return found;
}

/* ---- the answer ---- */

static const char *check_versions(struct hf_trial *trial, const struct hf_request *request)
{
    const struct hf_reply *reply = &trial->answer.reply;
    const struct hf_world_inventory *inventory =
        hf_world_find_inventory(trial->world, request->inventory_id);
    if (trial->expected.tells_inventory)
        return hf_trial_check_version(trial, &reply->inventory);
    if (reply->result == HF_VERSION_MISMATCH && request->operation != HF_OP_BATCH &&
        inventory->version_known && !is_behind(trial) && inventory->version != reply->version)
        return hf_trial_wrong(trial, "VERSION_MISMATCH tells version %u, but it is %u",
                              reply->version, inventory->version);
    return NULL;
}

static void count_request(const struct hf_trial *trial, const struct hf_request *request)
{
    const struct hf_reply *reply = &trial->answer.reply;
    count_result(trial, request->operation, reply->result);
    if (trial->coverage && request->operation == HF_OP_BATCH)
        trial->coverage->batch_lines += request->count;
}

/* It may turn away what would have to be logged, and then has done nothing about it. */
static bool is_turned_away(const struct hf_trial *trial, const struct hf_request *request)
{
    return trial->answer.reply.result == HF_STORAGE_FULL && is_behind(trial) &&
           request->operation != HF_OP_RESERVATION_GET &&
           request->operation != HF_OP_INVENTORY_GET &&
           request->operation != HF_OP_INVENTORY_SETTINGS;
}

static const char *do_request(struct hf_trial *trial, const struct hf_step *step,
                              const struct hf_line *lines)
{
    struct hf_request request;
    const char *error = prepare(trial, step, lines, &request);
    if (trial->out)
        hf_print_request(trial->out, &request);
    if (error)
        return error;
    ask(trial, &request);
    if (is_turned_away(trial, &request)) {
        hf_world_forget_versions(trial->world);
        struct reading turned_away = read_log(trial);
        return finish_reading(trial, &turned_away);
    }
    learn_chosen(trial, &request);
    struct reading reading = read_log(trial);
    size_t asked = hf_world_mark(trial->world);
    if ((error = follow(trial, &reading)))
        return error;
    size_t mark = hf_world_mark(trial->world);
    if (!try_to_decide(trial, &request) && !decide_without_overdue(trial, &request) &&
        !decide_earlier(trial, &request, &reading, asked))
        decide(trial, &request);
    const char *read_error = read_own_changes(trial, &reading, mark);
    if (read_error == NULL)
        read_error = finish_reading(trial, &reading);
    hf_reference_note_settled(trial->world, &trial->expected);
    /* A wrong answer says more than a wrong log. */
    error = hf_trial_check_answer(trial, &request);
    if (error || (error = read_error) || (error = check_versions(trial, &request)))
        return error;
    note_symbols(trial, step, &request);
    count_request(trial, &request);
    if ((error = hf_world_broken(trial->world, mark)))
        return hf_trial_wrong(trial, "the model itself is broken: %s", error);
    return NULL;
}

/* ---- time, and crashes ---- */

static const char *do_tick(struct hf_trial *trial)
{
    trial->subject->tick(trial->engine, trial->now_ns);
    struct reading reading = read_log(trial);
    const char *error = finish_reading(trial, &reading);
    if (error || is_behind(trial))
        return error;
    for (uint32_t i = 0; i < hf_world_reservation_count(trial->world); i++) {
        const struct hf_reservation *now = &hf_world_reservation(trial->world, i)->now;
        uint64_t due_ns =
            now->deadline_ns > trial->started_ns ? now->deadline_ns : trial->started_ns;
        if (now->state == HF_STATE_HELD && trial->now_ns >= due_ns + EXPIRY_LAG_NS) {
            hf_trial_print_reservation(trial, "    still held: ", now);
            return hf_trial_wrong(trial, "a hold stands more than 2 ms after its deadline");
        }
    }
    return NULL;
}

/* What of the log survives: all of it at times, at times all but a few records. */
static uint64_t surviving_lsn(const struct hf_trial *trial, uint32_t dice)
{
    uint64_t last = trial->next_lsn - 1;
    uint64_t most = trial->next_lsn - trial->first_lsn;
    if ((dice & 3) == 0 || most == 0)
        return last;
    return last - (dice >> 2) % (most < 40 ? most + 1 : 40);
}

/* Back to what was after this LSN: the end of the log is lost. */
static void go_back(struct hf_trial *trial, uint64_t lsn)
{
    hf_world_rollback(trial->world,
                      lsn < trial->first_lsn ? 0 : trial->marks[lsn - trial->first_lsn]);
    hf_world_forget_versions(trial->world);
    memset(trial->seen, 0, sizeof trial->seen);
    if (trial->out)
        fprintf(trial->out, "the log is lost after LSN %" PRIu64 " of %" PRIu64 "\n", lsn,
                trial->next_lsn - 1);
}

/* The next change gets this LSN, or got it while the subject started. */
static const char *go_on(struct hf_trial *trial, uint64_t next_lsn, uint32_t dice)
{
    trial->first_lsn = trial->next_lsn = next_lsn;
    hf_world_checkpoint(trial->world, NULL, NULL);
    trial->started_ns = trial->now_ns;
    if (trial->coverage)
        trial->coverage->crashes++;
    struct reading reading = read_log(trial);
    const char *error = finish_reading(trial, &reading);
    return error ? error : hf_trial_compare_state(trial, dice);
}

static const char *do_crash(struct hf_trial *trial, uint32_t dice)
{
    uint64_t lsn = surviving_lsn(trial, dice);
    go_back(trial, lsn);
    return go_on(trial, trial->subject->crash(trial->engine, lsn, trial->now_ns), dice);
}

const char *hf_trial_restarted(struct hf_trial *trial, uint64_t lsn, uint64_t now_ns, uint32_t dice)
{
    if (lsn + 1 < trial->first_lsn || lsn >= trial->next_lsn)
        return hf_trial_wrong(trial,
                              "the log ends at LSN %" PRIu64 "; it held those up to %" PRIu64
                              " at its last start, and got those up to %" PRIu64,
                              lsn, trial->first_lsn - 1, trial->next_lsn - 1);
    trial->now_ns = now_ns;
    go_back(trial, lsn);
    const char *error = go_on(trial, lsn + 1, dice);
    const char *broken = trial->subject->broken(trial->engine);
    return broken ? hf_trial_wrong(trial, "%s", broken) : error;
}

/* ---- a step ---- */

static const char *do_step(struct hf_trial *trial, const struct hf_step *step,
                           const struct hf_line *lines)
{
    static const char *const kinds[] = {"", "tick\n", "crash\n", "compare\n"};
    trial->now_ns = step->now_ns;
    if (trial->coverage)
        trial->coverage->steps++;
    if (trial->out)
        fprintf(trial->out, "%6u at %" PRIu64 ".%09" PRIu64 ": %s", step->number,
                step->now_ns / (uint64_t)HF_NS_PER_S, step->now_ns % (uint64_t)HF_NS_PER_S,
                kinds[step->kind]);
    switch (step->kind) {
    case HF_STEP_TICK:
        return do_tick(trial);
    case HF_STEP_CRASH:
        return do_crash(trial, step->dice);
    case HF_STEP_COMPARE:
        return hf_trial_compare_state(trial, step->dice);
    case HF_STEP_REQUEST:
        break;
    }
    return do_request(trial, step, lines);
}

const char *hf_trial_step(struct hf_trial *trial, const struct hf_step *step,
                          const struct hf_line *lines)
{
    const char *error = do_step(trial, step, lines);
    /* What it says of itself says more. */
    const char *broken = trial->subject->broken(trial->engine);
    return broken ? hf_trial_wrong(trial, "%s", broken) : error;
}
