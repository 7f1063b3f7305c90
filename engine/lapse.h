/*
 * What time brings about: holds lapse, and finished reservations are forgotten when their retention
 * has ended. Any actor does it, a little at every turn (hf_engine_tick()); so nothing depends on one
 * thread, and nothing scans.
 *
 * A hold is lapsed from its deadline on, by the clock, whether or not anyone has noticed: a confirm
 * asks the clock itself. Noticing is one change of the reservation like any other, and happens once
 * (RESOLVES-ONCE): it takes the CAS on its word. A claim that finds too few units looks for lapsed
 * holds of its inventory before it is refused (hf_lapse_for()).
 *
 * Retention is measured by the log's own time, the newest date in it. So whoever reads the log knows
 * what is retained, and a server that comes back after a month has not forgotten what happened last.
 * Forgetting takes the cell out of its chain and then waits until nobody can stand on it any more
 * (engine/epoch.h). It is not logged.
 */
#ifndef HF_ENGINE_LAPSE_H
#define HF_ENGINE_LAPSE_H

#include "engine/engine.h"

enum hf_lapse {
    HF_LAPSE_NONE, /* no hold of this inventory had lapsed */
    HF_LAPSE_SOME, /* units came back: look again */
    HF_LAPSE_BUSY, /* there is a backlog, or another actor is at it: put the operation aside */
};

/* Makes lapsed holds of this inventory give their units back. */
enum hf_lapse hf_lapse_for(struct hf_actor *actor, const struct hf_inventory_cell *cell);

/* Expires this one if it is HELD and lapsed. NONE: it is not, or no longer; BUSY: not now. */
enum hf_lapse hf_lapse_one(struct hf_actor *actor, uint32_t number);

/* Does what is due, `budget` reservations of it at most. Between operations. True: there is more. */
bool hf_engine_tick(struct hf_actor *actor, uint32_t budget);

/* True if something waits that no date announces: cells that nobody stands on by now, lists that
 * could not be served. hf_engine_tick() does it. */
bool hf_engine_has_odd_jobs(const struct hf_actor *actor);

/* For the one actor that keeps the time while all sleep: until when nothing is due (UINT64_MAX: no
 * end), and that it is awake again. */
uint64_t hf_engine_sleep(struct hf_actor *actor);
void hf_engine_awake(struct hf_actor *actor);

/* The actor, which is outside, closes: waits until the cells that it took out are free. */
void hf_lapse_close(struct hf_actor *actor);

/* When the retention of a reservation ends that finished at that time. */
uint64_t hf_retention_end_ns(const struct hf_engine *engine, uint64_t finished_at_ns);

#endif
