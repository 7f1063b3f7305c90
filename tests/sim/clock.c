/* Simulated time and chance; see clock.h. */
#include "tests/sim/clock.h"

#include <poll.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>

#include "base/clock.h"
#include "holdfast/types.h"
#include "tests/lib/stress.h"

static struct {
    uint64_t monotonic_ns;
    uint64_t date_ns;
    struct hf_random random;
} machine = {.monotonic_ns = HF_NS_PER_S, .date_ns = HF_NS_PER_S};

void hf_sim_clock_begin(uint64_t seed, uint64_t date_ns)
{
    machine.monotonic_ns = HF_NS_PER_S;
    machine.date_ns = date_ns;
    machine.random = hf_random_for(seed, 3);
}

void hf_sim_clock_pass(uint64_t ns)
{
    machine.monotonic_ns += ns;
    machine.date_ns += ns;
}

void hf_sim_clock_pass_until(uint64_t monotonic_ns)
{
    if (monotonic_ns > machine.monotonic_ns)
        hf_sim_clock_pass(monotonic_ns - machine.monotonic_ns);
}

void hf_sim_clock_set_date(uint64_t date_ns)
{
    machine.date_ns = date_ns;
}

/* ---- what the linker puts in the place of the machine's ---- */

int __real_clock_gettime(clockid_t id, struct timespec *now);
int __wrap_clock_gettime(clockid_t id, struct timespec *now);
int __wrap_nanosleep(const struct timespec *pause, struct timespec *left);
int __wrap_poll(struct pollfd *files, nfds_t count, int timeout_ms);
ssize_t __wrap_getrandom(void *buffer, size_t bytes, unsigned flags);
void __wrap_hf_id_make(struct hf_id *id);

int __wrap_clock_gettime(clockid_t id, struct timespec *now)
{
    uint64_t ns = id == CLOCK_REALTIME ? machine.date_ns : machine.monotonic_ns;
    now->tv_sec = (time_t)(ns / HF_NS_PER_S);
    now->tv_nsec = (long)(ns % HF_NS_PER_S);
    return 0;
}

int __wrap_nanosleep(const struct timespec *pause, struct timespec *left)
{
    (void)left;
    hf_sim_clock_pass((uint64_t)pause->tv_sec * HF_NS_PER_S + (uint64_t)pause->tv_nsec);
    return 0;
}

/* Nothing is ever ready: time goes by. */
int __wrap_poll(struct pollfd *files, nfds_t count, int timeout_ms)
{
    (void)files;
    (void)count;
    hf_sim_clock_pass(timeout_ms > 0 ? (unsigned)timeout_ms * HF_NS_PER_MS : HF_NS_PER_MS);
    return 0;
}

ssize_t __wrap_getrandom(void *buffer, size_t bytes, unsigned flags)
{
    (void)flags;
    for (size_t done = 0; done < bytes; done += sizeof(uint64_t)) {
        uint64_t word = hf_random_next(&machine.random);
        memcpy((char *)buffer + done, &word,
               bytes - done < sizeof word ? bytes - done : sizeof word);
    }
    return (ssize_t)bytes;
}

/* The engine's own keeps random bytes in store from one run to the next. */
void __wrap_hf_id_make(struct hf_id *id)
{
    __wrap_getrandom(id->bytes, sizeof id->bytes, 0);
    id->bytes[6] = (uint8_t)(0x70 | (id->bytes[6] & 0x0f));
    id->bytes[8] = (uint8_t)(0x80 | (id->bytes[8] & 0x3f));
}

uint64_t hf_sim_clock_real_ns(void)
{
    struct timespec now;
    __real_clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * HF_NS_PER_S + (uint64_t)now.tv_nsec;
}
