/*
 * Reservation ids: UUIDs as text, fresh ones of version 7 and derived ones of version 8 (RFC 9562).
 *
 * A fresh one
 *   0  u48  milliseconds since the Unix epoch, big-endian
 *   6  u4   version 7
 *      u12  random
 *   8  u2   variant, binary 10
 *      u62  random
 *
 * A system call for every id would cost more than the id, so each thread fetches random bytes for
 * many ids at once. A child of fork() must not give out what its parent still holds: the bytes are
 * forgotten in the child.
 */
#include <errno.h>
#include <pthread.h>
#include <sys/random.h>
#include <xxhash.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "holdfast/types.h"

#define ID_RANDOM_BYTES     10
#define RANDOM_BUFFER_BYTES (ID_RANDOM_BYTES * 256)
#define HYPHEN_COUNT        4
#define TEXT_CHARACTERS     (HF_ID_TEXT_BYTES - 1)

_Static_assert(sizeof(struct hf_id) == 16, "an id is 128 bits");
_Static_assert(sizeof(XXH128_canonical_t) == sizeof(struct hf_id), "and so is its hash");
_Static_assert(TEXT_CHARACTERS == 2 * sizeof(struct hf_id) + HYPHEN_COUNT, "the form of RFC 9562");

static _Thread_local struct {
    uint8_t bytes[RANDOM_BUFFER_BYTES];
    size_t left; /* of `bytes`, from the end */
} random_bytes;

static pthread_once_t fork_handler_once = PTHREAD_ONCE_INIT;

/* Runs in the child, in the one thread that survives there: the one that called fork(). */
static void forget_random_bytes(void)
{
    random_bytes.left = 0;
}

static void install_fork_handler(void)
{
    HF_CHECK(pthread_atfork(NULL, NULL, forget_random_bytes) == 0);
}

static void fetch_random_bytes(void)
{
    HF_CHECK(pthread_once(&fork_handler_once, install_fork_handler) == 0);
    size_t fetched = 0;
    while (fetched < sizeof random_bytes.bytes) {
        ssize_t got =
            getrandom(random_bytes.bytes + fetched, sizeof random_bytes.bytes - fetched, 0);
        /* Without random bytes ids would collide: one customer's reservation would be another's. */
        HF_CHECK(got > 0 || errno == EINTR);
        if (got > 0)
            fetched += (size_t)got;
    }
    random_bytes.left = sizeof random_bytes.bytes;
}

void hf_id_make(struct hf_id *id)
{
    if (random_bytes.left < ID_RANDOM_BYTES)
        fetch_random_bytes();
    random_bytes.left -= ID_RANDOM_BYTES;
    const uint8_t *random = random_bytes.bytes + random_bytes.left;

    uint64_t date_ms = hf_date_now_ns() / HF_NS_PER_MS;
    for (unsigned i = 0; i < 6; i++)
        id->bytes[i] = (uint8_t)(date_ms >> (40 - 8 * i));
    memcpy(id->bytes + 6, random, ID_RANDOM_BYTES);
    id->bytes[6] = (uint8_t)(0x70 | (random[0] & 0x0f));
    id->bytes[8] = (uint8_t)(0x80 | (random[2] & 0x3f));
}

void hf_id_derive(const struct hf_id *old, struct hf_id *derived)
{
    XXH128_canonical_t hash;
    XXH128_canonicalFromHash(&hash, XXH3_128bits(old->bytes, sizeof old->bytes));
    memcpy(derived->bytes, hash.digest, sizeof derived->bytes);
    derived->bytes[6] = (uint8_t)(0x80 | (derived->bytes[6] & 0x0f));
    derived->bytes[8] = (uint8_t)(0x80 | (derived->bytes[8] & 0x3f));
}

static bool is_hyphen_place(size_t place)
{
    return place == 8 || place == 13 || place == 18 || place == 23;
}

/* -1 if `character` is not a hexadecimal digit. Not isxdigit(): the locale has no say here. */
static int hex_value(char character)
{
    if (character >= '0' && character <= '9')
        return character - '0';
    if (character >= 'a' && character <= 'f')
        return character - 'a' + 10;
    if (character >= 'A' && character <= 'F')
        return character - 'A' + 10;
    return -1;
}

bool hf_id_parse(const char *text, struct hf_id *id)
{
    struct hf_id parsed = {{0}};
    size_t digit = 0;
    /* The end of a short text is neither digit nor hyphen, so nothing beyond it is read. */
    for (size_t place = 0; place < TEXT_CHARACTERS; place++) {
        if (is_hyphen_place(place)) {
            if (text[place] != '-')
                return false;
            continue;
        }
        int value = hex_value(text[place]);
        if (value < 0)
            return false;
        parsed.bytes[digit / 2] = (uint8_t)(parsed.bytes[digit / 2] << 4 | value);
        digit++;
    }
    if (text[TEXT_CHARACTERS] != '\0')
        return false;
    *id = parsed;
    return true;
}

void hf_id_format(const struct hf_id *id, char text[HF_ID_TEXT_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    size_t digit = 0;
    for (size_t place = 0; place < TEXT_CHARACTERS; place++) {
        if (is_hyphen_place(place)) {
            text[place] = '-';
            continue;
        }
        unsigned byte = id->bytes[digit / 2];
        text[place] = digits[digit % 2 == 0 ? byte >> 4 : byte & 0x0f];
        digit++;
    }
    text[TEXT_CHARACTERS] = '\0';
}

bool hf_id_equal(const struct hf_id *left, const struct hf_id *right)
{
    return memcmp(left->bytes, right->bytes, sizeof left->bytes) == 0;
}
