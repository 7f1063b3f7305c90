/*
 * The ledger: a second opinion about what a log says.
 *
 * It is fed every record of a log in the order of the LSNs, and proves as it goes that each was
 * allowed to follow those before it. It is written from docs/log-format.md alone and shares no code
 * with the engine, so that an error in the engine's idea of its log does not hide here as well.
 *
 * A record is sound if and only if
 *   1. its LSN is one more than that of the record before it (1 for the first);
 *   2. its kind is known, every field has a possible value, and reserved bytes are zero;
 *   3. inventory: its sequence is one more than that of its last record (1 when new), product and
 *      date of making are unchanged, and it does not change before its last change;
 *   4. reservation: its inventory was made before it;
 *      a. new: it is CONFIRMED with sequence 1, and the units it takes and those of all CONFIRMED
 *         reservations of its inventory do not exceed the sell limit (NO-OVERSELL); the inventory
 *         version is not zero, newer than all that the server knew when it started, and no other
 *         grant of this run has it;
 *      b. known: the record before it is CONFIRMED, this one is CANCELLED with a sequence one
 *         higher (RESOLVES-ONCE), has no inventory version, does not change before its last change,
 *         and inventory, customer, qty and date of making are the same.
 *
 * After a record that is not sound the ledger is of no more use. Not thread-safe.
 */
#ifndef HF_TOOLS_LEDGER_H
#define HF_TOOLS_LEDGER_H

#include <stdint.h>

struct hf_ledger;

struct hf_ledger_totals {
    uint64_t records;
    uint64_t inventories;
    uint64_t reservations; /* confirmed and cancelled */
    uint64_t confirmed;
    uint64_t cancelled;
    uint64_t last_lsn;
};

/* NULL: out of memory. */
struct hf_ledger *hf_ledger_open(void);
void hf_ledger_close(struct hf_ledger *ledger);

/* A server started here: inventory versions that were handed out and lost may come again. */
void hf_ledger_start(struct hf_ledger *ledger);

/* Enters a record of 128 bytes. NULL, or why it is not sound; valid as long as the ledger. */
const char *hf_ledger_enter(struct hf_ledger *ledger, const uint8_t *record);

/* Brings to the processor what entering this record will need; it need not be the next one. */
void hf_ledger_prefetch(const struct hf_ledger *ledger, const uint8_t *record);

void hf_ledger_totals(const struct hf_ledger *ledger, struct hf_ledger_totals *totals);

/* The hash of the state after the last record: see docs/log-format.md (SAME-STATE). */
uint64_t hf_ledger_state_hash(const struct hf_ledger *ledger);

#endif
