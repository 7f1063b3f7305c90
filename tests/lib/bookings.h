/*
 * Bookings: what a booking backend asks of a server, all operations mixed at random, told to a
 * witness.
 *
 * Some fifteen inventories, each with its trouble: with a limit per customer; with a waiting list
 * and offers that lapse; with settings that change while it sells; with few units, and with many.
 * Holds stand for a millisecond up to minutes, so that some lapse before the next request, some in
 * the middle of a crash, some never. Batches are baskets over several inventories, and swaps.
 *
 * The caller sends the requests and hands the answers on: hf_bookings_answer().
 */
#ifndef HF_TESTS_LIB_BOOKINGS_H
#define HF_TESTS_LIB_BOOKINGS_H

#include "tests/lib/witness.h"

#define HF_BOOKING_INVENTORIES 15

/* One id, as its clients know it. */
struct hf_booking {
    struct hf_line claim;        /* that makes it; of a reacquired one: none was sent */
    struct hf_reservation known; /* the newest that was told; sequence 0: nothing */
};

struct hf_bookings {
    struct hf_witness *witness;
    struct hf_booking *bookings;
    uint32_t count, room;
    uint32_t *slots; /* by id: number + 1; 0: free */
    uint32_t slot_count;
    uint64_t random;
    uint32_t created; /* inventories that a server said to be there */
    uint32_t set_up;
};

void hf_bookings_open(struct hf_bookings *bookings, struct hf_witness *witness, uint64_t seed);
void hf_bookings_close(struct hf_bookings *bookings);

/* The next request that sets the inventories up. NULL: all were given. */
struct hf_asking *hf_bookings_set_up(struct hf_bookings *bookings);

/* A random request of the load. */
struct hf_asking *hf_bookings_ask(struct hf_bookings *bookings);

/* A request that asks again about one that ended unknown: the same once more, or a look-up. */
struct hf_asking *hf_bookings_resolve(struct hf_bookings *bookings,
                                      const struct hf_asking *unknown);

/* Looks a booking up. NULL if it was never asked for by itself. */
struct hf_asking *hf_bookings_look_up(struct hf_bookings *bookings, uint32_t number);

/* The end of any of these. */
void hf_bookings_answer(struct hf_bookings *bookings, struct hf_asking *asking,
                        const struct hf_reply *reply);

#endif
