/*
 * Guests: the traffic of one player. Each guest is a new customer with a story, of which every step
 * has its time and its expected answers:
 *
 *   stay     reserve; cancel, hours later
 *   sure     hold, confirm in time; cancel, hours later
 *   lapse    hold, and come back too late: HOLD_EXPIRED
 *   dither   hold, extend; release
 *   change   hold, change to more, confirm, move to another customer, change to less; cancel
 *   nights   seven reserves in one batch; seven cancels in another
 *   queue    reserve where nothing is left, join the waiting list instead; confirm the offer, if
 *            there is one by then, or leave
 *
 * Of some that have ended the id is asked again: just before their retention ends it must be known,
 * with the end that it had; some time after it must be unknown, and good for a new reservation.
 *
 * Inventories: rooms, of which there are always enough, and every second one has a limit per
 * customer; and hot ones, of which there are too few, with a waiting list.
 */
#ifndef HF_TESTS_RETENTION_GUESTS_H
#define HF_TESTS_RETENTION_GUESTS_H

#include "tests/retention/scene.h"

struct hf_guest;

/* When a guest's next step is. */
struct hf_appointment {
    uint64_t at_ns;
    uint32_t guest;
};

struct hf_guests {
    struct hf_player *player;
    struct hf_guest *guests; /* [0] is never used */
    uint32_t *free;          /* numbers */
    uint32_t free_count, capacity;
    struct hf_appointment *agenda; /* a heap, the earliest first */
    uint32_t agenda_count;
    uint64_t last_number; /* of customers, and of ids */
    uint64_t slack_ns;    /* after its retention's end, an id may be known so long */
    uint64_t skipped_ns;  /* when time was last skipped */
    bool closing;         /* nobody asks for old ids any more: the log's time may stand still */
    /* Since the last report. */
    uint64_t made, refused, expired, remembered, forgotten;
};

/* Makes the inventories: once, by one player. */
void hf_guests_build(struct hf_player *player);

/* At most `capacity` at once. */
void hf_guests_open(struct hf_guests *guests, struct hf_player *player, uint32_t capacity);
void hf_guests_close(struct hf_guests *guests);

/* A new guest comes, now. */
void hf_guests_arrive(struct hf_guests *guests);

/* When the next step is; UINT64_MAX: nobody is left. */
uint64_t hf_guests_next_ns(const struct hf_guests *guests);

/* Takes the next step, which is due. */
void hf_guests_step(struct hf_guests *guests);

#endif
