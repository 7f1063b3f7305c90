/* Names and meanings of results, fields and states, from the lists in holdfast/result.h. */
#include "holdfast/result.h"
#include "holdfast/types.h"

/* The group stands in the number and there is room for a hundred results in each. */
#define X(name, number, meaning)                                                                   \
    _Static_assert((number) / 100 >= HF_GROUP_YES && (number) / 100 <= HF_GROUP_UNKNOWN,           \
                   "the result " #name " belongs to no group");
HF_RESULTS(X)
#undef X

const char *hf_result_name(unsigned result)
{
    switch (result) {
#define X(name, number, meaning)                                                                   \
    case number:                                                                                   \
        return #name;
        HF_RESULTS(X)
#undef X
    default:
        return "UNKNOWN_RESULT";
    }
}

/* What can be said of a result that a newer server made up. */
static const char *group_meaning(unsigned result)
{
    switch (hf_result_group(result)) {
    case HF_GROUP_YES:
        return "done (a result that this version does not know by name)";
    case HF_GROUP_NO:
        return "not done, nothing changed (a result that this version does not know by name)";
    case HF_GROUP_CONFLICT:
        return "the request contradicts what is known, nothing changed (a result that this version "
               "does not know by name)";
    case HF_GROUP_BAD_REQUEST:
        return "the request can never succeed as it is, nothing changed (a result that this "
               "version does not know by name)";
    case HF_GROUP_RETRY:
        return "nothing was done, the same request may succeed later (a result that this version "
               "does not know by name)";
    default:
        /* A number outside all groups tells nothing, so nothing may be concluded from it. */
        return "it is unknown whether it was done; repeat the same id, or look it up, to learn it "
               "(a result that this version does not know by name)";
    }
}

const char *hf_result_meaning(unsigned result)
{
    switch (result) {
#define X(name, number, meaning)                                                                   \
    case number:                                                                                   \
        return meaning;
        HF_RESULTS(X)
#undef X
    default:
        return group_meaning(result);
    }
}

const char *hf_field_name(unsigned field)
{
    switch (field) {
#define X(name, number, text)                                                                      \
    case number:                                                                                   \
        return text;
        HF_FIELDS(X)
#undef X
    default:
        return "unknown field";
    }
}

const char *hf_state_name(unsigned state)
{
    switch (state) {
    case HF_STATE_HELD:
        return "HELD";
    case HF_STATE_CONFIRMED:
        return "CONFIRMED";
    case HF_STATE_CANCELLED:
        return "CANCELLED";
    case HF_STATE_RELEASED:
        return "RELEASED";
    case HF_STATE_EXPIRED:
        return "EXPIRED";
    case HF_STATE_WAITING:
        return "WAITING";
    default:
        return "UNKNOWN";
    }
}
