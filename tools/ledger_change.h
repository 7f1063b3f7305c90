/*
 * A change: a record, or all records of a chain, which take effect together. It is entered in two
 * steps. First each record is applied to the book: the change itself is judged by the table of
 * states, against the newest record of its reservation. Then, when all are applied, what they take
 * together is judged: units against the sell limit, settings, waiting list and versions.
 */
#ifndef HF_TOOLS_LEDGER_CHANGE_H
#define HF_TOOLS_LEDGER_CHANGE_H

#include "tools/ledger.h"
#include "tools/ledger_book.h"

/* A record that was applied, and what is still to be judged of it. */
struct hf_ledger_entered {
    const struct hf_ledger_reservation_image *image;
    uint32_t inventory;
    int64_t units; /* that it took; negative: gave */
    int64_t customer_units;
    bool is_new;
};

/* What the records of one chain do together to one inventory. */
struct hf_ledger_touched {
    uint32_t inventory;
    int64_t units;   /* that they take, or (negative) give, together */
    bool claims;     /* one of them takes units */
    bool outside;    /* and is no offer */
    bool sold_out;   /* and says that it took the last */
    int64_t version; /* of that claim */
};

struct hf_ledger_change {
    struct hf_ledger_entered entered[HF_LEDGER_CHAIN_MAX];
    struct hf_ledger_touched touched[HF_LEDGER_CHAIN_MAX];
    uint32_t entered_count, touched_count;
    uint32_t record_count;
    char *reason; /* HF_LEDGER_REASON_BYTES, for what is found */
};

/* Begins another one, of so many records. */
static inline void hf_ledger_change_begin(struct hf_ledger_change *change, uint32_t record_count)
{
    change->entered_count = 0;
    change->touched_count = 0;
    change->record_count = record_count;
}

/* Applies the next record. NULL, or why it must not be. The image is used until the change is
 * judged. hint: NULL if there is none. */
const char *hf_ledger_change_apply(struct hf_ledger_change *change, struct hf_ledger_book *book,
                                   struct hf_ledger_totals *totals,
                                   const struct hf_ledger_reservation_image *image, uint64_t lsn,
                                   const struct hf_ledger_hint *hint);

/* Judges all that were applied. NULL, or why they must not take effect together. */
const char *hf_ledger_change_judge(struct hf_ledger_change *change, struct hf_ledger_book *book,
                                   struct hf_ledger_totals *totals);

/* Before anything of the inventory is entered: what this run may not do to it. */
void hf_ledger_change_run(const struct hf_ledger_book *book, struct hf_ledger_inventory *inventory);

static inline void hf_ledger_begin_run(const struct hf_ledger_book *book,
                                       struct hf_ledger_inventory *inventory)
{
    if (inventory->run != book->run)
        hf_ledger_change_run(book, inventory);
}

/* Puts before the reason which record of a chain it is about, if it is one. Returns the reason. */
const char *hf_ledger_in_change(struct hf_ledger_change *change, uint32_t index);

/* "not enough memory" as a reason. */
const char *hf_ledger_no_memory(char *reason);

#endif
