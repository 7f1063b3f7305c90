/* Options. See options.h. */
#include "bench/options.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "holdfast/types.h"

void hf_usage_error(const char *format, ...)
{
    va_list arguments;
    fprintf(stderr, "%s: ", program_invocation_short_name);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, " (see --help)\n");
    exit(HF_BENCH_USAGE);
}

int hf_option_next(int argc, char **argv, const struct option *options, const char **name)
{
    int index = 0, which = getopt_long(argc, argv, "", options, &index);
    if (which == '?') /* getopt has said what is wrong */
        exit(HF_BENCH_USAGE);
    if (which == -1 && optind < argc)
        hf_usage_error("\"%s\" is not an option", argv[optind]);
    *name = options[index].name;
    return which;
}

uint32_t hf_option_count(const char *option, const char *text, uint32_t min, uint32_t max)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || value < min || value > max)
        hf_usage_error("--%s wants a number from %u to %u, not \"%s\"", option, min, max, text);
    return (uint32_t)value;
}

uint64_t hf_option_duration_ns(const char *option, const char *text)
{
    uint64_t duration_ns;
    if (!hf_duration_parse(text, &duration_ns))
        hf_usage_error("--%s wants a duration such as 200ms or 15m, not \"%s\"", option, text);
    return duration_ns;
}
