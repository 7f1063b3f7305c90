/*
 * The ledger: a second opinion about what a log says.
 *
 * It is fed every record of a log in the order of the LSNs, and proves as it goes that each was
 * allowed to follow those before it: so it proves it of every prefix of the log. It is written from
 * docs/log-format.md alone and shares no code with the engine, so that an error in the engine's
 * idea of its log does not hide here as well.
 *
 * What it proves is what that page lists under "What every sound log obeys", rule by rule:
 *   records      LSNs without gaps, known kinds, possible values, zero where zero must be; chains
 *                that are whole, in one block
 *   inventories  sequences 1, 2, 3, ...; what never changes does not; dates do not go back
 *   reservations each change is one that the table of states allows, for a reason it knows, with
 *                the next sequence; what that change may not change stays; nothing changes after a
 *                final state (RESOLVES-ONCE); an expiry is never early, a confirm never late; an id
 *                is used again only for a reservation made later than one that is finished
 *   units        whoever takes some is within the sell limit that it was decided under
 *                (NO-OVERSELL); a claim obeys the settings in force, and passes no waiting list;
 *                offers go to the head of the list
 *   versions     no two claims of a run share one, and a run begins above those before it
 *
 * A chain is judged as a whole: its units are what all its records take and give together.
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
    uint64_t reservations; /* ids; in their newest state: */
    uint64_t held, confirmed, cancelled, released, expired, waiting;
    uint64_t reused;           /* ids that were used again, for a new reservation */
    uint64_t offers, expiries; /* that were made, that happened */
    uint64_t chains, events;
    uint64_t above_customer_limit; /* claims after which the customer had more than one may: an
                                      operator's override looks just so */
    uint64_t last_lsn;
};

/* NULL: out of memory. */
struct hf_ledger *hf_ledger_open(void);
void hf_ledger_close(struct hf_ledger *ledger);

/* A server started here: inventory versions move up. */
void hf_ledger_start(struct hf_ledger *ledger);

/* Enters a record of 128 bytes. NULL, or why it, or a chain that it ends, is not sound; valid as
 * long as the ledger. */
const char *hf_ledger_enter(struct hf_ledger *ledger, const uint8_t *record);

/* A block ends behind the last record. NULL, or why it must not. */
const char *hf_ledger_end_block(struct hf_ledger *ledger);

/* Brings to the processor what entering this record will need; it need not be the next one. */
void hf_ledger_prefetch(struct hf_ledger *ledger, const uint8_t *record);

void hf_ledger_totals(const struct hf_ledger *ledger, struct hf_ledger_totals *totals);

/*
 * The hash of the state after the last record: see docs/log-format.md (SAME-STATE). Reservations
 * that finished `retain_ns` or more before the newest date in the log are no part of it; *retained:
 * how many are.
 */
uint64_t hf_ledger_state_hash(const struct hf_ledger *ledger, uint64_t retain_ns,
                              uint64_t *retained);

#endif
