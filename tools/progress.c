/* Progress; see progress.h. */
#include "tools/progress.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"

#define AFTER_NS    HF_NS_PER_S
#define INTERVAL_NS (200 * HF_NS_PER_MS)

void hf_progress_begin(struct hf_progress *progress)
{
    *progress = (struct hf_progress){0};
    if (isatty(STDERR_FILENO))
        progress->due_ns = hf_monotonic_now_ns() + AFTER_NS;
}

void hf_progress_show(struct hf_progress *progress, const char *format, ...)
{
    if (progress->due_ns == 0)
        return;
    uint64_t now_ns = hf_monotonic_now_ns();
    if (now_ns < progress->due_ns)
        return;
    progress->due_ns = now_ns + INTERVAL_NS;
    progress->shown = true;
    fputs("\r\033[K", stderr);
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
}

void hf_progress_clear(struct hf_progress *progress)
{
    if (progress->shown)
        fputs("\r\033[K", stderr);
    progress->shown = false;
}
