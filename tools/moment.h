/*
 * Moments: a place in a log that a person names, by its LSN or by a date.
 *
 * The dates of a log's records never go back by more than what was in flight at once, but they may
 * go back. So that a date names one place, and the same one whoever reads:
 *
 *     the log up to a date is the longest beginning of the log of whose records none has a later
 *     date.
 *
 * It ends before the first record whose date is later. A record's date is its changed_at, of
 * whatever kind it is. So the log up to T and the log from T + 1 ns on are the whole log.
 */
#ifndef HF_TOOLS_MOMENT_H
#define HF_TOOLS_MOMENT_H

#include <stdbool.h>
#include <stdint.h>

struct hf_moment {
    enum {
        HF_MOMENT_END, /* of the log; as a beginning: its beginning */
        HF_MOMENT_LSN,
        HF_MOMENT_DATE,
    } by;
    uint64_t value; /* LSN, or ns since 1970 */
};

/*
 * Reads a moment: digits are an LSN; "@1767323045.5" is seconds since 1970, to the nanosecond; else
 * it is a date as hf_cli_date_parse() reads it, of the clock that says `now_ns`. False: none of
 * these.
 */
bool hf_moment_parse(const char *text, uint64_t now_ns, struct hf_moment *moment);

/* How many of the records, which stand one behind the other, belong to the log up to the moment, if
 * all before them do. */
uint32_t hf_moment_count_to(const struct hf_moment *moment, const uint8_t *records, uint32_t count);

/* How many of them stand before the log from the moment on, if all before them do. */
uint32_t hf_moment_count_before(const struct hf_moment *moment, const uint8_t *records,
                                uint32_t count);

/* The first `count` of the records without what is there of a chain that is not whole. */
uint32_t hf_moment_whole_chains(const uint8_t *records, uint32_t count);

/* "LSN 42" or the date, for a person. */
#define HF_MOMENT_TEXT_BYTES 64
const char *hf_moment_format(const struct hf_moment *moment, char text[HF_MOMENT_TEXT_BYTES]);

#endif
