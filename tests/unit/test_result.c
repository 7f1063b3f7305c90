/* Names and meanings of results, fields and states. */
#include <criterion/criterion.h>
#include <string.h>

#include "holdfast/result.h"
#include "holdfast/types.h"

Test(result, every_result_has_its_name_meaning_and_group)
{
    /* One result of each group, and the first and the last of the list. */
    cr_assert_str_eq(hf_result_name(HF_GRANTED), "GRANTED");
    cr_assert_str_eq(hf_result_name(HF_SOLD_OUT), "SOLD_OUT");
    cr_assert_str_eq(hf_result_name(HF_ID_REUSED), "ID_REUSED");
    cr_assert_str_eq(hf_result_name(HF_BAD_FIELD), "BAD_FIELD");
    cr_assert_str_eq(hf_result_name(HF_SHUTTING_DOWN), "SHUTTING_DOWN");
    cr_assert_str_eq(hf_result_name(HF_NOT_CONNECTED), "NOT_CONNECTED");
    cr_assert_eq(hf_result_group(HF_GRANTED), HF_GROUP_YES);
    cr_assert_eq(hf_result_group(HF_SOLD_OUT), HF_GROUP_NO);
    cr_assert_eq(hf_result_group(HF_ID_REUSED), HF_GROUP_CONFLICT);
    cr_assert_eq(hf_result_group(HF_BAD_FIELD), HF_GROUP_BAD_REQUEST);
    cr_assert_eq(hf_result_group(HF_SHUTTING_DOWN), HF_GROUP_RETRY);
    cr_assert_eq(hf_result_group(HF_NOT_CONNECTED), HF_GROUP_UNKNOWN);
    cr_assert_not_null(strstr(hf_result_meaning(HF_SOLD_OUT), "nothing changed"));
}

Test(result, numbers_never_change)
{
    /* The numbers that version 0.1.0 put on the wire. */
    cr_assert_eq(HF_GRANTED, 100);
    cr_assert_eq(HF_CANCELLED, 101);
    cr_assert_eq(HF_FOUND, 102);
    cr_assert_eq(HF_CREATED, 103);
    cr_assert_eq(HF_OK, 104);
    cr_assert_eq(HF_SOLD_OUT, 200);
    cr_assert_eq(HF_NOT_FOUND, 201);
    cr_assert_eq(HF_ID_REUSED, 300);
    cr_assert_eq(HF_INVENTORY_EXISTS, 301);
    cr_assert_eq(HF_BAD_FRAME, 400);
    cr_assert_eq(HF_UNKNOWN_OPERATION, 401);
    cr_assert_eq(HF_UNSUPPORTED_VERSION, 402);
    cr_assert_eq(HF_BAD_FIELD, 403);
    cr_assert_eq(HF_UNKNOWN_INVENTORY, 404);
    cr_assert_eq(HF_FRAME_TOO_LARGE, 405);
    cr_assert_eq(HF_RESERVATIONS_FULL, 500);
    cr_assert_eq(HF_INVENTORIES_FULL, 501);
    cr_assert_eq(HF_SHUTTING_DOWN, 502);
    cr_assert_eq(HF_STORAGE_FULL, 503);
    cr_assert_eq(HF_OUTCOME_UNKNOWN, 600);
    cr_assert_eq(HF_NOT_CONNECTED, 601);
    cr_assert_eq(HF_STATE_CONFIRMED, 2);
    cr_assert_eq(HF_STATE_CANCELLED, 3);
}

Test(result, numbers_of_later_results_never_change_either)
{
    /* The numbers that holds, batches, limits, waiting lists and watching put on the wire. */
    static const struct {
        unsigned result, number;
    } results[] = {
        {HF_CONFIRMED, 105},
        {HF_RELEASED, 106},
        {HF_EXTENDED, 107},
        {HF_CHANGED, 108},
        {HF_MOVED, 109},
        {HF_JOINED, 110},
        {HF_LEFT, 111},
        {HF_BATCH_DONE, 112},
        {HF_SET, 113},
        {HF_SUBSCRIBED, 114},
        {HF_RECORDS, 115},
        {HF_FELL_BEHIND, 116},
        {HF_UNSUBSCRIBED, 117},
        {HF_TOO_LATE, 202},
        {HF_HOLD_EXPIRED, 203},
        {HF_NOT_OPEN, 204},
        {HF_CLOSED, 205},
        {HF_PAUSED, 206},
        {HF_QTY_NOT_ALLOWED, 207},
        {HF_TTL_NOT_ALLOWED, 208},
        {HF_CUSTOMER_LIMIT, 209},
        {HF_WAITING_LIST, 210},
        {HF_WAITING_FULL, 211},
        {HF_NOT_SOLD_OUT, 212},
        {HF_CANCEL_TOO_LATE, 213},
        {HF_BELOW_SOLD, 214},
        {HF_LSN_NOT_KEPT, 215},
        {HF_VERSION_MISMATCH, 302},
        {HF_SEQUENCE_MISMATCH, 303},
        {HF_WRONG_STATE, 304},
        {HF_CUSTOMERS_FULL, 504},
        {HF_SUBSCRIPTIONS_FULL, 505},
        {HF_NOT_READY, 506},
        {HF_OVERLOADED, 507},
        {HF_STATE_HELD, 1},
        {HF_STATE_RELEASED, 4},
        {HF_STATE_EXPIRED, 5},
        {HF_STATE_WAITING, 6},
    };
    for (size_t i = 0; i < sizeof results / sizeof results[0]; i++)
        cr_assert_eq(results[i].result, results[i].number, "%zu", i);
}

Test(result, an_unknown_number_is_told_by_its_group)
{
    /* Numbers that a newer server may send, and numbers that no server may. */
    cr_assert_str_eq(hf_result_name(299), "UNKNOWN_RESULT");
    cr_assert_not_null(strstr(hf_result_meaning(199), "done"));
    cr_assert_not_null(strstr(hf_result_meaning(299), "nothing changed"));
    cr_assert_not_null(strstr(hf_result_meaning(399), "contradicts"));
    cr_assert_not_null(strstr(hf_result_meaning(499), "never succeed"));
    cr_assert_not_null(strstr(hf_result_meaning(599), "later"));
    cr_assert_not_null(strstr(hf_result_meaning(699), "unknown whether"));
    cr_assert_not_null(strstr(hf_result_meaning(0), "unknown whether"));
    cr_assert_not_null(strstr(hf_result_meaning(UINT32_MAX), "unknown whether"));
}

Test(result, fields_and_states_have_names)
{
    /* Known numbers, and the first unknown ones. */
    static const char *const states[] = {"UNKNOWN",  "HELD",    "CONFIRMED", "CANCELLED",
                                         "RELEASED", "EXPIRED", "WAITING",   "UNKNOWN"};
    cr_assert_str_eq(hf_field_name(HF_FIELD_NONE), "");
    cr_assert_str_eq(hf_field_name(HF_FIELD_QTY), "qty");
    cr_assert_str_eq(hf_field_name(HF_FIELD_VERSION), "version");
    cr_assert_str_eq(hf_field_name(HF_FIELD_TTL), "ttl");
    cr_assert_str_eq(hf_field_name(HF_FIELD_TAG), "tag");
    cr_assert_str_eq(hf_field_name(HF_FIELD_TAG + 1), "unknown field");
    for (unsigned state = 0; state < sizeof states / sizeof states[0]; state++)
        cr_assert_str_eq(hf_state_name(state), states[state]);
    cr_assert_str_eq(hf_state_name(UINT32_MAX), "UNKNOWN");
}

Test(result, every_result_is_told_by_its_own_name_and_meaning)
{
    /* The whole list, as numbers from the wire. */
#define X(name, number, meaning)                                                                   \
    cr_assert_str_eq(hf_result_name(number), #name);                                               \
    cr_assert_str_eq(hf_result_meaning(number), meaning);
    HF_RESULTS(X)
#undef X
}
