/*
 * What a file of the simulated disk holds: pages of 4096 bytes, shared and never written to.
 *
 * A page that is all zero is not there at all; the same page may be in any number of contents. So a
 * segment that is filled with zeros, and a copy of a whole disk, cost next to nothing. A page that
 * is to differ is a new page.
 *
 * Pages come from one pool, which keeps what is given back. One thread.
 */
#ifndef HF_TESTS_SIM_CONTENT_H
#define HF_TESTS_SIM_CONTENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HF_SIM_PAGE_BYTES   4096u
#define HF_SIM_SECTOR_BYTES 512u
#define HF_SIM_PAGE_SECTORS (HF_SIM_PAGE_BYTES / HF_SIM_SECTOR_BYTES)
#define HF_SIM_ALL_SECTORS  0xffu

struct hf_sim_page {
    uint32_t holders;
    struct hf_sim_page *next; /* in the pool */
    uint8_t bytes[HF_SIM_PAGE_BYTES];
};

/* A page of these bytes, with one holder; NULL if they are zero. */
struct hf_sim_page *hf_sim_page_make(const uint8_t *bytes);

/* One more holder, and one less. Of NULL: nothing. */
struct hf_sim_page *hf_sim_page_hold(struct hf_sim_page *page);
void hf_sim_page_drop(struct hf_sim_page *page);

/* A page with the sectors of `sectors` (a bit each) from `upper`, and the others from `lower`. */
struct hf_sim_page *hf_sim_page_mix(const struct hf_sim_page *lower,
                                    const struct hf_sim_page *upper, unsigned sectors);

/* The bytes of a page, zeros for NULL. */
const uint8_t *hf_sim_page_bytes(const struct hf_sim_page *page);

/* Pages that somebody holds: none at the end of a program that gave all back. */
uint64_t hf_sim_pages_held(void);

/* All zero is an empty one. */
struct hf_sim_content {
    struct hf_sim_page **pages; /* NULL: zeros */
    uint32_t page_count, room;  /* behind page_count: zeros */
    uint64_t bytes;             /* the size of the file: a multiple of a page */
};

void hf_sim_content_close(struct hf_sim_content *content);

/* Makes `to` the same as `from`. */
void hf_sim_content_copy(struct hf_sim_content *to, const struct hf_sim_content *from);

/* What is new is zero; what is cut off is gone. */
void hf_sim_content_resize(struct hf_sim_content *content, uint64_t bytes);

/* The page at a place; NULL: zeros. Stays the content's. */
struct hf_sim_page *hf_sim_content_page(const struct hf_sim_content *content, uint64_t place);

/* Puts a page there, of which the content becomes one more holder, and grows if need be. */
void hf_sim_content_put(struct hf_sim_content *content, uint64_t place, struct hf_sim_page *page);

/* Copies `bytes` from `offset` on: both multiples of a page, within the file. */
void hf_sim_content_read(const struct hf_sim_content *content, uint64_t offset, uint8_t *to,
                         size_t bytes);

/* True if both hold the same bytes. */
bool hf_sim_content_equal(const struct hf_sim_content *one, const struct hf_sim_content *other);

#endif
