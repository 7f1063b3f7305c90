/* The verdict on a start after damage; see verdict.h. */
#include "tests/sim/verdict.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tests/sim/speech.h"
#include "wal/segment_header.h"

const char *hf_sim_case_open(struct hf_sim_case *instance, const struct hf_sim_disk *damaged,
                             const struct hf_sim_disk *healed)
{
    *instance = (struct hf_sim_case){0};
    hf_sim_disk_init(&instance->damaged, 0);
    hf_sim_disk_init(&instance->healed, 0);
    hf_sim_disk_copy(&instance->damaged, damaged);
    hf_sim_disk_copy(&instance->healed, healed);
    hf_sim_chronicle_read(&instance->chronicle, &instance->healed);
    enum hf_read end = instance->chronicle.end;
    return end == HF_READ_END || end == HF_READ_TORN ? NULL : instance->chronicle.finding.text;
}

void hf_sim_case_close(struct hf_sim_case *instance)
{
    hf_sim_disk_close(&instance->damaged);
    hf_sim_disk_close(&instance->healed);
    hf_sim_chronicle_free(&instance->chronicle);
}

/* ---- what is damaged ---- */

static const struct hf_sim_content *segment_on(const struct hf_sim_disk *disk, uint64_t segment)
{
    char name[HF_SEGMENT_NAME_BYTES];
    hf_segment_name_format(segment, name);
    return hf_sim_disk_seen(disk, name);
}

/* True if these pages of a segment are not as they should be. */
static bool differs(const struct hf_sim_case *instance, uint64_t segment, uint64_t offset,
                    uint64_t bytes)
{
    const struct hf_sim_content *damaged = segment_on(&instance->damaged, segment);
    const struct hf_sim_content *healed = segment_on(&instance->healed, segment);
    if (damaged == NULL || healed == NULL)
        return damaged != healed;
    for (uint64_t place = offset / HF_SIM_PAGE_BYTES; place * HF_SIM_PAGE_BYTES < offset + bytes;
         place++)
        if (memcmp(hf_sim_page_bytes(hf_sim_content_page(damaged, place)),
                   hf_sim_page_bytes(hf_sim_content_page(healed, place)), HF_SIM_PAGE_BYTES) != 0)
            return true;
    return damaged->bytes != healed->bytes;
}

/* True if the file of this name is as it should be. */
static bool is_intact(const struct hf_sim_case *instance, const char *name)
{
    const struct hf_sim_content *damaged = hf_sim_disk_seen(&instance->damaged, name);
    const struct hf_sim_content *healed = hf_sim_disk_seen(&instance->healed, name);
    return damaged != NULL && healed != NULL && hf_sim_content_equal(damaged, healed);
}

/* ---- what a start must come to ---- */

/* What is to be expected of a start from the damaged disk. */
struct expectation {
    uint64_t first_segment; /* that is read */
    bool has_snapshot;      /* that is intact */
    bool passes_over;       /* a damaged one */
    bool is_missing;        /* where it would begin, nothing is left */
    uint64_t attested_lsn;  /* by the name of a snapshot */
    uint64_t last_segment;  /* that is there */
    bool is_all;            /* no block is damaged */
    /* Where the log ends: */
    uint64_t segment, offset;
    uint64_t sequence;      /* of the block that must stand there */
    uint64_t previous_hash; /* that it must have */
    uint64_t last_lsn;
};

/* Where it begins: behind the newest snapshot that is intact. */
static void find_begin(struct hf_sim_case *instance, struct expectation *expected)
{
    uint64_t last_lsn, newest_lsn = 0;
    struct hf_snapshot_header header;
    const struct hf_sim_names *names = &instance->damaged.seen;
    expected->first_segment = 1;
    for (uint32_t i = 0; i < names->count; i++) {
        if (!hf_snapshot_name_parse(names->names[i].name, &last_lsn))
            continue;
        expected->attested_lsn =
            last_lsn > expected->attested_lsn ? last_lsn : expected->attested_lsn;
        if (is_intact(instance, names->names[i].name) && last_lsn > newest_lsn &&
            hf_sim_snapshot_header(&instance->healed, last_lsn, &header)) {
            newest_lsn = last_lsn;
            expected->has_snapshot = true;
            expected->first_segment = header.start.segment;
        }
    }
    expected->passes_over = newest_lsn < expected->attested_lsn;
    expected->is_missing = expected->first_segment < instance->chronicle.start.segment;
}

static void find_last_segment(const struct hf_sim_case *instance, struct expectation *expected)
{
    const struct hf_sim_names *names = &instance->damaged.seen;
    uint64_t segment;
    expected->last_segment = 0;
    for (uint32_t i = 0; i < names->count; i++)
        if (hf_segment_name_parse(names->names[i].name, &segment) &&
            segment > expected->last_segment)
            expected->last_segment = segment;
}

/* Where it ends: at the first block that is damaged, or where the log ends. */
static void find_end(const struct hf_sim_case *instance, struct expectation *expected)
{
    const struct hf_sim_chronicle *chronicle = &instance->chronicle;
    const struct hf_block *block = NULL;
    uint32_t number = 0;
    expected->sequence = chronicle->start.sequence + 1;
    expected->previous_hash = chronicle->start.previous_hash;
    expected->last_lsn = chronicle->start.next_lsn - 1;
    for (; number < chronicle->block_count; number++) {
        block = &chronicle->blocks[number];
        if (block->segment >= expected->first_segment &&
            differs(instance, block->segment, block->offset, block->block_bytes))
            break;
        expected->sequence = block->sequence + 1;
        expected->previous_hash = block->header_hash;
        expected->last_lsn = block->first_lsn + block->record_count - 1;
    }
    expected->is_all = number == chronicle->block_count;
    expected->segment = expected->is_all ? chronicle->finding.segment : block->segment;
    expected->offset = expected->is_all ? chronicle->finding.offset : block->offset;
}

/* Why a place at or behind the end rules out a torn tail, by rules a, c and d; NULL: it does
 * not. */
static const char *look_at(const struct hf_sim_case *instance, const struct expectation *end,
                           uint64_t segment, uint64_t offset, const uint8_t *bytes)
{
    struct hf_block block;
    enum hf_block_fault fault = hf_block_read_header(bytes, &block);
    if (fault == HF_BLOCK_NEWER_FORMAT || fault == HF_BLOCK_BAD_HEADER)
        return "a header that no write has left there";
    if (fault != HF_BLOCK_VALID)
        return NULL;
    if (block.segment != segment || block.offset != offset ||
        memcmp(block.log_id, instance->chronicle.log_id, sizeof block.log_id) != 0)
        return "a block of another place, or another log";
    if (block.commit_sequence >= end->sequence)
        return "a block that attests what is gone";
    if (segment == end->segment && offset == end->offset &&
        (block.sequence != end->sequence || block.previous_hash != end->previous_hash))
        return "a block out of its turn";
    return NULL;
}

/* All places from the end on; rule b as well. */
static const char *look_behind(const struct hf_sim_case *instance, const struct expectation *end)
{
    const uint64_t window_bytes = (uint64_t)HF_MAX_INFLIGHT * HF_MAX_BLOCK_BYTES;
    uint64_t distance = 0, offset = end->offset;
    const struct hf_sim_content *content;
    for (uint64_t segment = end->segment;
         (content = segment_on(&instance->damaged, segment)) != NULL;
         segment++, offset = HF_SEGMENT_HEADER_BYTES)
        for (; offset < content->bytes;
             offset += HF_SIM_PAGE_BYTES, distance += HF_SIM_PAGE_BYTES) {
            const struct hf_sim_page *page =
                hf_sim_content_page(content, offset / HF_SIM_PAGE_BYTES);
            if (page == NULL)
                continue;
            if (distance >= window_bytes)
                return "something farther behind than what can have been in flight";
            const char *reason = look_at(instance, end, segment, offset, page->bytes);
            if (reason != NULL)
                return reason;
        }
    return NULL;
}

/* The first segment of those that are read that is missing, too short, or has a header that is
 * damaged; 0: none. */
static uint64_t first_bad_segment(const struct hf_sim_case *instance,
                                  const struct expectation *expected)
{
    if (expected->is_missing ||
        (expected->has_snapshot && expected->last_segment < expected->first_segment))
        return expected->first_segment;
    for (uint64_t segment = expected->first_segment; segment <= expected->last_segment; segment++)
        if (differs(instance, segment, 0, HF_SEGMENT_HEADER_BYTES))
            return segment;
    return 0;
}

/* True if only zeros are there, on the damaged disk, from the end on. */
static bool is_empty_behind(const struct hf_sim_case *instance, const struct expectation *end)
{
    uint64_t place = end->offset / HF_SIM_PAGE_BYTES;
    const struct hf_sim_content *content;
    for (uint64_t segment = end->segment;
         (content = segment_on(&instance->damaged, segment)) != NULL; segment++, place = 1)
        for (; place < content->page_count; place++)
            if (hf_sim_content_page(content, place) != NULL)
                return false;
    return true;
}

/* ---- what it came to ---- */

/* True if the text names this place. */
static bool names_place(const char *text, uint64_t segment, uint64_t offset)
{
    char place[64];
    snprintf(place, sizeof place, "%016" PRIu64 ".wal at %" PRIu64 ":", segment, offset);
    return strstr(text, place) != NULL;
}

/* True if it names any place of the segment. */
static bool names_segment(const char *text, uint64_t segment)
{
    char name[64];
    snprintf(name, sizeof name, "%016" PRIu64 ".wal at ", segment);
    return strstr(text, name) != NULL;
}

static const char *judge_refusal(struct hf_sim_life *life, const struct expectation *expected,
                                 uint64_t bad_segment, const char *reason)
{
    const char *text = life->server.error;
    bool is_short = expected->last_lsn < expected->attested_lsn;
    bool is_gone = expected->last_segment == 0;
    if (bad_segment == 0 && reason == NULL && !is_short && !is_gone)
        return hf_sim_life_wrong(life, "damage: refused for no reason: %s", text);
    if ((bad_segment != 0 && names_segment(text, bad_segment)) ||
        names_place(text, expected->segment, expected->offset) ||
        (is_short && strstr(text, "its snapshot attests that all up to LSN") != NULL) ||
        (is_gone && strstr(text, "but no segment") != NULL))
        return NULL;
    return hf_sim_life_wrong(life, "damage: refused, but it names another place: %s", text);
}

static const char *judge_start(const struct hf_sim_case *instance, struct hf_sim_life *life,
                               const struct expectation *expected)
{
    uint64_t sequence = hf_sim_server_recovered_sequence(&life->server);
    if (expected->last_lsn < expected->attested_lsn)
        return hf_sim_life_wrong(life, "damage: a snapshot attests LSN %" PRIu64 ", and it started",
                                 expected->attested_lsn);
    if (sequence + 1 != expected->sequence)
        return hf_sim_life_wrong(life,
                                 "damage: block %" PRIu64
                                 " is the last before the first damaged one; found were those up "
                                 "to block %" PRIu64,
                                 expected->sequence - 1, sequence);
    if (!expected->is_all && !hf_speech_has("torn tail cut") &&
        !is_empty_behind(instance, expected))
        return hf_sim_life_wrong(life, "damage: block %" PRIu64 " was cut silently",
                                 expected->sequence);
    if (expected->passes_over && !hf_speech_has("a snapshot in"))
        return hf_sim_life_wrong(life, "damage: a snapshot was passed over silently");
    life->coverage->passed_over += expected->passes_over;
    return NULL;
}

static void count(struct hf_sim_coverage *coverage, enum hf_sim_verdict verdict)
{
    coverage->refused += verdict == HF_SIM_DENIED;
    coverage->harmless += verdict == HF_SIM_HARMLESS;
    coverage->unattested += verdict == HF_SIM_UNATTESTED;
}

const char *hf_sim_case_judge(const struct hf_sim_case *instance, struct hf_sim_life *life,
                              int result, enum hf_sim_verdict *verdict)
{
    struct expectation expected = {0};
    find_begin((struct hf_sim_case *)instance, &expected);
    find_last_segment(instance, &expected);
    find_end(instance, &expected);
    uint64_t bad_segment = first_bad_segment(instance, &expected);
    const char *reason = look_behind(instance, &expected);
    *verdict = result != 0 ? HF_SIM_DENIED : expected.is_all ? HF_SIM_HARMLESS : HF_SIM_UNATTESTED;
    count(life->coverage, *verdict);
    if (result != 0)
        return judge_refusal(life, &expected, bad_segment, reason);
    if (bad_segment != 0)
        return hf_sim_life_wrong(life, "damage: segment %" PRIu64 " is not right, and was accepted",
                                 bad_segment);
    if (reason != NULL)
        return hf_sim_life_wrong(life, "damage: there is %s, and it started", reason);
    if (*verdict == HF_SIM_UNATTESTED)
        life->promised_lsn = life->server.recovered_lsn; /* no more than that could be kept */
    const char *error = judge_start(instance, life, &expected);
    life->is_damaged = true;
    if (error == NULL)
        error = hf_sim_life_prove(life);
    life->is_damaged = false;
    return error;
}

/* ---- in the course of a life ---- */

static const char *start_healed(struct hf_sim_life *life)
{
    hf_sim_life_stop_dead(life);
    hf_sim_disk_copy(&life->disk, &life->healed);
    if (hf_sim_life_try(life) != 0)
        return hf_sim_life_wrong(life, "damage: refused to start even when it was healed: %s",
                                 life->server.error);
    return hf_sim_life_prove(life);
}

static const char *start_and_judge(struct hf_sim_life *life, const struct hf_sim_case *instance,
                                   bool *goes_on)
{
    enum hf_sim_verdict verdict;
    const char *error = hf_sim_case_judge(instance, life, hf_sim_life_try(life), &verdict);
    *goes_on = verdict != HF_SIM_UNATTESTED;
    if (error == NULL && *goes_on)
        error = start_healed(life);
    hf_sim_disk_accept(&life->disk);
    return error != NULL || !*goes_on ? error : hf_sim_life_resume(life);
}

const char *hf_sim_start_damaged(struct hf_sim_life *life, bool *goes_on)
{
    struct hf_sim_case instance;
    const char *error = hf_sim_case_open(&instance, &life->disk, &life->healed);
    *goes_on = false;
    life->stopped_well = false; /* what rotted behind its end is taken for a torn tail */
    if (error != NULL)
        error = hf_sim_life_wrong(life, "damage: healed, the log is still damaged: %s", error);
    else
        error = start_and_judge(life, &instance, goes_on);
    hf_sim_case_close(&instance);
    return error;
}
