/* The damage scenario; see scenario.h. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "tests/sim/scenario.h"
#include "tests/sim/verdict.h"
#include "wal/segment_header.h"

#define SMALL_BYTES   (1u << 20)
#define LARGE_BYTES   (9u << 20) /* farther than what can have been in flight */
#define WINDOW_PAGES  (8u * (1u << 20) / HF_SIM_PAGE_BYTES)
#define PLACES_BEHIND 3u /* the log, in each file, that are damaged as well */
#define HEALED_EVERY  16u

/* One life, damaged again and again: each time on a branch of its own. */
struct damage {
    struct hf_sim_life *life; /* at rest: no server runs */
    struct hf_sim_life *fork; /* the same life, but that its last run went another way */
    struct hf_sim_life branch;
    uint64_t number; /* of the branch */
};

static uint32_t below(struct damage *damage, uint32_t end)
{
    return hf_random_below(&damage->life->random, end);
}

/* ---- the log that is damaged ---- */

/* A few runs, of which each ended in another way. In a fork, the last one goes its own way. */
static const char *make_log(struct hf_sim_life *life, bool forks)
{
    const char *error = NULL;
    uint32_t runs = 1 + hf_random_below(&life->random, 3);
    for (uint32_t i = 0; i < runs && error == NULL; i++) {
        error = hf_sim_life_start(life, false);
        if (forks && i + 1 == runs)
            life->random = hf_random_for(life->seed, 1);
        if (error == NULL)
            error = hf_sim_life_run(life, 10 + hf_random_below(&life->random, 60));
        if (error == NULL && hf_random_chance(&life->random, 50))
            error = hf_sim_life_stop(life);
        else
            hf_sim_life_crash(life, HF_SIM_POWER);
    }
    return error;
}

/* ---- one damage ---- */

static struct hf_sim_life *begin(struct damage *damage)
{
    hf_sim_life_branch(&damage->branch, damage->life, damage->number++);
    return &damage->branch;
}

/* The branch's disk is damaged: what follows? NULL, or what is wrong: in life->text. */
static const char *judge(struct damage *damage, const char *what, const char *name, uint64_t offset)
{
    struct hf_sim_life *branch = &damage->branch;
    struct hf_sim_case instance;
    enum hf_sim_verdict verdict = HF_SIM_HARMLESS;
    const char *error = hf_sim_case_open(&instance, &branch->disk, &damage->life->disk);
    if (error == NULL)
        error = hf_sim_case_judge(&instance, branch, hf_sim_life_try(branch), &verdict);
    if (error == NULL && verdict == HF_SIM_DENIED && damage->number % HEALED_EVERY == 0) {
        hf_sim_disk_copy(&branch->disk, &damage->life->disk);
        error = hf_sim_life_try(branch) == 0 ? hf_sim_life_prove(branch) : branch->server.error;
    }
    if (error != NULL)
        error = hf_sim_life_wrong(damage->life, "%s of %s at %" PRIu64 ": %s", what, name, offset,
                                  error);
    hf_sim_case_close(&instance);
    hf_sim_life_end(branch);
    return error;
}

static const char *rot(struct damage *damage, const char *name, uint64_t offset)
{
    struct hf_sim_life *branch = begin(damage);
    hf_sim_disk_rot(&branch->disk, name, offset, (uint8_t)(1u << below(damage, 8)));
    branch->coverage->rotten++;
    return judge(damage, "a rotten bit", name, offset);
}

static const char *replace(struct damage *damage, const char *what, const char *name,
                           uint64_t place, struct hf_sim_page *page)
{
    struct hf_sim_life *branch = begin(damage);
    hf_sim_disk_replace(&branch->disk, name, place, page);
    hf_sim_page_drop(page);
    return judge(damage, what, name, place * HF_SIM_PAGE_BYTES);
}

static const char *zero_sectors(struct damage *damage, const char *name, uint64_t place,
                                unsigned sectors)
{
    const struct hf_sim_content *content = hf_sim_disk_seen(&damage->life->disk, name);
    damage->life->coverage->zeroed++;
    return replace(damage, "zeros instead", name, place,
                   hf_sim_page_mix(hf_sim_content_page(content, place), NULL, sectors));
}

/* What stands at some other place of the log. */
static const char *put_stale(struct damage *damage, const char *name, uint64_t place)
{
    const struct hf_sim_names *names = &damage->life->disk.seen;
    const struct hf_sim_name *other = &names->names[below(damage, names->count)];
    const struct hf_sim_content *content = hf_sim_disk_seen(&damage->life->disk, other->name);
    uint64_t from = below(damage, content->page_count + 1);
    damage->life->coverage->stale++;
    return replace(damage, "another block", name, place,
                   hf_sim_page_hold(hf_sim_content_page(content, from)));
}

/* `last`: with nothing behind it, so that nothing but itself speaks against it. */
static const char *put_block(struct damage *damage, const char *name, uint64_t place,
                             const struct hf_sim_content *from, const struct hf_block *block,
                             bool last)
{
    struct hf_sim_disk *disk = &begin(damage)->disk;
    uint64_t end = place + block->block_bytes / HF_SIM_PAGE_BYTES;
    for (uint64_t i = place; i < end; i++)
        hf_sim_disk_replace(disk, name, i, hf_sim_content_page(from, i));
    for (uint64_t i = end; i < hf_sim_disk_seen(disk, name)->page_count && last; i++)
        hf_sim_disk_replace(disk, name, i, NULL);
    damage->life->coverage->forked++;
    return judge(damage, "a block of a fork instead", name, place * HF_SIM_PAGE_BYTES);
}

/* The block that the fork has there: right by itself, but behind another one. */
static const char *put_forked(struct damage *damage, const char *name, uint64_t place)
{
    const struct hf_sim_content *ours = hf_sim_disk_seen(&damage->life->disk, name);
    const struct hf_sim_content *theirs = hf_sim_disk_seen(&damage->fork->disk, name);
    struct hf_block our_block, their_block;
    if (theirs == NULL ||
        hf_block_read_header(hf_sim_page_bytes(hf_sim_content_page(ours, place)), &our_block) !=
            HF_BLOCK_VALID ||
        hf_block_read_header(hf_sim_page_bytes(hf_sim_content_page(theirs, place)), &their_block) !=
            HF_BLOCK_VALID ||
        our_block.previous_hash == their_block.previous_hash)
        return NULL;
    const char *error = put_block(damage, name, place, theirs, &their_block, false);
    return error != NULL ? error : put_block(damage, name, place, theirs, &their_block, true);
}

/* The header of another segment. */
static const char *put_header(struct damage *damage, const char *name)
{
    const struct hf_sim_names *names = &damage->life->disk.seen;
    const struct hf_sim_name *other = &names->names[below(damage, names->count)];
    const struct hf_sim_content *content = hf_sim_disk_seen(&damage->life->disk, other->name);
    damage->life->coverage->stale++;
    return replace(damage, "another header", name, 0,
                   hf_sim_page_hold(hf_sim_content_page(content, 0)));
}

static const char *damage_place(struct damage *damage, const char *name, uint64_t place)
{
    const char *error = NULL;
    for (unsigned sector = 0; sector < HF_SIM_PAGE_SECTORS && error == NULL; sector++) {
        uint64_t offset = place * HF_SIM_PAGE_BYTES + (uint64_t)sector * HF_SIM_SECTOR_BYTES;
        error = rot(damage, name, offset + below(damage, HF_SIM_SECTOR_BYTES));
        if (error == NULL)
            error = zero_sectors(damage, name, place, 1u << sector);
    }
    if (error == NULL)
        error = zero_sectors(damage, name, place, HF_SIM_ALL_SECTORS);
    if (error == NULL)
        error = put_stale(damage, name, place);
    return error != NULL ? error : put_forked(damage, name, place);
}

/* ---- files ---- */

static void rename_on(struct hf_sim_disk *disk, const char *from, const char *to)
{
    HF_CHECK(disk->io.rename_file(&disk->io, "", from, to) == 0);
}

static const char *lose_segment(struct damage *damage, const char *name)
{
    struct hf_sim_disk *disk = &begin(damage)->disk;
    HF_CHECK(disk->io.remove_file(&disk->io, "", name) == 0);
    return judge(damage, "the loss", name, 0);
}

static const char *shorten_segment(struct damage *damage, const char *name)
{
    uint64_t pages = hf_sim_disk_seen(&damage->life->disk, name)->bytes / HF_SIM_PAGE_BYTES;
    uint64_t bytes = (uint64_t)below(damage, (uint32_t)pages) * HF_SIM_PAGE_BYTES;
    hf_sim_disk_truncate(&begin(damage)->disk, name, bytes);
    return judge(damage, "the end", name, bytes);
}

static const char *swap_segments(struct damage *damage, const char *one, const char *other)
{
    struct hf_sim_disk *disk = &begin(damage)->disk;
    rename_on(disk, one, "swapped");
    rename_on(disk, other, one);
    rename_on(disk, "swapped", other);
    return judge(damage, "another segment instead", one, 0);
}

static const char *damage_segment(struct damage *damage, const char *name)
{
    const struct hf_sim_names *names = &damage->life->disk.seen;
    const char *other = names->names[below(damage, names->count)].name;
    const char *error = lose_segment(damage, name);
    if (error == NULL)
        error = shorten_segment(damage, name);
    if (error == NULL && strcmp(name, other) != 0)
        error = swap_segments(damage, name, other);
    return error != NULL ? error : put_header(damage, name);
}

/* ---- everywhere ---- */

static const char *damage_file(struct damage *damage, const char *name)
{
    const struct hf_sim_content *content = hf_sim_disk_seen(&damage->life->disk, name);
    uint64_t pages = content->bytes / HF_SIM_PAGE_BYTES, used = 0;
    for (uint64_t place = 0; place < content->page_count; place++)
        if (hf_sim_content_page(content, place) != NULL)
            used = place + 1;
    const char *error = damage_segment(damage, name);
    for (uint64_t place = 0; place < used && error == NULL; place++)
        error = damage_place(damage, name, place);
    for (uint32_t i = 0; i < PLACES_BEHIND && error == NULL && used < pages; i++)
        error = damage_place(damage, name, used + below(damage, (uint32_t)(pages - used)));
    return error;
}

static const char *damage_all(struct damage *damage)
{
    const char *error = NULL;
    for (uint32_t i = 0; i < damage->life->disk.seen.count && error == NULL; i++)
        error = damage_file(damage, damage->life->disk.seen.names[i].name);
    return error;
}

/* In a large segment, places so far behind the log that nothing can have been in flight there. */
static const char *damage_far_behind(struct damage *damage)
{
    const char *error = NULL;
    for (uint32_t i = 0; i < damage->life->disk.seen.count && error == NULL; i++) {
        const char *name = damage->life->disk.seen.names[i].name;
        const struct hf_sim_content *content = hf_sim_disk_seen(&damage->life->disk, name);
        uint64_t pages = content->bytes / HF_SIM_PAGE_BYTES;
        uint64_t first = content->page_count + WINDOW_PAGES;
        for (uint32_t j = 0; j < PLACES_BEHIND && first < pages && error == NULL; j++) {
            uint64_t place = first + below(damage, (uint32_t)(pages - first));
            error = rot(damage, name, place * HF_SIM_PAGE_BYTES + below(damage, 4096));
        }
    }
    return error;
}

/* A log in segments of that size, damaged. NULL, or what is wrong: in `text`. */
static const char *damage_log(const struct hf_sim_setting *setting, uint64_t seed,
                              uint64_t segment_bytes, const char *(*do_it)(struct damage *damage),
                              char *text, size_t text_bytes)
{
    static struct hf_sim_life life, fork;
    static struct damage damage;
    damage = (struct damage){.life = &life, .fork = &fork};
    const struct hf_sim_wish wish = {
        .segment_bytes = segment_bytes, .busy = segment_bytes == 0, .anew = true};
    hf_sim_life_begin(&fork, setting, seed, &wish);
    const char *error = make_log(&fork, true);
    hf_sim_life_begin(&life, setting, seed, &wish);
    if (error == NULL)
        error = make_log(&life, false);
    if (error == NULL)
        error = do_it(&damage);
    if (error != NULL)
        snprintf(text, text_bytes, "%s", error);
    hf_sim_life_end(&life);
    hf_sim_life_end(&fork);
    return error != NULL ? text : NULL;
}

const char *hf_sim_damage(const struct hf_sim_setting *setting, uint64_t seed, char *text,
                          size_t text_bytes)
{
    const char *error =
        damage_log(setting, seed, seed % 2 == 0 ? SMALL_BYTES : 0, damage_all, text, text_bytes);
    return error != NULL
               ? error
               : damage_log(setting, seed, LARGE_BYTES, damage_far_behind, text, text_bytes);
}
