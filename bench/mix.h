/*
 * A mix: which kinds of work a load is made of, and how much of each.
 *
 * One piece of work is one request, or two of which the second follows the yes to the first: a
 * reservation and its cancellation, a hold and what becomes of it.
 */
#ifndef HF_BENCH_MIX_H
#define HF_BENCH_MIX_H

#include <stdbool.h>
#include <stdint.h>

#include "bench/random.h"
#include "holdfast/protocol.h"

#define HF_OP_NONE 0 /* no operation has this number */

/* X(name, text, another text for it, first operation, second, what one piece of work is) */
#define HF_KINDS(X)                                                                                \
    X(RESERVE, "reserve", "reserve", RESERVE, NONE, "ask for one place under a new id")            \
    X(REFUSE, "refuse", "refuse", RESERVE, NONE,                                                   \
      "the same of inventories that are sold out: every answer is a no")                           \
    X(CANCEL, "cancel", "reserve+cancel", RESERVE, CANCEL,                                         \
      "ask for one place and, once granted, cancel it: both count")                                \
    X(HOLD, "hold", "hold", HOLD, NONE, "hold one place for --ttl, and leave it at that")          \
    X(CONFIRM, "confirm", "hold+confirm", HOLD, CONFIRM,                                           \
      "hold one place for --ttl and, once held, confirm it: both count")                           \
    X(RELEASE, "release", "hold+release", HOLD, RELEASE,                                           \
      "hold one place for --ttl and, once held, release it: both count")                           \
    X(EXPIRE, "expire", "hold+expire", HOLD, NONE, "hold one place for --lapse, and let it lapse") \
    X(BATCH, "batch", "batch", BATCH, NONE, "ask for --batch places at one instant, all or none")  \
    X(GET, "get", "read", INVENTORY_GET, NONE, "read how much of an inventory is available")       \
    X(PING, "ping", "ping", PING, NONE, "nothing: what sockets and event loops cost")

enum hf_kind {
#define X(name, text, other, first, second, meaning) HF_KIND_##name,
    HF_KINDS(X)
#undef X
        HF_KIND_COUNT
};

#define HF_KIND_STEPS      2
#define HF_MIX_MAX_WEIGHT  1000000u
#define HF_MIX_ERROR_BYTES 128
#define HF_MIX_TEXT_BYTES  256

struct hf_mix {
    uint32_t weights[HF_KIND_COUNT]; /* 0: none of it */
    uint32_t total;
    enum hf_kind only; /* if `single` */
    bool single;       /* one kind alone */
};

/* "reserve". Static storage. */
const char *hf_kind_name(enum hf_kind kind);

extern const uint8_t hf_kind_operations[HF_KIND_COUNT][HF_KIND_STEPS];

/* enum hf_operation of the step (0 or 1), or HF_OP_NONE. */
static inline unsigned hf_kind_operation(enum hf_kind kind, unsigned step)
{
    return hf_kind_operations[kind][step];
}

/* "reserve", or "confirm:hold" for one of two steps. Static storage. */
const char *hf_kind_step_name(enum hf_kind kind, unsigned step);

/* A kind by either of its names. False: there is none of that name. */
bool hf_kind_parse(const char *text, enum hf_kind *kind);

/* One kind alone. */
void hf_mix_set(struct hf_mix *mix, enum hf_kind kind);

/* "reserve:60,hold+confirm:20,get": each kind at most once, a weight of 1 .. HF_MIX_MAX_WEIGHT, 1 if
 * none is said. False, with what is wrong in `error`. */
bool hf_mix_parse(const char *text, struct hf_mix *mix, char error[HF_MIX_ERROR_BYTES]);

/* As hf_mix_parse() reads it; of one kind alone, its name. */
void hf_mix_format(const struct hf_mix *mix, char text[HF_MIX_TEXT_BYTES]);

static inline bool hf_mix_has(const struct hf_mix *mix, enum hf_kind kind)
{
    return mix->weights[kind] != 0;
}

/* True if anything of it is asked of inventories that are not sold out. */
bool hf_mix_needs_stock(const struct hf_mix *mix);

static inline enum hf_kind hf_mix_draw(const struct hf_mix *mix, struct hf_random *random)
{
    if (mix->single)
        return mix->only;
    uint32_t left = hf_random_below(random, mix->total), kind = 0;
    while (left >= mix->weights[kind])
        left -= mix->weights[kind++];
    return (enum hf_kind)kind;
}

#endif
