/* Retention in short form: months of traffic on the engine, seconds on a server. `make retention`
 * takes longer. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "tests/lib/process.h"

static void run(const char *name, const char *const arguments[])
{
    char path[HF_PROGRAM_TEXT_BYTES];
    char output[8192];
    const char *argv[16] = {path};
    hf_program_path(name, path);
    for (unsigned i = 0; i < 14 && arguments[i]; i++)
        argv[i + 1] = arguments[i];
    int status = hf_process_run(argv, output, sizeof output);
    cr_expect(status == 0, "%s ended with status %d: %s", name, status, output);
}

#define RUN(name, ...) run(name, (const char *const[]){__VA_ARGS__, NULL})

Test(retention, three_months_of_one_thread_leave_nothing_behind, .timeout = 300)
{
    RUN("retention", "--days", "95", "--per-day", "1000");
}

Test(retention, three_months_of_two_threads_leave_nothing_behind, .timeout = 300)
{
    RUN("retention", "--days", "95", "--per-day", "1000", "--threads", "2");
}

Test(retention, a_server_serves_more_than_its_table_holds, .timeout = 120)
{
    char programs[HF_PROGRAM_TEXT_BYTES];
    hf_program_path("", programs);
    RUN("serving", "--seconds", "6", "--programs", programs);
}
