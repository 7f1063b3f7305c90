/*
 * A latch under one writer and N - 1 readers: whatever is read was written as one, and is no older
 * than what was read before.
 */
#include "base/latch.h"
#include "tests/lib/stress.h"

#define WORDS 9u

static HF_LATCH(WORDS) latch;
static _Atomic uint64_t reads;

/* Each word of a value follows from its first. */
static uint64_t word_of(uint64_t first, uint64_t place)
{
    return first + place * 0x9e3779b97f4a7c15ull * (first | 1);
}

static void write_all(void)
{
    for (uint64_t first = 1; !hf_stress_over(); first++) {
        uint64_t value[WORDS];
        for (uint64_t i = 0; i < WORDS; i++)
            value[i] = word_of(first, i);
        hf_latch_write(&latch, value);
    }
}

static void read_all(void)
{
    uint64_t last = 0, count = 0;
    for (; !hf_stress_over(); count++) {
        uint64_t value[WORDS];
        hf_latch_read(&latch, value);
        if (value[0] < last)
            hf_stress_fail("%llu was read after %llu", (unsigned long long)value[0],
                           (unsigned long long)last);
        last = value[0];
        for (uint64_t i = 0; i < WORDS && last != 0; i++)
            if (value[i] != word_of(last, i))
                hf_stress_fail("word %llu of value %llu is another value's", (unsigned long long)i,
                               (unsigned long long)last);
    }
    hf_fetch_add_relaxed(&reads, count); /* statistics */
}

static void run(void *context, unsigned index)
{
    (void)context;
    if (index == 0)
        write_all();
    else
        read_all();
}

int main(int argc, char **argv)
{
    struct hf_stress_options options;
    hf_stress_begin("latch", argc, argv, &options);
    hf_stress_run(options.threads, run, NULL);
    return hf_stress_done("%llu values written, %llu read",
                          (unsigned long long)hf_load_relaxed(&latch.count),
                          (unsigned long long)hf_load_relaxed(&reads));
}
