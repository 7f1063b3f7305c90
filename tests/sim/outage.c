/* An outage; see outage.h. */
#include "tests/sim/outage.h"

#include <string.h>

#include "base/check.h"

/* What survives of a write. */
enum survival {
    NOTHING,
    EVERYTHING,
    A_BEGINNING, /* up to some sector */
    AN_END,
    HALF,        /* of the sectors, any */
    ALL_BUT_ONE, /* sector */
    ONE,         /* sector */
    WHOLE_PAGES, /* half of them, any */
    SURVIVALS,
};

static uint32_t below(struct hf_random *random, uint32_t end)
{
    return hf_random_below(random, end);
}

/* Whether sector `sector` survives; `chosen` is one sector of the write. */
static bool survives(struct hf_random *random, enum survival survival, uint32_t sector,
                     uint32_t chosen)
{
    switch (survival) {
    case EVERYTHING:
        return true;
    case A_BEGINNING:
        return sector < chosen;
    case AN_END:
        return sector >= chosen;
    case HALF:
        return below(random, 2) != 0;
    case ALL_BUT_ONE:
        return sector != chosen;
    case ONE:
        return sector == chosen;
    default:
        return false;
    }
}

static void choose_sectors(struct hf_random *random, struct hf_sim_write *write,
                           enum survival survival)
{
    uint32_t chosen = below(random, write->count * HF_SIM_PAGE_SECTORS);
    for (uint32_t i = 0; i < write->count; i++) {
        unsigned kept = survival == WHOLE_PAGES && below(random, 2) != 0 ? HF_SIM_ALL_SECTORS : 0;
        for (unsigned j = 0; j < HF_SIM_PAGE_SECTORS; j++)
            if (survives(random, survival, i * HF_SIM_PAGE_SECTORS + j, chosen))
                kept |= 1u << j;
        write->left[i] &= (uint8_t)kept;
    }
}

void hf_sim_tear(struct hf_random *random, struct hf_sim_write *write)
{
    choose_sectors(random, write, (enum survival)below(random, SURVIVALS));
}

void hf_sim_write_apply(const struct hf_sim_write *write, struct hf_sim_content *content)
{
    if (write->cuts)
        hf_sim_content_resize(content, 0);
    for (uint32_t i = 0; i < write->count; i++) {
        uint64_t place = write->place + i;
        if (write->left[i] == HF_SIM_ALL_SECTORS) {
            hf_sim_content_put(content, place, write->pages[i]);
        } else if (write->left[i] != 0) {
            struct hf_sim_page *page = hf_sim_page_mix(hf_sim_content_page(content, place),
                                                       write->pages[i], write->left[i]);
            hf_sim_content_put(content, place, page);
            hf_sim_page_drop(page);
        }
    }
}

/* ---- what is left of a disk ---- */

/* How the outage is as a whole. */
enum temper { ALL_GONE, ALL_DONE, MIXED };

static enum temper some_temper(struct hf_random *random)
{
    uint32_t dice = below(random, 8);
    return dice == 0 ? ALL_GONE : dice == 1 ? ALL_DONE : MIXED;
}

static bool happened(struct hf_random *random, enum temper temper)
{
    return temper == MIXED ? below(random, 2) != 0 : temper == ALL_DONE;
}

/* The file may have grown for a write of which nothing else is left: then it has zeros there. */
static void grow(struct hf_random *random, const struct hf_sim_write *write,
                 struct hf_sim_content *content)
{
    uint64_t end = (write->place + write->count) * HF_SIM_PAGE_BYTES;
    if (content->bytes < end && below(random, 2) != 0)
        hf_sim_content_resize(content, end);
}

static void settle_file(struct hf_random *random, enum temper temper, struct hf_sim_file *file)
{
    for (uint32_t i = 0; i < file->write_count; i++) {
        struct hf_sim_write *write = &file->writes[i];
        if (write->is_given_up || (write->cuts && !happened(random, temper))) {
            hf_sim_write_close(write);
            continue;
        }
        if (temper == MIXED && write->count != 0)
            hf_sim_tear(random, write);
        if (temper != ALL_GONE)
            hf_sim_write_apply(write, &file->durable);
        if (temper != ALL_GONE && write->count != 0)
            grow(random, write, &file->durable);
        hf_sim_write_close(write);
    }
    file->write_count = 0;
    hf_sim_content_copy(&file->seen, &file->durable);
}

/* What was done to one file happened in its order: once something did not, nothing later did. */
static void settle_names(struct hf_sim_disk *disk, enum temper temper)
{
    bool ended[HF_SIM_FILES_MAX] = {false};
    for (uint32_t i = 0; i < disk->renaming_count; i++) {
        const struct hf_sim_renaming *renaming = &disk->renamings[i];
        if (ended[renaming->file] || !happened(&disk->random, temper)) {
            ended[renaming->file] = true;
            continue;
        }
        hf_sim_names_rename(&disk->durable, renaming);
    }
    disk->renaming_count = 0;
    disk->seen = disk->durable;
}

void hf_sim_outage(struct hf_sim_disk *disk)
{
    settle_names(disk, some_temper(&disk->random));
    enum temper temper = some_temper(&disk->random);
    for (uint32_t i = 0; i < disk->file_end; i++)
        if (disk->files[i].used)
            settle_file(&disk->random, temper, &disk->files[i]);
}
