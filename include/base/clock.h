/* Clocks. Times are nanoseconds: since the Unix epoch where they are dates, since boot otherwise.
 */
#ifndef HF_BASE_CLOCK_H
#define HF_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#define HF_NS_PER_S  1000000000ull
#define HF_NS_PER_MS 1000000ull
#define HF_NS_PER_US 1000ull

static inline uint64_t hf_clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * HF_NS_PER_S + (uint64_t)now.tv_nsec;
}

/* Wall-clock date; may jump. */
static inline uint64_t hf_date_now_ns(void)
{
    return hf_clock_ns(CLOCK_REALTIME);
}

/* Never jumps, and counts while the machine sleeps. */
static inline uint64_t hf_monotonic_now_ns(void)
{
    return hf_clock_ns(CLOCK_BOOTTIME);
}

/*
 * The server's clock: dates that never go backwards, neither while it runs (it advances with the
 * monotonic clock, so a step of the wall clock does not move it) nor across restarts (it starts at
 * the wall clock's date or at the newest date in the log, whichever is later).
 */
struct hf_server_clock {
    uint64_t date_at_boot_ns; /* added to the monotonic clock; set once, before threads start */
};

static inline void hf_server_clock_init(struct hf_server_clock *clock, uint64_t not_before_ns)
{
    uint64_t date_ns = hf_date_now_ns();
    if (date_ns < not_before_ns)
        date_ns = not_before_ns;
    clock->date_at_boot_ns = date_ns - hf_monotonic_now_ns();
}

static inline uint64_t hf_server_clock_now_ns(const struct hf_server_clock *clock)
{
    return clock->date_at_boot_ns + hf_monotonic_now_ns();
}

#endif
