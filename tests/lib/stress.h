/*
 * What the stress tests share: options, random numbers, threads that start together, and
 * disturbers that make races likely on few cores.
 *
 * The disturbers are timers: each interrupts one thread some thousand times a second, and the
 * handler spins, yields or sleeps for some microseconds, rarely for some milliseconds. So threads
 * stop for a while at any instruction, also between two that stand side by side, which preemption
 * alone hits rarely.
 *
 * A program is silent but for one line at the end (hf_stress_done()), or the line that says what is
 * wrong (hf_stress_fail()). Both carry the seed.
 */
#ifndef HF_TESTS_LIB_STRESS_H
#define HF_TESTS_LIB_STRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "holdfast/types.h"

struct hf_stress_options {
    unsigned threads;
    double seconds;
    uint64_t seed;
};

#define HF_STRESS_MAX_THREADS 64

/* Reads --threads, --seconds and --seed, and starts the clock. Ends the program on others. */
void hf_stress_begin(const char *name, int argc, char **argv, struct hf_stress_options *options);

/* True when --seconds have passed. Any thread. */
bool hf_stress_over(void);

/* Prints what is wrong, with the seed, and ends the program with status 1. Any thread. */
_Noreturn void hf_stress_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Prints the summary line. Returns 0, for main(). */
int hf_stress_done(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Runs `run(context, index)` in `threads` threads, which start together, disturbs them, and
 * returns when all are done. At most one thread more than --threads allows. */
void hf_stress_run(unsigned threads, void (*run)(void *context, unsigned index), void *context);

/* A random number generator (SplitMix64): one a thread. */
struct hf_random {
    uint64_t state;
};

/* Different for each part of a test: `part` may be a thread's index, a round's number ... */
struct hf_random hf_random_for(uint64_t seed, uint64_t part);
uint64_t hf_random_next(struct hf_random *random);
uint32_t hf_random_below(struct hf_random *random, uint32_t end); /* 0 .. end - 1 */
bool hf_random_chance(struct hf_random *random, uint32_t percent);

/* Mostly nothing; sometimes a short spin or a yield, so that threads meet in other ways. */
void hf_random_pause(struct hf_random *random);

/* A reservation id that stands for a number, and the number it stands for. */
struct hf_id hf_id_of_number(uint32_t number);
uint32_t hf_id_to_number(const struct hf_id *id);

#endif
