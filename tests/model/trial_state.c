/* The whole state of the server against the model's: all inventories, and reservations by lists of all
 * kinds. See trial.h. */
#include "tests/model/trial_private.h"

#include "base/check.h"

static bool passes(const struct hf_reservation_filter *filter, const struct hf_reservation *one)
{
    return (!(filter->filters & HF_FILTER_INVENTORY) ||
            filter->inventory_id == one->inventory_id) &&
           (!(filter->filters & HF_FILTER_CUSTOMER) || filter->customer_id == one->customer_id) &&
           (filter->states == 0 || (filter->states >> one->state & 1)) &&
           one->made_at_ns >= filter->made_from_ns &&
           (filter->made_before_ns == 0 || one->made_at_ns < filter->made_before_ns);
}

/* One that was listed, against the model; `listed` counts those that the model has. */
static const char *compare_listed(struct hf_trial *trial,
                                  const struct hf_reservation_filter *filter,
                                  const struct hf_reservation *listed, uint32_t *count)
{
    const struct hf_world_reservation *one = hf_world_find_any(trial->world, &listed->id);
    if (!passes(filter, listed))
        return hf_trial_wrong(trial,
                              "RESERVATION_LIST lists one that its filter does not let pass");
    if (one == NULL && hf_trial_retention_is_over(trial, listed))
        return NULL; /* dropped from the model, and back from the log */
    if (one && one->forgotten)
        hf_world_note_forgotten(trial->world, &listed->id, false);
    struct hf_reservation expected = one ? one->now : *listed;
    hf_trial_loosen_link(trial, &expected, listed);
    const char *difference = one ? hf_compare_reservations(&expected, listed) : "that it is there";
    if (difference == NULL) {
        ++*count;
        return NULL;
    }
    hf_trial_print_reservation(trial, "    listed: ", listed);
    if (one)
        hf_trial_print_reservation(trial, "    the model has: ", &one->now);
    return hf_trial_wrong(trial, "RESERVATION_LIST and the model differ: %s", difference);
}

static bool is_listed(const struct hf_reservation *listed, uint32_t count, const struct hf_id *id)
{
    for (uint32_t i = 0; i < count; i++) {
        if (hf_id_equal(&listed[i].id, id))
            return true;
    }
    return false;
}

/* Who of the model was not listed was forgotten, or is missing. */
static const char *compare_missing(struct hf_trial *trial,
                                   const struct hf_reservation_filter *filter,
                                   const struct hf_reservation *listed, uint32_t count)
{
    for (uint32_t i = 0; i < hf_world_reservation_count(trial->world); i++) {
        const struct hf_world_reservation *one = hf_world_reservation(trial->world, i);
        if (one->forgotten || !passes(filter, &one->now) || is_listed(listed, count, &one->now.id))
            continue;
        if (!hf_trial_retention_is_over(trial, &one->now)) {
            hf_trial_print_reservation(trial, "    missing: ", &one->now);
            return hf_trial_wrong(trial, "RESERVATION_LIST leaves one out");
        }
        hf_world_note_forgotten(trial->world, &one->now.id, true);
    }
    return NULL;
}

static const char *compare_reservations(struct hf_trial *trial,
                                        const struct hf_reservation_filter *filter)
{
    static struct hf_reservation listed[2 * HF_TRIAL_MAX_RESERVATIONS];
    struct hf_request request = {.operation = HF_OP_RESERVATION_LIST, .filter = *filter};
    uint32_t count = 0, known = 0;
    do {
        request.limit = 1 + (count * 7 + trial->symbol_count) % HF_MAX_BATCH_LINES;
        const char *error = hf_trial_ask_and_follow(trial, &request);
        const struct hf_reply *reply = &trial->answer.reply;
        if (error)
            return error;
        if (reply->result != HF_FOUND || reply->count > request.limit)
            return hf_trial_wrong(trial, "RESERVATION_LIST answers %s with %u entries",
                                  hf_result_name(reply->result), reply->count);
        HF_CHECK(count + reply->count <= 2 * HF_TRIAL_MAX_RESERVATIONS);
        for (uint32_t i = 0; i < reply->count; i++) {
            const struct hf_reservation *one = &reply->entries[i].reservation;
            if (is_listed(listed, count, &one->id))
                return hf_trial_wrong(trial, "RESERVATION_LIST lists one twice");
            if ((error = compare_listed(trial, filter, one, &known)))
                return error;
            listed[count++] = *one;
        }
        request.filter.cursor = reply->next;
    } while (request.filter.cursor != 0);
    return compare_missing(trial, filter, listed, count);
}

static const char *compare_inventories(struct hf_trial *trial)
{
    for (uint32_t i = 0; i < hf_world_inventory_count(trial->world); i++) {
        const struct hf_request request = {
            .operation = HF_OP_INVENTORY_SETTINGS,
            .inventory_id = hf_world_inventory(trial->world, i)->inventory_id,
        };
        const char *error = hf_trial_ask_and_follow(trial, &request);
        if (error)
            return error;
        hf_reference_execute(trial->world, trial->now_ns, &request, &trial->chosen, false,
                             &trial->expected);
        if ((error = hf_trial_check_answer(trial, &request)) ||
            (error = hf_trial_check_version(trial, &trial->answer.reply.inventory)))
            return error;
    }
    return NULL;
}

/* Everything, and then what some filter lets pass. */
const char *hf_trial_compare_state(struct hf_trial *trial, uint32_t dice)
{
    struct hf_reservation_filter filter = {0};
    const char *error = compare_inventories(trial);
    if (error || (error = compare_reservations(trial, &filter)))
        return error;
    if (dice & 1) {
        filter.filters |= HF_FILTER_INVENTORY;
        filter.inventory_id = 1 + (dice >> 8) % 5;
    }
    if (dice & 2) {
        filter.filters |= HF_FILTER_CUSTOMER;
        filter.customer_id = 1 + (dice >> 12) % 5;
    }
    if (dice & 4)
        filter.states = dice >> 16 & 0x7e;
    if (dice & 8)
        filter.made_from_ns = trial->now_ns - (dice >> 4);
    if (dice & 16)
        filter.made_before_ns = trial->now_ns - (dice >> 12);
    if (trial->coverage)
        trial->coverage->comparisons++;
    return compare_reservations(trial, &filter);
}
