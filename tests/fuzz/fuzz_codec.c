/*
 * Random and spoiled frames into the codec.
 *
 * Every frame stands in memory of exactly its size, so that AddressSanitizer sees a read beyond it.
 * What must hold:
 *   - a request is accepted if and only if the rules of docs/protocol.md accept it, which are
 *     written down here a second time, on the bytes; a refusal has the result, the line and one of
 *     the fields that are told then;
 *   - an accepted request is encoded to the same bytes again, but for the longer form of a CANCEL
 *     that has no need of it;
 *   - a reply that was encoded is decoded to what was encoded; one that is accepted, whatever it
 *     is, is encoded to bytes that decode to the same;
 *   - decoding never changes the frame.
 */
#include "base/bytes.h"
#include "net/codec.h"
#include "tests/fuzz/fuzz.h"

/* An exact copy of a frame on the heap. */
struct exact {
    uint8_t *bytes;
    size_t count;
};

static struct exact exact_copy(struct hf_fuzz *fuzz, const uint8_t *bytes, size_t count)
{
    struct exact copy = {.bytes = malloc(count), .count = count};
    HF_FUZZ_CHECK(fuzz, copy.bytes);
    memcpy(copy.bytes, bytes, count);
    return copy;
}

static const unsigned operations[] = {
#define X(name, number, bytes) number,
    HF_OPERATIONS(X)
#undef X
};
#define OPERATION_COUNT (sizeof operations / sizeof operations[0])

static unsigned any_operation(struct hf_fuzz *fuzz)
{
    return operations[hf_fuzz_below(fuzz, OPERATION_COUNT)];
}

/* ---- requests --------------------------------------------------------------------------- */

/* Numbers that are mostly possible, and at the edges of what is. */
static uint32_t any_units(struct hf_fuzz *fuzz)
{
    if (hf_fuzz_one_in(fuzz, 20))
        return (uint32_t)(hf_fuzz_one_in(fuzz, 2) ? hf_fuzz_number(fuzz) : HF_MAX_UNITS + 1);
    return hf_fuzz_one_in(fuzz, 2) ? HF_MAX_UNITS - (uint32_t)hf_fuzz_below(fuzz, 3)
                                   : (uint32_t)(1 + hf_fuzz_below(fuzz, 3));
}

static uint64_t any_ttl(struct hf_fuzz *fuzz)
{
    if (hf_fuzz_one_in(fuzz, 20))
        return hf_fuzz_one_in(fuzz, 2) ? hf_fuzz_number(fuzz) : HF_MAX_TTL_NS + 1;
    return hf_fuzz_one_in(fuzz, 2) ? HF_MAX_TTL_NS - hf_fuzz_below(fuzz, 2)
                                   : 1 + hf_fuzz_below(fuzz, 1000000);
}

static struct hf_id any_id(struct hf_fuzz *fuzz)
{
    struct hf_id id = {{0}};
    if (hf_fuzz_one_in(fuzz, 50))
        return id;
    if (hf_fuzz_one_in(fuzz, 50))
        id.bytes[15] = (uint8_t)(1 + hf_fuzz_below(fuzz, 3)); /* that others have, too */
    else
        hf_fuzz_fill(fuzz, id.bytes, sizeof id.bytes);
    return id;
}

/* Flags that the operation knows; rarely others. */
static uint16_t any_flags(struct hf_fuzz *fuzz, unsigned operation)
{
    unsigned flags = (unsigned)hf_fuzz_next(fuzz) & 15;
    if (hf_fuzz_one_in(fuzz, 30))
        return (uint16_t)(hf_fuzz_one_in(fuzz, 2) ? flags : hf_fuzz_number(fuzz));
    switch (operation) {
    case HF_OP_RESERVE:
    case HF_OP_HOLD:
    case HF_OP_JOIN:
        return (uint16_t)(flags & 3);
    case HF_OP_CONFIRM:
        return (uint16_t)(flags & 6);
    case HF_OP_CHANGE:
    case HF_OP_MOVE:
        return (uint16_t)(flags & 2);
    case HF_OP_INVENTORY_SET:
        return (uint16_t)(flags & 9);
    default:
        return 0;
    }
}

static void make_line(struct hf_fuzz *fuzz, struct hf_line *line)
{
    static const enum hf_operation possible[] = {
        HF_OP_RESERVE, HF_OP_HOLD,   HF_OP_JOIN, HF_OP_CONFIRM, HF_OP_RELEASE,
        HF_OP_CANCEL,  HF_OP_EXTEND, HF_OP_MOVE, HF_OP_CHANGE,  HF_OP_LEAVE,
    };
    enum hf_operation operation = possible[hf_fuzz_below(fuzz, sizeof possible / sizeof *possible)];
    if (hf_fuzz_one_in(fuzz, 200))
        operation = (enum hf_operation)hf_fuzz_below(fuzz, 256);
    *line = (struct hf_line){
        .operation = operation,
        .flags = any_flags(fuzz, hf_fuzz_one_in(fuzz, 200) ? HF_OP_CONFIRM : operation),
        .qty = any_units(fuzz),
        .id = any_id(fuzz),
        .inventory_id = hf_fuzz_number(fuzz),
        .customer_id = hf_fuzz_number(fuzz),
        .ttl_ns = any_ttl(fuzz),
        .expected = (uint32_t)hf_fuzz_number(fuzz),
        .new_id = any_id(fuzz),
    };
}

static void make_settings(struct hf_fuzz *fuzz, struct hf_settings_change *change)
{
    *change = (struct hf_settings_change){
        .fields = (uint32_t)hf_fuzz_next(fuzz) & HF_SET_ALL,
        .capacity = any_units(fuzz),
        .flags_mask = hf_fuzz_one_in(fuzz, 20) ? (uint32_t)hf_fuzz_number(fuzz) : 15,
        .settings = {.sell_limit = any_units(fuzz),
                     .customer_limit = any_units(fuzz),
                     .min_qty = 1 + (uint32_t)hf_fuzz_below(fuzz, 3),
                     .max_qty = hf_fuzz_one_in(fuzz, 2) ? 3 : any_units(fuzz),
                     .waiting_limit = any_units(fuzz),
                     .flags = (uint32_t)hf_fuzz_below(fuzz, hf_fuzz_one_in(fuzz, 20) ? 64 : 16),
                     .opens_at_ns = hf_fuzz_number(fuzz),
                     .closes_at_ns = hf_fuzz_number(fuzz),
                     .longest_hold_ns = any_ttl(fuzz),
                     .cancel_until_ns = hf_fuzz_number(fuzz),
                     .offer_ttl_ns = any_ttl(fuzz)},
    };
    if (hf_fuzz_one_in(fuzz, 20))
        change->fields = (uint32_t)hf_fuzz_number(fuzz);
    if (hf_fuzz_one_in(fuzz, 2)) /* the window is a matter of luck, else */
        change->fields &= ~HF_SET_CLOSES_AT;
}

static void make_filter(struct hf_fuzz *fuzz, struct hf_reservation_filter *filter)
{
    *filter = (struct hf_reservation_filter){
        .cursor = hf_fuzz_number(fuzz),
        .filters =
            (uint32_t)(hf_fuzz_one_in(fuzz, 20) ? hf_fuzz_number(fuzz) : hf_fuzz_below(fuzz, 4)),
        .states =
            (uint32_t)(hf_fuzz_one_in(fuzz, 20) ? hf_fuzz_number(fuzz) : hf_fuzz_next(fuzz) & 0x7e),
        .inventory_id = hf_fuzz_number(fuzz),
        .customer_id = hf_fuzz_number(fuzz),
        .made_from_ns = hf_fuzz_number(fuzz),
        .made_before_ns = hf_fuzz_one_in(fuzz, 2) ? 0 : hf_fuzz_number(fuzz),
    };
}

static uint32_t any_count(struct hf_fuzz *fuzz, uint32_t most)
{
    return (uint32_t)(hf_fuzz_one_in(fuzz, 30) ? hf_fuzz_below(fuzz, most + 1ull)
                                               : hf_fuzz_below(fuzz, 6));
}

static size_t make_request(struct hf_fuzz *fuzz, uint8_t *out)
{
    static struct hf_line lines[HF_MAX_BATCH_LINES];
    static uint64_t ids[HF_MAX_WATCH_IDS];
    unsigned operation = any_operation(fuzz);
    struct hf_request request = {
        .operation = (enum hf_operation)operation,
        .flags = any_flags(fuzz, operation),
        .id = any_id(fuzz),
        .inventory_id = hf_fuzz_number(fuzz),
        .customer_id = hf_fuzz_number(fuzz),
        .product_id = hf_fuzz_number(fuzz),
        .qty = any_units(fuzz),
        .capacity = any_units(fuzz),
        .expected = (uint32_t)hf_fuzz_number(fuzz),
        .from = (uint32_t)hf_fuzz_number(fuzz),
        .limit = (uint32_t)hf_fuzz_below(fuzz, HF_MAX_LIST_ENTRIES + 2),
        .ttl_ns = any_ttl(fuzz),
        .not_after_ns = hf_fuzz_number(fuzz),
        .new_id = any_id(fuzz),
        .from_lsn = hf_fuzz_number(fuzz),
        .watch_tag = hf_fuzz_number(fuzz),
        .kind = (uint32_t)hf_fuzz_below(fuzz, 4),
        .lines = lines,
        .ids = ids,
    };
    make_settings(fuzz, &request.change);
    make_filter(fuzz, &request.filter);
    if (operation == HF_OP_BATCH) {
        request.count = any_count(fuzz, HF_MAX_BATCH_LINES);
        for (uint32_t i = 0; i < request.count; i++)
            make_line(fuzz, &lines[i]);
    } else {
        request.count = any_count(fuzz, HF_MAX_WATCH_IDS);
        for (uint32_t i = 0; i < request.count; i++)
            ids[i] = hf_fuzz_number(fuzz);
    }
    return hf_request_encode(out, &request, hf_fuzz_number(fuzz));
}

/* ---- the rules, a second time ----------------------------------------------------------- */

/* What must be said of a request: the result, of one of these fields (bit n: field n), in that
 * line. */
struct verdict {
    unsigned result;
    uint64_t fields;
    unsigned line;
};

#define FIELD(name) (1ull << HF_FIELD_##name)

static struct verdict verdict(unsigned result, uint64_t fields, unsigned line)
{
    return (struct verdict){result, fields, line};
}

static bool is_units(uint32_t count)
{
    return count >= 1 && count <= 536870911;
}

static bool is_ttl(uint64_t ttl_ns)
{
    return ttl_ns >= 1 && ttl_ns <= 8640000000000000ull;
}

static bool is_zero(const uint8_t *bytes, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        if (bytes[i] != 0)
            return false;
    return true;
}

static bool is_claim(unsigned operation)
{
    return operation == 32 || operation == 35 || operation == 41;
}

static unsigned flags_of(unsigned operation)
{
    if (is_claim(operation))
        return 3;
    if (operation == 36)
        return 6;
    if (operation == 39 || operation == 40)
        return 2;
    return operation == 19 ? 9 : 0;
}

static size_t right_bytes(const uint8_t *bytes, size_t count)
{
    static const struct {
        uint8_t operation, bytes;
    } sizes[] = {{1, 16},   {2, 16},  {3, 16},  {4, 16},  {5, 16},  {16, 48}, {17, 24}, {18, 24},
                 {19, 112}, {20, 24}, {32, 64}, {33, 32}, {34, 32}, {35, 72}, {36, 56}, {37, 40},
                 {38, 48},  {39, 40}, {40, 48}, {41, 64}, {42, 40}, {49, 72}, {50, 40}, {57, 24}};
    unsigned operation = bytes[5];
    if (operation == 34 && count == 40)
        return 40;
    if (operation == 48)
        return count < 32 ? 32 : 32 + (size_t)hf_get_u32(bytes + 16) * 64;
    if (operation == 21)
        return count < 24 ? 24 : 24 + (size_t)hf_get_u32(bytes + 16) * 8;
    if (operation == 56)
        return count < 32 ? 32 : 32 + (size_t)hf_get_u32(bytes + 28) * 8;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        if (sizes[i].operation == operation)
            return sizes[i].bytes;
    return 0;
}

static bool settings_reserved_are_zero(const uint8_t *bytes, unsigned flags)
{
    static const struct {
        uint8_t bit, from, to;
    } places[] = {{0, 32, 36}, {1, 36, 40}, {2, 40, 44}, {3, 44, 48}, {4, 48, 52},  {5, 52, 56},
                  {6, 56, 64}, {7, 64, 72}, {8, 72, 80}, {9, 80, 88}, {10, 88, 96}, {11, 96, 104}};
    uint32_t fields = hf_get_u32(bytes + 24);
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
        if ((fields >> places[i].bit & 1) == 0 && !is_zero(bytes, places[i].from, places[i].to))
            return false;
    return ((flags & 1) != 0 || is_zero(bytes, 28, 32)) && is_zero(bytes, 104, 112);
}

static bool frame_reserved_are_zero(const uint8_t *bytes, size_t count)
{
    unsigned operation = bytes[5], flags = hf_get_u16(bytes + 6);
    if (is_claim(operation))
        return (flags & 1) != 0 || is_zero(bytes, 52, 56);
    switch (operation) {
    case 16:
        return is_zero(bytes, 36, 48);
    case 19:
        return settings_reserved_are_zero(bytes, flags);
    case 21:
    case 48:
        return is_zero(bytes, 20, 24);
    case 34:
        return count == 32 || is_zero(bytes, 32, 36);
    case 36:
        return (flags & 4) != 0 || is_zero(bytes, 40, 56);
    case 37:
    case 38:
    case 40:
    case 42:
        return is_zero(bytes, 32, 36);
    case 49:
        return is_zero(bytes, 68, 72) && ((bytes[64] & 1) != 0 || is_zero(bytes, 32, 40)) &&
               ((bytes[64] & 2) != 0 || is_zero(bytes, 40, 48));
    default:
        return true;
    }
}

static bool line_reserved_are_zero(const uint8_t *line)
{
    unsigned operation = line[0], flags = hf_get_u16(line + 2);
    if (line[1] != 0 || !is_zero(line, 52, 64))
        return false;
    if (is_claim(operation))
        return (operation == 35 || is_zero(line, 40, 48)) &&
               ((flags & 1) != 0 || is_zero(line, 48, 52));
    switch (operation) {
    case 36:
        return is_zero(line, 40, 48) && ((flags & 4) != 0 || is_zero(line, 24, 40));
    case 34:
    case 37:
    case 42:
        return is_zero(line, 4, 8) && is_zero(line, 24, 48);
    case 38:
        return is_zero(line, 4, 8) && is_zero(line, 24, 40);
    case 39:
        return is_zero(line, 24, 48);
    case 40:
        return is_zero(line, 4, 8) && is_zero(line, 24, 32) && is_zero(line, 40, 48);
    default:
        return true; /* no operation of a line: nothing has a meaning, nothing has none */
    }
}

/* The fields that are wrong with one operation on one reservation. */
static uint64_t wrong_with(unsigned operation, unsigned flags, const uint8_t *id, uint32_t qty,
                           uint64_t ttl_ns, const uint8_t *new_id)
{
    uint64_t wrong = (flags & ~flags_of(operation)) != 0 ? FIELD(FLAGS) : 0;
    if (is_claim(operation) && !is_units(qty))
        wrong |= FIELD(QTY);
    if ((operation == 35 || operation == 38) && !is_ttl(ttl_ns))
        wrong |= FIELD(TTL);
    if (is_claim(operation))
        return wrong;
    if (is_zero(id, 0, 16))
        wrong |= FIELD(RESERVATION_ID);
    if ((operation == 36 || operation == 39) && qty > 536870911)
        wrong |= FIELD(QTY);
    if (operation == 36 && (flags & 4) != 0 && memcmp(id, new_id, 16) == 0)
        wrong |= FIELD(NEW_ID);
    return wrong;
}

static uint64_t wrong_settings(const uint8_t *bytes)
{
    uint32_t fields = hf_get_u32(bytes + 24), mask = hf_get_u32(bytes + 60);
    uint64_t opens = hf_get_u64(bytes + 64), closes = hf_get_u64(bytes + 72), wrong = 0;
    static const struct {
        uint8_t at, field;
    } units[] = {{32, 14}, {36, 15}, {40, 16}, {44, 17}, {48, 18}, {52, 6}};
    if (fields == 0 || fields >= 1u << 13)
        wrong |= FIELD(SETTINGS);
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (hf_get_u32(bytes + units[i].at) > 536870911)
            wrong |= 1ull << units[i].field;
    if ((fields & 1u << 5) != 0 && hf_get_u32(bytes + 52) == 0)
        wrong |= FIELD(CAPACITY);
    if (hf_get_u32(bytes + 44) != 0 && hf_get_u32(bytes + 40) > hf_get_u32(bytes + 44))
        wrong |= FIELD(MIN_QTY);
    if ((fields & 1u << 6) != 0 &&
        (mask == 0 || mask > 15 || (hf_get_u32(bytes + 56) & ~mask) != 0))
        wrong |= FIELD(FLAGS);
    if (closes != 0 && closes <= opens)
        wrong |= FIELD(WINDOW);
    if (hf_get_u64(bytes + 80) > 8640000000000000ull)
        wrong |= FIELD(LONGEST_HOLD);
    if ((fields & 1u << 11) != 0 && !is_ttl(hf_get_u64(bytes + 96)))
        wrong |= FIELD(OFFER_TTL);
    return wrong;
}

static uint64_t wrong_filter(const uint8_t *bytes)
{
    uint64_t from = hf_get_u64(bytes + 48), before = hf_get_u64(bytes + 56), wrong = 0;
    if (hf_get_u32(bytes + 24) < 1 || hf_get_u32(bytes + 24) > 500)
        wrong |= FIELD(LIMIT);
    if ((hf_get_u32(bytes + 28) & ~0x7eu) != 0)
        wrong |= FIELD(STATE);
    if (before != 0 && before <= from)
        wrong |= FIELD(TIME);
    if (hf_get_u32(bytes + 64) > 3)
        wrong |= FIELD(FLAGS);
    return wrong;
}

static uint64_t wrong_subscription(const uint8_t *bytes)
{
    uint32_t kind = hf_get_u32(bytes + 24), count = hf_get_u32(bytes + 28);
    if (kind > 2)
        return FIELD(KIND);
    return (kind == 0 ? count == 0 : count >= 1 && count <= 1000) ? 0 : FIELD(COUNT);
}

/* The fields that are wrong with a frame, without the lines of a batch. */
static uint64_t wrong_fields(const uint8_t *bytes, size_t count)
{
    unsigned operation = bytes[5], flags = hf_get_u16(bytes + 6);
    uint64_t wrong = (flags & ~flags_of(operation)) != 0 ? FIELD(FLAGS) : 0;
    uint32_t number = count >= 24 ? hf_get_u32(bytes + 16) : 0;
    switch (operation) {
    case 16:
        return wrong | (is_units(hf_get_u32(bytes + 32)) ? 0 : FIELD(CAPACITY));
    case 18:
        number = hf_get_u32(bytes + 20);
        return wrong | (number >= 1 && number <= 1000 ? 0 : FIELD(LIMIT));
    case 19:
        return wrong | wrong_settings(bytes);
    case 21:
        return wrong | (number >= 1 && number <= 1000 ? 0 : FIELD(COUNT));
    case 48:
        return wrong | (number >= 1 && number <= 64 ? 0 : FIELD(COUNT));
    case 49:
        return wrong | wrong_filter(bytes);
    case 50:
        number = hf_get_u32(bytes + 36);
        wrong |= number >= 1 && number <= 500 ? 0 : FIELD(LIMIT);
        return wrong | (is_zero(bytes, 16, 32) ? FIELD(RESERVATION_ID) : 0);
    case 56:
        return wrong | wrong_subscription(bytes);
    default:
        break;
    }
    if (is_claim(operation))
        return wrong_with(operation, flags, bytes + 16, hf_get_u32(bytes + 48),
                          operation == 35 ? hf_get_u64(bytes + 64) : 0, bytes);
    if (operation < 32 || operation > 42)
        return wrong;
    bool has_qty = operation == 36 || operation == 39;
    return wrong_with(operation, flags, bytes + 16, has_qty ? hf_get_u32(bytes + 32) : 0,
                      operation == 38 ? hf_get_u64(bytes + 40) : 0,
                      operation == 36 ? bytes + 40 : bytes);
}

/* The ids that a line names. Returns how many. */
static unsigned ids_of_line(const uint8_t *line, struct hf_id ids[2])
{
    unsigned count = 0;
    if (!is_zero(line, 8, 24))
        memcpy(ids[count++].bytes, line + 8, 16);
    if (line[0] != 36 || (line[2] & 4) == 0)
        return count;
    memcpy(ids[count].bytes, line + 24, 16);
    if (is_zero(line, 24, 40))
        hf_id_derive(&ids[0], &ids[count]);
    return count + 1;
}

/* True if line `number` names an id that one before it names, or twice the same. */
static bool repeats_an_id(const uint8_t *lines, uint32_t number)
{
    struct hf_id ids[2], before[2];
    unsigned count = ids_of_line(lines + (size_t)number * 64, ids);
    for (uint32_t i = 0; i < number; i++) {
        unsigned before_count = ids_of_line(lines + (size_t)i * 64, before);
        for (unsigned j = 0; j < count * before_count; j++)
            if (memcmp(&ids[j % count], &before[j / count], 16) == 0)
                return true;
    }
    return count == 2 && memcmp(&ids[0], &ids[1], 16) == 0;
}

static struct verdict judge_lines(const uint8_t *lines, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *line = lines + (size_t)i * 64;
        bool possible = (line[0] >= 34 && line[0] <= 42) || line[0] == 32;
        uint64_t wrong = !possible
                             ? FIELD(OPERATION)
                             : wrong_with(line[0], hf_get_u16(line + 2), line + 8,
                                          hf_get_u32(line + 4), hf_get_u64(line + 40), line + 24);
        if (wrong != 0)
            return verdict(HF_BAD_FIELD, wrong, i + 1);
    }
    for (uint32_t i = 0; i < count; i++)
        if (repeats_an_id(lines, i))
            return verdict(HF_BAD_FIELD, FIELD(RESERVATION_ID), i + 1);
    return verdict(HF_OK, FIELD(NONE), 0);
}

static struct verdict judge_request(const uint8_t *bytes, size_t count)
{
    bool batch = bytes[5] == 48;
    if (bytes[4] != 1)
        return verdict(HF_UNSUPPORTED_VERSION, FIELD(VERSION), 0);
    size_t right = right_bytes(bytes, count);
    if (right == 0)
        return verdict(HF_UNKNOWN_OPERATION, FIELD(OPERATION), 0);
    if (count != right)
        return verdict(HF_BAD_FRAME, FIELD(FRAME_BYTES), 0);
    if (!frame_reserved_are_zero(bytes, count))
        return verdict(HF_BAD_FRAME, FIELD(RESERVED), 0);
    for (uint32_t i = 0; batch && i < hf_get_u32(bytes + 16) && i < 64; i++)
        if (!line_reserved_are_zero(bytes + 32 + (size_t)i * 64))
            return verdict(HF_BAD_FRAME, FIELD(RESERVED), i + 1);
    uint64_t wrong = wrong_fields(bytes, count);
    if (wrong != 0)
        return verdict(HF_BAD_FIELD, wrong, 0);
    if (batch)
        return judge_lines(bytes + 32, hf_get_u32(bytes + 16));
    return verdict(HF_OK, FIELD(NONE), 0);
}

/* ---- requests, tried -------------------------------------------------------------------- */

/* What was accepted is the same bytes again. */
static void check_again(struct hf_fuzz *fuzz, const struct hf_request *request,
                        const uint8_t *bytes, size_t count)
{
    static uint8_t again[HF_MAX_REQUEST_BYTES];
    if (request->operation == HF_OP_CANCEL && count == 40 && request->expected == 0)
        return;
    HF_FUZZ_CHECK(fuzz, hf_request_encoded_bytes(request) == count);
    HF_FUZZ_CHECK(fuzz, hf_request_encode(again, request, hf_get_u64(bytes + 8)) == count);
    HF_FUZZ_CHECK(fuzz, memcmp(again, bytes, count) == 0);
}

/* Decodes a request in memory of its size. True if it was accepted. */
static bool try_request(struct hf_fuzz *fuzz, const uint8_t *bytes, size_t count)
{
    static struct hf_request_scratch scratch;
    struct exact copy = exact_copy(fuzz, bytes, count);
    struct hf_frame frame;
    struct hf_request request;
    enum hf_field field;
    unsigned line = 99;
    hf_put_u32(copy.bytes, (uint32_t)count); /* as the server cuts frames: by this number */
    struct verdict right = judge_request(copy.bytes, count);

    memset(&request, 0xee, sizeof request);
    hf_frame_read(copy.bytes, &frame);
    HF_FUZZ_CHECK(fuzz, frame.frame_bytes == count);
    enum hf_result result =
        hf_request_decode(copy.bytes, &frame, &request, &scratch, &field, &line);
    HF_FUZZ_CHECK(fuzz, result == right.result);
    HF_FUZZ_CHECK(fuzz, (right.fields >> field & 1) != 0);
    HF_FUZZ_CHECK(fuzz, line == right.line);
    HF_FUZZ_CHECK(fuzz, memcmp(copy.bytes + 4, bytes + 4, count - 4) == 0);
    if (result == HF_OK)
        check_again(fuzz, &request, copy.bytes, count);
    free(copy.bytes);
    return result == HF_OK;
}

static bool fuzz_request(struct hf_fuzz *fuzz)
{
    static uint8_t bytes[HF_MAX_REQUEST_BYTES];
    size_t count = make_request(fuzz, bytes);
    switch (hf_fuzz_below(fuzz, 4)) {
    case 0: /* valid, or with an impossible value */
        break;
    case 1: /* spoiled, with the right length */
        hf_fuzz_spoil(fuzz, bytes, count);
        break;
    case 2: /* another length, what is missing made up */
        hf_fuzz_fill(fuzz, bytes + count, hf_fuzz_one_in(fuzz, 4) ? sizeof bytes - count : 200);
        count = HF_FRAME_HEADER_BYTES +
                (hf_fuzz_one_in(fuzz, 20)
                     ? hf_fuzz_below(fuzz, HF_MAX_REQUEST_BYTES - HF_FRAME_HEADER_BYTES + 1)
                     : hf_fuzz_below(fuzz, 2 * HF_RESERVE_BYTES));
        break;
    default: /* all made up, with a version and an operation that exist more often than by chance */
        count = HF_FRAME_HEADER_BYTES + hf_fuzz_below(fuzz, HF_RESERVE_BYTES);
        hf_fuzz_fill(fuzz, bytes, count);
        if (!hf_fuzz_one_in(fuzz, 4))
            bytes[4] = HF_PROTOCOL_VERSION;
        if (!hf_fuzz_one_in(fuzz, 4)) {
            bytes[5] = (uint8_t)any_operation(fuzz);
            count = hf_request_bytes(bytes[5]);
            hf_fuzz_fill(fuzz, bytes + 6, count - 6);
        }
        break;
    }
    return try_request(fuzz, bytes, count);
}

/* ---- replies ---------------------------------------------------------------------------- */

static void make_inventory(struct hf_fuzz *fuzz, struct hf_inventory *inventory)
{
    *inventory = (struct hf_inventory){
        .inventory_id = hf_fuzz_number(fuzz),
        .product_id = hf_fuzz_number(fuzz),
        .lsn = hf_fuzz_number(fuzz),
        .made_at_ns = hf_fuzz_number(fuzz),
        .capacity = (uint32_t)hf_fuzz_number(fuzz),
        .sell_limit = (uint32_t)hf_fuzz_number(fuzz),
        .available = (int32_t)hf_fuzz_number(fuzz),
        .held = (uint32_t)hf_fuzz_number(fuzz),
        .confirmed = (uint32_t)hf_fuzz_number(fuzz),
        .waiting = (uint32_t)hf_fuzz_number(fuzz),
        .flags = (uint32_t)hf_fuzz_number(fuzz),
        .version = (uint32_t)hf_fuzz_number(fuzz),
    };
}

static void make_reservation(struct hf_fuzz *fuzz, struct hf_reservation *reservation)
{
    *reservation = (struct hf_reservation){
        .inventory_id = hf_fuzz_number(fuzz),
        .customer_id = hf_fuzz_number(fuzz),
        .lsn = hf_fuzz_number(fuzz),
        .made_at_ns = hf_fuzz_number(fuzz),
        .changed_at_ns = hf_fuzz_number(fuzz),
        .deadline_ns = hf_fuzz_number(fuzz),
        .qty = (uint32_t)hf_fuzz_number(fuzz),
        .sequence = (uint32_t)hf_fuzz_number(fuzz),
        .state = (enum hf_state)(1 + hf_fuzz_below(fuzz, 6)),
    };
    hf_fuzz_fill(fuzz, reservation->id.bytes, sizeof reservation->id.bytes);
    if (hf_fuzz_one_in(fuzz, 2))
        hf_fuzz_fill(fuzz, reservation->linked_id.bytes, sizeof reservation->linked_id.bytes);
}

/* A reply that is not a yes, or the yes of PING and UNSUBSCRIBE. */
static size_t encode_short(uint8_t *out, uint64_t tag, const struct hf_reply *reply)
{
    struct hf_short answer = {.result = reply->result,
                              .field = reply->field,
                              .available = reply->available,
                              .version = reply->version,
                              .state = reply->state,
                              .line = reply->line};
    if (reply->result != HF_LSN_NOT_KEPT)
        return hf_reply_encode_answer(out, reply->operation, tag, &answer);
    size_t count = hf_reply_encode_not_kept(out, reply->operation, tag, reply->next_lsn);
    hf_put_u16(out + 24, (uint16_t)reply->field); /* whatever they are: they are kept */
    out[26] = (uint8_t)reply->state;
    hf_put_u16(out + 28, (uint16_t)reply->line);
    return count;
}

/* Encodes a reply as it was decoded. */
static size_t encode_reply(struct hf_fuzz *fuzz, uint8_t *out, uint64_t tag,
                           const struct hf_reply *reply)
{
    if (hf_result_group(reply->result) != HF_GROUP_YES)
        return encode_short(out, tag, reply);
    switch (reply->operation) {
    case HF_OP_PING:
    case HF_OP_SNAPSHOT:
    case HF_OP_UNSUBSCRIBE:
        return encode_short(out, tag, reply);
    case HF_OP_INFO:
    case HF_OP_STATUS:
    case HF_OP_STATE_HASH:
    case HF_OP_INVENTORY_LIST:
    case HF_OP_AVAILABILITY:
    case HF_OP_SUBSCRIBE:
        /* Their encoders give them the result that they always have. */
        break;
    case HF_OP_INVENTORY_CREATE:
    case HF_OP_INVENTORY_GET:
        return hf_reply_encode_inventory(out, reply->operation, tag, reply->result,
                                         &reply->inventory);
    case HF_OP_INVENTORY_SET:
    case HF_OP_INVENTORY_SETTINGS:
        return hf_reply_encode_settings(out, reply->operation, tag, reply->result,
                                        &reply->inventory, &reply->settings,
                                        reply->settings_sequence);
    case HF_OP_BATCH:
    case HF_OP_RESERVATION_LIST:
    case HF_OP_HISTORY:
        return hf_reply_encode_reservations(out, reply->operation, tag, reply->result, reply->next,
                                            reply->entries, reply->count);
    default:
        return hf_reply_encode_reservation(out, reply->operation, tag, reply->result,
                                           &reply->reservation, reply->repeated);
    }
    size_t count = 0;
    if (reply->operation == HF_OP_INFO)
        count = hf_reply_encode_info(out, tag, &reply->info);
    else if (reply->operation == HF_OP_STATUS)
        count = hf_reply_encode_status(out, tag, &reply->status);
    else if (reply->operation == HF_OP_STATE_HASH)
        count = hf_reply_encode_hash(out, tag, reply->state_hash, reply->lsn_before,
                                     reply->lsn_after, reply->reservations);
    else if (reply->operation == HF_OP_INVENTORY_LIST)
        count =
            hf_reply_encode_page(out, tag, (uint32_t)reply->next, reply->inventories, reply->count);
    else if (reply->operation == HF_OP_AVAILABILITY)
        count = hf_reply_encode_availability(out, tag, reply->availability, reply->count);
    else
        count = hf_reply_encode_records(out, tag, reply->result, reply->next_lsn, reply->records,
                                        reply->count);
    HF_FUZZ_CHECK(fuzz, count >= HF_SHORT_REPLY_BYTES && count <= HF_MAX_REPLY_BYTES);
    hf_put_u16(out + 6, (uint16_t)reply->result);
    return count;
}

/* The list of a reply that has one. */
static void make_list(struct hf_fuzz *fuzz, struct hf_reply *reply)
{
    static struct hf_reply_scratch lists;
    static uint8_t records[HF_MAX_FRAME_RECORDS * HF_FRAME_RECORD_BYTES];
    if (reply->operation == HF_OP_INVENTORY_LIST) {
        reply->count = any_count(fuzz, HF_MAX_LIST_ENTRIES);
        for (uint32_t i = 0; i < reply->count; i++)
            make_inventory(fuzz, &lists.inventories[i]);
    } else if (reply->operation == HF_OP_AVAILABILITY) {
        reply->count = any_count(fuzz, HF_MAX_LIST_ENTRIES);
        hf_fuzz_fill(fuzz, (uint8_t *)lists.availability, reply->count * HF_AVAILABILITY_BYTES);
    } else if (reply->operation == HF_OP_SUBSCRIBE) {
        reply->count = any_count(fuzz, HF_MAX_FRAME_RECORDS);
        hf_fuzz_fill(fuzz, records, (size_t)reply->count * HF_FRAME_RECORD_BYTES);
    } else {
        reply->count = any_count(fuzz, HF_MAX_PAGE_ENTRIES);
        for (uint32_t i = 0; i < reply->count; i++) {
            make_reservation(fuzz, &lists.entries[i].reservation);
            lists.entries[i].result = (uint16_t)hf_fuzz_next(fuzz);
            lists.entries[i].repeated = hf_fuzz_one_in(fuzz, 2);
        }
    }
    reply->inventories = lists.inventories;
    reply->availability = lists.availability;
    reply->entries = lists.entries;
    reply->records = records;
}

/* A reply that a server could give. */
static size_t make_reply(struct hf_fuzz *fuzz, uint8_t *out)
{
    struct hf_reply reply = {
        .operation = (enum hf_operation)any_operation(fuzz),
        .result = 100 * (1 + (unsigned)hf_fuzz_below(fuzz, 6)) + (unsigned)hf_fuzz_below(fuzz, 20),
        .field = (unsigned)hf_fuzz_below(fuzz, 32),
        .available = (int32_t)hf_fuzz_number(fuzz),
        .version = (uint32_t)hf_fuzz_number(fuzz),
        .state = (unsigned)hf_fuzz_below(fuzz, 8),
        .line = (unsigned)hf_fuzz_below(fuzz, 70),
        .repeated = hf_fuzz_one_in(fuzz, 2),
        .state_hash = hf_fuzz_number(fuzz),
        .lsn_before = hf_fuzz_number(fuzz),
        .lsn_after = hf_fuzz_number(fuzz),
        .reservations = hf_fuzz_number(fuzz),
        .next = hf_fuzz_number(fuzz),
        .next_lsn = hf_fuzz_number(fuzz),
        .settings_sequence = (uint32_t)hf_fuzz_number(fuzz),
    };
    make_reservation(fuzz, &reply.reservation);
    make_inventory(fuzz, &reply.inventory);
    reply.settings = (struct hf_settings){.customer_limit = (uint32_t)hf_fuzz_number(fuzz),
                                          .min_qty = (uint32_t)hf_fuzz_number(fuzz),
                                          .max_qty = (uint32_t)hf_fuzz_number(fuzz),
                                          .waiting_limit = (uint32_t)hf_fuzz_number(fuzz),
                                          .opens_at_ns = hf_fuzz_number(fuzz),
                                          .closes_at_ns = hf_fuzz_number(fuzz),
                                          .longest_hold_ns = hf_fuzz_number(fuzz),
                                          .cancel_until_ns = hf_fuzz_number(fuzz),
                                          .offer_ttl_ns = hf_fuzz_number(fuzz)};
    reply.info = (struct hf_info){.epoch = hf_fuzz_number(fuzz),
                                  .max_reservations = hf_fuzz_number(fuzz),
                                  .workers = (uint32_t)hf_fuzz_number(fuzz),
                                  .server_version = "9.9.9"};
    hf_fuzz_fill(fuzz, (uint8_t *)&reply.status, sizeof reply.status);
    reply.status.archive_failure[HF_STATUS_TEXT_BYTES - 1] = '\0';
    make_list(fuzz, &reply);
    return encode_reply(fuzz, out, hf_fuzz_number(fuzz), &reply);
}

/* An accepted reply is encoded to what decodes to the same; one that nobody spoiled, to itself. */
static void check_accepted(struct hf_fuzz *fuzz, const struct exact *copy, struct hf_reply *reply,
                           bool unspoiled)
{
    static struct hf_reply_scratch lists;
    static uint8_t first[HF_MAX_REPLY_BYTES], second[HF_MAX_REPLY_BYTES];
    struct hf_frame frame;
    hf_frame_read(copy->bytes, &frame);
    HF_FUZZ_CHECK(fuzz, reply->operation == (frame.operation & ~(unsigned)HF_REPLY_BIT));
    HF_FUZZ_CHECK(fuzz, reply->result == frame.result);
    HF_FUZZ_CHECK(fuzz, reply->count <= HF_MAX_LIST_ENTRIES);
    HF_FUZZ_CHECK(fuzz, memchr(reply->info.server_version, 0, sizeof reply->info.server_version));
    HF_FUZZ_CHECK(fuzz, memchr(reply->status.archive_failure, 0, HF_STATUS_TEXT_BYTES));
    size_t first_count = encode_reply(fuzz, first, frame.tag, reply);
    /* A linked reservation whose linked id is zero is nothing that a server sends. */
    bool empty_link = copy->count == HF_LINKED_REPLY_BYTES && first_count == 96;
    HF_FUZZ_CHECK(fuzz, first_count == copy->count || (empty_link && !unspoiled));
    HF_FUZZ_CHECK(fuzz, !unspoiled || memcmp(first, copy->bytes, copy->count) == 0);
    hf_frame_read(first, &frame);
    HF_FUZZ_CHECK(fuzz, hf_reply_decode(first, &frame, reply, &lists));
    HF_FUZZ_CHECK(fuzz, encode_reply(fuzz, second, frame.tag, reply) == first_count);
    HF_FUZZ_CHECK(fuzz, memcmp(first, second, first_count) == 0);
}

/* Decodes a reply in memory of its size. True if it was accepted. */
static bool try_reply(struct hf_fuzz *fuzz, const uint8_t *bytes, size_t count, bool unspoiled)
{
    static struct hf_reply_scratch lists;
    struct exact copy = exact_copy(fuzz, bytes, count);
    struct hf_frame frame;
    struct hf_reply reply;
    hf_put_u32(copy.bytes, (uint32_t)count);
    hf_frame_read(copy.bytes, &frame);
    bool accepted = hf_reply_decode(copy.bytes, &frame, &reply, &lists);
    HF_FUZZ_CHECK(fuzz, memcmp(copy.bytes + 4, bytes + 4, count - 4) == 0);
    HF_FUZZ_CHECK(fuzz, accepted || !unspoiled);
    if (accepted && frame.version == HF_PROTOCOL_VERSION)
        check_accepted(fuzz, &copy, &reply, unspoiled);
    else if (accepted)
        HF_FUZZ_CHECK(fuzz, reply.result == HF_UNSUPPORTED_VERSION);
    free(copy.bytes);
    return accepted;
}

/* A list with about as many elements as there may be. Returns its size. */
static size_t make_long_list(struct hf_fuzz *fuzz, uint8_t *bytes)
{
    static const struct {
        uint8_t operation, element_bytes;
        uint16_t result, most;
    } kinds[] = {{HF_OP_INVENTORY_LIST, 64, HF_FOUND, 1000},
                 {HF_OP_AVAILABILITY, 16, HF_FOUND, 1000},
                 {HF_OP_HISTORY, 96, HF_FOUND, 500},
                 {HF_OP_BATCH, 96, HF_BATCH_DONE, 500},
                 {HF_OP_SUBSCRIBE, 128, HF_RECORDS, 511}};
    unsigned kind = (unsigned)hf_fuzz_below(fuzz, sizeof kinds / sizeof kinds[0]);
    uint32_t count = kinds[kind].most - 20 + (uint32_t)hf_fuzz_below(fuzz, 44);
    size_t frame_bytes = HF_PAGE_HEADER_BYTES + (size_t)count * kinds[kind].element_bytes;
    bytes[5] = kinds[kind].operation | HF_REPLY_BIT;
    hf_put_u16(bytes + 6, kinds[kind].result);
    hf_put_u32(bytes + 16, count);
    return frame_bytes <= HF_MAX_REPLY_BYTES ? frame_bytes : HF_MAX_REPLY_BYTES;
}

static bool fuzz_reply(struct hf_fuzz *fuzz)
{
    static uint8_t bytes[HF_MAX_REPLY_BYTES];
    size_t count = make_reply(fuzz, bytes);
    switch (hf_fuzz_below(fuzz, 5)) {
    case 0:
        return try_reply(fuzz, bytes, count, true);
    case 1:
        hf_fuzz_spoil(fuzz, bytes, count);
        break;
    case 2:
        if (hf_fuzz_one_in(fuzz, 8))
            count = make_long_list(fuzz, bytes);
        break;
    case 3: { /* cut or lengthened; HF_MAX_REPLY_BYTES at most, as the client checks */
        size_t other = HF_FRAME_HEADER_BYTES + hf_fuzz_below(fuzz, 256);
        if (other > count)
            hf_fuzz_fill(fuzz, bytes + count, other - count);
        count = other;
        break;
    }
    default:
        count = HF_FRAME_HEADER_BYTES + hf_fuzz_below(fuzz, 256);
        hf_fuzz_fill(fuzz, bytes, count);
        if (!hf_fuzz_one_in(fuzz, 4)) {
            bytes[4] = HF_PROTOCOL_VERSION;
            bytes[5] = (uint8_t)(any_operation(fuzz) | HF_REPLY_BIT);
            hf_put_u16(bytes + 6, (uint16_t)hf_fuzz_below(fuzz, 800));
        }
        break;
    }
    return try_reply(fuzz, bytes, count, false);
}

int main(int argc, char **argv)
{
    struct hf_fuzz fuzz;
    uint64_t requests = 0, replies = 0;
    hf_fuzz_open(&fuzz, "fuzz_codec", argc, argv);
    for (uint64_t i = 0; i < fuzz.rounds; i++) {
        hf_fuzz_begin(&fuzz, fuzz.first + i);
        requests += fuzz_request(&fuzz);
        replies += fuzz_reply(&fuzz);
    }
    printf("fuzz_codec: ok, of %llu each, %llu requests and %llu replies were accepted\n",
           (unsigned long long)fuzz.rounds, (unsigned long long)requests,
           (unsigned long long)replies);
    return 0;
}
