/*
 * Any request: random requests of every kind that changes something, on few inventories of few
 * units, and few reservations; both are windows that move on. No model knows what they come to: for tests that
 * compare what came of them in two ways.
 *
 * Threads that share a window meet at the same reservations. Each has a generator of its own.
 */
#ifndef HF_TESTS_LIB_ANY_REQUEST_H
#define HF_TESTS_LIB_ANY_REQUEST_H

#include "base/atomics.h"
#include "holdfast/message.h"
#include "tests/lib/stress.h"

#define HF_ANY_INVENTORIES   6u  /* that are spoken of at a time */
#define HF_ANY_INVENTORY_MAX 60u /* 1 .. this are created on the way */
#define HF_ANY_WINDOW        48u /* ids that are spoken of at a time */
#define HF_ANY_LINES         6u  /* of a batch, at most */

struct hf_any_window {
    _Atomic uint32_t first;           /* of its ids, which are hf_id_of_number() */
    _Atomic uint32_t first_inventory; /* likewise */
};

struct hf_any_request {
    struct hf_any_window *window;
    struct hf_random random;
    uint64_t longest_ttl_ns; /* of holds and offers */
    struct hf_request request;
    struct hf_line lines[HF_ANY_LINES];
    uint64_t done[64]; /* how often an operation was done, by itself; see hf_any_request_note() */
};

void hf_any_request_init(struct hf_any_request *any, struct hf_any_window *window, uint64_t seed,
                         uint64_t part, uint64_t longest_ttl_ns);

/* The next one, at this date; valid until the next call. */
const struct hf_request *hf_any_request_next(struct hf_any_request *any, uint64_t now_ns);

/* It had this result, and was no repetition of one that was done before. */
void hf_any_request_note(struct hf_any_request *any, unsigned result, bool repeated);

/* NULL, or an operation of which none was done; `done` as above, of one or several. */
const char *hf_any_request_missing(const uint64_t done[64]);

#endif
