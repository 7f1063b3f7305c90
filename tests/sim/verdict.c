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

/* True if these pages are not as they should be. */
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

/* Number of the first block that is damaged; block_count: none is. */
static uint32_t first_damaged(const struct hf_sim_case *instance)
{
    const struct hf_sim_chronicle *chronicle = &instance->chronicle;
    uint32_t number = 0;
    while (number < chronicle->block_count &&
           !differs(instance, chronicle->blocks[number].segment, chronicle->blocks[number].offset,
                    chronicle->blocks[number].block_bytes))
        number++;
    return number;
}

/* Where a log goes on. */
struct position {
    uint64_t segment, offset;
    uint64_t sequence;      /* of the block that must stand there */
    uint64_t previous_hash; /* that it must have */
};

/* Where the log of the damaged disk goes on behind its whole blocks. */
static struct position end_of(const struct hf_sim_case *instance, uint32_t damaged)
{
    static const struct hf_block none;
    const struct hf_sim_chronicle *chronicle = &instance->chronicle;
    const struct hf_block *before = damaged == 0 ? &none : &chronicle->blocks[damaged - 1];
    if (damaged == chronicle->block_count)
        return (struct position){chronicle->finding.segment, chronicle->finding.offset,
                                 before->sequence + 1, before->header_hash};
    const struct hf_block *block = &chronicle->blocks[damaged];
    return (struct position){block->segment, block->offset, block->sequence, before->header_hash};
}

/* True if only zeros are there, on the damaged disk, from the end on. */
static bool is_empty_from(const struct hf_sim_case *instance, const struct position *end)
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

/* ---- what the document demands ---- */

/* Why a place at or behind the end rules out a torn tail, by rules a, c and d; NULL: it does not. */
static const char *look_at(const struct hf_sim_case *instance, const struct position *end,
                           uint64_t segment, uint64_t offset, const uint8_t *bytes)
{
    const struct hf_sim_chronicle *chronicle = &instance->chronicle;
    struct hf_block block;
    enum hf_block_fault fault = hf_block_read_header(bytes, &block);
    if (fault == HF_BLOCK_NEWER_FORMAT || fault == HF_BLOCK_BAD_HEADER)
        return "a header that no write has left there";
    if (fault != HF_BLOCK_VALID)
        return NULL;
    if (block.segment != segment || block.offset != offset ||
        memcmp(block.log_id, chronicle->log_id, sizeof block.log_id) != 0)
        return "a block of another place, or another log";
    if (block.commit_sequence >= end->sequence)
        return "a block that attests what is gone";
    if (segment == end->segment && offset == end->offset &&
        (block.sequence != end->sequence || block.previous_hash != end->previous_hash))
        return "a block out of its turn";
    return NULL;
}

/* All places from the end on; rule b as well. */
static const char *look_behind(const struct hf_sim_case *instance, const struct position *end)
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

/* The first segment that is missing, too short, or has a header that is damaged; 0: none. A missing
 * one at the end is none. */
static uint64_t first_bad_segment(const struct hf_sim_case *instance)
{
    uint64_t last = 0;
    for (uint64_t segment = 1; segment_on(&instance->healed, segment) != NULL; segment++)
        if (segment_on(&instance->damaged, segment) != NULL)
            last = segment;
    for (uint64_t segment = 1; segment <= last; segment++)
        if (differs(instance, segment, 0, HF_SEGMENT_HEADER_BYTES))
            return segment;
    return 0;
}

/* ---- the three ends ---- */

/* True if the text names this place. */
static bool names(const char *text, uint64_t segment, uint64_t offset)
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

static const char *judge_refusal(struct hf_sim_life *life, const struct position *end,
                                 uint64_t bad_segment, const char *reason)
{
    const char *text = life->server.error;
    if (bad_segment == 0 && reason == NULL)
        return hf_sim_life_wrong(life, "damage: refused for no reason: %s", text);
    if ((bad_segment != 0 && names_segment(text, bad_segment)) ||
        names(text, end->segment, end->offset))
        return NULL;
    return hf_sim_life_wrong(life, "damage: refused, but it names another place: %s", text);
}

static const char *judge_start(const struct hf_sim_case *instance, struct hf_sim_life *life,
                               uint32_t damaged, const struct position *end)
{
    uint64_t found = life->server.store->log.recovery.blocks;
    if (found != damaged)
        return hf_sim_life_wrong(life, "damage: %u blocks were whole, and %" PRIu64 " were found",
                                 damaged, found);
    if (damaged != instance->chronicle.block_count && !hf_speech_has("torn tail cut") &&
        !is_empty_from(instance, end))
        return hf_sim_life_wrong(life, "damage: block %" PRIu64 " was cut silently", end->sequence);
    return NULL;
}

const char *hf_sim_case_judge(const struct hf_sim_case *instance, struct hf_sim_life *life,
                              int result, enum hf_sim_verdict *verdict)
{
    struct hf_sim_coverage *coverage = life->coverage;
    uint32_t damaged = first_damaged(instance);
    struct position end = end_of(instance, damaged);
    uint64_t bad_segment = first_bad_segment(instance);
    const char *reason = look_behind(instance, &end);
    *verdict = result != 0                                  ? HF_SIM_DENIED
               : damaged == instance->chronicle.block_count ? HF_SIM_HARMLESS
                                                            : HF_SIM_UNATTESTED;
    coverage->refused += *verdict == HF_SIM_DENIED;
    coverage->harmless += *verdict == HF_SIM_HARMLESS;
    coverage->unattested += *verdict == HF_SIM_UNATTESTED;
    if (result != 0)
        return judge_refusal(life, &end, bad_segment, reason);
    if (bad_segment != 0)
        return hf_sim_life_wrong(life, "damage: segment %" PRIu64 " is not right, and was accepted",
                                 bad_segment);
    if (reason != NULL)
        return hf_sim_life_wrong(life, "damage: there is %s, and it started", reason);
    if (*verdict == HF_SIM_UNATTESTED)
        life->promised_lsn = life->server.recovered_lsn; /* no more than that could be kept */
    const char *error = judge_start(instance, life, damaged, &end);
    return error != NULL ? error : hf_sim_life_prove(life);
}

/* ---- in the course of a life ---- */

static const char *start_healed(struct hf_sim_life *life)
{
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
    if (error == NULL && verdict == HF_SIM_DENIED)
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
