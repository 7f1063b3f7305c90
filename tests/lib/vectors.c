/* The reader of test vectors; the form of their files is told in vectors.h. */
#include "tests/lib/vectors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "holdfast/types.h"

static void forget(struct hf_vector *vector)
{
    for (unsigned i = 0; i < vector->pair_count; i++)
        free(vector->pairs[i].value);
    memset(vector, 0, sizeof(*vector));
}

static void add_pair(struct hf_vector *vector, const char *line)
{
    const char *equals = strchr(line, '=');
    HF_CHECK(equals != NULL && vector->pair_count < HF_VECTOR_PAIRS_MAX);
    size_t length = (size_t)(equals - line);
    HF_CHECK(length > 0 && length < HF_VECTOR_NAME_BYTES);
    memcpy(vector->pairs[vector->pair_count].name, line, length);
    vector->pairs[vector->pair_count].name[length] = '\0';
    vector->pairs[vector->pair_count].value = strdup(equals + 1);
    HF_CHECK(vector->pairs[vector->pair_count].value != NULL);
    vector->pair_count++;
}

static void read_hex(struct hf_vector *vector)
{
    const char *hex = hf_vector_find(vector, "hex");
    if (hex == NULL)
        return;
    size_t length = strlen(hex);
    HF_CHECK(length % 2 == 0 && length / 2 <= HF_VECTOR_BYTES_MAX);
    HF_CHECK(strspn(hex, "0123456789abcdef") == length);
    for (size_t i = 0; i < length / 2; i++) {
        char digits[3] = {hex[2 * i], hex[2 * i + 1], '\0'};
        vector->bytes[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    vector->byte_count = length / 2;
}

/* The next vector of the file. False: there is none. */
static bool read_vector(FILE *file, struct hf_vector *vector)
{
    static char line[HF_VECTOR_VALUE_MAX + HF_VECTOR_NAME_BYTES];
    forget(vector);
    while (fgets(line, sizeof(line), file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (line[0] == '\0' && vector->pair_count > 0)
            break;
        if (line[0] != '\0' && line[0] != '#')
            add_pair(vector, line);
    }
    if (vector->pair_count == 0)
        return false;
    read_hex(vector);
    return true;
}

unsigned hf_vectors_each(const char *path, const char *kind,
                         void (*check)(const struct hf_vector *vector))
{
    static struct hf_vector vector;
    unsigned count = 0;
    FILE *file = fopen(path, "r");
    HF_CHECK(file != NULL);
    while (read_vector(file, &vector)) {
        if (strcmp(hf_vector_text(&vector, "kind"), kind) != 0)
            continue;
        check(&vector);
        count++;
    }
    fclose(file);
    return count;
}

const char *hf_vector_find(const struct hf_vector *vector, const char *name)
{
    for (unsigned i = 0; i < vector->pair_count; i++) {
        if (strcmp(vector->pairs[i].name, name) == 0)
            return vector->pairs[i].value;
    }
    return NULL;
}

const char *hf_vector_text(const struct hf_vector *vector, const char *name)
{
    const char *value = hf_vector_find(vector, name);
    if (value == NULL) {
        fprintf(stderr, "a vector has no %s\n", name);
        abort();
    }
    return value;
}

static uint64_t number_in_base(const struct hf_vector *vector, const char *name, int base)
{
    const char *text = hf_vector_text(vector, name);
    char *end;
    uint64_t number = strtoull(text, &end, base);
    HF_CHECK(*text != '\0' && *end == '\0');
    return number;
}

uint64_t hf_vector_number(const struct hf_vector *vector, const char *name)
{
    return number_in_base(vector, name, 10);
}

uint64_t hf_vector_hash(const struct hf_vector *vector, const char *name)
{
    HF_CHECK(strlen(hf_vector_text(vector, name)) == 16);
    return number_in_base(vector, name, 16);
}

/* The bytes that the member has in memory. Numbers are little-endian there, too. */
static void bytes_of(const char *value, size_t bytes, uint8_t out[16])
{
    char *end;
    if (bytes == sizeof(struct hf_id)) {
        struct hf_id id;
        HF_CHECK(hf_id_parse(value, &id));
        memcpy(out, id.bytes, sizeof id.bytes);
        return;
    }
    uint64_t number =
        value[0] == '-' ? (uint64_t)strtoll(value, &end, 10) : strtoull(value, &end, 10);
    HF_CHECK(*value != '\0' && *end == '\0' && bytes <= sizeof number);
    unsigned spare_bits = 64 - 8 * (unsigned)bytes;
    HF_CHECK(number << spare_bits >> spare_bits == number ||
             (int64_t)(number << spare_bits) >> spare_bits == (int64_t)number);
    memcpy(out, &number, sizeof number);
}

/* What the member has in memory if it is as the vector says. False: the vector does not name it. */
static bool find_member(const struct hf_vector *vector, const char *prefix,
                        const struct hf_vector_member *member, uint8_t out[16])
{
    char name[HF_VECTOR_NAME_BYTES];
    HF_CHECK(snprintf(name, sizeof name, "%s%s", prefix, member->name) < (int)sizeof name);
    const char *value = hf_vector_find(vector, name);
    if (value != NULL)
        bytes_of(value, member->bytes, out);
    return value != NULL;
}

unsigned hf_vector_fill(const struct hf_vector *vector, const char *prefix,
                        const struct hf_vector_member *members, void *structure)
{
    unsigned filled = 0;
    for (const struct hf_vector_member *member = members; member->name != NULL; member++) {
        uint8_t bytes[16];
        if (!find_member(vector, prefix, member, bytes))
            continue;
        memcpy((uint8_t *)structure + member->offset, bytes, member->bytes);
        filled++;
    }
    return filled;
}

const char *hf_vector_difference(const struct hf_vector *vector, const char *prefix,
                                 const struct hf_vector_member *members, const void *structure)
{
    for (const struct hf_vector_member *member = members; member->name != NULL; member++) {
        uint8_t bytes[16];
        if (find_member(vector, prefix, member, bytes) &&
            memcmp((const uint8_t *)structure + member->offset, bytes, member->bytes) != 0)
            return member->name;
    }
    return NULL;
}
