/*
 * Batch files: text cut into lines, from a file or from a pipe on which somebody waits for answers.
 *
 * Nothing here waits by itself: hf_cli_batch_file_fill() reads once, which blocks only as read()
 * does, so a caller that polls the descriptor first never blocks. Memory is bounded: a line may be
 * HF_CLI_LINE_BYTES long, a longer one is skipped and told as such.
 *
 * Blank lines are no lines to do, but count in the numbers of those behind them.
 */
#ifndef HF_TOOLS_BATCH_FILE_H
#define HF_TOOLS_BATCH_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HF_CLI_LINE_BYTES 65536

struct hf_cli_batch_file {
    int descriptor;
    int64_t begin;        /* offset of the first byte, where it has one */
    bool ended;           /* nothing more can be read */
    bool skipping;        /* inside a line that is too long */
    uint64_t line_number; /* of the line taken last, from 1 */
    size_t start, end;    /* read and not taken: buffer[start .. end) */
    char buffer[HF_CLI_LINE_BYTES];
};

enum hf_cli_batch_next {
    HF_CLI_BATCH_LINE,     /* *text, of *bytes, until the next fill; not terminated */
    HF_CLI_BATCH_TOO_LONG, /* the line was skipped */
    HF_CLI_BATCH_FILL,     /* more must be read */
    HF_CLI_BATCH_END,
};

/* "-" is stdin. 0 or -errno. Not to be copied: it is large. */
int hf_cli_batch_file_open(struct hf_cli_batch_file *file, const char *path);
void hf_cli_batch_file_close(struct hf_cli_batch_file *file);

/* True: a file that can be read a second time, after hf_cli_batch_file_rewind(). */
bool hf_cli_batch_file_can_rewind(const struct hf_cli_batch_file *file);
int hf_cli_batch_file_rewind(struct hf_cli_batch_file *file); /* 0 or -errno */

/* Takes the next line that is not blank from what has been read. */
enum hf_cli_batch_next hf_cli_batch_file_next(struct hf_cli_batch_file *file, const char **text,
                                              size_t *bytes);

/* Reads once. Call it only after HF_CLI_BATCH_FILL. 0 or -errno. */
int hf_cli_batch_file_fill(struct hf_cli_batch_file *file);

/* The two together: reads until there is a line; blocks. Never HF_CLI_BATCH_FILL but when reading
 * fails, *error then being -errno. */
enum hf_cli_batch_next hf_cli_batch_file_await(struct hf_cli_batch_file *file, const char **text,
                                               size_t *bytes, int *error);

#endif
