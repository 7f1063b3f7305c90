/*
 * A peer: something else that can keep bookings, and how to ask it.
 *
 * A booking is the same for all of them: take `qty` units of an inventory if it has so many, and
 * note under an id who has them, when, and that it stands. The same id again answers what it
 * answered before and takes nothing. Every booking is a change of its own, acknowledged by itself.
 *
 * A link is one connection over which bookings are asked, several in flight. Functions return 0 or
 * a count; -1 once they have said on stderr what is wrong. A link belongs to one thread; open,
 * make_stock and count block (for HF_PEER_TIMEOUT_MS at most), the others do not.
 */
#ifndef HF_BENCH_PEER_PEER_H
#define HF_BENCH_PEER_PEER_H

#include <stdbool.h>
#include <stdint.h>

#define HF_PEER_TIMEOUT_MS 30000
#define HF_PEER_ID_BYTES   16

/* What a peer answers, as the number that its procedure returns. X(name, number, meaning) */
#define HF_PEER_OUTCOMES(X)                                                                        \
    X(REFUSED, 0, "fewer units are available than asked for")                                      \
    X(GRANTED, 1, "granted")                                                                       \
    X(REPEATED, 2, "this id was granted before, for the same")                                     \
    X(CONFLICT, 3, "this id was granted before, for something else")                               \
    X(NO_INVENTORY, 4, "there is no such inventory")

enum hf_peer_outcome {
#define X(name, number, meaning) HF_PEER_##name = (number),
    HF_PEER_OUTCOMES(X)
#undef X
};

/* "GRANTED"; "?" for what is none. Static storage. */
const char *hf_peer_outcome_name(unsigned outcome);

struct hf_peer_booking {
    uint8_t id[HF_PEER_ID_BYTES];
    uint64_t inventory_id;
    uint64_t customer_id;
    uint32_t qty;
    uint64_t tag; /* comes back with the answer, unless answers come in order */
};

struct hf_peer_answer {
    uint64_t tag; /* unless answers come in order */
    enum hf_peer_outcome outcome;
};

/* Inventories with ids first .. first + count - 1. */
struct hf_peer_stock {
    uint64_t first_id;
    uint32_t count;
    uint32_t available; /* in each of them, when they are made */
};

struct hf_peer_counts {
    int64_t available;     /* in all inventories of the stock together */
    uint64_t reservations; /* that the peer has, of whatever inventories */
};

struct hf_peer_link; /* what it is only its peer knows */

struct hf_peer {
    const char *name;
    const char *meaning; /* for --help */
    bool in_order;       /* answers come in the order of the bookings */

    /* Makes these inventories; none of them is there yet. */
    int (*make_stock)(const char *server, const struct hf_peer_stock *stock);
    int (*count)(const char *server, const struct hf_peer_stock *stock,
                 struct hf_peer_counts *counts);

    /* A link for at most `depth` bookings in flight. NULL: it has said why not. */
    struct hf_peer_link *(*open)(const char *server, uint32_t depth);
    void (*close)(struct hf_peer_link *link);
    int (*socket)(const struct hf_peer_link *link); /* to wait at; the link's */
    /* Puts a booking behind those that are to be sent. */
    int (*ask)(struct hf_peer_link *link, const struct hf_peer_booking *booking);
    /* Sends what the socket takes. 1: something is left, wait until it takes more. */
    int (*flush)(struct hf_peer_link *link);
    /* Receives what has come, in one call. */
    int (*receive)(struct hf_peer_link *link);
    /* The next answer of what was received: 1; or 0: no whole one is left. */
    int (*next)(struct hf_peer_link *link, struct hf_peer_answer *answer);
};

extern const struct hf_peer hf_peer_redis, hf_peer_postgres, hf_peer_postgres_for_update,
    hf_peer_tarantool;

/* One line on stderr, with the program's name before it; the same as a function's result. */
__attribute__((format(printf, 1, 2))) void hf_peer_say(const char *format, ...);
#define HF_PEER_FAIL(...) (hf_peer_say(__VA_ARGS__), -1)

/* The booking's outcome, whatever number a procedure returned. -1: it is none, and was reported. */
int hf_peer_outcome_read(const char *peer, int64_t number, enum hf_peer_outcome *outcome);

/* Asks one booking and waits for its answer. The link has nothing in flight. */
int hf_peer_ask_one(const struct hf_peer *peer, struct hf_peer_link *link,
                    const struct hf_peer_booking *booking, enum hf_peer_outcome *outcome);

#endif
