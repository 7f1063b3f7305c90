/* What unit tests expect of a run of holdfast-wal (wal_tool.h). It stands here, as the library
 * itself does without Criterion. */
#ifndef HF_TESTS_LIB_WAL_EXPECT_H
#define HF_TESTS_LIB_WAL_EXPECT_H

#include <criterion/criterion.h>
#include <string.h>

#include "tests/lib/wal_tool.h"

#define hf_wal_expect(text)                                                                        \
    cr_expect_not_null(strstr(hf_wal_output, text), "'%s' is not in:\n%s", text, hf_wal_output)

#define hf_wal_expect_not(text)                                                                    \
    cr_expect_null(strstr(hf_wal_output, text), "'%s' is in:\n%s", text, hf_wal_output)

/* It exits with that status. */
#define hf_wal_expect_run(status, ...)                                                             \
    do {                                                                                           \
        int exited = hf_wal_run(__VA_ARGS__);                                                      \
        cr_expect_eq(exited, status, "exit status %d: %s", exited, hf_wal_output);                 \
    } while (0)

#endif
