/*
 * Replay: rebuilds a region from the images of a log.
 *
 * Images are absolute: for each id the one with the highest (made_at_ns, sequence) stands, whatever
 * the order in which they come, so replaying any of them twice changes nothing. Counters are not in
 * the log. At the end they are derived:
 *   available = sell limit - units of active reservations
 *   version   = the inventory's own sequence + the sequences of all its reservations
 * which is what they were in the server that wrote the log (SAME-STATE): creating sets the version
 * to 1, and each change of a reservation bumps its sequence and its inventory's version once.
 */
#ifndef HF_ENGINE_REPLAY_H
#define HF_ENGINE_REPLAY_H

#include "engine/region.h"
#include "engine/table.h"

#define HF_REPLAY_PREFETCHES 8

struct hf_replay {
    struct hf_region *region;
    struct hf_allotment allotment;
    uint64_t reservations;
    uint64_t prefetched[HF_REPLAY_PREFETCHES]; /* hashes of the ids whose heads were prefetched */
    uint32_t prefetch_count;
    char reason[160];
};

void hf_replay_init(struct hf_replay *replay, struct hf_region *region);

/* Brings what a record will touch into the cache: a lookup's cache miss is most of what replaying
 * it costs. Any bytes may be given. */
void hf_replay_prefetch(struct hf_replay *replay, const uint8_t *record);

/* Applies one record (HF_RECORD_BYTES). NULL, or why it cannot be; valid until the next call. */
const char *hf_replay_apply(struct hf_replay *replay, const uint8_t *record);

/* Derives the counters. NULL, or why they cannot be. After it the region is ready for actors. */
const char *hf_replay_finish(struct hf_replay *replay);

#endif
