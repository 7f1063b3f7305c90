/* Arrivals. See arrivals.h. */
#include "bench/arrivals.h"

#include <math.h>
#include <string.h>

#include "base/clock.h"

static const char *const names[] = {
    [HF_ARRIVALS_POISSON] = "poisson", [HF_ARRIVALS_FIXED] = "fixed"};

void hf_arrivals_init(struct hf_arrivals *arrivals, enum hf_arrival_kind kind, double per_second,
                      uint64_t begin_ns, uint32_t part, uint32_t parts, uint64_t seed)
{
    *arrivals = (struct hf_arrivals){
        .next_ns = begin_ns,
        .mean_gap_ns = (double)HF_NS_PER_S * parts / per_second,
        .kind = kind,
        .random = {.state = seed},
    };
    if (kind == HF_ARRIVALS_FIXED)
        arrivals->next_ns += (uint64_t)(arrivals->mean_gap_ns * part / parts);
    else
        hf_arrivals_pass(arrivals); /* the first gap is one like any other */
}

void hf_arrivals_pass(struct hf_arrivals *arrivals)
{
    double gap_ns = arrivals->mean_gap_ns;
    if (arrivals->kind == HF_ARRIVALS_POISSON)
        gap_ns *= -log(hf_random_unit(&arrivals->random));
    gap_ns += arrivals->carried_ns;
    uint64_t whole_ns = (uint64_t)gap_ns;
    arrivals->carried_ns = gap_ns - (double)whole_ns;
    arrivals->next_ns += whole_ns;
}

bool hf_arrivals_parse(const char *text, enum hf_arrival_kind *kind)
{
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(text, names[i]) == 0) {
            *kind = (enum hf_arrival_kind)i;
            return true;
        }
    }
    return false;
}

const char *hf_arrivals_name(enum hf_arrival_kind kind)
{
    return names[kind];
}
