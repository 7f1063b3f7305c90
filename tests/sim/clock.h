/*
 * Simulated time and chance.
 *
 * The program is linked with --wrap for clock_gettime(), nanosleep(), poll(), getrandom(),
 * hf_id_make(): what the engine and the log ask of the machine, they get from here. So a run is the
 * same each time, hours pass at once, and the product has no seam for it that could cost anything.
 *
 * One thread.
 */
#ifndef HF_TESTS_SIM_CLOCK_H
#define HF_TESTS_SIM_CLOCK_H

#include <stdint.h>

/* Everything begins again: the date, time since boot, and chance. */
void hf_sim_clock_begin(uint64_t seed, uint64_t date_ns);

/* Time goes by. */
void hf_sim_clock_pass(uint64_t ns);

/* Until the monotonic clock shows this; nothing happens if it does already. */
void hf_sim_clock_pass_until(uint64_t monotonic_ns);

/* Somebody sets the wall clock. */
void hf_sim_clock_set_date(uint64_t date_ns);

/* The monotonic clock of the real machine. */
uint64_t hf_sim_clock_real_ns(void);

#endif
