/*
 * What the fuzz programs share: options, a random number generator, ways to spoil bytes, a check.
 *
 * The numbers of a round follow from the seed and the round's number alone, so a round that failed
 * can be run by itself: --seed S --first ROUND --rounds 1.
 */
#ifndef HF_TESTS_FUZZ_FUZZ_H
#define HF_TESTS_FUZZ_FUZZ_H

#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"

#define HF_FUZZ_ROUNDS 200000

struct hf_fuzz {
    const char *name;     /* of the program */
    const char *programs; /* directory of the server */
    uint64_t seed;
    uint64_t first;  /* round to begin with */
    uint64_t rounds; /* to run */
    uint64_t round;  /* that runs now */
    uint64_t state;  /* of the generator */
};

/* Holds, whatever bytes were thrown; else says which round to run again, and stops. */
#define HF_FUZZ_CHECK(fuzz, condition)                                                             \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s: %s:%d: not so: %s\n%s: run again: --seed %llu --first %llu\n",    \
                    (fuzz)->name, __FILE__, __LINE__, #condition, (fuzz)->name,                    \
                    (unsigned long long)(fuzz)->seed, (unsigned long long)(fuzz)->round);          \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* splitmix64 */
static inline uint64_t hf_fuzz_next(struct hf_fuzz *fuzz)
{
    uint64_t bits = fuzz->state += 0x9e3779b97f4a7c15ull;
    bits = (bits ^ bits >> 30) * 0xbf58476d1ce4e5b9ull;
    bits = (bits ^ bits >> 27) * 0x94d049bb133111ebull;
    return bits ^ bits >> 31;
}

/* 0 .. limit - 1 */
static inline uint64_t hf_fuzz_below(struct hf_fuzz *fuzz, uint64_t limit)
{
    HF_CHECK(limit > 0);
    return hf_fuzz_next(fuzz) % limit;
}

static inline bool hf_fuzz_one_in(struct hf_fuzz *fuzz, uint64_t count)
{
    return hf_fuzz_below(fuzz, count) == 0;
}

/* Any number, with those at the edges of types, signs and limits more often than by chance. */
static inline uint64_t hf_fuzz_number(struct hf_fuzz *fuzz)
{
    uint64_t power = 1ull << hf_fuzz_below(fuzz, 64);
    switch (hf_fuzz_below(fuzz, 5)) {
    case 0:
        return hf_fuzz_below(fuzz, 3);
    case 1:
        return power - 1 + hf_fuzz_below(fuzz, 3);
    case 2:
        return UINT64_MAX - hf_fuzz_below(fuzz, 3);
    default:
        return hf_fuzz_next(fuzz);
    }
}

static inline void hf_fuzz_fill(struct hf_fuzz *fuzz, uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        bytes[i] = (uint8_t)hf_fuzz_next(fuzz);
}

/* Spoils a few of the bytes: bits, bytes, numbers, runs. May by chance leave them as they were. */
static inline void hf_fuzz_spoil(struct hf_fuzz *fuzz, uint8_t *bytes, size_t count)
{
    for (uint64_t times = 1 + hf_fuzz_below(fuzz, 3); times > 0; times--) {
        size_t at = (size_t)hf_fuzz_below(fuzz, count);
        size_t room = count - at;
        uint64_t number = hf_fuzz_number(fuzz);
        switch (hf_fuzz_below(fuzz, 5)) {
        case 0:
            bytes[at] ^= (uint8_t)(1u << (number & 7));
            break;
        case 1:
            bytes[at] = (uint8_t)number;
            break;
        case 2:
            memcpy(bytes + at, &number, room < 4 ? room : 4);
            break;
        case 3:
            memcpy(bytes + at, &number, room < 8 ? room : 8);
            break;
        default:
            memset(bytes + at, (int)(number & 0xff), (size_t)hf_fuzz_below(fuzz, room) + 1);
            break;
        }
    }
}

static inline uint64_t hf_fuzz_option(const char *text)
{
    char *end;
    uint64_t value = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0') {
        fprintf(stderr, "\"%s\" is not a number\n", text);
        exit(2);
    }
    return value;
}

/* Reads --rounds, --seed, --first and --programs, and prints the seed. */
static inline void hf_fuzz_open(struct hf_fuzz *fuzz, const char *name, int argc, char **argv)
{
    static const struct option options[] = {
        {"rounds", required_argument, NULL, 'r'},
        {"seed", required_argument, NULL, 's'},
        {"first", required_argument, NULL, 'f'},
        {"programs", required_argument, NULL, 'p'},
        {NULL, 0, NULL, 0},
    };
    const char *build = getenv("HOLDFAST_BUILD");
    *fuzz = (struct hf_fuzz){.name = name,
                             .programs = build && build[0] ? build : "build",
                             .seed = hf_date_now_ns(),
                             .rounds = HF_FUZZ_ROUNDS};
    int which;
    while ((which = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (which) {
        case 'r':
            fuzz->rounds = hf_fuzz_option(optarg);
            break;
        case 's':
            fuzz->seed = hf_fuzz_option(optarg);
            break;
        case 'f':
            fuzz->first = hf_fuzz_option(optarg);
            break;
        case 'p':
            fuzz->programs = optarg;
            break;
        default:
            fprintf(stderr, "usage: %s [--rounds N] [--seed N] [--first N] [--programs DIR]\n",
                    name);
            exit(2);
        }
    }
    fuzz->round = fuzz->first;
    printf("%s: %llu rounds, seed %llu\n", name, (unsigned long long)fuzz->rounds,
           (unsigned long long)fuzz->seed);
    fflush(stdout);
}

/* Begins round `round`: the generator depends on nothing but this. */
static inline void hf_fuzz_begin(struct hf_fuzz *fuzz, uint64_t round)
{
    fuzz->round = round;
    fuzz->state = fuzz->seed * 0xd1342543de82ef95ull + round;
    fuzz->state = hf_fuzz_next(fuzz);
}

#endif
