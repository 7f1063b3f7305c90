/* What Holdfast speaks of: reservation ids, reservations, inventories. */
#ifndef HOLDFAST_TYPES_H
#define HOLDFAST_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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

bool hf_id_is_zero(const struct hf_id *id);
bool hf_id_equal(const struct hf_id *left, const struct hf_id *right);

#define HF_DATE_TEXT_BYTES 31 /* "2026-01-02T03:04:05.000000006Z" and the terminating zero */

/* Writes a date (ns since the Unix epoch) as RFC 3339 in UTC with nanoseconds. */
void hf_date_format(uint64_t date_ns, char text[HF_DATE_TEXT_BYTES]);

/* The states of a reservation. Numbers are stored in the log and never change their meaning. */
enum hf_state {
    HF_STATE_CONFIRMED = 2,
    HF_STATE_CANCELLED = 3,
};

/* "CONFIRMED", "CANCELLED", or "UNKNOWN". Static storage. */
const char *hf_state_name(unsigned state);

/* Units of one inventory, and of one reservation: 1 .. HF_MAX_UNITS. */
#define HF_MAX_UNITS ((1u << 29) - 1)

struct hf_reservation {
    struct hf_id id;
    uint64_t inventory_id;
    uint64_t customer_id;
    uint64_t lsn;           /* of its newest change */
    uint64_t made_at_ns;    /* the reservation date */
    uint64_t changed_at_ns; /* the date of its newest change: CANCELLED, the cancellation date */
    uint32_t qty;
    uint32_t sequence; /* 1 when made, one more with every change */
    enum hf_state state;
};

struct hf_inventory {
    uint64_t inventory_id;
    uint64_t product_id;
    uint64_t lsn; /* of its newest setting */
    uint64_t made_at_ns;
    uint32_t capacity;
    uint32_t sell_limit;
    int32_t available;
    uint32_t held;
    uint32_t confirmed;
    uint32_t version; /* changes with every change of the inventory; compare for equality only */
};

#ifdef __cplusplus
}
#endif

#endif
