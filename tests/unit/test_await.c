/* Replies that wait: their order, while the room for them grows. */
#include <criterion/criterion.h>

#include "net/await.h"

/* Pushed and popped at random places of the ring, and grown twice, they come out in their order; at
 * the limit there is no room, and nothing is lost. */
Test(await, keeps_the_order_while_it_grows)
{
    struct hf_await await;
    cr_assert_eq(hf_await_init(&await, 4, 16), 0);
    uint64_t pushed = 0, popped = 0;
    for (uint32_t wanted = 3; wanted <= 16; wanted++) {
        while (hf_await_count(&await) < wanted) {
            cr_assert_neq(hf_await_room(&await), 0);
            struct hf_awaiting *awaiting = hf_await_push(&await);
            cr_assert_not_null(awaiting);
            awaiting->lsn = ++pushed;
            awaiting->large = NULL;
        }
        for (uint32_t i = 0; i < 2 && wanted < 16; i++) {
            cr_expect_eq(hf_await_front(&await)->lsn, ++popped);
            hf_await_pop(&await);
        }
    }
    cr_expect_eq(hf_await_room(&await), 0);
    cr_expect_null(hf_await_push(&await));
    while (hf_await_front(&await) != NULL) {
        cr_expect_eq(hf_await_front(&await)->lsn, ++popped);
        hf_await_pop(&await);
    }
    cr_expect_eq(popped, pushed);
    cr_expect_eq(hf_await_room(&await), 16);
    hf_await_close(&await);
}
