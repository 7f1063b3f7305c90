/*
 * Reads the files of docs/vectors: vectors are separated by empty lines, each is name=value pairs,
 * one a line, and lines that begin with # are comments. `hex` is the bytes that the other pairs
 * describe; a vector that says by other means what its bytes are has none.
 *
 * A file that is not of this form ends the process: the tests run in the project's directory, and
 * the file is part of it.
 */
#ifndef HF_TESTS_LIB_VECTORS_H
#define HF_TESTS_LIB_VECTORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HF_VECTOR_PAIRS_MAX  96
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

/* A member of a structure that a vector can name: an id of 16 bytes, or a number of 1 to 8. */
struct hf_vector_member {
    const char *name;
    size_t offset, bytes;
};
#define HF_VECTOR_MEMBER(type, member, name)                                                       \
    {                                                                                              \
        name, offsetof(type, member), sizeof(((type *)0)->member)                                  \
    }

/*
 * Fills the members that the vector names, with `prefix` before their names, and leaves the others.
 * `members` ends with a NULL name. Returns how many it filled.
 */
unsigned hf_vector_fill(const struct hf_vector *vector, const char *prefix,
                        const struct hf_vector_member *members, void *structure);

/* The name of the first of these members that is not as the vector says; NULL: there is none. */
const char *hf_vector_difference(const struct hf_vector *vector, const char *prefix,
                                 const struct hf_vector_member *members, const void *structure);

/* The value with that name; NULL: there is none. */
const char *hf_vector_find(const struct hf_vector *vector, const char *name);

/* The value with that name. The process ends if there is none. */
const char *hf_vector_text(const struct hf_vector *vector, const char *name);
uint64_t hf_vector_number(const struct hf_vector *vector, const char *name); /* decimal */
uint64_t hf_vector_hash(const struct hf_vector *vector, const char *name);   /* 16 hex digits */

#endif
