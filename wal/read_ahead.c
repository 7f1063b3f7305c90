/* Reading ahead: see read_ahead.h. */
#include "wal/read_ahead.h"

#include <sys/mman.h>

#include "base/check.h"
#include "base/thread.h"
#include "wal/io.h"

#define HUGE_PAGE_BYTES (2u << 20)

uint8_t *hf_read_buffer_map(size_t bytes)
{
    HF_CHECK(bytes % HUGE_PAGE_BYTES == 0);
    uint8_t *map = mmap(NULL, bytes + HUGE_PAGE_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED)
        return NULL;
    size_t before = -(uintptr_t)map % HUGE_PAGE_BYTES; /* mmap() aligns to small pages only */
    if (before != 0)
        munmap(map, before);
    munmap(map + before + bytes, HUGE_PAGE_BYTES - before);
    madvise(map + before, bytes, MADV_HUGEPAGE); /* if it can be */
    return map + before;
}

void hf_read_buffer_unmap(uint8_t *buffer, size_t bytes)
{
    if (buffer != NULL)
        munmap(buffer, bytes);
}

static void make(struct hf_read_ahead *ahead)
{
    ahead->result =
        ahead->io->read_at(ahead->io, ahead->file, ahead->buffer, ahead->bytes, ahead->offset);
}

static void *reader_main(void *context)
{
    struct hf_read_ahead *ahead = context;
    pthread_mutex_lock(&ahead->mutex);
    while (ahead->state != HF_READ_AHEAD_CLOSING) {
        if (ahead->state != HF_READ_AHEAD_WANTED) {
            pthread_cond_wait(&ahead->changed, &ahead->mutex);
            continue;
        }
        pthread_mutex_unlock(&ahead->mutex);
        make(ahead);
        pthread_mutex_lock(&ahead->mutex);
        ahead->state = HF_READ_AHEAD_DONE;
        pthread_cond_signal(&ahead->changed);
    }
    pthread_mutex_unlock(&ahead->mutex);
    return NULL;
}

/* One of the two waits at most: the thread when there is nothing to do, the caller when there is. */
static void set_state(struct hf_read_ahead *ahead, enum hf_read_ahead_state state)
{
    pthread_mutex_lock(&ahead->mutex);
    ahead->state = state;
    pthread_cond_signal(&ahead->changed);
    pthread_mutex_unlock(&ahead->mutex);
}

static void wait_until_done(struct hf_read_ahead *ahead)
{
    pthread_mutex_lock(&ahead->mutex);
    while (ahead->state != HF_READ_AHEAD_DONE)
        pthread_cond_wait(&ahead->changed, &ahead->mutex);
    pthread_mutex_unlock(&ahead->mutex);
}

void hf_read_ahead_init(struct hf_read_ahead *ahead, struct hf_io *io)
{
    *ahead = (struct hf_read_ahead){.io = io};
    pthread_mutex_init(&ahead->mutex, NULL);
    pthread_cond_init(&ahead->changed, NULL);
}

void hf_read_ahead_close(struct hf_read_ahead *ahead)
{
    hf_read_ahead_drop(ahead);
    if (ahead->has_thread) {
        set_state(ahead, HF_READ_AHEAD_CLOSING);
        pthread_join(ahead->thread, NULL);
    }
    pthread_cond_destroy(&ahead->changed);
    pthread_mutex_destroy(&ahead->mutex);
}

void hf_read_ahead_begin(struct hf_read_ahead *ahead, int file, void *buffer, size_t bytes,
                         uint64_t offset)
{
    HF_CHECK(!ahead->begun);
    if (!ahead->tried)
        ahead->has_thread =
            ahead->io->concurrent && hf_thread_start(&ahead->thread, reader_main, ahead) == 0;
    ahead->tried = true;
    ahead->begun = true;
    ahead->file = file;
    ahead->buffer = buffer;
    ahead->bytes = bytes;
    ahead->offset = offset;
    if (ahead->has_thread)
        set_state(ahead, HF_READ_AHEAD_WANTED);
}

ssize_t hf_read_ahead_end(struct hf_read_ahead *ahead)
{
    HF_CHECK(ahead->begun);
    ahead->begun = false;
    if (ahead->has_thread)
        wait_until_done(ahead);
    else
        make(ahead);
    return ahead->result;
}

void hf_read_ahead_drop(struct hf_read_ahead *ahead)
{
    if (ahead->begun && ahead->has_thread)
        wait_until_done(ahead);
    ahead->begun = false;
}
