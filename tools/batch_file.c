/* Text cut into lines. See batch_file.h. */
#include "tools/batch_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void forget(struct hf_cli_batch_file *file)
{
    file->ended = file->skipping = false;
    file->line_number = 0;
    file->start = file->end = 0;
}

int hf_cli_batch_file_open(struct hf_cli_batch_file *file, const char *path)
{
    forget(file);
    file->descriptor =
        strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (file->descriptor < 0)
        return -errno;
    file->begin = lseek(file->descriptor, 0, SEEK_CUR); /* of stdin, perhaps not the first */
    return 0;
}

void hf_cli_batch_file_close(struct hf_cli_batch_file *file)
{
    if (file->descriptor > STDIN_FILENO)
        close(file->descriptor);
    file->descriptor = -1;
}

bool hf_cli_batch_file_can_rewind(const struct hf_cli_batch_file *file)
{
    struct stat status;
    return file->begin >= 0 && fstat(file->descriptor, &status) == 0 && S_ISREG(status.st_mode);
}

int hf_cli_batch_file_rewind(struct hf_cli_batch_file *file)
{
    forget(file);
    return lseek(file->descriptor, file->begin, SEEK_SET) < 0 ? -errno : 0;
}

static bool is_blank(const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        if (text[i] != ' ' && text[i] != '\t' && text[i] != '\r')
            return false;
    }
    return true;
}

/* The line that begins at `start`, up to its end or the file's. False: it is not whole yet. */
static bool take_line(struct hf_cli_batch_file *file, const char **text, size_t *bytes)
{
    const char *begin = file->buffer + file->start;
    size_t left = file->end - file->start;
    const char *newline = left > 0 ? memchr(begin, '\n', left) : NULL;
    if (newline == NULL && !(file->ended && (left > 0 || file->skipping)))
        return false;
    *text = begin;
    *bytes = newline == NULL ? left : (size_t)(newline - begin);
    file->start += *bytes + (newline != NULL);
    file->line_number++;
    return true;
}

enum hf_cli_batch_next hf_cli_batch_file_next(struct hf_cli_batch_file *file, const char **text,
                                              size_t *bytes)
{
    while (take_line(file, text, bytes)) {
        if (file->skipping) {
            file->skipping = false;
            return HF_CLI_BATCH_TOO_LONG;
        }
        if (!is_blank(*text, *bytes))
            return HF_CLI_BATCH_LINE;
    }
    return file->ended ? HF_CLI_BATCH_END : HF_CLI_BATCH_FILL;
}

int hf_cli_batch_file_fill(struct hf_cli_batch_file *file)
{
    size_t left = file->end - file->start;
    if (left == sizeof file->buffer) { /* one line, and no end of it */
        file->skipping = true;
        left = 0;
    }
    memmove(file->buffer, file->buffer + file->start, left);
    file->start = 0;
    file->end = left;
    ssize_t count = read(file->descriptor, file->buffer + left, sizeof file->buffer - left);
    if (count < 0)
        return errno == EINTR || errno == EAGAIN ? 0 : -errno;
    file->ended = count == 0;
    file->end += (size_t)count;
    return 0;
}

enum hf_cli_batch_next hf_cli_batch_file_await(struct hf_cli_batch_file *file, const char **text,
                                               size_t *bytes, int *error)
{
    for (;;) {
        enum hf_cli_batch_next next = hf_cli_batch_file_next(file, text, bytes);
        if (next != HF_CLI_BATCH_FILL)
            return next;
        *error = hf_cli_batch_file_fill(file);
        if (*error != 0)
            return next;
    }
}
