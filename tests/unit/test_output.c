/* Output: what a connection owes, in chunks. */
#include <criterion/criterion.h>
#include <string.h>

#include "net/output.h"
#include "tests/lib/stress.h"

/* Runs of all sizes are appended and consumed in other sizes: the bytes come out as they went in.
 */
Test(output, bytes_come_out_as_they_went_in)
{
    struct hf_chunk_pool pool = {0};
    struct hf_output output = {0};
    uint8_t next_in = 0, next_out = 0;
    size_t owed = 0;
    struct hf_random random = hf_random_for(7, 0);
    for (int i = 0; i < 2000; i++) {
        uint8_t bytes[3000];
        size_t count = hf_random_below(&random, sizeof bytes);
        for (size_t b = 0; b < count; b++)
            bytes[b] = next_in++;
        if (count != 0 && hf_random_chance(&random, 30)) { /* written where they are sent from */
            uint8_t *room = hf_output_room(&output, &pool, sizeof bytes);
            cr_assert_not_null(room);
            memcpy(room, bytes, count);
            hf_output_add(&output, count);
        } else {
            cr_assert(hf_output_append(&output, &pool, bytes, count));
        }
        owed += count;
        uint32_t ready;
        const uint8_t *run;
        while (hf_random_chance(&random, 67) && (run = hf_output_peek(&output, &ready)) != NULL) {
            uint32_t taken = 1 + hf_random_below(&random, ready);
            for (uint32_t b = 0; b < taken; b++)
                cr_assert_eq(run[b], next_out++);
            hf_output_consume(&output, &pool, taken);
            owed -= taken;
        }
        cr_assert_eq(output.bytes, owed);
    }
    hf_output_drop(&output, &pool);
    hf_chunk_pool_close(&pool);
}

/* Bytes are appended behind a run that is being sent: that run stays where it is. */
Test(output, what_is_being_sent_is_not_moved)
{
    struct hf_chunk_pool pool = {0};
    struct hf_output output = {0};
    uint8_t bytes[100] = {1, 2, 3};
    uint32_t count;
    hf_output_append(&output, &pool, bytes, 3);
    const uint8_t *sending = hf_output_peek(&output, &count);
    for (int i = 0; i < 1000; i++)
        hf_output_append(&output, &pool, bytes, sizeof bytes);
    cr_assert_eq(memcmp(sending, bytes, 3), 0);
    hf_output_consume(&output, &pool, count);
    cr_assert_eq(output.bytes, 100000);
    hf_output_drop(&output, &pool);
    hf_chunk_pool_close(&pool);
}

/* Everything was sent: nothing is held for an idle connection. */
Test(output, one_that_owes_nothing_holds_nothing)
{
    struct hf_chunk_pool pool = {0};
    struct hf_output output = {0};
    uint32_t count;
    cr_assert_null(hf_output_peek(&output, &count));
    hf_output_append(&output, &pool, (const uint8_t *)"yes", 3);
    cr_assert_not_null(hf_output_peek(&output, &count));
    hf_output_consume(&output, &pool, 3);
    cr_assert_null(output.first);
    cr_assert_null(output.last);
    cr_assert_eq(pool.free_count, 1);
    hf_chunk_pool_close(&pool);
}
