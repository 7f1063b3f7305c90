/* What of an embedded Holdfast its watches and histories need: implemented in engine/embedded.c. */
#ifndef HF_ENGINE_EMBEDDED_LOG_H
#define HF_ENGINE_EMBEDDED_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/store.h"
#include "holdfast/embedded.h"

struct hf_store *hf_embedded_store(struct hf_embedded *db);
struct hf_embedded *hf_session_embedded(struct hf_session *session);

/* Blocks until hf_tail_limit() has reached this LSN, or for timeout_ns (UINT64_MAX: for ever). False:
 * it has not. */
bool hf_embedded_wait(struct hf_embedded *db, uint64_t lsn, uint64_t timeout_ns);

#endif
