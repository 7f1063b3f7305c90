/* Options of the bench's programs: how numbers are read, and what is said of wrong ones. */
#ifndef HF_BENCH_OPTIONS_H
#define HF_BENCH_OPTIONS_H

#include <getopt.h>
#include <stdint.h>

#define HF_BENCH_WRONG 1 /* exit status: measured, but something was not as it should be */
#define HF_BENCH_USAGE 2
#define HF_BENCH_SETUP 3 /* the measurement could not be set up */

/* One line on stderr, and the program ends with status 2. */
__attribute__((format(printf, 1, 2), noreturn)) void hf_usage_error(const char *format, ...);

/* The next option, as getopt_long() tells it, with its name; -1: that was the last. What is no option
 * ends the program. */
int hf_option_next(int argc, char **argv, const struct option *options, const char **name);

/* The number of an option, min .. max; or ends the program. */
uint32_t hf_option_count(const char *option, const char *text, uint32_t min, uint32_t max);

/* The duration of an option ("200ms", "15m"; "0s" is one); or ends the program. */
uint64_t hf_option_duration_ns(const char *option, const char *text);

#endif
