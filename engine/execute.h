/* Executes a request of the public interfaces on the engine: what the server and the embedded API
 * do alike. */
#ifndef HF_ENGINE_EXECUTE_H
#define HF_ENGINE_EXECUTE_H

#include "engine/engine.h"
#include "holdfast/message.h"

/*
 * Executes any request about reservations and inventories but INVENTORY_LIST, AVAILABILITY and
 * HISTORY; its fields were checked (engine/request.h). The outcome may be put aside. BATCH and
 * RESERVATION_LIST fill `entries`, which has room for HF_MAX_PAGE_ENTRIES. False: another operation.
 *
 * actor->now_ns may be the time at which the caller began a batch of requests, but for those that a
 * deadline decides about, hf_request_needs_clock().
 */
bool hf_engine_execute(struct hf_actor *actor, const struct hf_request *request,
                       struct hf_reservation_entry *entries, struct hf_outcome *outcome);

/* The reply that tells the outcome of such an operation; reply->entries are `entries`, as they were
 * filled. */
void hf_outcome_reply(const struct hf_outcome *outcome, enum hf_operation operation,
                      const struct hf_reservation_entry *entries, struct hf_reply *reply);

/* True if the operation asks whether a deadline has passed: then the caller reads the clock for it,
 * so that nothing is confirmed late however long ago its batch began. */
static inline bool hf_request_needs_clock(enum hf_operation operation)
{
    return operation >= HF_OP_CANCEL && operation != HF_OP_HOLD;
}

#endif
