/*
 * The witness: see witness.h.
 *
 * Everything is judged behind the event. hf_witness_judge() reads the log, sorts what was asked by
 * reservation, and goes over it twice: over the answers, each of which must be true of the log; and
 * over the new records, each of which must have been asked for by somebody who was not told no.
 */
#include "tests/lib/witness.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"

/* A worker reads the clock when its turn begins, and then what has arrived: so a date may lie a
 * little before its request was sent. */
#define TURN_SLACK_NS (200 * HF_NS_PER_MS)

/* A line of an asking, to be found by the id that it may change. */
struct reference {
    struct hf_id id;
    struct hf_asking *asking;
    uint32_t line;
};

/* One judgement. */
struct trial {
    struct hf_witness *witness;
    struct reference *references; /* by id */
    uint32_t reference_count;
    uint8_t *owned; /* of each new record: an answer that is no repetition told of it */
};

void hf_witness_contradict(struct hf_witness *witness, const char *format, ...)
{
    va_list arguments;
    if (witness->violation[0])
        return;
    va_start(arguments, format);
    vsnprintf(witness->violation, sizeof witness->violation, format, arguments);
    va_end(arguments);
}

const char *hf_witness_violation(const struct hf_witness *witness)
{
    return witness->violation[0] ? witness->violation : NULL;
}

static void drop_askings(struct hf_witness *witness)
{
    for (uint32_t i = 0; i < witness->asking_count; i++)
        free(witness->askings[i]);
    witness->asking_count = 0;
}

void hf_witness_close(struct hf_witness *witness)
{
    drop_askings(witness);
    free(witness->askings);
    hf_annals_close(&witness->annals);
    *witness = (struct hf_witness){0};
}

void hf_witness_end_run(struct hf_witness *witness, uint64_t next_retain_ns)
{
    uint64_t time_ns = witness->annals.time_ns, retain_ns = witness->retain_ns;
    /* A snapshot may have been made without it: then no later server has it. */
    if (time_ns > retain_ns && time_ns - retain_ns > witness->forgotten_until_ns)
        witness->forgotten_until_ns = time_ns - retain_ns;
    witness->run++;
    witness->clock_low_ns = witness->clock_high_ns = 0;
    witness->retain_ns = next_retain_ns;
    if (witness->least_retain_ns == 0 || next_retain_ns < witness->least_retain_ns)
        witness->least_retain_ns = next_retain_ns;
}

void hf_witness_begin_run(struct hf_witness *witness, uint64_t now_ns, uint64_t asked_ns,
                          uint64_t answered_ns)
{
    witness->run++;
    witness->clock_low_ns = now_ns - answered_ns;
    witness->clock_high_ns = now_ns - asked_ns;
}

/* ---- asking ---- */

static struct hf_asking *new_asking(struct hf_witness *witness)
{
    struct hf_asking *asking = calloc(1, sizeof *asking);
    if (witness->asking_count == witness->asking_room) {
        witness->asking_room = witness->asking_room ? 2 * witness->asking_room : 256;
        witness->askings =
            realloc(witness->askings, witness->asking_room * sizeof(struct hf_asking *));
    }
    HF_CHECK(asking && witness->askings);
    witness->askings[witness->asking_count++] = asking;
    asking->witness = witness;
    asking->asked_ns = hf_monotonic_now_ns();
    asking->floor_lsn = witness->figures.lsn;
    asking->run_asked = witness->run;
    asking->retain_ns = witness->retain_ns;
    witness->figures.requests++;
    return asking;
}

static struct hf_request wire_of(const struct hf_line *line)
{
    return (struct hf_request){.operation = line->operation,
                               .flags = line->flags,
                               .id = line->id,
                               .inventory_id = line->inventory_id,
                               .customer_id = line->customer_id,
                               .qty = line->qty,
                               .ttl_ns = line->ttl_ns,
                               .expected = line->expected,
                               .new_id = line->new_id};
}

struct hf_asking *hf_witness_ask(struct hf_witness *witness, const struct hf_line *lines,
                                 uint32_t line_count, bool batch)
{
    struct hf_asking *asking = new_asking(witness);
    HF_CHECK(line_count > 0 && line_count <= HF_WITNESS_LINES && (batch || line_count == 1));
    memcpy(asking->lines, lines, line_count * sizeof *lines);
    asking->line_count = line_count;
    if (batch)
        asking->wire = (struct hf_request){
            .operation = HF_OP_BATCH, .count = line_count, .lines = asking->lines};
    else
        asking->wire = wire_of(&lines[0]);
    return asking;
}

struct hf_asking *hf_witness_ask_inventory(struct hf_witness *witness,
                                           const struct hf_request *request)
{
    struct hf_asking *asking = new_asking(witness);
    asking->wire = *request;
    return asking;
}

/* ---- the answer, at once ---- */

/* True if this yes is one that the operation has. */
static bool yes_fits(enum hf_operation operation, uint32_t qty, unsigned result)
{
    bool gone = result == HF_RELEASED || result == HF_CANCELLED || result == HF_LEFT;
    switch (operation) {
    case HF_OP_RESERVE:
    case HF_OP_HOLD:
        return result == HF_GRANTED;
    case HF_OP_JOIN:
        return result == HF_JOINED;
    case HF_OP_CONFIRM:
        return result == HF_CONFIRMED;
    case HF_OP_RELEASE:
        return result == HF_RELEASED;
    case HF_OP_CANCEL:
        return gone;
    case HF_OP_EXTEND:
        return result == HF_EXTENDED;
    case HF_OP_CHANGE:
        return qty == 0 ? gone : result == HF_CHANGED;
    case HF_OP_MOVE:
        return result == HF_MOVED;
    case HF_OP_LEAVE:
        return result == HF_LEFT;
    case HF_OP_BATCH:
        return result == HF_BATCH_DONE;
    case HF_OP_INVENTORY_CREATE:
        return result == HF_CREATED;
    case HF_OP_INVENTORY_SET:
        return result == HF_SET;
    default:
        return result == HF_FOUND;
    }
}

static void acknowledge(struct hf_witness *witness, uint64_t lsn)
{
    if (lsn > witness->figures.lsn)
        witness->figures.lsn = lsn;
}

static void keep_entries(struct hf_asking *asking, const struct hf_reply *reply)
{
    struct hf_witness *witness = asking->witness;
    if (asking->wire.operation == HF_OP_BATCH) {
        if (reply->count != asking->line_count)
            hf_witness_contradict(witness, "a batch of %u lines was answered with %u",
                                  asking->line_count, reply->count);
        else
            memcpy(asking->entries, reply->entries, reply->count * sizeof *reply->entries);
    } else {
        asking->entries[0] =
            (struct hf_reservation_entry){reply->result, reply->repeated, reply->reservation};
    }
    asking->entry_count = asking->line_count;
    for (uint32_t i = 0; i < asking->entry_count; i++) {
        const struct hf_reservation_entry *entry = &asking->entries[i];
        acknowledge(witness, entry->reservation.lsn);
        witness->figures.repeated += entry->repeated;
        if (!yes_fits(asking->lines[i].operation, asking->lines[i].qty, entry->result))
            hf_witness_contradict(witness, "operation %u was answered %s",
                                  (unsigned)asking->lines[i].operation,
                                  hf_result_name(entry->result));
    }
}

static void take_yes(struct hf_asking *asking, const struct hf_reply *reply)
{
    asking->end = HF_WITNESS_YES;
    asking->witness->figures.yes++;
    if (!yes_fits(asking->wire.operation, asking->wire.qty, reply->result))
        hf_witness_contradict(asking->witness, "operation %u was answered %s",
                              (unsigned)asking->wire.operation, hf_result_name(reply->result));
    else if (asking->line_count != 0)
        keep_entries(asking, reply);
    else
        acknowledge(asking->witness, reply->inventory.lsn);
    asking->witness->figures.batches += asking->wire.operation == HF_OP_BATCH;
}

void hf_witness_answer(struct hf_asking *asking, const struct hf_reply *reply)
{
    struct hf_witness *witness = asking->witness;
    asking->answered_ns = hf_monotonic_now_ns();
    asking->run_answered = witness->run;
    if (witness->retain_ns < asking->retain_ns)
        asking->retain_ns = witness->retain_ns;
    asking->resent = reply->resent;
    asking->told = *reply;
    witness->figures.resent += reply->resent;
    if (asking->run_asked == witness->run) {
        asking->clock_low_ns = witness->clock_low_ns;
        asking->clock_high_ns = witness->clock_high_ns;
    }
    switch (hf_result_group(reply->result)) {
    case HF_GROUP_YES:
        take_yes(asking, reply);
        break;
    case HF_GROUP_UNKNOWN:
        asking->end = reply->result == HF_NOT_CONNECTED ? HF_WITNESS_NO : HF_WITNESS_UNKNOWN;
        witness->figures.unknown += asking->end == HF_WITNESS_UNKNOWN;
        break;
    case HF_GROUP_BAD_REQUEST:
        hf_witness_contradict(witness, "operation %u was answered %s (%s, line %u)",
                              (unsigned)asking->wire.operation, hf_result_name(reply->result),
                              hf_field_name(reply->field), reply->line);
        break;
    default:
        asking->end = HF_WITNESS_NO;
        witness->figures.no++;
    }
}

/* ---- what a line does ---- */

static const char *id_text(const struct hf_id *id)
{
    static char texts[2][HF_ID_TEXT_BYTES];
    static unsigned turn;
    char *text = texts[turn++ % 2];
    hf_id_format(id, text);
    return text;
}

static bool is_claim(enum hf_operation operation)
{
    return operation == HF_OP_RESERVE || operation == HF_OP_HOLD || operation == HF_OP_JOIN;
}

static bool may_reacquire(const struct hf_line *line)
{
    return line->operation == HF_OP_CONFIRM && (line->flags & HF_REQUEST_REACQUIRE) != 0;
}

static struct hf_id new_id_of(const struct hf_line *line)
{
    struct hf_id id = line->new_id;
    if (hf_id_is_zero(&id))
        hf_id_derive(&line->id, &id);
    return id;
}

/* The other half of a claim: the record that a RESERVE, HOLD or JOIN makes. */
static bool claim_makes(const struct hf_line *line, const struct hf_reservation *now)
{
    enum hf_state state = line->operation == HF_OP_RESERVE ? HF_STATE_CONFIRMED
                          : line->operation == HF_OP_HOLD  ? HF_STATE_HELD
                                                           : HF_STATE_WAITING;
    uint64_t deadline_ns = line->operation == HF_OP_HOLD ? now->made_at_ns + line->ttl_ns : 0;
    return now->sequence == 1 && now->state == state && now->inventory_id == line->inventory_id &&
           now->customer_id == line->customer_id && now->qty == line->qty &&
           now->deadline_ns == deadline_ns && hf_id_is_zero(&now->linked_id);
}

static bool ends(const struct hf_reservation *before, const struct hf_reservation *now)
{
    return (before->state == HF_STATE_HELD && now->state == HF_STATE_RELEASED) ||
           (before->state == HF_STATE_CONFIRMED && now->state == HF_STATE_CANCELLED) ||
           (before->state == HF_STATE_WAITING && now->state == HF_STATE_CANCELLED);
}

/* A change of `before` (the same reservation) into `now`: is it what the line asks for? */
static bool change_makes(const struct hf_line *line, const struct hf_reservation *before,
                         const struct hf_reservation *now)
{
    bool held = before->state == HF_STATE_HELD, same = now->state == before->state;
    if (line->expected != 0 && line->expected != before->sequence)
        return false;
    switch (line->operation) {
    case HF_OP_CONFIRM:
        return held && now->state == HF_STATE_CONFIRMED &&
               now->qty == (line->qty ? line->qty : before->qty);
    case HF_OP_RELEASE:
        return held && now->state == HF_STATE_RELEASED;
    case HF_OP_CANCEL:
        return ends(before, now);
    case HF_OP_EXTEND:
        return held && same && now->deadline_ns == now->changed_at_ns + line->ttl_ns;
    case HF_OP_CHANGE:
        return line->qty == 0 ? ends(before, now)
                              : same && now->qty == line->qty && before->qty != now->qty;
    case HF_OP_MOVE:
        return same && now->customer_id == line->customer_id &&
               now->customer_id != before->customer_id;
    case HF_OP_LEAVE:
        return before->state == HF_STATE_WAITING && now->state == HF_STATE_CANCELLED;
    default:
        return false;
    }
}

/* Is the record at `lsn` what the line asks for? */
static bool line_makes(const struct hf_annals *annals, const struct hf_line *line, uint64_t lsn)
{
    struct hf_image now, before;
    HF_CHECK(hf_annals_image(annals, lsn, &now));
    if (now.kind != HF_IMAGE_RESERVATION || now.notes.reason != HF_REASON_REQUEST)
        return false;
    if (may_reacquire(line) && hf_id_equal(&now.reservation.linked_id, &line->id)) {
        struct hf_id id = new_id_of(line);
        return hf_id_equal(&id, &now.reservation.id) && now.reservation.sequence == 1 &&
               now.reservation.state == HF_STATE_CONFIRMED &&
               (line->qty == 0 || now.reservation.qty == line->qty);
    }
    if (!hf_id_equal(&now.reservation.id, &line->id))
        return false;
    if (is_claim(line->operation))
        return claim_makes(line, &now.reservation);
    if (!hf_annals_image(annals, hf_annals_earlier(annals, lsn), &before))
        return false;
    return now.reservation.sequence == before.reservation.sequence + 1 &&
           change_makes(line, &before.reservation, &now.reservation);
}

/* Was it done already, before a chain that begins at `first_lsn`, so that it needs no record? */
static bool was_done(const struct hf_annals *annals, const struct hf_line *line, uint64_t first_lsn,
                     uint64_t at_ns)
{
    struct hf_image before, made;
    struct hf_id id = new_id_of(line);
    if (may_reacquire(line) &&
        hf_annals_image(annals, hf_annals_up_to(annals, &id, first_lsn - 1), &made))
        return true;
    if (!hf_annals_image(annals, hf_annals_up_to(annals, &line->id, first_lsn - 1), &before))
        return false;
    const struct hf_reservation *known = &before.reservation;
    switch (line->operation) {
    case HF_OP_CONFIRM:
        return known->state == HF_STATE_CONFIRMED;
    case HF_OP_RELEASE:
        return known->state == HF_STATE_RELEASED;
    case HF_OP_CANCEL:
        return known->state == HF_STATE_RELEASED || known->state == HF_STATE_CANCELLED;
    case HF_OP_LEAVE:
        return known->state == HF_STATE_CANCELLED;
    case HF_OP_EXTEND:
        return known->state == HF_STATE_HELD && known->deadline_ns >= at_ns + line->ttl_ns;
    case HF_OP_CHANGE:
        return line->qty == 0 ? hf_state_is_final(known->state) : known->qty == line->qty;
    case HF_OP_MOVE:
        return known->customer_id == line->customer_id;
    default:
        return is_claim(line->operation);
    }
}

/* ---- the answers, against the log ---- */

static bool same_reservation(const struct hf_reservation *told, const struct hf_reservation *logged)
{
    return hf_id_equal(&told->id, &logged->id) && told->inventory_id == logged->inventory_id &&
           told->customer_id == logged->customer_id && told->lsn == logged->lsn &&
           told->made_at_ns == logged->made_at_ns && told->changed_at_ns == logged->changed_at_ns &&
           told->deadline_ns == logged->deadline_ns && told->qty == logged->qty &&
           told->sequence == logged->sequence && told->state == logged->state &&
           (hf_id_is_zero(&told->linked_id) || hf_id_equal(&told->linked_id, &logged->linked_id));
}

/* What was told is in the log, and was not outdated when it was told. */
static void judge_told(struct hf_witness *witness, const struct hf_asking *asking,
                       const struct hf_reservation *told)
{
    struct hf_image image;
    if (!hf_annals_image(&witness->annals, told->lsn, &image) ||
        image.kind != HF_IMAGE_RESERVATION || !same_reservation(told, &image.reservation)) {
        hf_witness_contradict(witness,
                              "ACK-AFTER-COMMIT: %s was told to be %s, sequence %u, at LSN %llu; "
                              "the log, up to LSN %llu, has not that there",
                              id_text(&told->id), hf_state_name(told->state), told->sequence,
                              (unsigned long long)told->lsn,
                              (unsigned long long)witness->annals.last_lsn);
        return;
    }
    uint64_t later = hf_annals_later(&witness->annals, told->lsn);
    if (later != 0 && later <= asking->floor_lsn)
        hf_witness_contradict(witness,
                              "%s was told to be %s, LSN %llu, asked for after LSN %llu was "
                              "acknowledged; but LSN %llu changed it",
                              id_text(&told->id), hf_state_name(told->state),
                              (unsigned long long)told->lsn, (unsigned long long)asking->floor_lsn,
                              (unsigned long long)later);
}

/* The date of a change lies between asking and answer; what ends a hold's time was asked in time. */
static void judge_dates(struct hf_witness *witness, const struct hf_asking *asking, uint64_t lsn)
{
    struct hf_image now, before;
    const struct hf_reservation *made = &now.reservation;
    if (asking->clock_high_ns == 0 || !hf_annals_image(&witness->annals, lsn, &now))
        return;
    uint64_t from_ns = asking->asked_ns + asking->clock_low_ns;
    if (made->changed_at_ns + TURN_SLACK_NS < from_ns ||
        made->changed_at_ns > asking->answered_ns + asking->clock_high_ns)
        hf_witness_contradict(witness, "LSN %llu is dated %llu, but was asked for at %llu",
                              (unsigned long long)lsn, (unsigned long long)made->changed_at_ns,
                              (unsigned long long)from_ns);
    if (!hf_annals_image(&witness->annals, hf_annals_earlier(&witness->annals, lsn), &before) ||
        before.reservation.state != HF_STATE_HELD)
        return;
    if (from_ns >= before.reservation.deadline_ns + TURN_SLACK_NS)
        hf_witness_contradict(witness, "%s was %s after its deadline (LSN %llu)",
                              id_text(&made->id), hf_state_name(made->state),
                              (unsigned long long)lsn);
}

/* A yes that is no repetition: the record that did it, of its own. */
static void judge_done(struct trial *trial, const struct hf_asking *asking, uint32_t line)
{
    struct hf_witness *witness = trial->witness;
    const struct hf_reservation *told = &asking->entries[line].reservation;
    uint64_t lsn = told->lsn;
    while (lsn > asking->floor_lsn && !line_makes(&witness->annals, &asking->lines[line], lsn))
        lsn = hf_annals_earlier(&witness->annals, lsn);
    if (lsn <= asking->floor_lsn) {
        hf_witness_contradict(witness,
                              "operation %u on %s was answered %s, LSN %llu, but no record since "
                              "LSN %llu does that",
                              (unsigned)asking->lines[line].operation, id_text(&told->id),
                              hf_result_name(asking->entries[line].result),
                              (unsigned long long)told->lsn, (unsigned long long)asking->floor_lsn);
        return;
    }
    uint8_t *owned = &trial->owned[lsn - witness->judged_lsn - 1];
    if (*owned)
        hf_witness_contradict(witness,
                              "RESOLVES-ONCE: two requests were told to have made LSN %llu of %s",
                              (unsigned long long)lsn, id_text(&told->id));
    *owned = 1;
    witness->figures.by_operation[asking->lines[line].operation % 64]++;
    witness->figures.reacquired +=
        may_reacquire(&asking->lines[line]) && !hf_id_is_zero(&told->linked_id);
    judge_dates(witness, asking, lsn);
}

static void judge_reservations(struct trial *trial, const struct hf_asking *asking)
{
    struct hf_witness *witness = trial->witness;
    for (uint32_t i = 0; i < asking->entry_count && !hf_witness_violation(witness); i++) {
        const struct hf_reservation_entry *entry = &asking->entries[i];
        struct hf_id id = new_id_of(&asking->lines[i]);
        if (!hf_id_equal(&entry->reservation.id, &asking->lines[i].id) &&
            !(may_reacquire(&asking->lines[i]) && hf_id_equal(&entry->reservation.id, &id)))
            hf_witness_contradict(witness, "asked about %s, told about %s",
                                  id_text(&asking->lines[i].id), id_text(&entry->reservation.id));
        judge_told(witness, asking, &entry->reservation);
        if (asking->lines[i].operation == HF_OP_RESERVATION_GET) {
            if (entry->reservation.state == HF_STATE_EXPIRED && asking->clock_high_ns != 0 &&
                entry->reservation.changed_at_ns > asking->answered_ns + asking->clock_high_ns)
                hf_witness_contradict(witness, "%s was EXPIRED before its time",
                                      id_text(&entry->reservation.id));
        } else if (!entry->repeated && !hf_witness_violation(witness)) {
            judge_done(trial, asking, i);
        }
    }
}

/* A yes of INVENTORY_SET or CREATE. */
static void judge_inventory(struct hf_witness *witness, const struct hf_asking *asking)
{
    struct hf_image image;
    const struct hf_inventory *told = &asking->told.inventory;
    bool settings = asking->wire.operation == HF_OP_INVENTORY_SET;
    if (!hf_annals_image(&witness->annals, told->lsn, &image) || image.kind != HF_IMAGE_INVENTORY ||
        image.inventory.inventory_id != told->inventory_id ||
        image.settings.sell_limit != told->sell_limit ||
        (settings && (image.inventory_sequence != asking->told.settings_sequence ||
                      image.settings.customer_limit != asking->told.settings.customer_limit ||
                      image.settings.max_qty != asking->told.settings.max_qty)))
        hf_witness_contradict(
            witness,
            "ACK-AFTER-COMMIT: settings of inventory %llu were told with LSN %llu; "
            "the log has not that there",
            (unsigned long long)told->inventory_id, (unsigned long long)told->lsn);
    witness->figures.settings += settings;
}

/* May a server have forgotten it? */
static bool is_forgettable(const struct hf_witness *witness, const struct hf_image *image,
                           uint64_t retain_ns)
{
    uint64_t ended_ns = image->reservation.changed_at_ns;
    return hf_state_is_final(image->reservation.state) &&
           (ended_ns <= witness->forgotten_until_ns ||
            ended_ns + retain_ns <= witness->annals.time_ns);
}

/* The newest that was acknowledged when it was asked for, if it must be known. */
static bool was_known(const struct hf_witness *witness, const struct hf_asking *asking,
                      const struct hf_id *id, struct hf_image *image)
{
    const struct hf_annals *annals = &witness->annals;
    uint64_t lsn = hf_annals_up_to(annals, id, asking->floor_lsn);
    struct hf_image last, next;
    if (!hf_annals_image(annals, lsn, image))
        return false;
    /* What became of it; a reservation that was made later under its id is another one. */
    last = *image;
    while (hf_annals_image(annals, hf_annals_later(annals, last.lsn), &next) &&
           next.reservation.sequence != 1)
        last = next;
    return !is_forgettable(witness, &last, asking->retain_ns);
}

/* HOLD_EXPIRED: was there a state since the asking in which that was right? */
static bool may_be_expired(const struct hf_witness *witness, const struct hf_asking *asking,
                           const struct hf_id *id)
{
    struct hf_image image;
    uint64_t lsn = hf_annals_of(&witness->annals, id);
    uint64_t until_ns = asking->answered_ns + asking->clock_high_ns;
    for (; hf_annals_image(&witness->annals, lsn, &image);
         lsn = hf_annals_earlier(&witness->annals, lsn)) {
        if (image.reservation.state == HF_STATE_EXPIRED ||
            (image.reservation.state == HF_STATE_HELD &&
             (asking->clock_high_ns == 0 || image.reservation.deadline_ns <= until_ns)))
            return true;
        if (lsn <= asking->floor_lsn)
            return false;
    }
    return false;
}

/* A conflict told a state and a sequence: the log has them. */
static bool has_sequence(const struct hf_witness *witness, const struct hf_asking *asking,
                         const struct hf_id *id)
{
    struct hf_image image;
    uint64_t lsn = hf_annals_of(&witness->annals, id);
    for (; hf_annals_image(&witness->annals, lsn, &image);
         lsn = hf_annals_earlier(&witness->annals, lsn))
        if (image.reservation.sequence == asking->told.version)
            return (unsigned)image.reservation.state == asking->told.state;
    return false;
}

static void judge_no(struct hf_witness *witness, const struct hf_asking *asking)
{
    uint32_t at = asking->told.line ? asking->told.line - 1 : 0;
    if (asking->line_count == 0 || at >= asking->line_count)
        return;
    const struct hf_line *line = &asking->lines[at];
    const struct hf_reply *told = &asking->told;
    struct hf_image image;
    bool known = was_known(witness, asking, &line->id, &image);
    const char *lie = NULL;
    if (known && told->result == HF_NOT_FOUND)
        lie = "but it was acknowledged before";
    else if (known && is_claim(line->operation) && hf_result_group(told->result) == HF_GROUP_NO)
        lie = "but it was granted before";
    else if (told->result == HF_HOLD_EXPIRED && !may_be_expired(witness, asking, &line->id))
        lie = "but its deadline had not passed";
    else if ((told->result == HF_WRONG_STATE || told->result == HF_SEQUENCE_MISMATCH) &&
             !has_sequence(witness, asking, &line->id))
        lie = "but the log has never had what was told of it";
    else if (told->result == HF_ID_REUSED && hf_annals_of(&witness->annals, &line->id) == 0)
        lie = "but the log does not know it";
    else if (told->result == HF_SOLD_OUT && is_claim(line->operation) && asking->line_count == 1 &&
             told->available >= (int32_t)line->qty)
        lie = "but as many are available";
    if (told->result == HF_NOT_FOUND && !known &&
        hf_annals_up_to(&witness->annals, &line->id, asking->floor_lsn) != 0)
        witness->figures.forgotten++;
    if (lie)
        hf_witness_contradict(
            witness,
            "operation %u on %s was answered %s (sequence or version %u, state %u, "
            "line %u), %s",
            (unsigned)line->operation, id_text(&line->id), hf_result_name(told->result),
            told->version, told->state, told->line, lie);
}

static void judge_answers(struct trial *trial)
{
    struct hf_witness *witness = trial->witness;
    for (uint32_t i = 0; i < witness->asking_count && !hf_witness_violation(witness); i++) {
        const struct hf_asking *asking = witness->askings[i];
        HF_CHECK(asking->end != HF_WITNESS_OPEN);
        if (asking->end == HF_WITNESS_YES && asking->line_count != 0)
            judge_reservations(trial, asking);
        else if (asking->end == HF_WITNESS_YES)
            judge_inventory(witness, asking);
        else if (asking->end == HF_WITNESS_NO)
            judge_no(witness, asking);
    }
}

/* ---- the records, against the requests ---- */

static int compare_references(const void *left_pointer, const void *right_pointer)
{
    const struct reference *left = left_pointer, *right = right_pointer;
    return memcmp(left->id.bytes, right->id.bytes, sizeof left->id.bytes);
}

static void refer(struct trial *trial, struct hf_asking *asking, uint32_t line, struct hf_id id)
{
    trial->references[trial->reference_count++] = (struct reference){id, asking, line};
}

static void sort_askings(struct trial *trial)
{
    struct hf_witness *witness = trial->witness;
    size_t room = 2 * HF_WITNESS_LINES * (size_t)witness->asking_count + 1;
    trial->references = calloc(room, sizeof *trial->references);
    HF_CHECK(trial->references);
    for (uint32_t i = 0; i < witness->asking_count; i++) {
        struct hf_asking *asking = witness->askings[i];
        for (uint32_t n = 0; n < asking->line_count && asking->end != HF_WITNESS_NO; n++) {
            refer(trial, asking, n, asking->lines[n].id);
            if (may_reacquire(&asking->lines[n]))
                refer(trial, asking, n, new_id_of(&asking->lines[n]));
        }
    }
    qsort(trial->references, trial->reference_count, sizeof *trial->references, compare_references);
}

/* The first reference to an id, or the end. */
static const struct reference *first_reference(const struct trial *trial, const struct hf_id *id)
{
    uint32_t low = 0, high = trial->reference_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (memcmp(trial->references[middle].id.bytes, id->bytes, sizeof id->bytes) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return &trial->references[low];
}

/* All or nothing: is every line of the batch in the record's chain, or was done before it? */
static bool is_whole(const struct hf_annals *annals, const struct hf_asking *asking,
                     const struct hf_image *image)
{
    uint64_t first = image->lsn - image->chain_index;
    uint64_t last = first + (image->chain_length ? image->chain_length : 1u) - 1;
    for (uint32_t i = 0; i < asking->line_count; i++) {
        bool made = was_done(annals, &asking->lines[i], first, image->reservation.changed_at_ns);
        for (uint64_t lsn = first; lsn <= last && lsn <= annals->last_lsn && !made; lsn++)
            made = line_makes(annals, &asking->lines[i], lsn);
        if (!made)
            return false;
    }
    return true;
}

static void explain_reservation(struct trial *trial, const struct hf_image *image)
{
    struct hf_witness *witness = trial->witness;
    const struct reference *end = trial->references + trial->reference_count;
    const struct reference *at = first_reference(trial, &image->reservation.id);
    bool torn = false;
    for (; at < end && hf_id_equal(&at->id, &image->reservation.id); at++) {
        if (!line_makes(&witness->annals, &at->asking->lines[at->line], image->lsn))
            continue;
        if (at->asking->line_count == 1 || is_whole(&witness->annals, at->asking, image)) {
            witness->figures.batch_records += at->asking->line_count > 1;
            return;
        }
        torn = true;
    }
    hf_witness_contradict(witness, "LSN %llu makes %s %s, sequence %u, %u units: %s",
                          (unsigned long long)image->lsn, id_text(&image->reservation.id),
                          hf_state_name(image->reservation.state), image->reservation.sequence,
                          image->reservation.qty,
                          torn ? "a batch asked for it, whose other lines were not done with it"
                               : "nobody asked for that, or was told no");
}

/* The settings that a request names are those of the record. */
static bool set_makes(const struct hf_settings_change *change, const struct hf_settings *now)
{
    const struct hf_settings *set = &change->settings;
    uint32_t fields = change->fields;
    return (!(fields & HF_SET_SELL_LIMIT) || now->sell_limit == set->sell_limit) &&
           (!(fields & HF_SET_CUSTOMER_LIMIT) || now->customer_limit == set->customer_limit) &&
           (!(fields & HF_SET_MAX_QTY) || now->max_qty == set->max_qty) &&
           (!(fields & HF_SET_OFFER_TTL) || now->offer_ttl_ns == set->offer_ttl_ns) &&
           (!(fields & HF_SET_FLAGS) || ((now->flags ^ set->flags) & change->flags_mask) == 0);
}

static void explain_inventory(struct trial *trial, const struct hf_image *image)
{
    struct hf_witness *witness = trial->witness;
    for (uint32_t i = 0; i < witness->asking_count; i++) {
        const struct hf_asking *asking = witness->askings[i];
        if (asking->line_count != 0 || asking->end == HF_WITNESS_NO ||
            asking->wire.inventory_id != image->inventory.inventory_id)
            continue;
        if (image->inventory_sequence == 1 ? asking->wire.operation == HF_OP_INVENTORY_CREATE
                                           : asking->wire.operation == HF_OP_INVENTORY_SET &&
                                                 set_makes(&asking->wire.change, &image->settings))
            return;
    }
    hf_witness_contradict(witness,
                          "LSN %llu sets inventory %llu: nobody asked for that, or was "
                          "told no",
                          (unsigned long long)image->lsn,
                          (unsigned long long)image->inventory.inventory_id);
}

/* An id that is used again had been forgotten. */
static void judge_reuse(struct hf_witness *witness, const struct hf_image *image)
{
    struct hf_image before;
    uint64_t earlier = hf_annals_earlier(&witness->annals, image->lsn);
    if (image->reservation.sequence != 1 || !hf_annals_image(&witness->annals, earlier, &before))
        return;
    if (before.reservation.changed_at_ns + witness->least_retain_ns >
        image->reservation.made_at_ns + TURN_SLACK_NS)
        hf_witness_contradict(witness, "%s is made again by LSN %llu, before it was forgotten",
                              id_text(&image->reservation.id), (unsigned long long)image->lsn);
}

/* ---- units of customers ---- */

static uint32_t *customer_units(struct hf_witness *witness,
                                const struct hf_reservation *reservation)
{
    uint64_t inventory = reservation->inventory_id - HF_WITNESS_FIRST_INVENTORY;
    if (inventory >= HF_WITNESS_LIMITED || reservation->customer_id >= HF_WITNESS_CUSTOMERS)
        return NULL;
    return &witness->customer_units[inventory][reservation->customer_id];
}

static void count_customer(struct hf_witness *witness, const struct hf_image *image)
{
    struct hf_image before;
    uint64_t earlier = hf_annals_earlier(&witness->annals, image->lsn);
    uint32_t *units = customer_units(witness, &image->reservation);
    if (units && hf_annals_image(&witness->annals, earlier, &before) &&
        hf_state_is_active(before.reservation.state))
        *customer_units(witness, &before.reservation) -= before.reservation.qty;
    if (units && hf_state_is_active(image->reservation.state))
        *units += image->reservation.qty;
    if (units && *units > HF_WITNESS_CUSTOMER_LIMIT &&
        image->chain_index + 1 >= image->chain_length)
        hf_witness_contradict(witness, "customer %llu has %u units of inventory %llu at LSN %llu",
                              (unsigned long long)image->reservation.customer_id, *units,
                              (unsigned long long)image->reservation.inventory_id,
                              (unsigned long long)image->lsn);
}

static void explain(struct trial *trial, const struct hf_image *image)
{
    struct hf_witness *witness = trial->witness;
    if (image->kind == HF_IMAGE_EVENT ||
        (image->kind == HF_IMAGE_INVENTORY
             ? image->inventory.inventory_id
             : image->reservation.inventory_id) < HF_WITNESS_FIRST_INVENTORY)
        return;
    witness->figures.records++;
    if (image->kind == HF_IMAGE_INVENTORY) {
        explain_inventory(trial, image);
        return;
    }
    witness->figures.expired += image->notes.reason == HF_REASON_DEADLINE;
    witness->figures.offers += image->notes.reason == HF_REASON_OFFER;
    judge_reuse(witness, image);
    count_customer(witness, image);
    if (image->notes.reason == HF_REASON_REQUEST)
        explain_reservation(trial, image);
}

static void explain_records(struct trial *trial)
{
    struct hf_witness *witness = trial->witness;
    struct hf_image image;
    for (uint64_t lsn = witness->judged_lsn + 1;
         hf_annals_image(&witness->annals, lsn, &image) && !hf_witness_violation(witness); lsn++)
        explain(trial, &image);
}

/* ---- sums ---- */

static void add_up(struct hf_witness *witness, const struct hf_image *image)
{
    const struct hf_reservation *known = &image->reservation;
    uint64_t inventory = known->inventory_id - HF_WITNESS_FIRST_INVENTORY;
    if (inventory >= HF_WITNESS_INVENTORIES)
        return;
    struct hf_witness_sums *sums = &witness->sums[inventory];
    if (known->state == HF_STATE_HELD) {
        sums->held += known->qty;
        if (known->deadline_ns < witness->first_deadline_ns)
            witness->first_deadline_ns = known->deadline_ns;
    }
    sums->confirmed += known->state == HF_STATE_CONFIRMED ? known->qty : 0;
    if (known->state != HF_STATE_WAITING)
        return;
    if (sums->waiting++ == 0) {
        sums->head_lsn = image->lsn;
        sums->head_qty = known->qty;
    }
}

static void add_all_up(struct hf_witness *witness)
{
    struct hf_image image;
    memset(witness->sums, 0, sizeof witness->sums);
    witness->first_deadline_ns = UINT64_MAX;
    for (uint64_t lsn = 1; lsn <= witness->annals.last_lsn; lsn++)
        if (hf_annals_later(&witness->annals, lsn) == 0 &&
            hf_annals_image(&witness->annals, lsn, &image) && image.kind == HF_IMAGE_RESERVATION)
            add_up(witness, &image);
}

/* Units that are free of an inventory, by the log. */
static int64_t available_of(const struct hf_witness *witness, uint64_t inventory,
                            struct hf_image *image)
{
    uint64_t lsn = hf_annals_of_inventory(&witness->annals, HF_WITNESS_FIRST_INVENTORY + inventory);
    const struct hf_witness_sums *sums = &witness->sums[inventory];
    if (!hf_annals_image(&witness->annals, lsn, image))
        return 0;
    return (int64_t)image->settings.sell_limit - (int64_t)sums->held - (int64_t)sums->confirmed;
}

bool hf_witness_is_overdue(const struct hf_witness *witness, uint64_t date_ns, char *text,
                           size_t text_bytes)
{
    struct hf_image image;
    for (uint64_t i = 0; i < HF_WITNESS_INVENTORIES; i++) {
        int64_t available = available_of(witness, i, &image);
        if (witness->sums[i].waiting == 0 || available < (int64_t)witness->sums[i].head_qty)
            continue;
        snprintf(text, text_bytes,
                 "%lld units of inventory %llu are free, and the first in its waiting list, who "
                 "wants %u, was offered none",
                 (long long)available, (unsigned long long)(HF_WITNESS_FIRST_INVENTORY + i),
                 witness->sums[i].head_qty);
        return true;
    }
    if (witness->first_deadline_ns > date_ns)
        return false;
    snprintf(text, text_bytes, "a hold lapsed at %llu, and at %llu it is not EXPIRED",
             (unsigned long long)witness->first_deadline_ns, (unsigned long long)date_ns);
    return true;
}

void hf_witness_check_inventory(struct hf_witness *witness, const struct hf_inventory *said)
{
    struct hf_image image;
    uint64_t inventory = said->inventory_id - HF_WITNESS_FIRST_INVENTORY;
    unsigned long long id = said->inventory_id;
    if (inventory >= HF_WITNESS_INVENTORIES) {
        hf_witness_contradict(witness, "inventory %llu exists, but nobody asked for it", id);
        return;
    }
    int64_t available = available_of(witness, inventory, &image);
    const struct hf_witness_sums *sums = &witness->sums[inventory];
    uint32_t settable = ~(uint32_t)HF_INVENTORY_SOLD_OUT_CLOSED;
    if ((int64_t)said->available + said->held + said->confirmed != said->sell_limit)
        hf_witness_contradict(witness,
                              "CONSERVATION: inventory %llu: available %d + held %u + confirmed %u "
                              "is not its sell limit %u",
                              id, said->available, said->held, said->confirmed, said->sell_limit);
    if (said->available != available || said->held != sums->held ||
        said->confirmed != sums->confirmed || said->waiting != sums->waiting)
        hf_witness_contradict(
            witness,
            "CONSERVATION: inventory %llu has %d available, %u held, %u confirmed, %u "
            "waiting; by its log %lld, %llu, %llu, %llu",
            id, said->available, said->held, said->confirmed, said->waiting, (long long)available,
            (unsigned long long)sums->held, (unsigned long long)sums->confirmed,
            (unsigned long long)sums->waiting);
    if (said->lsn != image.lsn || said->sell_limit != image.settings.sell_limit ||
        said->capacity != image.inventory.capacity ||
        ((said->flags ^ image.settings.flags) & settable) != 0)
        hf_witness_contradict(witness, "inventory %llu has other settings than its log", id);
}

void hf_witness_judge(struct hf_witness *witness, const char *directory)
{
    struct trial trial = {.witness = witness};
    const char *wrong = hf_annals_read(&witness->annals, directory);
    if (wrong) {
        hf_witness_contradict(witness, "%s", wrong);
        return;
    }
    trial.owned = calloc(witness->annals.last_lsn - witness->judged_lsn + 1, 1);
    HF_CHECK(trial.owned);
    sort_askings(&trial);
    judge_answers(&trial);
    explain_records(&trial);
    free(trial.references);
    free(trial.owned);
    if (hf_witness_violation(witness))
        return;
    witness->judged_lsn = witness->annals.last_lsn;
    drop_askings(witness);
    add_all_up(witness);
}
