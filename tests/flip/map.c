/* The map; see map.h. */
#include "tests/flip/map.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "wal/reader.h"
#include "wal/segment_header.h"
#include "wal/snapshot.h"

#define X(name, text) text,
const char *hf_map_view_text(enum hf_map_view view)
{
    static const char *const texts[] = {HF_MAP_VIEWS(X)};
    return texts[view];
}

const char *hf_map_area_text(enum hf_map_area area)
{
    static const char *const texts[] = {HF_MAP_AREAS(X)};
    return texts[area];
}

const char *hf_map_end_text(enum hf_map_end end)
{
    static const char *const texts[] = {HF_MAP_ENDS(X)};
    return texts[end];
}
#undef X

/* ---- making it ---- */

static bool is_snapshot(const struct hf_still_file *file, uint64_t *last_lsn)
{
    return hf_snapshot_name_parse(file->name, last_lsn);
}

static uint64_t segment_of(const struct hf_still_file *file)
{
    uint64_t number = 0;
    return hf_segment_name_parse(file->name, &number) ? number : 0;
}

static void add_block(struct hf_map *map, const struct hf_block *header)
{
    if (map->block_count == map->block_room) {
        map->block_room = map->block_room ? 2 * map->block_room : 256;
        map->blocks = realloc(map->blocks, map->block_room * sizeof *map->blocks);
        HF_CHECK(map->blocks);
    }
    map->blocks[map->block_count++] = (struct hf_map_block){.header = *header};
}

static const char *read_blocks(struct hf_map *map)
{
    struct hf_reader *reader;
    struct hf_finding finding;
    struct hf_block_view view;
    if (hf_reader_open(&map->still->io, "DIR", true, NULL, &reader, &finding) != 0)
        return "the log cannot be opened";
    enum hf_read end;
    while ((end = hf_reader_next(reader, &view)) == HF_READ_BLOCK)
        add_block(map, &view.header);
    hf_reader_close(reader);
    return end == HF_READ_END ? NULL : "the log does not end cleanly";
}

static const char *read_snapshots(struct hf_map *map)
{
    uint64_t last_lsns[3];
    struct hf_snapshot_header *headers[] = {&map->newest, &map->older};
    if (hf_snapshots_list(&map->still->io, "DIR", last_lsns, 3) != 2)
        return "there are not two snapshots";
    for (int i = 0; i < 2; i++) {
        struct hf_snapshot *snapshot;
        struct hf_snapshot_finding finding;
        if (hf_snapshot_open(&map->still->io, "DIR", last_lsns[i], true, &snapshot, &finding) !=
            HF_SNAPSHOT_RIGHT)
            return "a snapshot is not right";
        *headers[i] = *hf_snapshot_header(snapshot);
        hf_snapshot_close(snapshot);
    }
    if (map->newest.start.segment != 2 || map->older.start.segment != 1)
        return "the snapshots do not begin with segments 2 and 1";
    return NULL;
}

/* The state before each block that nobody attests: that of a log which ends there. */
static const char *learn_states(struct hf_map *map)
{
    struct hf_attempt attempt;
    for (uint32_t i = 0; i < map->block_count; i++) {
        struct hf_map_block *block = &map->blocks[i];
        char name[HF_SEGMENT_NAME_BYTES];
        if (block->header.sequence <= map->attested_sequence)
            continue;
        hf_segment_name_format(block->header.segment, name);
        struct hf_still_file *file = hf_still_find(map->still, name);
        uint64_t left = file->file_bytes - block->header.offset;
        uint8_t *kept = malloc(left);
        HF_CHECK(kept);
        memcpy(kept, file->bytes + block->header.offset, left);
        memset(file->bytes + block->header.offset, 0, left);
        hf_attempt_make(&attempt, map->still);
        memcpy(file->bytes + block->header.offset, kept, left);
        free(kept);
        if (attempt.refused || attempt.last_lsn + 1 != block->header.first_lsn)
            return "the log cannot end before a block that nobody attests";
        block->state_hash = attempt.state_hash;
    }
    return NULL;
}

/* In every view the state is the same, and nothing is told. */
static const char *check_views(struct hf_map *map)
{
    struct hf_attempt attempt;
    for (unsigned view = 0; view < HF_MAP_VIEW_COUNT; view++) {
        hf_map_show(map, view);
        hf_attempt_make(&attempt, map->still);
        if (view == HF_MAP_ALL) {
            map->last_lsn = attempt.last_lsn;
            map->state_hash = attempt.state_hash;
        }
        if (attempt.refused || attempt.told[0] != '\0' || attempt.last_lsn != map->last_lsn ||
            attempt.state_hash != map->state_hash)
            return "the log is not the same in every view";
    }
    return NULL;
}

const char *hf_map_open(struct hf_map *map, struct hf_still *still)
{
    *map = (struct hf_map){.still = still};
    const char *wrong = read_snapshots(map);
    if (wrong == NULL)
        wrong = read_blocks(map);
    if (wrong == NULL && map->block_count < 20)
        wrong = "there are too few blocks";
    if (wrong == NULL) {
        map->attested_sequence = map->blocks[map->block_count - 1].header.commit_sequence;
        wrong = check_views(map);
    }
    hf_map_show(map, HF_MAP_ALL);
    return wrong != NULL ? wrong : learn_states(map);
}

void hf_map_close(struct hf_map *map)
{
    free(map->blocks);
}

/* ---- views ---- */

/* The first segment that recovery reads. */
static uint64_t first_segment(const struct hf_map *map, enum hf_map_view view)
{
    return view == HF_MAP_ALL || view == HF_MAP_LEAST ? map->newest.start.segment : 1;
}

void hf_map_show(struct hf_map *map, enum hf_map_view view)
{
    for (uint32_t i = 0; i < map->still->file_count; i++) {
        struct hf_still_file *file = &map->still->files[i];
        uint64_t last_lsn;
        if (!is_snapshot(file, &last_lsn))
            file->absent = view == HF_MAP_LEAST && segment_of(file) < map->newest.start.segment;
        else if (last_lsn == map->newest.last_lsn)
            file->absent = view == HF_MAP_OLDER || view == HF_MAP_LOG;
        else
            file->absent = view == HF_MAP_LOG || view == HF_MAP_LEAST;
    }
}

/* ---- what must come of a flip ---- */

static const struct hf_map_block *block_at(const struct hf_map *map, uint64_t segment,
                                           uint64_t offset)
{
    for (uint32_t i = 0; i < map->block_count; i++) {
        const struct hf_block *header = &map->blocks[i].header;
        if (header->segment == segment && header->offset <= offset &&
            offset < (uint64_t)header->offset + header->block_bytes)
            return &map->blocks[i];
    }
    return NULL;
}

uint64_t hf_map_used_bytes(const struct hf_map *map, uint32_t file)
{
    uint64_t number = segment_of(&map->still->files[file]), used = HF_SEGMENT_HEADER_BYTES;
    if (number == 0)
        return map->still->files[file].file_bytes;
    for (uint32_t i = 0; i < map->block_count; i++) {
        const struct hf_block *header = &map->blocks[i].header;
        if (header->segment == number)
            used = header->offset + (uint64_t)header->block_bytes;
    }
    return used;
}

static void mention(struct hf_map_expected *expected, const char *name, uint64_t offset)
{
    snprintf(expected->mention, sizeof expected->mention, "%s at %llu", name,
             (unsigned long long)offset);
}

/* Where the log ends. */
static void mention_end(const struct hf_map *map, struct hf_map_expected *expected)
{
    const struct hf_block *last = &map->blocks[map->block_count - 1].header;
    char name[HF_SEGMENT_NAME_BYTES];
    hf_segment_name_format(last->segment, name);
    mention(expected, name, last->offset + (uint64_t)last->block_bytes);
}

static void expect_block(const struct hf_map *map, enum hf_map_view view, const char *name,
                         const struct hf_map_block *block, uint64_t offset,
                         struct hf_map_expected *expected)
{
    const struct hf_block *header = &block->header;
    uint64_t within = offset - header->offset;
    uint64_t snapshot_lsn = view == HF_MAP_LOG     ? 0
                            : view == HF_MAP_OLDER ? map->older.last_lsn
                                                   : map->newest.last_lsn;
    expected->area = within < HF_BLOCK_HEADER_BYTES ? HF_MAP_BLOCK_HEADER
                     : within < (header->record_count + 1ull) * HF_RECORD_BYTES ? HF_MAP_RECORD
                                                                                : HF_MAP_PADDING;
    mention(expected, name, header->offset);
    if (header->sequence <= map->attested_sequence || header->first_lsn <= snapshot_lsn) {
        expected->end = HF_MAP_REFUSED;
        return;
    }
    expected->end = HF_MAP_CUT;
    expected->last_lsn = header->first_lsn - 1;
    expected->state_hash = block->state_hash;
}

static void expect_segment(const struct hf_map *map, enum hf_map_view view,
                           const struct hf_still_file *file, uint64_t offset,
                           struct hf_map_expected *expected)
{
    const struct hf_map_block *block = block_at(map, segment_of(file), offset);
    if (offset < HF_SEGMENT_HEADER_BYTES) {
        expected->area = HF_MAP_SEGMENT_HEADER;
        expected->end = HF_MAP_REFUSED;
        mention(expected, file->name, 0);
    } else if (block != NULL) {
        expect_block(map, view, file->name, block, offset, expected);
    } else {
        expected->area = HF_MAP_BEHIND;
        expected->end = HF_MAP_CUT;
        mention_end(map, expected);
    }
    if (segment_of(file) < first_segment(map, view))
        expected->end = HF_MAP_SAME;
}

void hf_map_expect(const struct hf_map *map, enum hf_map_view view, struct hf_map_place place,
                   struct hf_map_expected *expected)
{
    const struct hf_still_file *file = &map->still->files[place.file];
    uint64_t last_lsn;
    *expected = (struct hf_map_expected){.last_lsn = map->last_lsn, .state_hash = map->state_hash};
    if (!is_snapshot(file, &last_lsn)) {
        expect_segment(map, view, file, place.offset, expected);
        return;
    }
    expected->area =
        place.offset < HF_SNAPSHOT_HEADER_BYTES ? HF_MAP_SNAPSHOT_HEADER : HF_MAP_GROUP;
    expected->end = view == HF_MAP_LEAST ? HF_MAP_REFUSED : HF_MAP_FALLBACK;
    snprintf(expected->mention, sizeof expected->mention, "%s", file->name);
    if (last_lsn == map->older.last_lsn && view == HF_MAP_ALL)
        expected->end = HF_MAP_SAME;
}

/* ---- the verdict ---- */

__attribute__((format(printf, 1, 2))) static const char *say(const char *format, ...)
{
    static char text[4096];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return text;
}

/* The state is the right one. */
static const char *judge_state(const struct hf_map_expected *expected,
                               const struct hf_attempt *attempt)
{
    if (attempt->refused)
        return say("refused, and must not: %s", attempt->error);
    if (attempt->last_lsn != expected->last_lsn || attempt->state_hash != expected->state_hash)
        return say("ANOTHER STATE: LSN %llu, hash %016llx; expected LSN %llu, hash %016llx; told: "
                   "%.500s",
                   (unsigned long long)attempt->last_lsn, (unsigned long long)attempt->state_hash,
                   (unsigned long long)expected->last_lsn, (unsigned long long)expected->state_hash,
                   attempt->told);
    return NULL;
}

static const char *judge_told(const struct hf_map_expected *expected, const char *told,
                              const char *what)
{
    if (strstr(told, expected->mention) != NULL && (what == NULL || strstr(told, what) != NULL))
        return NULL;
    return say("\"%s\" is not told: %.500s", expected->mention, told);
}

const char *hf_map_judge(const struct hf_map_expected *expected, const struct hf_attempt *attempt)
{
    const char *wrong = NULL;
    switch (expected->end) {
    case HF_MAP_SAME:
        wrong = judge_state(expected, attempt);
        if (wrong == NULL && attempt->told[0] != '\0')
            wrong = say("told something: %.500s", attempt->told);
        return wrong;
    case HF_MAP_REFUSED:
        if (!attempt->refused)
            return say("NOT REFUSED: LSN %llu, hash %016llx; told: %.500s",
                       (unsigned long long)attempt->last_lsn,
                       (unsigned long long)attempt->state_hash, attempt->told);
        return expected->area == HF_MAP_SNAPSHOT_HEADER || expected->area == HF_MAP_GROUP
                   ? judge_told(expected, attempt->told, "is damaged")
                   : judge_told(expected, attempt->error, "damaged, refusing to start");
    case HF_MAP_FALLBACK:
        wrong = judge_state(expected, attempt);
        return wrong != NULL ? wrong : judge_told(expected, attempt->told, "is damaged");
    case HF_MAP_CUT:
        wrong = judge_state(expected, attempt);
        return wrong != NULL ? wrong : judge_told(expected, attempt->told, "torn tail cut");
    case HF_MAP_END_COUNT:
        break;
    }
    return "no such end";
}
