/*
 * An asker: writes the requests of one thread of a load.
 *
 * All that a request says follows from one number: a bijection makes the second half of its id of it,
 * and the id's bits choose the customer and, through the spread, the inventory. So a slot remembers a
 * number, and whoever gets the answer can work out again what was asked (answer.h). No two requests of
 * a run have the same number: each thread takes every threads-th.
 *
 * A request is a template in which id, inventory and customer are patched.
 */
#ifndef HF_BENCH_ASKER_H
#define HF_BENCH_ASKER_H

#include <stddef.h>

#include "bench/plan.h"
#include "net/codec.h"

/* One piece of work, from its first request on. 48 bytes: there is one in every slot. */
struct hf_work {
    uint64_t number;     /* of its id; of a batch, of its first line's */
    uint64_t id_low;     /* second half of that id, as it stands in the frame */
    uint64_t begun_ns;   /* monotonic: when its first request was due; kept by the load */
    uint64_t lsn;        /* as the answer to its first request told it */
    uint64_t made_at_ns; /* a date, likewise */
    uint32_t inventory;  /* 0: the first of its kind; not of a batch */
    uint8_t kind;        /* enum hf_kind */
    uint8_t step;
    uint8_t operation; /* enum hf_operation that was asked last; HF_OP_NONE: nothing is in flight */
};

#define HF_ASKER_HOLD_BYTES    72
#define HF_ASKER_CONFIRM_BYTES 56
#define HF_ASKER_RELEASE_BYTES 40

struct hf_asker {
    const struct hf_load_plan *plan;
    struct hf_spread spread;
    struct hf_random random;    /* of the mix */
    uint64_t next_number;       /* grows by plan->threads */
    uint64_t units_claimed;     /* asked for, of inventories that are not sold out */
    uint32_t max_request_bytes; /* of the plan's operations, templates copied whole */
    uint32_t max_reply_bytes;
    uint8_t reserve[HF_RESERVE_BYTES], hold[HF_ASKER_HOLD_BYTES], expire[HF_ASKER_HOLD_BYTES],
        confirm[HF_ASKER_CONFIRM_BYTES], release[HF_ASKER_RELEASE_BYTES],
        cancel[HF_ASKER_RELEASE_BYTES], get[HF_ASKER_RELEASE_BYTES], ping[HF_ASKER_RELEASE_BYTES],
        batch[HF_BATCH_HEADER_BYTES], line[HF_BATCH_LINE_BYTES];
};

/* Of thread `number`. The plan outlives it. */
void hf_asker_init(struct hf_asker *asker, const struct hf_load_plan *plan, uint32_t number);

/* Draws a new piece of work, and writes its first request, but for the tag, to `out`, which has
 * max_request_bytes. Returns the size of the request. */
size_t hf_asker_begin(struct hf_asker *asker, struct hf_work *work, uint8_t *out);

/* The same of its second request, once the first got its yes. */
size_t hf_asker_go_on(struct hf_asker *asker, struct hf_work *work, uint8_t *out);

#define HF_ASKER_NUMBER_MASK ((1ull << 62) - 1)

/*
 * Second half of the id of request `number`, as it stands in a frame: RFC 9562's variant and 62 bits
 * that are a bijection of the number, so that ids look random to the server's index and yet never come
 * twice.
 */
static inline uint64_t hf_asker_id_low(uint64_t number)
{
    uint64_t bits = number & HF_ASKER_NUMBER_MASK;
    bits ^= bits >> 31;
    bits = bits * 0xbf58476d1ce4e5b9ull & HF_ASKER_NUMBER_MASK;
    bits ^= bits >> 29;
    bits = bits * 0x94d049bb133111ebull & HF_ASKER_NUMBER_MASK;
    bits ^= bits >> 32;
    return __builtin_bswap64(bits | 1ull << 63);
}

/* Place of the inventory that the request with this number and id is about. */
static inline uint32_t hf_asker_inventory(const struct hf_asker *asker, uint64_t number,
                                          uint64_t id_low)
{
    /* What decides most stands in the high bits there, and comes from others than the customer. */
    return hf_spread_draw(&asker->spread, number, id_low << 28 | id_low >> 36);
}

static inline uint64_t hf_asker_inventory_id(const struct hf_asker *asker,
                                             const struct hf_work *work)
{
    return work->inventory + (work->kind == HF_KIND_REFUSE ? asker->plan->first_sold_out_id
                                                           : asker->plan->first_inventory_id);
}

#define HF_ASKER_CUSTOMER_BITS 28

static inline uint64_t hf_asker_customer_id(const struct hf_asker *asker, uint64_t id_low)
{
    uint64_t bits = id_low >> (64 - HF_ASKER_CUSTOMER_BITS);
    return 1 + (bits * asker->plan->customers >> HF_ASKER_CUSTOMER_BITS);
}

#endif
