/* What a simulation went through; see coverage.h. */
#include "tests/sim/coverage.h"

#include <inttypes.h>

void hf_sim_coverage_print(const struct hf_sim_coverage *coverage, FILE *file)
{
#define PRINT(name, text) fprintf(file, "%12" PRIu64 "  %s\n", coverage->name, text);
    HF_SIM_COUNTERS(PRINT, PRINT)
#undef PRINT
}

unsigned hf_sim_coverage_missing(const struct hf_sim_coverage *coverage, FILE *file)
{
    unsigned missing = 0;
#define CHECK(name, text)                                                                          \
    if (coverage->name == 0) {                                                                     \
        fprintf(file, "sim: it never happened: %s (%s)\n", text, #name);                           \
        missing++;                                                                                 \
    }
#define PASS(name, text)
    HF_SIM_COUNTERS(CHECK, PASS)
#undef PASS
#undef CHECK
    return missing;
}
