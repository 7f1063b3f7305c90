/* Every stress test, for a second with two threads and one with eight. `make stress` takes longer.
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "tests/lib/process.h"

static void run(const char *directory, const char *name, const char *threads)
{
    char path[HF_PROGRAM_TEXT_BYTES + 256];
    char output[4096];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    const char *const argv[] = {path, "--threads", threads, "--seconds", "1", NULL};
    int status = hf_process_run(argv, output, sizeof output);
    cr_expect(status == 0, "%s with %s threads ended with status %d: %s", name, threads, status,
              output);
}

Test(stress, each_structure_holds_with_two_and_with_eight_threads, .timeout = 300)
{
    char directory[HF_PROGRAM_TEXT_BYTES];
    unsigned count = 0;
    const struct dirent *entry;
    hf_program_path("stress", directory);
    DIR *programs = opendir(directory);
    cr_assert(programs, "%s does not exist: build with `make test`", directory);
    while ((entry = readdir(programs))) {
        if (entry->d_name[0] == '.')
            continue;
        run(directory, entry->d_name, "2");
        run(directory, entry->d_name, "8");
        count++;
    }
    closedir(programs);
    cr_assert(count > 0, "%s is empty", directory);
}
