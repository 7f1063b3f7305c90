/*
 * Tables: a state as the two tables that a database would have of it.
 *
 *   inventory    inventory_id, product_id, available_qty, version
 *   reservation  reservation_id, inventory_id, customer_id, reservation_date, status,
 *                cancellation_date
 *
 * and one that says of which state they are, holdfast_export: log_id, lsn, state_hash, exported_at.
 * Rows come in the order of their ids, so that one state is always written in one way, but for
 * exported_at. docs/holdfast-wal.md tells what stands in them.
 */
#ifndef HF_TOOLS_TABLES_H
#define HF_TOOLS_TABLES_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "tools/ledger.h"

enum hf_tables {
    HF_TABLES_INVENTORY = 1,
    HF_TABLES_RESERVATION = 2,
    HF_TABLES_BOTH = 3,
};

/* What is to be written. */
struct hf_tables_state {
    const struct hf_ledger *ledger;
    uint64_t retain_ns;
    const uint8_t *log_id; /* 16 bytes */
    uint64_t lsn;
    uint64_t exported_at_ns;
    enum hf_tables tables;

    /* What follows from that: see hf_tables_measure(). */
    uint64_t inventories, reservations;
    uint64_t state_hash;
    bool wide_inventories, wide_products, wide_customers; /* an id is 2^63 or more */
};

/* Fills in the rest. False: out of memory. */
bool hf_tables_measure(struct hf_tables_state *state);

/* Each writes all of it; false: out of memory. Whether it could be written is told by ferror(). */
bool hf_tables_put_sql(FILE *out, const struct hf_tables_state *state);
bool hf_tables_put_jsonl(FILE *out, const struct hf_tables_state *state);

/* One table, INVENTORY or RESERVATION; and holdfast_export. */
bool hf_tables_put_csv(FILE *out, const struct hf_tables_state *state, enum hf_tables table);
void hf_tables_put_export_csv(FILE *out, const struct hf_tables_state *state);

#endif
