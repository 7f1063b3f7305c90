/*
 * Replay: rebuilds a region from the images of a log.
 *
 * Images are absolute: for each id the one with the highest (made_at_ns, sequence) stands, whatever
 * the order in which they come, so replaying any of them twice changes nothing. Counters are not in
 * the log. At the end they are derived:
 *   available = sell limit - units of active reservations
 *   held      = units of those that are HELD
 *   the waiting list, in the order of the LSNs
 * which is what they were in the server that wrote the log (SAME-STATE). A version is not state: it
 * only has to be another one than any that was ever told. So it starts 2^20 above the highest that
 * an image carries; between that image and the crash there were fewer changes than the ring has
 * slots, each with an image, and those that were lost with the crash.
 *
 * Finished reservations whose retention has ended, by the newest date in the log, are dropped; at
 * once, if there is no room.
 */
#ifndef HF_ENGINE_REPLAY_H
#define HF_ENGINE_REPLAY_H

#include "engine/engine.h"
#include "engine/region.h"
#include "engine/table.h"

#define HF_REPLAY_PREFETCHES 8

/* What the log told of an inventory, beside its cell. */
struct hf_replay_inventory {
    uint32_t version;          /* the highest so far */
    uint32_t unversioned;      /* changes that carried none */
    uint32_t settings_version; /* that its settings carry */
    uint32_t sold_out_version; /* that the newest image with SOLD_OUT carries */
    bool versioned, sold_out, closed;
};

/* A reservation that was made from a lapsed hold which had not appeared before it. */
struct hf_replay_link {
    struct hf_id id, linked_id;
    uint64_t made_at_ns;
};

struct hf_replay {
    struct hf_region *region;
    uint64_t retain_ns;
    uint64_t log_time_ns; /* the newest date so far */
    struct hf_allotment allotment;
    uint64_t reservations;
    bool restoring;                          /* what is applied stands in a snapshot */
    struct hf_replay_inventory *inventories; /* by number */
    struct hf_replay_link *links;            /* to be looked for at the end */
    uint32_t link_count, link_capacity;
    uint64_t prefetched[HF_REPLAY_PREFETCHES]; /* hashes of the ids whose heads were prefetched */
    uint32_t prefetch_count;
    char reason[160];
};

/* 0 or -ENOMEM. */
int hf_replay_init(struct hf_replay *replay, struct hf_region *region, uint64_t retain_ns);
void hf_replay_close(struct hf_replay *replay);

/* Brings what a record will touch into the cache: a lookup's cache miss is most of what replaying
 * it costs. Any bytes may be given. */
void hf_replay_prefetch(struct hf_replay *replay, const uint8_t *record);

/* Applies one record (HF_RECORD_BYTES). NULL, or why it cannot be; valid until the next call. */
const char *hf_replay_apply(struct hf_replay *replay, const uint8_t *record);

/* The same for a record of a snapshot: it tells no version that a change of its own produced.
 * log_time_ns: the newest date in the log up to the snapshot. */
const char *hf_replay_restore(struct hf_replay *replay, const uint8_t *record,
                              uint64_t log_time_ns);

/* Derives the counters. NULL, or why they cannot be. After it the region is ready for an engine. */
const char *hf_replay_finish(struct hf_replay *replay);

/* The engine of a recovered region begins: deadlines and retentions are filed, and the units of
 * customers are counted where there is a limit. False: out of memory. Before any actor. */
bool hf_replay_start_engine(const struct hf_replay *replay, struct hf_engine *engine);

#endif
