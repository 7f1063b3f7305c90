/*
 * Values: what a person writes for numbers, durations, dates and states, and back again.
 *
 * Nothing here depends on locale or time zone, and nothing is guessed: a text is a value as a
 * whole, or it is none. Each function returns false for what is none, and leaves *value alone then.
 *
 *   number    digits alone: no sign, no space, no fraction; up to 2^64 - 1
 *   duration  see hf_duration_parse() in holdfast/types.h
 *   date      RFC 3339 ("2026-05-01T18:00:00Z", "...T20:00:00.5+02:00"), or relative to a clock:
 *             "now", "now+15m", "now-1h"
 *   states    names with commas between them, any case: "held,CONFIRMED"
 *   switch    "on" or "off"
 */
#ifndef HF_TOOLS_VALUES_H
#define HF_TOOLS_VALUES_H

#include <stdbool.h>
#include <stdint.h>

bool hf_cli_number_parse(const char *text, uint64_t *number);

/*
 * Reads a date, ns since 1970, never 0: that stands for no date where dates are told. `now_ns` is
 * the date that "now" stands for.
 */
bool hf_cli_date_parse(const char *text, uint64_t now_ns, uint64_t *date_ns);

/* True if hf_cli_date_parse() needs to know what date it is. */
bool hf_cli_date_is_relative(const char *text);

/* Bit n of *states: state n. At least one. */
bool hf_cli_states_parse(const char *text, uint32_t *states);

bool hf_cli_switch_parse(const char *text, bool *on);

/*
 * How much a person would have to correct in `typed` to get `meant`: letters added, dropped,
 * changed, or swapped with their neighbour. A beginning of `meant` counts as one correction. Both
 * at most 63 characters; UINT32_MAX for longer ones.
 */
unsigned hf_cli_distance(const char *typed, const char *meant);

/* The most corrections at which `meant` is still worth a "did you mean". */
unsigned hf_cli_distance_limit(const char *typed);

/* Which of several names was meant: the first of the closest that have been weighed. */
struct hf_cli_guess {
    const char *typed, *closest; /* NULL: none is close */
    unsigned least;
};

struct hf_cli_guess hf_cli_guess_begin(const char *typed);
void hf_cli_guess_weigh(struct hf_cli_guess *guess, const char *name);

#endif
