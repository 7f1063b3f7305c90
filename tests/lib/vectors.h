/*
 * Reads the files of docs/vectors: vectors are separated by empty lines, each is name=value pairs,
 * one a line, and lines that begin with # are comments. `hex` is the bytes that the other pairs
 * describe.
 *
 * A file that is not of this form ends the process: the tests run in the project's directory, and
 * the file is part of it.
 */
#ifndef HF_TESTS_LIB_VECTORS_H
#define HF_TESTS_LIB_VECTORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HF_VECTOR_PAIRS_MAX  32
#define HF_VECTOR_BYTES_MAX  8192
#define HF_VECTOR_VALUE_MAX  (2 * HF_VECTOR_BYTES_MAX + 1)
#define HF_VECTOR_NAME_BYTES 64

struct hf_vector {
    unsigned pair_count;
    struct {
        char name[HF_VECTOR_NAME_BYTES];
        char *value;
    } pairs[HF_VECTOR_PAIRS_MAX];
    uint8_t bytes[HF_VECTOR_BYTES_MAX]; /* of `hex`; zero behind byte_count */
    size_t byte_count;
};

/* Calls `check` with every vector of that kind in the file at `path`. Returns how many. */
unsigned hf_vectors_each(const char *path, const char *kind,
                         void (*check)(const struct hf_vector *vector));

/* The value with that name. The process ends if there is none. */
const char *hf_vector_text(const struct hf_vector *vector, const char *name);
uint64_t hf_vector_number(const struct hf_vector *vector, const char *name); /* decimal */
uint64_t hf_vector_hash(const struct hf_vector *vector, const char *name);   /* 16 hex digits */

#endif
