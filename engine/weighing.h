/*
 * Weighing: whether the units of a change can be had, and the claim that takes them. Steps 4 and 5 of
 * engine/change.h.
 *
 * The lines of one inventory are summed first, and so are those of one customer. What was weighed is
 * the words of inventories and counts, as they were loaded; the claim succeeds only if they are still
 * the same. A refusal has no such CAS, so it is confirmed: everything that it was derived from is
 * looked at again, and was of one instant if nothing of it has changed (HONEST-NO).
 */
#ifndef HF_ENGINE_WEIGHING_H
#define HF_ENGINE_WEIGHING_H

#include "engine/transaction.h"

/* GO_ON: the claim may be tried. REFUSED, BUSY. */
enum hf_attempt hf_transaction_weigh(struct hf_transaction *change);

/* It was REFUSED: still so, or AGAIN or BUSY. Lapsed holds that may help give their units back. */
enum hf_attempt hf_transaction_confirm_refusal(struct hf_transaction *change);

/* Before the marks; before the claim; and after giving back, or when nothing comes of it. */
void hf_transaction_announce_gives(struct hf_transaction *change);
void hf_transaction_announce(struct hf_transaction *change);
void hf_transaction_withdraw(struct hf_transaction *change);

/* The instant. False: a word has changed since it was weighed. */
bool hf_transaction_claim(struct hf_transaction *change);

#endif
