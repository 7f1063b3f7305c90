/* Answers. See answer.h; the byte tables are in docs/protocol.md. */
#include "bench/answer.h"

#include "base/bytes.h"
#include "base/check.h"

#define RESERVED_TAIL 26 /* of a short reply: zero from here on */

/* The first eight bytes of a reply with that size, operation and result, as one number. */
#define HEAD(bytes, operation, result)                                                             \
    ((uint64_t)(bytes) | (uint64_t)HF_PROTOCOL_VERSION << 32 |                                     \
     (uint64_t)((operation) | HF_REPLY_BIT) << 40 | (uint64_t)(result) << 48)

static const char *const names[] = {
#define X(name, text) [HF_ANSWER_##name] = text,
    HF_ANSWERS(X)
#undef X
};

const char *hf_answer_name(enum hf_answer answer)
{
    return names[answer];
}

/* Of the yes about one reservation: what is the same in all of them. What is wrong; else NULL. */
static const char *name_reservation_fault(const struct hf_asker *asker, const struct hf_work *work,
                                          const uint8_t *reply, enum hf_state state)
{
    if (hf_get_u64(reply + 16) != asker->plan->id_high || hf_get_u64(reply + 24) != work->id_low)
        return "another reservation's id";
    if (hf_get_u64(reply + 32) != hf_asker_inventory_id(asker, work))
        return "another inventory";
    if (hf_get_u64(reply + 40) != hf_asker_customer_id(asker, work->id_low))
        return "another customer";
    if (hf_get_u64(reply + 80) != (1 | (uint64_t)state << 32))
        return "another quantity, state or flag";
    return "a wrong sequence or reserved bytes that are not zero";
}

/* The same, quickly: all differences in one number, which is nearly always zero. */
static inline __attribute__((always_inline)) const char *
reservation_fault(const struct hf_asker *asker, const struct hf_work *work, const uint8_t *reply,
                  enum hf_state state, uint32_t sequence)
{
    uint64_t differences = (hf_get_u64(reply + 16) ^ asker->plan->id_high) |
                           (hf_get_u64(reply + 24) ^ work->id_low) |
                           (hf_get_u64(reply + 32) ^ hf_asker_inventory_id(asker, work)) |
                           (hf_get_u64(reply + 40) ^ hf_asker_customer_id(asker, work->id_low));
    /* Quantity 1, the state, no flag (nothing here is asked twice), reserved bytes zero. */
    differences |= (hf_get_u64(reply + 80) ^ (1 | (uint64_t)state << 32)) |
                   (hf_get_u64(reply + 88) ^ sequence);
    if (HF_UNLIKELY(differences != 0))
        return name_reservation_fault(asker, work, reply, state);
    if (hf_get_u64(reply + 48) == 0)
        return "no LSN";
    if (hf_get_u64(reply + 56) == 0 || hf_get_u64(reply + 64) < hf_get_u64(reply + 56))
        return "impossible dates";
    return NULL;
}

/* The yes to a first step. */
static inline __attribute__((always_inline)) const char *
claim_fault(const struct hf_asker *asker, struct hf_work *work, const uint8_t *reply,
            enum hf_state state, uint64_t ttl_ns)
{
    const char *fault = reservation_fault(asker, work, reply, state, 1);
    if (fault != NULL)
        return fault;
    uint64_t made_at_ns = hf_get_u64(reply + 56);
    if (hf_get_u64(reply + 64) != made_at_ns)
        return "a change behind its making";
    if (hf_get_u64(reply + 72) != (ttl_ns == 0 ? 0 : made_at_ns + ttl_ns))
        return "a deadline that is not its time after its making";
    if (work->kind == HF_KIND_REFUSE)
        return "a grant of what is sold out";
    work->lsn = hf_get_u64(reply + 48);
    work->made_at_ns = made_at_ns;
    return NULL;
}

/* The yes to a second step. */
static const char *change_fault(const struct hf_asker *asker, const struct hf_work *work,
                                const uint8_t *reply, enum hf_state state)
{
    const char *fault = reservation_fault(asker, work, reply, state, 2);
    if (fault != NULL)
        return fault;
    if (hf_get_u64(reply + 72) != 0)
        return "a deadline though it is no hold any more";
    if (hf_get_u64(reply + 48) <= work->lsn)
        return "an LSN that is not behind that of its making";
    if (hf_get_u64(reply + 56) != work->made_at_ns)
        return "another date of its making";
    if (work->kind != HF_KIND_CANCEL &&
        hf_get_u64(reply + 64) >= work->made_at_ns + asker->plan->ttl_ns)
        return "a yes of a date at which the hold had lapsed";
    return NULL;
}

static const char *short_fault(const uint8_t *reply)
{
    return hf_all_zero(reply + RESERVED_TAIL, HF_SHORT_REPLY_BYTES - RESERVED_TAIL)
               ? NULL
               : "reserved bytes that are not zero";
}

/* HONEST-NO, as far as one answer shows it: a refusal that names enough units refutes itself. */
static const char *refusal_fault(const uint8_t *reply)
{
    if ((int32_t)hf_get_u32(reply + 16) >= 1)
        return "a refusal although units are available";
    return short_fault(reply);
}

/* The same of one line of a batch, or of the batch as a whole. What it says is available is at the
 * moment of its line, when the lines before it have theirs. */
static const char *batch_refusal_fault(const struct hf_asker *asker, const uint8_t *reply)
{
    uint32_t line = hf_get_u16(reply + 28);
    if (line < 1 || line > asker->plan->batch)
        return "a refusal of a line that the batch does not have";
    if (hf_get_u16(reply + 26) != 0 || hf_get_u16(reply + 30) != 0)
        return "reserved bytes that are not zero";
    return (int32_t)hf_get_u32(reply + 16) >= (int32_t)asker->plan->batch
               ? "a refusal although units are available"
               : NULL;
}

static const char *inventory_fault(const struct hf_asker *asker, const struct hf_work *work,
                                   const uint8_t *reply)
{
    const uint8_t *entry = reply + HF_FRAME_HEADER_BYTES;
    if (hf_get_u64(entry) != hf_asker_inventory_id(asker, work))
        return "another inventory";
    if (hf_get_u32(entry + 32) != asker->plan->capacity ||
        hf_get_u32(entry + 36) != asker->plan->capacity)
        return "another capacity";
    /* Conservation: what is neither available nor held nor confirmed is nowhere. */
    if ((int64_t)(int32_t)hf_get_u32(entry + 40) + hf_get_u32(entry + 44) +
            hf_get_u32(entry + 48) !=
        hf_get_u32(entry + 36))
        return "units that do not add up";
    return NULL;
}

static const char *line_fault(const struct hf_asker *asker, const struct hf_work *work,
                              const uint8_t *entry, uint64_t number, uint64_t least_lsn)
{
    uint64_t id_low = hf_asker_id_low(number);
    /* Quantity 1, GRANTED, CONFIRMED, no flag. */
    if (hf_get_u64(entry) != (HF_GRANTED | (uint64_t)HF_STATE_CONFIRMED << 16 | (uint64_t)1 << 32))
        return "a line of another result, quantity, state or flag";
    if (hf_get_u64(entry + 8) != asker->plan->id_high || hf_get_u64(entry + 16) != id_low)
        return "a line with another reservation's id";
    if (hf_get_u64(entry + 24) !=
        asker->plan->first_inventory_id + hf_asker_inventory(asker, number, id_low))
        return "a line with another inventory";
    if (hf_get_u64(entry + 32) != hf_asker_customer_id(asker, work->id_low))
        return "a line with another customer";
    if (hf_get_u64(entry + 40) < least_lsn)
        return "a line with an LSN that is not behind the one before";
    if (hf_get_u64(entry + 48) == 0 || hf_get_u64(entry + 56) != hf_get_u64(entry + 48) ||
        hf_get_u64(entry + 64) != 0)
        return "a line with impossible dates";
    if (hf_get_u64(entry + 72) != 1 || !hf_all_zero(entry + 80, sizeof(struct hf_id)))
        return "a line with a wrong sequence or reserved bytes that are not zero";
    return NULL;
}

static const char *batch_fault(const struct hf_asker *asker, const struct hf_work *work,
                               const uint8_t *reply)
{
    const struct hf_load_plan *plan = asker->plan;
    const uint8_t *entry = reply + HF_PAGE_HEADER_BYTES;
    uint64_t number = work->number, least_lsn = 1;
    if (hf_get_u64(reply + 16) != plan->batch || hf_get_u64(reply + 24) != 0)
        return "another number of lines, or reserved bytes that are not zero";
    /* The numbers of its lines follow one another, as one thread takes them. */
    for (uint32_t i = 0; i < plan->batch; i++, entry += HF_RESERVATION_ENTRY_BYTES) {
        const char *fault = line_fault(asker, work, entry, number, least_lsn);
        if (fault != NULL)
            return fault;
        least_lsn = hf_get_u64(entry + 40) + 1;
        number += plan->threads;
    }
    return NULL;
}

/* The no to a second step that comes too late. */
static const char *lapse_fault(const struct hf_asker *asker, const struct hf_work *work,
                               const uint8_t *reply, uint64_t now_ns)
{
    if (now_ns - work->begun_ns < asker->plan->ttl_ns)
        return "a hold that has lapsed before its time";
    /* The state may be told. */
    return hf_all_zero(reply + RESERVED_TAIL + 1, HF_SHORT_REPLY_BYTES - RESERVED_TAIL - 1)
               ? NULL
               : "reserved bytes that are not zero";
}

static inline enum hf_verdict judged(const char *found, enum hf_answer is, enum hf_answer *answer,
                                     const char **fault)
{
    *answer = is;
    *fault = found;
    return found == NULL ? HF_VERDICT_RIGHT : HF_VERDICT_WRONG;
}

static enum hf_verdict judge_batch(const struct hf_asker *asker, const struct hf_work *work,
                                   const uint8_t *reply, enum hf_answer *answer, const char **fault)
{
    uint64_t yes = HEAD(HF_PAGE_HEADER_BYTES + asker->plan->batch * HF_RESERVATION_ENTRY_BYTES,
                        HF_OP_BATCH, HF_BATCH_DONE);
    if (hf_get_u64(reply) == yes)
        return judged(batch_fault(asker, work, reply), HF_ANSWER_BATCHED, answer, fault);
    if (hf_get_u64(reply) == HEAD(HF_SHORT_REPLY_BYTES, HF_OP_BATCH, HF_SOLD_OUT))
        return judged(batch_refusal_fault(asker, reply), HF_ANSWER_REFUSED, answer, fault);
    return HF_VERDICT_OTHER;
}

/* Nothing but the answers to a second step. */
static enum hf_verdict judge_change(const struct hf_asker *asker, const struct hf_work *work,
                                    const uint8_t *reply, uint64_t now_ns, enum hf_answer *answer,
                                    const char **fault)
{
    switch (hf_get_u64(reply)) {
    case HEAD(HF_RESERVATION_REPLY_BYTES, HF_OP_CANCEL, HF_CANCELLED):
        return judged(change_fault(asker, work, reply, HF_STATE_CANCELLED), HF_ANSWER_CANCELLED,
                      answer, fault);
    case HEAD(HF_RESERVATION_REPLY_BYTES, HF_OP_CONFIRM, HF_CONFIRMED):
        return judged(change_fault(asker, work, reply, HF_STATE_CONFIRMED), HF_ANSWER_CONFIRMED,
                      answer, fault);
    case HEAD(HF_RESERVATION_REPLY_BYTES, HF_OP_RELEASE, HF_RELEASED):
        return judged(change_fault(asker, work, reply, HF_STATE_RELEASED), HF_ANSWER_RELEASED,
                      answer, fault);
    case HEAD(HF_SHORT_REPLY_BYTES, HF_OP_CONFIRM, HF_HOLD_EXPIRED):
    case HEAD(HF_SHORT_REPLY_BYTES, HF_OP_RELEASE, HF_HOLD_EXPIRED):
        return judged(lapse_fault(asker, work, reply, now_ns), HF_ANSWER_LAPSED, answer, fault);
    default:
        return HF_VERDICT_OTHER;
    }
}

enum hf_verdict hf_answer_judge(const struct hf_asker *asker, struct hf_work *work,
                                const uint8_t *reply, uint64_t now_ns, enum hf_answer *answer,
                                const char **fault)
{
    if (HF_UNLIKELY(reply[5] != (work->operation | HF_REPLY_BIT)))
        return HF_VERDICT_OTHER; /* an answer to something else */
    if (work->step == 1)
        return judge_change(asker, work, reply, now_ns, answer, fault);
    switch (hf_get_u64(reply)) {
    case HEAD(HF_RESERVATION_REPLY_BYTES, HF_OP_RESERVE, HF_GRANTED):
        return judged(claim_fault(asker, work, reply, HF_STATE_CONFIRMED, 0), HF_ANSWER_GRANTED,
                      answer, fault);
    case HEAD(HF_RESERVATION_REPLY_BYTES, HF_OP_HOLD, HF_GRANTED):
        return judged(
            claim_fault(asker, work, reply, HF_STATE_HELD,
                        work->kind == HF_KIND_EXPIRE ? asker->plan->lapse_ns : asker->plan->ttl_ns),
            HF_ANSWER_HELD, answer, fault);
    case HEAD(HF_SHORT_REPLY_BYTES, HF_OP_RESERVE, HF_SOLD_OUT):
    case HEAD(HF_SHORT_REPLY_BYTES, HF_OP_HOLD, HF_SOLD_OUT):
        return judged(refusal_fault(reply), HF_ANSWER_REFUSED, answer, fault);
    case HEAD(HF_INVENTORY_REPLY_BYTES, HF_OP_INVENTORY_GET, HF_FOUND):
        return judged(inventory_fault(asker, work, reply), HF_ANSWER_READ, answer, fault);
    case HEAD(HF_SHORT_REPLY_BYTES, HF_OP_PING, HF_OK):
        return judged(short_fault(reply), HF_ANSWER_READ, answer, fault);
    default:
        return work->operation == HF_OP_BATCH ? judge_batch(asker, work, reply, answer, fault)
                                              : HF_VERDICT_OTHER;
    }
}
