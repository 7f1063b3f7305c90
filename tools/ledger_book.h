/*
 * The book: what the ledger knows of every inventory and reservation, and how that is found. It
 * keeps the state and what follows from it (units, waiting lists, customers); what may be done to
 * it is judged elsewhere (ledger_change.h, ledger_moves.h).
 *
 * What is finished is forgotten after a while, as a server does it, so that the book is as large as
 * the state and not as the log: those that finished stand in a list, in the order in which they
 * did.
 *
 * Versions are 31 bits in the log. Here they are counted on without end: a version stands for the
 * number nearest to the newest that ends in these 31 bits.
 */
#ifndef HF_TOOLS_LEDGER_BOOK_H
#define HF_TOOLS_LEDGER_BOOK_H

#include <stdbool.h>
#include <stdint.h>

#include "tools/ledger_image.h"
#include "tools/ledger_index.h"
#include "tools/ledger_map.h"
#include "tools/ledger_moves.h"
#include "tools/ledger_store.h"
#include "tools/ledger_versions.h"

#define HF_LEDGER_VERSION_MASK ((1u << 31) - 1)
#define HF_LEDGER_NO_VERSION   INT64_MIN /* older than any */

/* A record that lowered the sell limit. */
struct hf_ledger_lowering {
    int64_t version;
    uint32_t limit_before;
};

/* First what each claim is judged by. */
struct hf_ledger_inventory {
    struct hf_ledger_inventory_image rules; /* its newest record; sequence 0: it was not made yet */
    int64_t rules_version;
    uint64_t units;           /* held and confirmed */
    uint64_t held;            /* of these */
    int64_t newest_version;   /* that a record of it carries */
    int64_t oldest_version;   /* a claim of this run may have: all are newer */
    int64_t unjudged_version; /* what claims up to this one were decided under is not known */
    uint64_t run;             /* for which the above was made up */
    bool versioned;           /* newest_version is one */
    bool copied;              /* from a snapshot: newest_version may be of a later run than this */
    bool sold_out, outside;   /* there was one */
    bool closed;              /* by selling out, with closed_version */
    int64_t sold_out_version; /* of the newest claim that took the last unit */
    int64_t outside_version;  /* of the newest claim that was no offer */
    int64_t closed_version;
    int64_t skip_version;               /* offers up to this one may have been made with SKIP */
    struct hf_ledger_versions versions; /* of the claims of this run */

    uint32_t first_waiting, last_waiting; /* number + 1; 0: nobody */
    uint32_t waiting;                     /* reservations */
    uint32_t lowering_count, lowering_room;
    struct hf_ledger_lowering *lowerings; /* of this run, the oldest first */

    uint8_t record[HF_LEDGER_RECORD_BYTES]; /* its newest */
};

/* What few reservations have. */
struct hf_ledger_more {
    uint8_t linked_id[HF_LEDGER_ID_BYTES]; /* all zero: none */
    int64_t joined;                        /* WAITING: the version with which it joined */
    uint32_t origin;
    uint32_t next_free; /* number + 1 */
};

struct hf_ledger_book {
    struct hf_ledger_store reservations, inventories, mores;
    struct hf_ledger_index reservation_index, inventory_index;
    struct hf_ledger_map customers;       /* units, held and confirmed */
    bool counts_customers;                /* there is an inventory with a limit per customer */
    bool modern;                          /* there is a record that version 0.1.0 could not write */
    bool started_modern;                  /* this run began behind one */
    uint64_t seed;                        /* of all hashes */
    uint64_t run;                         /* starts so far */
    uint64_t newest_ns;                   /* date */
    uint64_t remember_ns;                 /* how long what is finished is kept in mind */
    uint32_t free_reservation, free_more; /* number + 1; 0: none */
    uint32_t first_finished, last_finished; /* number + 1; 0: none */
    uint64_t made;                          /* reservations, the forgotten ones included */
    uint64_t forgotten;                     /* of these */
    uint64_t by_state[HF_LEDGER_STATES];    /* in their newest state, likewise */
};

void hf_book_open(struct hf_ledger_book *book, uint64_t remember_ns);
void hf_book_close(struct hf_ledger_book *book);

/* ---- finding ---------------------------------------------------------------------------- */

static inline struct hf_ledger_reservation *hf_book_reservation(const struct hf_ledger_book *book,
                                                                uint32_t number)
{
    return hf_ledger_store_item(&book->reservations, number, sizeof(struct hf_ledger_reservation));
}

static inline struct hf_ledger_inventory *hf_book_inventory(const struct hf_ledger_book *book,
                                                            uint32_t number)
{
    return hf_ledger_store_item(&book->inventories, number, sizeof(struct hf_ledger_inventory));
}

/* NULL: nothing more is known of it. */
static inline struct hf_ledger_more *hf_book_more(const struct hf_ledger_book *book,
                                                  const struct hf_ledger_reservation *reservation)
{
    return reservation->more == 0 ? NULL
                                  : hf_ledger_store_item(&book->mores, reservation->more - 1,
                                                         sizeof(struct hf_ledger_more));
}

static inline uint32_t hf_book_hash(const struct hf_ledger_book *book, const uint8_t *id)
{
    return hf_ledger_hash_of_id(book->seed, id);
}

/* NULL: unknown. hash: of the id. */
struct hf_ledger_reservation *hf_book_find_reservation(const struct hf_ledger_book *book,
                                                       const uint8_t *id, uint32_t hash,
                                                       uint32_t *number);
struct hf_ledger_inventory *hf_book_find_inventory(const struct hf_ledger_book *book,
                                                   uint64_t inventory_id, uint32_t *number);

/* What is known of a record before it is entered. */
struct hf_ledger_hint {
    uint32_t hash;      /* of its id */
    uint32_t inventory; /* number + 1 of its inventory; 0: it was not found */
};

/* In two steps, bring to the processor what entering a record of a reservation will need: at first
 * where that stands, and some records later what stands there. Any bytes may be given. */
void hf_book_announce(const struct hf_ledger_book *book, const uint8_t *record,
                      struct hf_ledger_hint *hint);
void hf_book_fetch(const struct hf_ledger_book *book, const uint8_t *record,
                   struct hf_ledger_hint *hint);

/* ---- making and keeping ----------------------------------------------------------------- */

/* Both NULL: out of memory. The inventory is one that was not made yet. */
struct hf_ledger_inventory *hf_book_add_inventory(struct hf_ledger_book *book,
                                                  uint64_t inventory_id, uint32_t *number);
struct hf_ledger_reservation *hf_book_add_reservation(struct hf_ledger_book *book,
                                                      const uint8_t *id, uint32_t hash,
                                                      uint32_t *number);

/* Keeps the image as the reservation's newest, but for units and lists. joined: the version with
 * which it did, if it is WAITING. False: out of memory. */
bool hf_book_keep(struct hf_ledger_book *book, struct hf_ledger_reservation *reservation,
                  const struct hf_ledger_reservation_image *image, uint64_t lsn, uint32_t inventory,
                  int64_t joined);

/* The image that was kept: as its newest record, but for what only that change was about. Points
 * into the book. */
struct hf_ledger_reservation_image hf_book_image(const struct hf_ledger_book *book,
                                                 const struct hf_ledger_reservation *reservation);

static inline void hf_book_note_date(struct hf_ledger_book *book, uint64_t date_ns)
{
    if (date_ns > book->newest_ns)
        book->newest_ns = date_ns;
}

/* ---- lists ------------------------------------------------------------------------------ */

/* The waiting list of its inventory. */
void hf_book_join(const struct hf_ledger_book *book, struct hf_ledger_inventory *inventory,
                  struct hf_ledger_reservation *reservation, uint32_t number);
void hf_book_leave(const struct hf_ledger_book *book, struct hf_ledger_inventory *inventory,
                   const struct hf_ledger_reservation *reservation);

/* The list of those that finished. */
void hf_book_finish(struct hf_ledger_book *book, struct hf_ledger_reservation *reservation,
                    uint32_t number);
void hf_book_unfinish(struct hf_ledger_book *book, const struct hf_ledger_reservation *reservation);

/* Forgets those that finished long ago. They come nearly in the order of their dates. */
void hf_book_forget_first(struct hf_ledger_book *book);

static inline void hf_book_forget(struct hf_ledger_book *book)
{
    while (book->first_finished != 0 && /* no date is newer than the newest */
           book->newest_ns - hf_book_reservation(book, book->first_finished - 1)->changed_at_ns >=
               book->remember_ns)
        hf_book_forget_first(book);
}

/* ---- units of customers ----------------------------------------------------------------- */

/* Counts from now on. False: out of memory. */
bool hf_book_count_customers(struct hf_ledger_book *book);

/* ---- versions --------------------------------------------------------------------------- */

/* The number that a version in the log stands for. */
static inline int64_t hf_book_counted_on(const struct hf_ledger_inventory *inventory,
                                         uint32_t version)
{
    if (!inventory->versioned)
        return version & HF_LEDGER_VERSION_MASK;
    uint32_t ahead = (version - (uint32_t)inventory->newest_version) & HF_LEDGER_VERSION_MASK;
    int64_t distance = ahead <= HF_LEDGER_VERSION_MASK / 2
                           ? (int64_t)ahead
                           : (int64_t)ahead - HF_LEDGER_VERSION_MASK - 1;
    return inventory->newest_version + distance;
}

static inline void hf_book_note_version(struct hf_ledger_inventory *inventory, int64_t version)
{
    if (!inventory->versioned || version > inventory->newest_version)
        inventory->newest_version = version;
    inventory->versioned = true;
}

/* Of a record that is no claim; 0: it does not tell one, as in version 0.1.0. */
static inline void hf_book_note_carried(struct hf_ledger_inventory *inventory, uint32_t version)
{
    if (version != 0)
        hf_book_note_version(inventory, hf_book_counted_on(inventory, version));
}

/* Whether it is closed by selling out, after its newest record and its newest claim. */
void hf_book_close_if_sold_out(struct hf_ledger_inventory *inventory);

#endif
