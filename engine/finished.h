/*
 * Finished reservations in the order in which they finished, hence in which their retention ends.
 *
 * Recovery needs that when the table is full in the middle of a log: then those go whose retention
 * had ended by then, and no others. Looking through all cells for them would do, once; but a server
 * that ran at its limit has written a log in which the table is full at every further record.
 *
 * An entry is a hint: whoever takes it out asks the cell whether it is still so.
 */
#ifndef HF_ENGINE_FINISHED_H
#define HF_ENGINE_FINISHED_H

#include <stdbool.h>
#include <stdint.h>

struct hf_finished_entry {
    uint64_t changed_at_ns; /* when it finished */
    uint32_t number;        /* of its cell */
};

struct hf_finished {
    struct hf_finished_entry *entries; /* NULL: none is kept */
    uint64_t head, end, capacity;      /* entries head .. end - 1 */
};

void hf_finished_close(struct hf_finished *finished);

/* Adds an entry behind all others. False: out of memory; it is as it was. */
bool hf_finished_add(struct hf_finished *finished, uint32_t number, uint64_t changed_at_ns);

/* Puts the entries into the order of their dates. */
void hf_finished_sort(struct hf_finished *finished);

/* The first entry, or NULL. Valid until the next call. */
const struct hf_finished_entry *hf_finished_first(const struct hf_finished *finished);
void hf_finished_drop_first(struct hf_finished *finished);

#endif
