/* What a file holds; see content.h. */
#include "tests/sim/content.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

static struct hf_sim_page *pool;
static uint64_t held;
static const uint8_t zeros[HF_SIM_PAGE_BYTES];

/* ---- pages ---- */

static struct hf_sim_page *take_page(void)
{
    struct hf_sim_page *page = pool;
    if (page != NULL)
        pool = page->next;
    else
        page = malloc(sizeof *page);
    HF_CHECK(page != NULL);
    page->holders = 1;
    held++;
    return page;
}

static bool is_zero(const uint8_t *bytes)
{
    return memcmp(bytes, zeros, HF_SIM_PAGE_BYTES) == 0;
}

struct hf_sim_page *hf_sim_page_make(const uint8_t *bytes)
{
    if (is_zero(bytes))
        return NULL;
    struct hf_sim_page *page = take_page();
    memcpy(page->bytes, bytes, HF_SIM_PAGE_BYTES);
    return page;
}

struct hf_sim_page *hf_sim_page_hold(struct hf_sim_page *page)
{
    if (page != NULL)
        page->holders++;
    return page;
}

void hf_sim_page_drop(struct hf_sim_page *page)
{
    if (page == NULL || --page->holders != 0)
        return;
    page->next = pool;
    pool = page;
    held--;
}

const uint8_t *hf_sim_page_bytes(const struct hf_sim_page *page)
{
    return page != NULL ? page->bytes : zeros;
}

struct hf_sim_page *hf_sim_page_mix(const struct hf_sim_page *lower,
                                    const struct hf_sim_page *upper, unsigned sectors)
{
    uint8_t bytes[HF_SIM_PAGE_BYTES];
    memcpy(bytes, hf_sim_page_bytes(lower), sizeof bytes);
    for (unsigned sector = 0; sector < HF_SIM_PAGE_SECTORS; sector++)
        if ((sectors >> sector & 1) != 0)
            memcpy(bytes + (size_t)sector * HF_SIM_SECTOR_BYTES,
                   hf_sim_page_bytes(upper) + (size_t)sector * HF_SIM_SECTOR_BYTES,
                   HF_SIM_SECTOR_BYTES);
    return hf_sim_page_make(bytes);
}

uint64_t hf_sim_pages_held(void)
{
    return held;
}

/* ---- contents ---- */

void hf_sim_content_close(struct hf_sim_content *content)
{
    for (uint32_t i = 0; i < content->page_count; i++)
        hf_sim_page_drop(content->pages[i]);
    free(content->pages);
    *content = (struct hf_sim_content){0};
}

static void make_room(struct hf_sim_content *content, uint32_t pages)
{
    if (pages <= content->room)
        return;
    content->room = pages > 2 * content->room ? pages : 2 * content->room;
    if (content->room < 256)
        content->room = 256;
    content->pages = realloc(content->pages, content->room * sizeof *content->pages);
    HF_CHECK(content->pages != NULL);
}

void hf_sim_content_copy(struct hf_sim_content *to, const struct hf_sim_content *from)
{
    for (uint32_t i = 0; i < from->page_count; i++)
        hf_sim_page_hold(from->pages[i]);
    for (uint32_t i = 0; i < to->page_count; i++)
        hf_sim_page_drop(to->pages[i]);
    make_room(to, from->page_count);
    if (from->page_count != 0)
        memcpy(to->pages, from->pages, from->page_count * sizeof *to->pages);
    to->page_count = from->page_count;
    to->bytes = from->bytes;
}

void hf_sim_content_resize(struct hf_sim_content *content, uint64_t bytes)
{
    HF_CHECK(bytes % HF_SIM_PAGE_BYTES == 0);
    while ((uint64_t)content->page_count * HF_SIM_PAGE_BYTES > bytes)
        hf_sim_page_drop(content->pages[--content->page_count]);
    content->bytes = bytes;
}

struct hf_sim_page *hf_sim_content_page(const struct hf_sim_content *content, uint64_t place)
{
    return place < content->page_count ? content->pages[place] : NULL;
}

void hf_sim_content_put(struct hf_sim_content *content, uint64_t place, struct hf_sim_page *page)
{
    uint64_t end = (place + 1) * HF_SIM_PAGE_BYTES;
    if (content->bytes < end)
        content->bytes = end;
    if (page == NULL && place >= content->page_count)
        return;
    if (place >= content->page_count) {
        make_room(content, (uint32_t)place + 1);
        while (content->page_count <= place)
            content->pages[content->page_count++] = NULL;
    }
    hf_sim_page_hold(page);
    hf_sim_page_drop(content->pages[place]);
    content->pages[place] = page;
}

void hf_sim_content_read(const struct hf_sim_content *content, uint64_t offset, uint8_t *to,
                         size_t bytes)
{
    HF_CHECK(offset % HF_SIM_PAGE_BYTES == 0 && bytes % HF_SIM_PAGE_BYTES == 0);
    uint64_t place = offset / HF_SIM_PAGE_BYTES, end = (offset + bytes) / HF_SIM_PAGE_BYTES;
    for (; place < end && place < content->page_count; place++, to += HF_SIM_PAGE_BYTES)
        memcpy(to, hf_sim_page_bytes(content->pages[place]), HF_SIM_PAGE_BYTES);
    memset(to, 0, (end - place) * HF_SIM_PAGE_BYTES);
}

bool hf_sim_content_equal(const struct hf_sim_content *one, const struct hf_sim_content *other)
{
    uint32_t count = one->page_count > other->page_count ? one->page_count : other->page_count;
    if (one->bytes != other->bytes)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        const struct hf_sim_page *page = hf_sim_content_page(one, i);
        const struct hf_sim_page *same = hf_sim_content_page(other, i);
        if (page != same &&
            memcmp(hf_sim_page_bytes(page), hf_sim_page_bytes(same), HF_SIM_PAGE_BYTES) != 0)
            return false;
    }
    return true;
}
