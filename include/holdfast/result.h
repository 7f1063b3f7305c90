/*
 * Results: every answer Holdfast gives, with the number that stands for it on the wire.
 *
 * A number never changes its meaning. Its hundreds are its group, which tells what the client may
 * conclude; a client that meets a number it does not know acts on the group.
 */
#ifndef HOLDFAST_RESULT_H
#define HOLDFAST_RESULT_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* X(name, number, meaning) */
#define HF_RESULTS(X)                                                                              \
    X(GRANTED, 100, "the reservation stands: the units are the customer's")                        \
    X(CANCELLED, 101, "the reservation is cancelled and its units were given back, once")          \
    X(FOUND, 102, "here is what was asked for")                                                    \
    X(CREATED, 103, "the inventory exists with these parameters")                                  \
    X(OK, 104, "done")                                                                             \
    X(CONFIRMED, 105, "the reservation is confirmed")                                              \
    X(RELEASED, 106, "the hold is released and its units were given back, once")                   \
    X(EXTENDED, 107, "the hold lasts until the deadline told here")                                \
    X(CHANGED, 108, "the reservation has the quantity told here")                                  \
    X(MOVED, 109, "the reservation belongs to the customer told here")                             \
    X(JOINED, 110, "the reservation stands in the waiting list, or got its offer")                 \
    X(LEFT, 111, "the reservation is no longer in the waiting list")                               \
    X(BATCH_DONE, 112, "every line of the batch took effect, at one instant")                      \
    X(SET, 113, "the settings are in force")                                                       \
    X(SUBSCRIBED, 114, "records follow in frames of this tag")                                     \
    X(RECORDS, 115, "committed records, in order")                                                 \
    X(FELL_BEHIND, 116, "the subscription is behind by more than is kept in memory; it goes on")   \
    X(UNSUBSCRIBED, 117, "no more records follow")                                                 \
    X(SOLD_OUT, 200, "fewer units are available than were asked for; nothing changed")             \
    X(NOT_FOUND, 201, "there is no reservation with this id; nothing changed")                     \
    X(TOO_LATE, 202, "the request's not_after has passed; nothing changed")                        \
    X(HOLD_EXPIRED, 203, "the hold's deadline has passed; its units are no longer the customer's") \
    X(NOT_OPEN, 204, "sales have not opened yet; nothing changed")                                 \
    X(CLOSED, 205, "sales are closed; nothing changed")                                            \
    X(PAUSED, 206, "sales are paused; nothing changed")                                            \
    X(QTY_NOT_ALLOWED, 207, "the inventory allows no claim of that quantity; nothing changed")     \
    X(TTL_NOT_ALLOWED, 208, "the inventory allows no hold of that length; nothing changed")        \
    X(CUSTOMER_LIMIT, 209, "the customer would have more than one customer may; nothing changed")  \
    X(WAITING_LIST, 210, "a waiting list stands before new claims: join it; nothing changed")      \
    X(WAITING_FULL, 211, "the waiting list is full, or there is none; nothing changed")            \
    X(NOT_SOLD_OUT, 212, "the units can be had: claim them instead of joining; nothing changed")   \
    X(CANCEL_TOO_LATE, 213, "the cut-off for cancellations has passed; nothing changed")           \
    X(BELOW_SOLD, 214, "more is held and confirmed than this limit; nothing changed")              \
    X(LSN_NOT_KEPT, 215, "the log no longer holds that LSN; the answer tells the first it holds")  \
    X(ID_REUSED, 300, "this reservation id stands for other parameters; `field` names which")      \
    X(INVENTORY_EXISTS, 301, "this inventory has other parameters; `field` names which")           \
    X(VERSION_MISMATCH, 302, "the inventory has another version; nothing changed")                 \
    X(SEQUENCE_MISMATCH, 303, "the reservation has another sequence; nothing changed")             \
    X(WRONG_STATE, 304, "the reservation's state does not allow this; nothing changed")            \
    X(BAD_FRAME, 400, "the frame's length or reserved bytes do not fit its operation")             \
    X(UNKNOWN_OPERATION, 401, "this server does not know the operation")                           \
    X(UNSUPPORTED_VERSION, 402, "this server does not speak that protocol version")                \
    X(BAD_FIELD, 403, "a field has an impossible value; `field` names it")                         \
    X(UNKNOWN_INVENTORY, 404, "there is no such inventory")                                        \
    X(FRAME_TOO_LARGE, 405, "the frame exceeds the limit; the connection is closed")               \
    X(RESERVATIONS_FULL, 500,                                                                      \
      "the server holds as many reservations as --max-reservations allows")                        \
    X(INVENTORIES_FULL, 501, "the server holds as many inventories as --max-inventories allows")   \
    X(SHUTTING_DOWN, 502, "the server is stopping; nothing was done")                              \
    X(STORAGE_FULL, 503, "the disk has no room for the log; nothing was done")                     \
    X(CUSTOMERS_FULL, 504, "no room for another customer's count; nothing was done")               \
    X(SUBSCRIPTIONS_FULL, 505, "there are as many subscriptions as the server allows")             \
    X(NOT_READY, 506, "the server is recovering; nothing was done; try again")                     \
    X(OVERLOADED, 507, "the log is behind; nothing was done; try again")                           \
    X(OUTCOME_UNKNOWN, 600, "no answer came; repeat the same id, or look it up, to learn it")      \
    X(NOT_CONNECTED, 601, "the server could not be reached; the request was never sent")

enum hf_result {
#define X(name, number, meaning) HF_##name = number,
    HF_RESULTS(X)
#undef X
};

/* What a client may conclude from a result: its number / 100. */
enum hf_group {
    HF_GROUP_YES = 1,         /* done, and it stays done */
    HF_GROUP_NO = 2,          /* definitely not done: nothing changed */
    HF_GROUP_CONFLICT = 3,    /* the request contradicts what is known: nothing changed */
    HF_GROUP_BAD_REQUEST = 4, /* can never succeed as it is: nothing changed */
    HF_GROUP_RETRY = 5,       /* nothing was done; the same request may succeed later */
    HF_GROUP_UNKNOWN = 6,     /* may or may not have been done; repeat the id to learn which */
};

static inline enum hf_group hf_result_group(unsigned result)
{
    return (enum hf_group)(result / 100);
}

/* The name ("GRANTED"), or "UNKNOWN_RESULT". Static storage. */
const char *hf_result_name(unsigned result);

/* The meaning in one sentence, or a sentence made from the group. Static storage. */
const char *hf_result_meaning(unsigned result);

/* Fields that a reply can name. X(name, number, text) */
#define HF_FIELDS(X)                                                                               \
    X(NONE, 0, "")                                                                                 \
    X(RESERVATION_ID, 1, "reservation_id")                                                         \
    X(INVENTORY_ID, 2, "inventory_id")                                                             \
    X(CUSTOMER_ID, 3, "customer_id")                                                               \
    X(QTY, 4, "qty")                                                                               \
    X(PRODUCT_ID, 5, "product_id")                                                                 \
    X(CAPACITY, 6, "capacity")                                                                     \
    X(LIMIT, 7, "limit")                                                                           \
    X(RESERVED, 8, "reserved bytes")                                                               \
    X(FRAME_BYTES, 9, "frame_bytes")                                                               \
    X(OPERATION, 10, "operation")                                                                  \
    X(VERSION, 11, "version")                                                                      \
    X(TTL, 12, "ttl")                                                                              \
    X(NEW_ID, 13, "new_id")                                                                        \
    X(SELL_LIMIT, 14, "sell_limit")                                                                \
    X(CUSTOMER_LIMIT, 15, "customer_limit")                                                        \
    X(MIN_QTY, 16, "min_qty")                                                                      \
    X(MAX_QTY, 17, "max_qty")                                                                      \
    X(WAITING_LIMIT, 18, "waiting_limit")                                                          \
    X(FLAGS, 19, "flags")                                                                          \
    X(WINDOW, 20, "closes_at")                                                                     \
    X(LONGEST_HOLD, 21, "longest_hold")                                                            \
    X(OFFER_TTL, 22, "offer_ttl")                                                                  \
    X(COUNT, 23, "count")                                                                          \
    X(STATE, 24, "state")                                                                          \
    X(CURSOR, 25, "cursor")                                                                        \
    X(KIND, 26, "kind")                                                                            \
    X(SETTINGS, 27, "settings")                                                                    \
    X(TIME, 28, "time")                                                                            \
    X(TAG, 29, "tag")

enum hf_field {
#define X(name, number, text) HF_FIELD_##name = number,
    HF_FIELDS(X)
#undef X
};

/* "qty", or "unknown field". Static storage. */
const char *hf_field_name(unsigned field);

#ifdef __cplusplus
}
#endif

#endif
