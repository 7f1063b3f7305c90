/* An attempt; see attempt.h. */
#include "tests/flip/attempt.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/check.h"
#include "engine/replay.h"
#include "engine/state_hash.h"
#include "tests/lib/log_replay.h"
#include "wal/recovery.h"

#define MAX_INVENTORIES  100
#define MAX_RESERVATIONS 10000
#define RETAIN_NS        (24 * 3600 * HF_NS_PER_S)
#define HASH_SLICE       100000

static int messages = -1; /* where stderr goes */

/* What a broken invariant says is not to be lost. pread() is as safe here as write() is. */
// NOLINTNEXTLINE(bugprone-signal-handler,cert-sig30-c)
static void on_abort(int number)
{
    char text[HF_ATTEMPT_TEXT_BYTES];
    // NOLINTNEXTLINE(bugprone-signal-handler,cert-sig30-c)
    ssize_t count = pread(messages, text, sizeof text, 0);
    if (count > 0 && write(STDOUT_FILENO, text, (size_t)count) != count)
        _exit(128 + number);
    _exit(128 + number);
}

int hf_attempt_catch_messages(void)
{
    if (messages >= 0)
        close(messages);
    messages = memfd_create("messages", MFD_CLOEXEC);
    signal(SIGABRT, on_abort);
    return messages >= 0 && dup2(messages, STDERR_FILENO) >= 0 ? 0 : -errno;
}

/* What was said since the last time. */
static void take_messages(char *text, size_t text_bytes)
{
    fflush(stderr);
    off_t end = lseek(STDERR_FILENO, 0, SEEK_CUR);
    ssize_t count = end > 0 ? pread(messages, text, text_bytes - 1, 0) : 0;
    text[count > 0 ? count : 0] = '\0';
    if (end > 0) {
        HF_CHECK(ftruncate(messages, 0) == 0);
        lseek(STDERR_FILENO, 0, SEEK_SET);
    }
}

static uint64_t state_hash(const struct hf_region *region, uint64_t log_time_ns)
{
    struct hf_state_hash hash;
    enum hf_hashing hashing = HF_HASHING_MORE;
    uint64_t forget_before_ns = log_time_ns > RETAIN_NS ? log_time_ns - RETAIN_NS : 0;
    HF_CHECK(hf_state_hash_begin(&hash, region, forget_before_ns) == 0);
    while (hashing == HF_HASHING_MORE)
        hashing = hf_state_hash_step(&hash, region, HASH_SLICE);
    HF_CHECK(hashing == HF_HASHING_DONE);
    hf_state_hash_end(&hash);
    return hash.sum;
}

static void recover(struct hf_attempt *attempt, struct hf_still *still, struct hf_replay *replay)
{
    struct hf_log_options options = {.directory = "DIR", .io = &still->io};
    hf_log_replay_into(&options, replay);
    struct hf_log_recovery recovery = {0};
    struct hf_log_tail tail;
    struct hf_log_files files = {0};
    attempt->refused = hf_recover(&options, &recovery, &tail, &files, attempt->error) != 0;
    if (attempt->refused)
        return;
    attempt->last_lsn = tail.next_lsn - 1;
    attempt->state_hash = state_hash(replay->region, replay->log_time_ns);
}

void hf_attempt_make(struct hf_attempt *attempt, struct hf_still *still)
{
    struct hf_region region;
    struct hf_replay replay;
    *attempt = (struct hf_attempt){0};
    HF_CHECK(hf_region_create(&region, MAX_INVENTORIES, MAX_RESERVATIONS) == 0);
    HF_CHECK(hf_replay_init(&replay, &region, RETAIN_NS) == 0);
    recover(attempt, still, &replay);
    hf_replay_close(&replay);
    hf_region_close(&region);
    hf_still_restore(still);
    take_messages(attempt->told, sizeof attempt->told);
}
