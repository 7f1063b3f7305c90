/*
 * holdfast-wal, run by tests, and logs to run it on. There is one output at a time in a process.
 */
#ifndef HF_TESTS_LIB_WAL_TOOL_H
#define HF_TESTS_LIB_WAL_TOOL_H

#include "tests/lib/log_builder.h"

#define HF_WAL_OUTPUT_BYTES (1u << 18)
extern char hf_wal_output[HF_WAL_OUTPUT_BYTES]; /* stdout and stderr of the last run */

/* Runs it with these words. The exit status. */
#define hf_wal_run(...) hf_wal_run_words((const char *const[]){__VA_ARGS__, NULL})

/* The same: an array that ends with NULL. */
int hf_wal_run_words(const char *const words[]);

/* Two runs, 4 inventories of which 2 are used, 3 reservations of which 1 is cancelled, LSN 8. */
void hf_wal_build_sound(struct hf_log_builder *builder);

/* Everything that a record can tell. Reservation 1 holds 2 units of 3, which lapse, and is made
 * anew for one of them; 2 takes the last unit; 3 waits, gets an offer, is refused another; LSN
 * 14. */
void hf_wal_build_story(struct hf_log_builder *builder);

#endif
