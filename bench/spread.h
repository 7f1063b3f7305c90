/*
 * A spread: which of N inventories a request is about.
 *
 *   round    one after the other
 *   uniform  each as likely as any other
 *   zipf     number k (from 1) with a probability proportional to 1 / k^theta: a few that everybody
 *            wants and many that hardly anybody does. theta 0.99, YCSB's, if nothing else is said
 *
 * Zipf is drawn by rejection-inversion (Hoermann and Derflinger 1996): exact for every theta > 0, also
 * 1 and more, without a table, in some tens of ns. The curve 1 / x^theta lies above the steps that are
 * wanted; a point under the curve is drawn by inverting its integral, and kept if it is under a step,
 * which it nearly always is.
 *
 * A drawing is a function of its arguments: who has the id of a request knows what it was about.
 */
#ifndef HF_BENCH_SPREAD_H
#define HF_BENCH_SPREAD_H

#include <stdbool.h>
#include <stdint.h>

enum hf_spread_kind {
    HF_SPREAD_UNIFORM,
    HF_SPREAD_ROUND,
    HF_SPREAD_ZIPF,
};

#define HF_SPREAD_THETA     0.99
#define HF_SPREAD_THETA_MAX 10.0

/* What is asked for. */
struct hf_spread_choice {
    enum hf_spread_kind kind;
    double theta; /* of zipf */
};

struct hf_spread {
    struct hf_spread_choice choice;
    uint32_t count;
    /* Of zipf: the integral at 1.5 less the first step, at count + 0.5, and how far a point may be
     * left of its step's middle and need no closer look. */
    double first, last, certain;
};

/* "round", "uniform", "zipf" or "zipf:THETA" with a theta above 0 and up to HF_SPREAD_THETA_MAX. False,
 * and *choice is left alone: none of them. */
bool hf_spread_parse(const char *text, struct hf_spread_choice *choice);

#define HF_SPREAD_TEXT_BYTES 32
void hf_spread_format(const struct hf_spread_choice *choice, char text[HF_SPREAD_TEXT_BYTES]);

/* Over 0 .. count - 1, count from 1 on. */
void hf_spread_init(struct hf_spread *spread, const struct hf_spread_choice *choice,
                    uint32_t count);

uint32_t hf_spread_draw_zipf(const struct hf_spread *spread, uint64_t random);

/* Draws: `number` counts the drawings, `random` has 64 random bits that no other drawing has. */
static inline uint32_t hf_spread_draw(const struct hf_spread *spread, uint64_t number,
                                      uint64_t random)
{
    if (spread->choice.kind == HF_SPREAD_UNIFORM)
        return (uint32_t)((random >> 32) * spread->count >> 32);
    return spread->choice.kind == HF_SPREAD_ROUND ? (uint32_t)(number % spread->count)
                                                  : hf_spread_draw_zipf(spread, random);
}

#endif
