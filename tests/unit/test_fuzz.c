/* Every fuzz program, for some seconds and with a new seed each time. `make fuzz` takes longer. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "tests/lib/process.h"

static void run(const char *name, const char *rounds)
{
    char path[HF_PROGRAM_TEXT_BYTES];
    char output[8192];
    hf_program_path(name, path);
    const char *const argv[] = {path, "--rounds", rounds, NULL};
    int status = hf_process_run(argv, output, sizeof output);
    cr_expect(status == 0, "%s ended with status %d: %s", name, status, output);
}

Test(fuzz, no_bytes_confuse_the_codec, .timeout = 300)
{
    run("fuzz/fuzz_codec", "200000");
}

Test(fuzz, no_bytes_confuse_whatever_reads_a_log, .timeout = 300)
{
    run("fuzz/fuzz_log", "100000");
}

Test(fuzz, no_bytes_confuse_whatever_reads_a_snapshot, .timeout = 300)
{
    run("fuzz/fuzz_snapshot", "100000");
}

Test(fuzz, no_connection_disturbs_the_server_or_another_one, .timeout = 300)
{
    run("fuzz/fuzz_server", "200000");
}
