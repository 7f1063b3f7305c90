/* Orders; see ledger_order.h. A radix sort, from the last byte to the first, that leaves out bytes
 * which are the same in all keys. */
#include "tools/ledger_order.h"

#include "tools/ledger_pages.h"

#define DIGITS 8
#define VALUES 256

static size_t bytes_of(uint32_t count)
{
    return (count + 1ull) * sizeof(struct hf_ledger_key);
}

bool hf_ledger_order_open(struct hf_ledger_order *order, uint32_t room)
{
    *order = (struct hf_ledger_order){.keys = hf_ledger_pages_alloc(bytes_of(room)), .room = room};
    return order->keys != NULL;
}

void hf_ledger_order_close(struct hf_ledger_order *order)
{
    hf_ledger_pages_free(order->keys, bytes_of(order->room));
    *order = (struct hf_ledger_order){0};
}

static unsigned digit_of(uint64_t key, unsigned digit)
{
    return (unsigned)(key >> (8 * digit)) & (VALUES - 1);
}

/* How often each value of each digit occurs. */
static void count_values(const struct hf_ledger_order *order, uint32_t counts[DIGITS][VALUES])
{
    for (uint32_t i = 0; i < order->count; i++) {
        for (unsigned digit = 0; digit < DIGITS; digit++)
            counts[digit][digit_of(order->keys[i].key, digit)]++;
    }
}

/* One pass: from `from` to `to`, in the order of one digit. */
static void distribute(const struct hf_ledger_key *from, struct hf_ledger_key *to, uint32_t count,
                       unsigned digit, const uint32_t counts[VALUES])
{
    uint32_t places[VALUES], place = 0;
    for (unsigned value = 0; value < VALUES; value++) {
        places[value] = place;
        place += counts[value];
    }
    for (uint32_t i = 0; i < count; i++)
        to[places[digit_of(from[i].key, digit)]++] = from[i];
}

bool hf_ledger_order_sort(struct hf_ledger_order *order)
{
    if (order->count < 2)
        return true;
    struct hf_ledger_key *other = hf_ledger_pages_alloc(bytes_of(order->room));
    if (other == NULL)
        return false;
    uint32_t counts[DIGITS][VALUES] = {{0}};
    count_values(order, counts);
    for (unsigned digit = 0; digit < DIGITS; digit++) {
        if (counts[digit][digit_of(order->keys[0].key, digit)] == order->count)
            continue;
        distribute(order->keys, other, order->count, digit, counts[digit]);
        struct hf_ledger_key *sorted = other;
        other = order->keys;
        order->keys = sorted;
    }
    hf_ledger_pages_free(other, bytes_of(order->room));
    return true;
}
