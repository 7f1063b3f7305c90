/*
 * Replay: rebuilds a region from the images of a log, or from those of a snapshot and of the log
 * behind its start.
 *
 * Images are absolute: for each id the one with the highest (made_at_ns, sequence) stands, whatever
 * the order in which they come, so replaying any of them twice changes nothing. Counters are not in
 * the log. They are added up as images come and go:
 *   available = sell limit - units of active reservations
 *   held      = units of those that are HELD
 *   the waiting list, in the order of the LSNs
 * which at the end is what they were in the server that wrote the log (SAME-STATE). A version is not
 * state: it only has to be another one than any that was ever told. So it starts 2^20 above the
 * highest that an image carries; between that image and the crash there were fewer changes than the
 * ring has slots, each with an image, and those that were lost with the crash. If they were all lost,
 * the next start finds the same highest: what is added differs, by 2^17 at least, between 16 starts in
 * a row.
 *
 * Finished reservations whose retention has ended, by the newest date in the log, are dropped; at
 * once, if there is no room.
 *
 * How it is fast. What an image costs is where it belongs: a random head of the index, and the cell
 * behind it, each a miss of the cache and of the TLB. One after the other these are 200 ns; so
 * records are taken in groups, and each step of the search is made for the whole group before the
 * next one, as many misses at a time as the processor can have. Only then the images are applied,
 * each by itself and in order: whatever was prefetched was a guess, and changes nothing. Memory is
 * made ready many pages at a time, where it is filled from one end to the other.
 */
#ifndef HF_ENGINE_REPLAY_H
#define HF_ENGINE_REPLAY_H

#include <stdalign.h>

#include "engine/engine.h"
#include "engine/finished.h"
#include "engine/region.h"
#include "engine/table.h"

#define HF_REPLAY_STATES 16 /* that a reservation's word has room for */

/* What the log told of an inventory, beside its cell. */
struct hf_replay_inventory {
    alignas(HF_CACHE_LINE_BYTES) uint64_t inventory_id;
    uint64_t units;            /* of its active reservations */
    uint32_t held;             /* units of those that are HELD */
    uint32_t version;          /* the highest so far; 0: none */
    uint32_t unversioned;      /* changes that carried none */
    uint32_t settings_version; /* that its settings carry */
    uint32_t sold_out_version; /* that the newest image with SOLD_OUT carries */
    bool sold_out, closed;
};
_Static_assert(sizeof(struct hf_replay_inventory) == HF_CACHE_LINE_BYTES, "one miss");

/* A reservation of a snapshot that was made from another one. */
struct hf_replay_link {
    struct hf_id id, linked_id;
    uint64_t lsn; /* of the image */
};

struct hf_replay {
    struct hf_region *region;
    uint64_t retain_ns;
    uint64_t log_time_ns; /* the newest date so far */
    uint64_t epoch;       /* of the run that begins, set before hf_replay_finish(); 0: none does */
    bool restoring;       /* what is applied stands in a snapshot */
    struct hf_allotment allotment;
    uint32_t terms_ready; /* memory is ready for the numbers before this one */
    uint64_t reservations;
    uint64_t states[HF_REPLAY_STATES];       /* reservations in each */
    struct hf_replay_inventory *inventories; /* by number */
    size_t inventories_bytes;
    struct hf_replay_link *links;
    uint32_t link_count, link_capacity;
    struct hf_finished finished;
    bool keeps_finished; /* all that are finished are in there: the table was full once */
    uint32_t searches;   /* of all cells, since it was full: one, if all goes well */
    char reason[160];
};

/* 0 or -errno. */
int hf_replay_init(struct hf_replay *replay, struct hf_region *region, uint64_t retain_ns);
void hf_replay_close(struct hf_replay *replay);

/* Applies records of the log (HF_RECORD_BYTES each), in their order. NULL; or why one of them cannot
 * be, valid until the next call: *fault is its place, and those before it are applied. */
const char *hf_replay_apply_all(struct hf_replay *replay, const uint8_t *records, uint32_t count,
                                uint32_t *fault);

/* The same for records of a snapshot, inventories first: before any record of the log. They tell no
 * version that a change of their own produced. log_time_ns: the newest date in the log up to the
 * snapshot. */
const char *hf_replay_restore_all(struct hf_replay *replay, const uint8_t *records, uint32_t count,
                                  uint64_t log_time_ns, uint32_t *fault);

/* The same, for one record. */
static inline const char *hf_replay_apply(struct hf_replay *replay, const uint8_t *record)
{
    uint32_t fault;
    return hf_replay_apply_all(replay, record, 1, &fault);
}

static inline const char *hf_replay_restore(struct hf_replay *replay, const uint8_t *record,
                                            uint64_t log_time_ns)
{
    uint32_t fault;
    return hf_replay_restore_all(replay, record, 1, log_time_ns, &fault);
}

/* Derives what follows from the images. NULL, or why it cannot be. After it the region is ready for
 * an engine. */
const char *hf_replay_finish(struct hf_replay *replay);

/* The engine of a recovered region begins: deadlines and retentions are filed, and the units of
 * customers are counted where there is a limit. False: out of memory. Before any actor. */
bool hf_replay_start_engine(const struct hf_replay *replay, struct hf_engine *engine);

#endif
