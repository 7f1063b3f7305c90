/*
 * Requests: what is impossible in one whatever the server holds.
 *
 * The wire and the embedded API share these checks, so that neither lets through what the other
 * refuses. They look at the fields that the operation has, and at no other. Bytes of a frame that
 * have no meaning are the codec's business (net/codec.h).
 */
#ifndef HF_ENGINE_REQUEST_H
#define HF_ENGINE_REQUEST_H

#include "holdfast/message.h"

/*
 * HF_OK, or HF_BAD_FIELD with *field and, if it is about a line of a batch, *line (from 1; else 0).
 * The flags are looked at first, then the fields: a quantity, a capacity or a limit out of its
 * range, a zero id where one must be named, a duration of 0 or above HF_MAX_TTL_NS, and so on. The
 * lines of a batch are checked one after the other: an operation that no line can have (OPERATION),
 * flags, fields. At last, if all are right by themselves, a line with an id that a line before it
 * has: RESERVATION_ID. The id that CONFIRM with REACQUIRE would give the new reservation counts,
 * whether named or derived.
 */
enum hf_result hf_request_check(const struct hf_request *request, enum hf_field *field,
                                unsigned *line);

/* The line of a batch that asks for the same as this request about one reservation, but for its
 * not_after_ns: that is the batch's. */
static inline struct hf_line hf_request_line(const struct hf_request *request)
{
    return (struct hf_line){
        .operation = request->operation,
        .flags = request->flags,
        .qty = request->qty,
        .id = request->id,
        .inventory_id = request->inventory_id,
        .customer_id = request->customer_id,
        .ttl_ns = request->ttl_ns,
        .expected = request->expected,
        .new_id = request->new_id,
    };
}

/* Puts what `change` names of the settings into `settings`; its capacity and REOPEN are not of them. */
void hf_settings_apply(const struct hf_settings_change *change, struct hf_settings *settings);

/*
 * Settings as a whole, such as those in force would be after a change: each in its range, the
 * smallest quantity not above the largest, the end of sales behind their beginning. HF_FIELD_NONE,
 * or the first field that is wrong.
 */
enum hf_field hf_settings_check(const struct hf_settings *settings);

#endif
