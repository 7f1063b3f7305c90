/* The probe; what it measures, and how long it may, is told in probe.h. */
#include "wal/probe.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>

#include "base/check.h"
#include "base/clock.h"
#include "wal/block.h"
#include "wal/io_uring.h"
#include "wal/segment_header.h"

#define FILE_BYTES   (64u * HF_BLOCK_ALIGN_BYTES)
#define RING_ENTRIES 4

/* Write and fdatasync is clearly sooner if its median is less than this part of the other's, and it
 * was sooner in this part of the rounds. */
#define CLEARLY_SOONER_PERCENT 85
#define SOONER_ROUNDS_PERCENT  75

/* ---- measuring and choosing ---- */

enum { WAY_DIRECT, WAY_SYNC, WAYS };

struct measurement {
    struct hf_probe *probe;
    uint64_t began_ns;
    uint64_t longest_ns; /* of the steps so far */
    uint32_t rounds;     /* whole ones */
    uint32_t sooner;     /* those in which write and fdatasync was sooner */
    uint64_t took_ns[WAYS][HF_PROBE_MAX_ROUNDS];
};

static uint64_t elapsed_ns(const struct measurement *measurement)
{
    return measurement->probe->now_ns(measurement->probe) - measurement->began_ns;
}

/* False: a step as long as can be feared would not end in time. */
static bool may_begin(const struct measurement *measurement)
{
    return elapsed_ns(measurement) + 3 * measurement->longest_ns <= HF_PROBE_BUDGET_NS;
}

/* Counts a step that began then. Returns how long it took. */
static uint64_t end_step(struct measurement *measurement, uint64_t step_began_ns)
{
    uint64_t took_ns = elapsed_ns(measurement) - step_began_ns;
    if (measurement->longest_ns < took_ns)
        measurement->longest_ns = took_ns;
    return took_ns;
}

/* One write this way. 0, -ETIME or -errno. */
static int measure_write(struct measurement *measurement, int way, uint64_t *took_ns)
{
    static const enum hf_log_writes writes[WAYS] = {HF_LOG_WRITES_DIRECT, HF_LOG_WRITES_SYNC};
    if (!may_begin(measurement))
        return -ETIME;
    uint64_t step_began_ns = elapsed_ns(measurement);
    int result = measurement->probe->write(measurement->probe, writes[way]);
    *took_ns = end_step(measurement, step_began_ns);
    return result;
}

/* One write each way; the one that came first comes second in the next round. */
static int measure_round(struct measurement *measurement, bool has_direct, uint64_t took_ns[WAYS])
{
    int first = measurement->rounds % 2 == 0 ? WAY_DIRECT : WAY_SYNC;
    int second = first == WAY_DIRECT ? WAY_SYNC : WAY_DIRECT;
    if (!has_direct)
        return measure_write(measurement, WAY_SYNC, &took_ns[WAY_SYNC]);
    int result = measure_write(measurement, first, &took_ns[first]);
    return result == 0 ? measure_write(measurement, second, &took_ns[second]) : result;
}

static int measure(struct measurement *measurement, bool has_direct)
{
    uint64_t took_ns[WAYS] = {0};
    int result = measurement->probe->fill(measurement->probe);
    end_step(measurement, 0);
    if (result == 0)
        result = measure_round(measurement, has_direct, took_ns); /* not counted */
    while (result == 0 && measurement->rounds < HF_PROBE_MAX_ROUNDS) {
        if (measurement->rounds >= HF_PROBE_MIN_ROUNDS &&
            elapsed_ns(measurement) >= HF_PROBE_ENOUGH_NS)
            return 0;
        result = measure_round(measurement, has_direct, took_ns);
        if (result != 0)
            break;
        for (int way = 0; way < WAYS; way++)
            measurement->took_ns[way][measurement->rounds] = took_ns[way];
        measurement->sooner += took_ns[WAY_SYNC] < took_ns[WAY_DIRECT];
        measurement->rounds++;
    }
    return result;
}

static int compare(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return a < b ? -1 : a > b;
}

/* 0: nothing was measured. */
static uint64_t median_ns(uint64_t *took_ns, uint32_t count)
{
    if (count == 0)
        return 0;
    qsort(took_ns, count, sizeof *took_ns, compare);
    return took_ns[count / 2];
}

void hf_probe_run(struct hf_probe *probe, struct hf_disk *disk)
{
    struct measurement measurement = {.probe = probe, .began_ns = probe->now_ns(probe)};
    disk->error = measure(&measurement, disk->direct.used);
    disk->rounds = measurement.rounds;
    disk->direct_ns = median_ns(measurement.took_ns[WAY_DIRECT], measurement.rounds);
    disk->sync_ns = median_ns(measurement.took_ns[WAY_SYNC], measurement.rounds);
    if (disk->error == -ETIME && disk->rounds >= HF_PROBE_MIN_ROUNDS)
        disk->error = 0;
    bool sooner = disk->error == 0 &&
                  disk->sync_ns * 100 < disk->direct_ns * CLEARLY_SOONER_PERCENT &&
                  measurement.sooner * 100 >= measurement.rounds * SOONER_ROUNDS_PERCENT;
    disk->writes = disk->direct.used && !sooner ? HF_LOG_WRITES_DIRECT : HF_LOG_WRITES_SYNC;
    disk->most_writes_inflight = disk->direct.certain ? 0 : 1;
    disk->probe_ns = elapsed_ns(&measurement);
}

/* ---- the real disk ---- */

struct real_probe {
    struct hf_probe probe;
    struct hf_io *io;
    const char *directory;
    int file;
    uint8_t *block;
    uint64_t offset; /* of the next write */
    struct io_uring ring;
    struct hf_uring_queue queue;
};

static uint64_t real_now_ns(struct hf_probe *probe)
{
    (void)probe;
    return hf_monotonic_now_ns();
}

static int real_fill(struct hf_probe *probe)
{
    struct real_probe *real = (struct real_probe *)probe;
    struct hf_io *io = real->io;
    int file = io->open_file(io, real->directory, HF_PROBE_NAME, HF_IO_CREATE);
    if (file < 0)
        return file;
    uint8_t *zeros = aligned_alloc(HF_BLOCK_ALIGN_BYTES, FILE_BYTES);
    int result = zeros == NULL ? -ENOMEM : 0;
    if (result == 0) {
        memset(zeros, 0, FILE_BYTES);
        result = io->write_at(io, file, zeros, FILE_BYTES, 0);
    }
    free(zeros);
    io->close_file(io, file);
    if (result != 0)
        return result;
    real->file = io->open_file(io, real->directory, HF_PROBE_NAME, HF_IO_WRITE);
    return real->file < 0 ? real->file : 0;
}

/* Waits for one completion of our write, or of its sync. True: the write is over. */
static bool complete(struct real_probe *real, int *result)
{
    struct io_uring_cqe *completion;
    uint32_t cookie;
    hf_uring_submit_all(&real->ring);
    int waited = io_uring_wait_cqe(&real->ring, &completion);
    HF_CHECK(waited == 0 || waited == -EINTR); /* the block is the kernel's until it says so */
    if (waited != 0)
        return false;
    bool over = hf_uring_queue_reap(&real->queue, completion, &cookie, result);
    io_uring_cqe_seen(&real->ring, completion);
    return over;
}

static int real_write(struct hf_probe *probe, enum hf_log_writes writes)
{
    struct real_probe *real = (struct real_probe *)probe;
    int result;
    real->queue.writes = writes;
    real->queue.queue.submit(&real->queue.queue, real->file, real->block, HF_BLOCK_ALIGN_BYTES,
                             real->offset, 0);
    while (!complete(real, &result))
        ;
    real->offset = (real->offset + HF_BLOCK_ALIGN_BYTES) % FILE_BYTES;
    if (result == HF_BLOCK_ALIGN_BYTES)
        return 0;
    return result < 0 ? result : -EIO;
}

static void probe_disk(struct hf_disk *disk, struct hf_io *io, const char *directory)
{
    struct real_probe real = {
        .probe = {.fill = real_fill, .write = real_write, .now_ns = real_now_ns},
        .io = io,
        .directory = directory,
        .file = -1,
        .block = aligned_alloc(HF_BLOCK_ALIGN_BYTES, HF_BLOCK_ALIGN_BYTES),
    };
    char error[160];
    int result = real.block == NULL ? -ENOMEM : 0;
    if (result == 0)
        result = hf_uring_open(&real.ring, RING_ENTRIES, error, sizeof error);
    if (result != 0)
        goto free_block;
    memset(real.block, 0, HF_BLOCK_ALIGN_BYTES);
    hf_uring_queue_init(&real.queue, &real.ring, 0, HF_LOG_WRITES_DIRECT);
    hf_probe_run(&real.probe, disk);
    io_uring_queue_exit(&real.ring);
    if (real.file >= 0)
        io->close_file(io, real.file);
    io->remove_file(io, directory, HF_PROBE_NAME); /* a start removes it, if this fails */
free_block:
    free(real.block);
    if (result != 0)
        disk->error = result;
}

static bool is_in_memory(int file)
{
    struct statfs status;
    return fstatfs(file, &status) == 0 &&
           (status.f_type == TMPFS_MAGIC || status.f_type == RAMFS_MAGIC);
}

int hf_disk_examine(struct hf_disk *disk, const char *directory, uint64_t segment,
                    enum hf_log_writes wanted)
{
    uint64_t began_ns = hf_monotonic_now_ns();
    struct hf_io *io = hf_io_posix();
    char name[HF_SEGMENT_NAME_BYTES];
    hf_segment_name_format(segment, name);
    int file = io->open_file(io, directory, name, HF_IO_READ_DIRECT);
    if (file < 0)
        return file;
    *disk = (struct hf_disk){.fixed = wanted != HF_LOG_WRITES_AUTO};
    hf_io_posix_direct(file, &disk->direct);
    disk->in_memory = is_in_memory(file);
    io->close_file(io, file);
    /* What stands if nothing can be measured. */
    disk->writes = disk->direct.used ? HF_LOG_WRITES_DIRECT : HF_LOG_WRITES_SYNC;
    disk->most_writes_inflight = disk->direct.certain ? 0 : 1;
    if (wanted == HF_LOG_WRITES_DIRECT && !disk->direct.used)
        return -EOPNOTSUPP;
    if (disk->fixed)
        disk->writes = wanted;
    else
        probe_disk(disk, io, directory);
    disk->probe_ns = hf_monotonic_now_ns() - began_ns;
    return 0;
}

/* ---- in words ---- */

static unsigned long long us(uint64_t ns)
{
    return (unsigned long long)((ns + 500) / 1000);
}

/* Adds to the text; what does not fit is dropped. */
__attribute__((format(printf, 3, 4))) static void add(char *text, size_t text_bytes,
                                                      const char *format, ...)
{
    size_t used = strlen(text);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text + used, text_bytes - used, format, arguments);
    va_end(arguments);
}

void hf_disk_describe(const struct hf_disk *disk, char *text, size_t text_bytes)
{
    bool sync = disk->writes == HF_LOG_WRITES_SYNC;
    uint64_t own_ns = sync ? disk->sync_ns : disk->direct_ns;
    uint64_t other_ns = sync ? disk->direct_ns : disk->sync_ns;
    text[0] = '\0';
    add(text, text_bytes, "%s, %s%s", disk->direct.used ? "direct" : "through the page cache",
        sync ? "then fdatasync" : "data-synced",
        disk->most_writes_inflight == 1 ? ", one at a time" : "");
    if (disk->in_memory)
        add(text, text_bytes, ", in memory");
    if (own_ns != 0)
        add(text, text_bytes, ", %llu us a write", us(own_ns));
    if (other_ns != 0)
        add(text, text_bytes, " (%s: %llu us)", sync ? "data-synced" : "write + fdatasync",
            us(other_ns));
    if (disk->fixed)
        add(text, text_bytes, ", as asked for");
    else if (disk->error == -ETIME)
        add(text, text_bytes, ", the default: the disk is too slow to compare");
    else if (disk->error != 0)
        add(text, text_bytes, ", the default: not measured: %s", strerror(-disk->error));
}
