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
 * It may begin with a state instead of an empty log: what a snapshot holds, and those records of
 * the log that the snapshot was made from, are loaded in any order without being judged (the newest
 * image of each id stands), until the state is exactly known at some LSN; then it is settled, and
 * all that follows is judged. What a claim that was decided before that was decided under is not
 * known, and so not judged; there are only as many of these as were in flight at once.
 *
 * Its memory is that of the state, as a server has it. What was finished for longer than
 * `remember_ns`, by the dates of the log, is forgotten. What would have to be known of it then
 * counts as unproved; but that is little: a change of what was forgotten is a fault all the same.
 *
 * After a record that is not sound the ledger is of no more use. Not thread-safe.
 */
#ifndef HF_TOOLS_LEDGER_H
#define HF_TOOLS_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

#include "tools/ledger_image.h"

struct hf_ledger;

struct hf_ledger_totals {
    uint64_t records; /* of the log, that were entered or loaded */
    uint64_t inventories;
    uint64_t reservations; /* ids; in their newest state: */
    uint64_t held, confirmed, cancelled, released, expired, waiting;
    uint64_t forgotten;        /* of these */
    uint64_t reused;           /* ids that were used again, for a new reservation */
    uint64_t offers, expiries; /* that were made, that happened */
    uint64_t chains, events;
    uint64_t above_customer_limit; /* claims after which the customer had more than one may: an
                                      operator's override looks just so */
    uint64_t unproved; /* claims whose version is too old to say that no other had it; reservations
                          linked to one that is unknown, and may have been forgotten */
    uint64_t last_lsn;
    uint64_t newest_ns; /* date */
};

/* NULL: out of memory. */
struct hf_ledger *hf_ledger_open(uint64_t remember_ns);
void hf_ledger_close(struct hf_ledger *ledger);

/* ---- judging ---------------------------------------------------------------------------- */

/* A server started here: inventory versions move up. */
void hf_ledger_start(struct hf_ledger *ledger);

/* Enters the next record, of 128 bytes. NULL, or why it, or a chain that it ends, is not sound;
 * valid as long as the ledger. */
const char *hf_ledger_enter(struct hf_ledger *ledger, const uint8_t *record);

/* Enters many, which stand one behind the other: faster. NULL, or why record number *entered of
 * them is not sound; else *entered is the count. */
const char *hf_ledger_enter_all(struct hf_ledger *ledger, const uint8_t *records, uint32_t count,
                                uint32_t *entered);

/* A block ends behind the last record. NULL, or why it must not. */
const char *hf_ledger_end_block(struct hf_ledger *ledger);

/* ---- loading ---------------------------------------------------------------------------- */

enum hf_ledger_source {
    HF_LEDGER_FROM_SNAPSHOT, /* any LSN; versions, flags and reasons are not those of the change */
    HF_LEDGER_FROM_LOG,      /* in the order of the LSNs, from any on, without gaps */
};

/* Loads records, into a ledger that has judged none, and *loaded of them if one cannot be one: then
 * the reason, else NULL. */
const char *hf_ledger_load(struct hf_ledger *ledger, const uint8_t *record,
                           enum hf_ledger_source source);
const char *hf_ledger_load_all(struct hf_ledger *ledger, const uint8_t *records, uint32_t count,
                               enum hf_ledger_source source, uint32_t *loaded);

/* A date of the log that need not be that of any record which is loaded. */
void hf_ledger_load_date(struct hf_ledger *ledger, uint64_t date_ns);

/* What was loaded is the state after this LSN: the next record to be entered has the next one.
 * NULL, or why it cannot be. */
const char *hf_ledger_settle(struct hf_ledger *ledger, uint64_t lsn);

/* ---- comparing -------------------------------------------------------------------------- */

/*
 * Holds a snapshot against the state after an LSN from which on the snapshot makes it known: the
 * records of the log from `start_lsn` on, up to there, replayed on what the snapshot holds, must
 * give this state. retain_ns: of the server that made it.
 */
struct hf_ledger_comparison;

/* NULL: out of memory. The ledger must not change meanwhile. */
struct hf_ledger_comparison *hf_ledger_compare_open(struct hf_ledger *ledger, uint64_t start_lsn,
                                                    uint64_t retain_ns);
void hf_ledger_compare_close(struct hf_ledger_comparison *comparison);

/* A record of the snapshot. NULL, or why it contradicts the log; valid as long as the ledger. */
const char *hf_ledger_compare(struct hf_ledger_comparison *comparison, const uint8_t *record);

/* There are no more. NULL, or what the snapshot should hold and does not. */
const char *hf_ledger_compare_end(struct hf_ledger_comparison *comparison);

/* ---- looking ---------------------------------------------------------------------------- */

void hf_ledger_totals(const struct hf_ledger *ledger, struct hf_ledger_totals *totals);

/*
 * The hash of the state after the last record: see docs/log-format.md (SAME-STATE). Reservations
 * that finished `retain_ns` or more before the newest date in the log are no part of it; *retained:
 * how many are. retain_ns: at most remember_ns.
 */
uint64_t hf_ledger_state_hash(const struct hf_ledger *ledger, uint64_t retain_ns,
                              uint64_t *retained);

/* An inventory, and what follows from its reservations. */
struct hf_ledger_inventory_view {
    const struct hf_ledger_inventory_image *image; /* its newest record */
    uint64_t lsn;                                  /* of that */
    int64_t available;                             /* units; negative: a deficit */
    uint64_t held, confirmed;                      /* units */
    uint32_t waiting;                              /* reservations */
    uint32_t version;                       /* the highest that is known to have been given out */
    bool sold_out_closed;                   /* it is closed by selling out */
    uint8_t record[HF_LEDGER_RECORD_BYTES]; /* as it stands in a snapshot */
};

/*
 * Visit the inventories in the order of their ids, and the retained reservations in the order of
 * theirs, byte by byte: so one state is always told in one way. What is visited is valid during the
 * visit. Only those of which `wants` (NULL: all) is true; ends early when `visit` is false. False:
 * out of memory.
 */
struct hf_ledger_visitor {
    bool (*wants)(void *context, const struct hf_ledger_reservation_image *image, uint64_t lsn);
    bool (*visit)(void *context, const struct hf_ledger_reservation_image *image, uint64_t lsn);
    void *context;
};

bool hf_ledger_each_inventory(const struct hf_ledger *ledger,
                              bool (*visit)(void *context,
                                            const struct hf_ledger_inventory_view *view),
                              void *context);
bool hf_ledger_each_reservation(const struct hf_ledger *ledger, uint64_t retain_ns,
                                const struct hf_ledger_visitor *visitor);

#endif
