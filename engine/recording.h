/*
 * Recording: what follows a claim that succeeded. Steps 6 to 8 of engine/change.h: the images, the
 * giving back, the end of chains and marks. Nothing here can fail.
 */
#ifndef HF_ENGINE_RECORDING_H
#define HF_ENGINE_RECORDING_H

#include "engine/transaction.h"

/* How many images it will have: a step that only repeats has none. */
uint32_t hf_transaction_images(const struct hf_transaction *change);

/* The caller holds the credits. Lets go of all that the transaction holds. */
void hf_transaction_record(struct hf_transaction *change);

#endif
