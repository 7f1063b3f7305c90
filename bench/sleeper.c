/* The sleeper. See sleeper.h. */
#include "bench/sleeper.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"

#define PERIOD_NS (1 * HF_NS_PER_MS)

static void *sleep_thread(void *context)
{
    struct hf_sleeper *sleeper = context;
    uint64_t until_ns = hf_monotonic_now_ns();
    while (!hf_load_acquire(&sleeper->stop)) { /* pairs with hf_sleeper_stop() */
        until_ns += PERIOD_NS;
        const struct timespec until = {.tv_sec = (time_t)(until_ns / HF_NS_PER_S),
                                       .tv_nsec = (long)(until_ns % HF_NS_PER_S)};
        while (clock_nanosleep(CLOCK_BOOTTIME, TIMER_ABSTIME, &until, NULL) == EINTR)
            ;
        hf_histogram_add(&sleeper->late, hf_monotonic_now_ns() - until_ns);
        sleeper->count++;
    }
    return NULL;
}

int hf_sleeper_start(struct hf_sleeper *sleeper)
{
    memset(sleeper, 0, sizeof *sleeper);
    return -pthread_create(&sleeper->thread, NULL, sleep_thread, sleeper);
}

void hf_sleeper_stop(struct hf_sleeper *sleeper)
{
    hf_store_release(&sleeper->stop, true); /* pairs with sleep_thread() */
    pthread_join(sleeper->thread, NULL);
}
