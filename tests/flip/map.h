/*
 * The map of a still: what stands at each byte of a log, in which views of it that is read, and what
 * must come of a recovery if the byte is another one.
 */
#ifndef HF_TESTS_FLIP_MAP_H
#define HF_TESTS_FLIP_MAP_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/flip/attempt.h"
#include "tests/flip/still.h"
#include "wal/block.h"
#include "wal/snapshot_header.h"

/* X(name, text): what of the directory is there. */
#define HF_MAP_VIEWS(X)                                                                            \
    X(ALL, "all of it")                                                                            \
    X(OLDER, "without the newest snapshot")                                                        \
    X(LOG, "without snapshots")                                                                    \
    X(LEAST, "nothing that may be released")

enum hf_map_view {
#define X(name, text) HF_MAP_##name,
    HF_MAP_VIEWS(X)
#undef X
        HF_MAP_VIEW_COUNT,
};

const char *hf_map_view_text(enum hf_map_view view);

/* X(name, text): what a byte belongs to. */
#define HF_MAP_AREAS(X)                                                                            \
    X(SEGMENT_HEADER, "segment headers")                                                           \
    X(BLOCK_HEADER, "block headers")                                                               \
    X(RECORD, "records")                                                                           \
    X(PADDING, "padding")                                                                          \
    X(BEHIND, "zeros behind")                                                                      \
    X(SNAPSHOT_HEADER, "snapshot headers")                                                         \
    X(GROUP, "snapshot groups")

enum hf_map_area {
#define X(name, text) HF_MAP_##name,
    HF_MAP_AREAS(X)
#undef X
        HF_MAP_AREA_COUNT,
};

const char *hf_map_area_text(enum hf_map_area area);

/* X(name, text): what must come of a flip. */
#define HF_MAP_ENDS(X)                                                                             \
    X(SAME, "not read")                                                                            \
    X(REFUSED, "refused")                                                                          \
    X(FALLBACK, "snapshot before it")                                                              \
    X(CUT, "cut and told")

enum hf_map_end {
#define X(name, text) HF_MAP_##name,
    HF_MAP_ENDS(X)
#undef X
        HF_MAP_END_COUNT,
};

const char *hf_map_end_text(enum hf_map_end end);

struct hf_map_block {
    struct hf_block header;
    uint64_t state_hash; /* before it; of one that nobody attests, else 0 */
};

struct hf_map {
    struct hf_still *still; /* the caller's */
    struct hf_map_block *blocks;
    uint32_t block_count, block_room;
    uint64_t attested_sequence; /* by blocks: up to this one */
    struct hf_snapshot_header newest, older;
    uint64_t last_lsn, state_hash; /* of the whole */
};

/* A place in a file. */
struct hf_map_place {
    uint32_t file; /* of the still */
    uint64_t offset;
};

/* What must come of it. */
struct hf_map_expected {
    enum hf_map_area area;
    enum hf_map_end end;
    uint64_t last_lsn, state_hash;
    char mention[64]; /* that must be told: of what, and where */
};

/* Makes the map of a log that is whole. NULL, or what is not as the story should have it. */
const char *hf_map_open(struct hf_map *map, struct hf_still *still);
void hf_map_close(struct hf_map *map);

/* The still shows this view of the directory from now on. */
void hf_map_show(struct hf_map *map, enum hf_map_view view);

/* Bytes of a file, from its beginning, that are in use; behind them there are only zeros. */
uint64_t hf_map_used_bytes(const struct hf_map *map, uint32_t file);

/* What must come of another byte at this place, in a view that has the file. */
void hf_map_expect(const struct hf_map *map, enum hf_map_view view, struct hf_map_place place,
                   struct hf_map_expected *expected);

/* NULL: what came of it is what must. Else why not; valid until the next call. */
const char *hf_map_judge(const struct hf_map_expected *expected, const struct hf_attempt *attempt);

#endif
