/* Walks over logs; see walk.h. */
#include "tools/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/clock.h"
#include "wal/io.h"

#define MAX_GROWTHS          3 /* how long a log that is being written is followed */
#define PROGRESS_AFTER_NS    HF_NS_PER_S
#define PROGRESS_INTERVAL_NS (200 * HF_NS_PER_MS)

bool hf_walk_server_runs(const char *directory)
{
    char path[PATH_MAX];
    int length = snprintf(path, sizeof path, "%s/lock", directory);
    if (length < 0 || (size_t)length >= sizeof path)
        return false;
    int lock = open(path, O_RDONLY | O_CLOEXEC);
    if (lock < 0)
        return false;
    bool held = flock(lock, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
    close(lock);
    return held;
}

bool hf_walk_open(struct hf_walk *walk, const char *directory, bool progress)
{
    *walk = (struct hf_walk){.directory = directory};
    if (progress && isatty(STDERR_FILENO))
        walk->progress_due_ns = hf_monotonic_now_ns() + PROGRESS_AFTER_NS;
    if (hf_reader_open(hf_io_posix(), directory, true, NULL, &walk->reader, &walk->finding) < 0)
        return false;
    if (hf_reader_files(walk->reader)->last_segment != 0)
        return true;
    hf_reader_close(walk->reader);
    snprintf(walk->finding.text, sizeof walk->finding.text, "%s holds no log", directory);
    return false;
}

void hf_walk_close(struct hf_walk *walk)
{
    hf_reader_close(walk->reader);
}

void hf_walk_clear_progress(struct hf_walk *walk)
{
    if (walk->progress_shown)
        fprintf(stderr, "\r\033[K");
    walk->progress_shown = false;
}

static void show_progress(struct hf_walk *walk)
{
    if (walk->progress_due_ns == 0)
        return;
    uint64_t now_ns = hf_monotonic_now_ns();
    if (now_ns < walk->progress_due_ns)
        return;
    walk->progress_due_ns = now_ns + PROGRESS_INTERVAL_NS;
    walk->progress_shown = true;
    double done = (double)hf_reader_bytes_done(walk->reader);
    fprintf(stderr, "\rread %.0f of %.0f MiB, %" PRIu64 " records", done / (1 << 20),
            (double)hf_reader_bytes_total(walk->reader) / (1 << 20), walk->records);
}

bool hf_walk_next(struct hf_walk *walk, struct hf_block_view *view)
{
    if (hf_reader_growths(walk->reader) >= MAX_GROWTHS) {
        walk->grows = true;
        walk->end = HF_READ_END;
    } else {
        walk->end = hf_reader_next(walk->reader, view);
    }
    if (walk->end != HF_READ_BLOCK) {
        hf_walk_clear_progress(walk);
        walk->finding = *hf_reader_finding(walk->reader);
        walk->in_flight = walk->end == HF_READ_TORN && hf_walk_server_runs(walk->directory);
        return false;
    }
    walk->last = view->header;
    walk->blocks++;
    walk->records += view->header.record_count;
    walk->starts += (view->header.flags & HF_BLOCK_START) != 0;
    walk->clean_stops += (view->header.flags & HF_BLOCK_STOP) != 0;
    show_progress(walk);
    return true;
}

uint64_t hf_walk_last_lsn(const struct hf_walk *walk)
{
    return walk->blocks == 0 ? 0 : walk->last.first_lsn + walk->last.record_count - 1;
}

bool hf_walk_ended_well(const struct hf_walk *walk)
{
    return walk->end == HF_READ_END || walk->end == HF_READ_TORN;
}
