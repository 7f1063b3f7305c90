/*
 * The protocols in which holdfast-peers asks Redis and Tarantool: what is sent byte by byte, what
 * may come back, and that nothing which comes back is believed unless it is whole and right.
 *
 * Replies are read from the end of a page behind which there is none, so that a read too far ends
 * the test.
 */
#include <criterion/criterion.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench/peer/iproto.h"
#include "bench/peer/msgpack.h"
#include "bench/peer/resp.h"

#define RANDOM_ROUNDS 200000
#define PAGE_BYTES    ((size_t)64 << 10)

static uint8_t *page_end;

/* These bytes, with nothing readable behind them. */
static const uint8_t *at_the_end(const void *bytes, size_t count)
{
    if (!page_end) {
        uint8_t *page = mmap(NULL, PAGE_BYTES + (size_t)sysconf(_SC_PAGESIZE),
                             PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        cr_assert_neq(page, MAP_FAILED);
        page_end = page + PAGE_BYTES;
        cr_assert_eq(mprotect(page_end, (size_t)sysconf(_SC_PAGESIZE), PROT_NONE), 0);
    }
    cr_assert_leq(count, PAGE_BYTES);
    return memcpy(page_end - count, bytes, count);
}

static uint32_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)(*state >> 33);
}

/* ---- RESP ---- */

static enum hf_resp_read resp(const void *text, size_t count, struct hf_resp_reply *reply)
{
    memset(reply, 0xee, sizeof *reply);
    return hf_resp_read(at_the_end(text, count), count, reply);
}

static enum hf_resp_read resp_text(const char *text, struct hf_resp_reply *reply)
{
    return resp(text, strlen(text), reply);
}

Test(resp, a_command_is_written_as_redis_reads_it)
{
    uint8_t out[256];
    uint8_t *end = hf_resp_put_header(out, 4);
    end = hf_resp_put_piece(end, "SET", 3);
    end = hf_resp_put_piece(end, "a\0b", 3);
    end = hf_resp_put_number(end, 0);
    end = hf_resp_put_number(end, UINT64_MAX);
    static const char wanted[] = "*4\r\n$3\r\nSET\r\n$3\r\na\0b\r\n$1\r\n0\r\n"
                                 "$20\r\n18446744073709551615\r\n";
    cr_assert_eq((size_t)(end - out), sizeof wanted - 1);
    cr_assert_arr_eq(out, wanted, sizeof wanted - 1);
}

Test(resp, each_kind_of_reply_is_read_with_its_length)
{
    struct hf_resp_reply reply;
    cr_assert_eq(resp_text("+OK\r\n+next", &reply), HF_RESP_WHOLE);
    cr_assert(reply.kind == HF_RESP_STATUS && reply.taken == 5 && reply.byte_count == 2);
    cr_assert_arr_eq(reply.bytes, "OK", 2);
    cr_assert_eq(resp_text("-ERR no\r\n", &reply), HF_RESP_WHOLE);
    cr_assert(reply.kind == HF_RESP_ERROR && reply.taken == 9 && reply.byte_count == 6);
    cr_assert_eq(resp_text(":-42\r\n:1", &reply), HF_RESP_WHOLE);
    cr_assert(reply.kind == HF_RESP_INTEGER && reply.integer == -42 && reply.taken == 6);
    cr_assert_eq(resp_text("$4\r\na\r\nb\r\n", &reply), HF_RESP_WHOLE);
    cr_assert(reply.kind == HF_RESP_BYTES && reply.byte_count == 4 && reply.taken == 10);
    cr_assert_arr_eq(reply.bytes, "a\r\nb", 4);
    cr_assert_eq(resp_text("$0\r\n\r\n", &reply), HF_RESP_WHOLE);
    cr_assert(reply.kind == HF_RESP_BYTES && reply.byte_count == 0 && reply.taken == 6);
    cr_assert_eq(resp_text("$-1\r\n", &reply), HF_RESP_WHOLE);
    cr_assert(reply.kind == HF_RESP_NIL && reply.taken == 5);
}

Test(resp, the_numbers_of_64_bits_are_read_and_no_others)
{
    struct hf_resp_reply reply;
    cr_assert_eq(resp_text(":9223372036854775807\r\n", &reply), HF_RESP_WHOLE);
    cr_assert_eq(reply.integer, INT64_MAX);
    cr_assert_eq(resp_text(":-9223372036854775808\r\n", &reply), HF_RESP_WHOLE);
    cr_assert_eq(reply.integer, INT64_MIN);
    cr_assert_eq(resp_text(":9223372036854775808\r\n", &reply), HF_RESP_BAD);
    cr_assert_eq(resp_text(":-9223372036854775809\r\n", &reply), HF_RESP_BAD);
    cr_assert_eq(resp_text(":18446744073709551617\r\n", &reply), HF_RESP_BAD);
}

Test(resp, every_beginning_of_a_reply_asks_for_more)
{
    static const char *const whole[] = {"+OK\r\n",          "-ERR no\r\n", ":-42\r\n",
                                        "$4\r\na\r\nb\r\n", "$-1\r\n",     "$0\r\n\r\n"};
    struct hf_resp_reply reply;
    for (size_t i = 0; i < sizeof whole / sizeof whole[0]; i++)
        for (size_t count = 0; count < strlen(whole[i]); count++)
            cr_assert_eq(resp(whole[i], count, &reply), HF_RESP_PARTIAL, "%zu of %s", count,
                         whole[i]);
}

Test(resp, what_is_no_reply_is_found_out)
{
    static const char *const bad[] = {
        "*1\r\n:1\r\n",       /* an array */
        "x",                  /* no kind */
        "\r\n",               /* */
        ":\r\n",              /* no number */
        ":-\r\n",             /* */
        ":+1\r\n",            /* */
        ":1 \r\n",            /* */
        ":1\n",               /* a line that ends otherwise */
        ":1\r1\r\n",          /* */
        "+O\nK\r\n",          /* */
        "$-2\r\n",            /* no length */
        "$x\r\n",             /* */
        "$16385\r\n",         /* more than any answer has */
        "$9999999999999\r\n", /* */
        "$1\r\nabc",          /* bytes that end elsewhere */
        "$1\r\na\rb",         /* */
        "$1\r\nax\n",         /* */
        "$1\r\nax",           /* */
    };
    struct hf_resp_reply reply;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert_eq(resp_text(bad[i], &reply), HF_RESP_BAD, "%s", bad[i]);
}

Test(resp, a_line_without_end_is_given_up)
{
    static char text[HF_RESP_LINE_BYTES + 2];
    struct hf_resp_reply reply;
    memset(text, 'a', sizeof text);
    text[0] = '+';
    cr_assert_eq(resp(text, HF_RESP_LINE_BYTES + 1, &reply), HF_RESP_PARTIAL);
    cr_assert_eq(resp(text, HF_RESP_LINE_BYTES + 2, &reply), HF_RESP_BAD);
}

Test(resp, random_bytes_are_never_read_beyond_their_end)
{
    static const char likely[] = "+-:$*\r\n0123456789";
    struct hf_resp_reply reply;
    uint64_t seed = 1;
    uint8_t bytes[24];
    for (int round = 0; round < RANDOM_ROUNDS; round++) {
        size_t count = next_random(&seed) % sizeof bytes;
        for (size_t i = 0; i < count; i++)
            bytes[i] = (uint8_t)likely[next_random(&seed) % (sizeof likely - 1)];
        if (resp(bytes, count, &reply) != HF_RESP_WHOLE)
            continue;
        cr_assert(reply.taken > 0 && reply.taken <= count);
        cr_assert(reply.kind == HF_RESP_NIL || reply.byte_count < reply.taken);
    }
}

/* ---- MessagePack ---- */

static struct hf_msgpack_reader reader_of(const void *bytes, size_t count)
{
    const uint8_t *begin = at_the_end(bytes, count);
    return (struct hf_msgpack_reader){.at = begin, .end = begin + count};
}

Test(msgpack, numbers_take_the_shortest_form_and_are_read_back)
{
    static const struct {
        uint64_t number;
        size_t bytes;
    } forms[] = {{0, 1},     {127, 1},   {128, 2},        {255, 2},        {256, 3},
                 {65535, 3}, {65536, 5}, {UINT32_MAX, 5}, {1ull << 32, 9}, {UINT64_MAX, 9}};
    uint8_t out[HF_MSGPACK_HEAD_BYTES];
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        size_t count = (size_t)(hf_msgpack_put_uint(out, forms[i].number) - out);
        cr_assert_eq(count, forms[i].bytes, "%llu", (unsigned long long)forms[i].number);
        struct hf_msgpack_reader reader = reader_of(out, count);
        cr_assert_eq(hf_msgpack_read_uint(&reader), forms[i].number);
        cr_assert(!reader.failed && reader.at == reader.end);
        reader = reader_of(out, count - 1);
        cr_assert_eq(hf_msgpack_read_uint(&reader), 0);
        cr_assert(reader.failed);
    }
}

Test(msgpack, strings_are_written_and_read_in_both_forms)
{
    static const uint8_t lengths[] = {0, 1, 31, 32, 255};
    char text[255];
    uint8_t out[300];
    memset(text, 'x', sizeof text);
    for (size_t i = 0; i < sizeof lengths; i++) {
        uint32_t length = 0;
        size_t count = (size_t)(hf_msgpack_put_string(out, text, lengths[i]) - out);
        struct hf_msgpack_reader reader = reader_of(out, count);
        const uint8_t *read = hf_msgpack_read_string(&reader, &length);
        cr_assert(read && length == lengths[i] && !reader.failed && reader.at == reader.end);
        if (lengths[i] == 0)
            continue;
        reader = reader_of(out, count - 1);
        cr_assert_null(hf_msgpack_read_string(&reader, &length));
        cr_assert(reader.failed && length == 0);
    }
}

Test(msgpack, any_value_is_passed_over_whole_and_no_part_of_one)
{
    /* One of each kind: the numbers are how many bytes it has. */
    static const struct {
        const char *bytes;
        size_t count;
    } values[] = {
        {"\x05", 1},                                 /* numbers */
        {"\xff", 1},                                 /* */
        {"\xcc\x80", 2},                             /* */
        {"\xcd\x80\x00", 3},                         /* */
        {"\xce\x80\x00\x00\x00", 5},                 /* */
        {"\xcf\x80\x00\x00\x00\x00\x00\x00\x00", 9}, /* */
        {"\xd0\x80", 2},                             /* */
        {"\xd1\x80\x00", 3},                         /* */
        {"\xd2\x80\x00\x00\x00", 5},                 /* */
        {"\xd3\x80\x00\x00\x00\x00\x00\x00\x00", 9}, /* */
        {"\xca\x00\x00\x00\x00", 5},                 /* floats */
        {"\xcb\x00\x00\x00\x00\x00\x00\x00\x00", 9}, /* */
        {"\xc0", 1},                                 /* nil, false, true */
        {"\xc2", 1},                                 /* */
        {"\xc3", 1},                                 /* */
        {"\xa2xy", 3},                               /* strings */
        {"\xd9\x02xy", 4},                           /* */
        {"\xda\x00\x02xy", 5},                       /* */
        {"\xdb\x00\x00\x00\x02xy", 7},               /* */
        {"\xc4\x02xy", 4},                           /* bytes */
        {"\xc5\x00\x02xy", 5},                       /* */
        {"\xc6\x00\x00\x00\x02xy", 7},               /* */
        {"\xc7\x02\x01xy", 5},                       /* extensions */
        {"\xc8\x00\x02\x01xy", 6},                   /* */
        {"\xc9\x00\x00\x00\x02\x01xy", 8},           /* */
        {"\xd4\x01x", 3},                            /* */
        {"\xd5\x01xy", 4},                           /* */
        {"\xd6\x01wxyz", 6},                         /* */
        {"\xd7\x01stuvwxyz", 10},                    /* */
        {"\xd8\x01stuvwxyzstuvwxyz", 18},            /* */
        {"\x92\x01\xa1x", 4},                        /* arrays, one in the other */
        {"\x91\x91\x91\x90", 4},                     /* */
        {"\xdc\x00\x02\x01\x02", 5},                 /* */
        {"\xdd\x00\x00\x00\x01\x01", 6},             /* */
        {"\x82\x01\xa1x\x02\x90", 6},                /* maps */
        {"\xde\x00\x01\x01\x02", 5},                 /* */
        {"\xdf\x00\x00\x00\x01\x01\x02", 7},         /* */
    };
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        char with_next[32];
        memcpy(with_next, values[i].bytes, values[i].count);
        with_next[values[i].count] = '\x2a';
        struct hf_msgpack_reader reader = reader_of(with_next, values[i].count + 1);
        hf_msgpack_skip(&reader);
        cr_assert(!reader.failed && reader.end - reader.at == 1, "value %zu", i);
        for (size_t count = 0; count < values[i].count; count++) {
            reader = reader_of(values[i].bytes, count);
            hf_msgpack_skip(&reader);
            cr_assert(reader.failed, "%zu bytes of value %zu", count, i);
        }
    }
}

Test(msgpack, a_value_of_another_kind_fails_the_reader_for_good)
{
    uint32_t length;
    struct hf_msgpack_reader reader = reader_of("\xa1x\x05", 3);
    cr_assert_eq(hf_msgpack_read_uint(&reader), 0);
    cr_assert(reader.failed);
    cr_assert_eq(hf_msgpack_read_uint(&reader), 0); /* not the 5 that stands there */
    reader = reader_of("\x05", 1);
    cr_assert_null(hf_msgpack_read_string(&reader, &length));
    reader = reader_of("\x81\x01\x01", 3);
    cr_assert_eq(hf_msgpack_read_array(&reader), 0);
    cr_assert(reader.failed);
    reader = reader_of("\x91\x01", 2);
    cr_assert_eq(hf_msgpack_read_map(&reader), 0);
    cr_assert(reader.failed);
    reader = reader_of("\xff", 1); /* -1 */
    cr_assert_eq(hf_msgpack_read_uint(&reader), 0);
    cr_assert(reader.failed);
    reader = reader_of("\xc1", 1); /* the one head that means nothing */
    hf_msgpack_skip(&reader);
    cr_assert(reader.failed);
}

/* ---- IPROTO ---- */

static enum hf_iproto_read iproto(const void *bytes, size_t count, struct hf_iproto_reply *reply)
{
    memset(reply, 0xee, sizeof *reply);
    return hf_iproto_read(at_the_end(bytes, count), count, reply);
}

/* A reply of this server version: code, sync 7, schema version 80; [1]. */
static const uint8_t granted[] = {0xce, 0, 0,    0,    23,   0x83, 0x00, 0xce, 0, 0,
                                  0,    0, 0x01, 0xcf, 0,    0,    0,    0,    0, 0,
                                  0,    7, 0x05, 80,   0x81, 0x30, 0x91, 1};
#define GRANTED_BYTES (sizeof granted)

Test(iproto, a_call_is_written_as_tarantool_reads_it)
{
    uint8_t out[HF_IPROTO_CALL_BYTES + 16];
    uint8_t *end = hf_iproto_begin_call(out, 300, "book", 2);
    end = hf_msgpack_put_uint(end, 5);
    end = hf_msgpack_put_string(end, "ab", 2);
    hf_iproto_end_call(out, end);
    static const uint8_t wanted[] = {0xce, 0,    0,    0,    20,   0x82, 0x00, 0x0a, 0x01,
                                     0xcd, 1,    44,   0x82, 0x22, 0xa4, 'b',  'o',  'o',
                                     'k',  0x21, 0x92, 5,    0xa2, 'a',  'b'};
    cr_assert_eq((size_t)(end - out), sizeof wanted);
    cr_assert_arr_eq(out, wanted, sizeof wanted);
}

Test(iproto, a_reply_is_read_with_its_sync_and_values)
{
    struct hf_iproto_reply reply;
    uint8_t two[2 * GRANTED_BYTES];
    memcpy(two, granted, GRANTED_BYTES);
    memcpy(two + GRANTED_BYTES, granted, GRANTED_BYTES);
    cr_assert_eq(iproto(two, sizeof two, &reply), HF_IPROTO_WHOLE);
    cr_assert(reply.sync == 7 && reply.error == 0 && reply.value_count == 1 &&
              reply.values[0] == 1);
    cr_assert_eq(reply.taken, GRANTED_BYTES);
}

/* A reply of one byte length, with this header and body. */
static enum hf_iproto_read short_reply(const char *parts, size_t count)
{
    struct hf_iproto_reply reply;
    uint8_t bytes[64];
    bytes[0] = (uint8_t)count;
    memcpy(bytes + 1, parts, count);
    return iproto(bytes, count + 1, &reply);
}

#define SHORT(parts) short_reply(parts, sizeof(parts) - 1)

Test(iproto, an_error_is_read_with_its_text_whatever_else_it_has)
{
    /* The error twice: as text, and in full (0x52), as servers since 2.4 send it. */
    static const uint8_t bytes[] = {18,   0x82, 0x00, 0xcd, 0x80, 0x21, 0x01, 9,    0x82, 0x31,
                                    0xa2, 'n',  'o',  0x52, 0x81, 0x00, 0x91, 0x80, 0xc0};
    struct hf_iproto_reply reply;
    cr_assert_eq(iproto(bytes, sizeof bytes, &reply), HF_IPROTO_BAD); /* a byte too many */
    uint8_t right[sizeof bytes - 1];
    memcpy(right, bytes, sizeof right);
    right[0] = sizeof right - 1;
    cr_assert_eq(iproto(right, sizeof right, &reply), HF_IPROTO_WHOLE);
    cr_assert(reply.error == 0x8021 && reply.sync == 9 && reply.text_bytes == 2);
    cr_assert_arr_eq(reply.text, "no", 2);
    cr_assert_eq(reply.value_count, 0);
    cr_assert_eq(short_reply("\x82\x00\xcd\x80\x21\x01\x09\x81\x30\x91\xa1x", 12), HF_IPROTO_WHOLE,
                 "values that nobody looks at may be anything");
}

Test(iproto, every_beginning_of_a_reply_asks_for_more)
{
    struct hf_iproto_reply reply;
    for (size_t count = 0; count < GRANTED_BYTES; count++)
        cr_assert_eq(iproto(granted, count, &reply), HF_IPROTO_PARTIAL, "%zu", count);
}

Test(iproto, what_is_no_valid_reply_is_found_out)
{
    struct hf_iproto_reply reply;
    cr_assert_eq(SHORT("\x82\x00\x00\x01\x07\x81\x30\x91\x01"), HF_IPROTO_WHOLE);
    cr_expect_eq(SHORT("\x81\x00\x00\x81\x30\x91\x01"), HF_IPROTO_BAD, "no sync");
    cr_expect_eq(SHORT("\x81\x01\x07\x81\x30\x91\x01"), HF_IPROTO_BAD, "no code");
    cr_expect_eq(SHORT("\x82\x00\x05\x01\x07\x81\x30\x91\x01"), HF_IPROTO_BAD, "code 5");
    cr_expect_eq(SHORT("\x82\x00\x00\x01\x07\x80"), HF_IPROTO_BAD, "no data");
    cr_expect_eq(SHORT("\x82\x00\x00\x01\x07"), HF_IPROTO_BAD, "no body");
    cr_expect_eq(SHORT("\x82\x00\x00\x01\x07\x81\x30\x91\xa1x"), HF_IPROTO_BAD, "a string");
    cr_expect_eq(SHORT("\x82\x00\x00\x01\x07\x81\x30\x95\x01\x01\x01\x01\x01"), HF_IPROTO_BAD,
                 "more values than any procedure gives");
    cr_expect_eq(SHORT("\x82\x00\x00\x01\x07\x81\x30\x01"), HF_IPROTO_BAD, "no array");
    cr_expect_eq(SHORT("\x82\x00\x00\x01\x07\x81\x30\x91\x01\x01"), HF_IPROTO_BAD, "one byte more");
    cr_expect_eq(SHORT("\x92\x00\x00\x01\x07\x81\x30\x91\x01"), HF_IPROTO_BAD, "no map");
    cr_expect_eq(iproto("\x00", 1, &reply), HF_IPROTO_BAD, "nothing");
    cr_expect_eq(iproto("\xa1", 1, &reply), HF_IPROTO_BAD, "no length");
    cr_expect_eq(iproto("\xce\x00\x00\x40\x01", 5, &reply), HF_IPROTO_BAD, "longer than any");
    cr_expect_eq(iproto("\xcf\xff\xff\xff\xff\xff\xff\xff\xff", 9, &reply), HF_IPROTO_BAD);
}

Test(iproto, a_reply_with_any_byte_changed_is_never_read_beyond_its_end)
{
    struct hf_iproto_reply reply;
    uint64_t seed = 1;
    for (int round = 0; round < RANDOM_ROUNDS; round++) {
        uint8_t bytes[GRANTED_BYTES];
        memcpy(bytes, granted, sizeof bytes);
        for (uint32_t changes = 1 + next_random(&seed) % 4; changes > 0; changes--)
            bytes[next_random(&seed) % sizeof bytes] = (uint8_t)next_random(&seed);
        size_t count = next_random(&seed) % (sizeof bytes + 1);
        if (iproto(bytes, count, &reply) != HF_IPROTO_WHOLE)
            continue;
        cr_assert(reply.taken <= count && reply.value_count <= HF_IPROTO_VALUES);
    }
}
