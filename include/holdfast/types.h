/* What Holdfast speaks of: reservation ids, reservations, inventories. */
#ifndef HOLDFAST_TYPES_H
#define HOLDFAST_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A reservation id: 128 bits in the byte order in which a UUID is printed. All zero: none. */
struct hf_id {
    uint8_t bytes[16];
};

#define HF_ID_TEXT_BYTES 37 /* 36 characters and the terminating zero */

/* Reads "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx" (any case). False if `text` is anything else. */
bool hf_id_parse(const char *text, struct hf_id *id);

/* Writes the lower-case text form. */
void hf_id_format(const struct hf_id *id, char text[HF_ID_TEXT_BYTES]);

/* Makes a UUIDv7 (RFC 9562): ordered by time, 74 random bits. Thread-safe. */
void hf_id_make(struct hf_id *id);

/*
 * The id of the reservation that CONFIRM with REACQUIRE makes of `old` when none is named: the same
 * for everybody who asks, so that a repeat finds it. A UUIDv8 (RFC 9562) from the hash of `old`; see
 * docs/protocol.md, "Derived ids".
 */
void hf_id_derive(const struct hf_id *old, struct hf_id *derived);

static inline bool hf_id_is_zero(const struct hf_id *id)
{
    uint64_t halves[2];
    memcpy(halves, id->bytes, sizeof halves);
    return (halves[0] | halves[1]) == 0;
}
bool hf_id_equal(const struct hf_id *left, const struct hf_id *right);

#define HF_DATE_TEXT_BYTES 31 /* "2026-01-02T03:04:05.000000006Z" and the terminating zero */

/* Writes a date (ns since the Unix epoch) as RFC 3339 in UTC with nanoseconds. */
void hf_date_format(uint64_t date_ns, char text[HF_DATE_TEXT_BYTES]);

/*
 * Reads a duration: whole numbers with their units, the larger before the smaller, each at most
 * once: 7d, 24h, 15m, 1h30m, 200ms. Units: d h m s ms us ns. False, and *duration_ns is left alone,
 * if `text` is anything else or more than 2^64 - 1 ns.
 */
bool hf_duration_parse(const char *text, uint64_t *duration_ns);

#define HF_DURATION_TEXT_BYTES 48

/* Writes a duration as hf_duration_parse() reads it, exactly: "15m", "1h30m", "0s". */
void hf_duration_format(uint64_t duration_ns, char text[HF_DURATION_TEXT_BYTES]);

/*
 * The states of a reservation. Numbers are stored in the log and never change their meaning.
 * HELD and CONFIRMED have their units; WAITING waits for some; the others are final.
 */
enum hf_state {
    HF_STATE_HELD = 1,      /* has its units until its deadline */
    HF_STATE_CONFIRMED = 2, /* has its units until cancelled */
    HF_STATE_CANCELLED = 3, /* was CONFIRMED, or left the waiting list */
    HF_STATE_RELEASED = 4,  /* was HELD, and was given up */
    HF_STATE_EXPIRED = 5,   /* was HELD, and its deadline passed */
    HF_STATE_WAITING = 6,   /* in the waiting list of its inventory */
};

/* "HELD", "CONFIRMED", ..., or "UNKNOWN". Static storage. */
const char *hf_state_name(unsigned state);

/* True for CANCELLED, RELEASED and EXPIRED. */
static inline bool hf_state_is_final(unsigned state)
{
    return state >= HF_STATE_CANCELLED && state <= HF_STATE_EXPIRED;
}

/* True for HELD and CONFIRMED: it has its units. */
static inline bool hf_state_is_active(unsigned state)
{
    return state == HF_STATE_HELD || state == HF_STATE_CONFIRMED;
}

/* Units of one inventory, and of one reservation: 1 .. HF_MAX_UNITS. A sell limit may be 0. */
#define HF_MAX_UNITS ((1u << 29) - 1)

/* The longest a hold may last, ns: 100 days. */
#define HF_MAX_TTL_NS (100ull * 24 * 3600 * 1000000000ull)

#define HF_DEFAULT_OFFER_TTL_NS  (15ull * 60 * 1000000000ull)
#define HF_DEFAULT_WAITING_LIMIT 10000u

struct hf_reservation {
    struct hf_id id;
    uint64_t inventory_id;
    uint64_t customer_id;
    uint64_t lsn;           /* of its newest change */
    uint64_t made_at_ns;    /* the reservation date */
    uint64_t changed_at_ns; /* the date of its newest change: CANCELLED, the cancellation date */
    uint64_t deadline_ns;   /* HELD: until when; else 0 */
    uint32_t qty;           /* final: what it had at last */
    uint32_t sequence;      /* 1 when made, one more with every change */
    enum hf_state state;
    struct hf_id linked_id; /* the lapsed hold that this one was made from; zero: none */
};

/* Flags of an inventory. */
#define HF_INVENTORY_PAUSED              1u /* no new claims */
#define HF_INVENTORY_CLOSED              2u /* no new claims: sales are over */
#define HF_INVENTORY_CLOSE_WHEN_SOLD_OUT 4u /* the claim that takes the last unit ends the sale */
#define HF_INVENTORY_SKIP                8u /* waiting list: who fits passes a head that does not */
#define HF_INVENTORY_SOLD_OUT_CLOSED     16u /* the sale was ended by selling out; not settable */

/* The rules of an inventory. All zero but for the sell limit, the waiting limit and the offer's
 * TTL: it has none. */
struct hf_settings {
    uint32_t sell_limit;      /* 0 .. HF_MAX_UNITS units that may be held or confirmed */
    uint32_t customer_limit;  /* units that one customer may have, held and confirmed; 0: any */
    uint32_t min_qty;         /* units of one claim at least; 0: any */
    uint32_t max_qty;         /* and at most; 0: any */
    uint32_t waiting_limit;   /* reservations in the waiting list at most; 0: there is no list */
    uint32_t flags;           /* HF_INVENTORY_* but SOLD_OUT_CLOSED */
    uint64_t opens_at_ns;     /* no claims before this date; 0: open from the start */
    uint64_t closes_at_ns;    /* no claims from this date on; 0: never closes */
    uint64_t longest_hold_ns; /* a hold lasts no longer than this from when it is made or extended;
                                 0: HF_MAX_TTL_NS */
    uint64_t cancel_until_ns; /* no CONFIRMED is cancelled or made smaller from this date on; 0: any
                                 time */
    uint64_t offer_ttl_ns;    /* how long an offer to the waiting list stands */
};

struct hf_inventory {
    uint64_t inventory_id;
    uint64_t product_id;
    uint64_t lsn; /* of its newest setting */
    uint64_t made_at_ns;
    uint32_t capacity;
    uint32_t sell_limit;
    int32_t available;  /* negative: a deficit, more is held and confirmed than the sell limit */
    uint32_t held;      /* units */
    uint32_t confirmed; /* units */
    uint32_t waiting;   /* reservations in the waiting list */
    uint32_t flags;     /* HF_INVENTORY_* */
    uint32_t version;   /* changes with every change of the inventory; compare for equality only */
};

/* Units held and confirmed beyond the sell limit. */
static inline uint32_t hf_inventory_deficit(const struct hf_inventory *inventory)
{
    return inventory->available < 0 ? (uint32_t)-inventory->available : 0;
}

/* One line of AVAILABILITY. */
struct hf_availability_entry {
    int32_t available;
    uint32_t version;
    uint32_t flags; /* HF_INVENTORY_*, or HF_AVAILABILITY_UNKNOWN */
    uint32_t waiting;
};
#define HF_AVAILABILITY_UNKNOWN (1u << 31) /* there is no such inventory */

#ifdef __cplusplus
}
#endif

#endif
