/*
 * The timer: tells which reservations are due (holds whose deadline passed, finished ones whose
 * retention ended). Any thread may file an entry (arm), and any thread may take out one that is due
 * (pop): a hierarchical timing wheel (Varghese and Lauck 1987), shared and without locks.
 *
 * Time is counted in ticks of 2^18 ns (0.26 ms). There are three levels of 8192 buckets each. A
 * *position* is a bucket in one lap of its level: position p lives in bucket p modulo 8192.
 *
 *   level  a position covers    may be emptied              reaches ahead
 *   0      1 tick               when the tick has passed    2.1 s
 *   1      4096 ticks, 1.07 s   when the second before it   2.4 h
 *                               begins
 *   2      2^24 ticks, 73 min   when the 73 min before it   416 days; what is due later is filed at
 *                               begin                       the far end, and filed again from there
 *
 * Tick t covers dues in ((t-1) x 2^18 ns, t x 2^18 ns]: nothing is popped early, and everything can
 * be popped less than a tick after its due. Whoever pops also moves entries down (a cascade). That
 * begins one position ahead, as a level has room for two positions of the level above it; so a
 * million holds that lapse in one second are moved in small portions during the second before.
 *
 * A bucket is a Treiber stack of numbers, linked through the terms. Its head is one word: bits
 * 0 .. 31 number of the first entry, bits 32 .. 63 a count of changes. Entries are taken out one by
 * one: a thread that stops with one in its hands holds up that one only.
 *
 * Each level has two cursors, which only grow:
 *   gate    no entry may be put at a position up to here any more
 *   passed  the buckets of all positions up to here have been closed: nothing is in them
 * Whoever pops raises the gate, and then goes through the buckets: a bucket with an entry yields
 * that; an empty one is closed, by a CAS that changes nothing but the count of changes. If all are
 * closed, `passed` follows.
 *
 * The argument that nothing is stranded. A push reads the head, then the gate, and then does its
 * CAS on the head. (1) If the bucket was closed before the push read its head, the push sees the
 * gate that was raised before that, and looks for another place. (2) If it was closed after, the
 * count has changed and the CAS fails. (3) If the push comes first, closing fails, as the bucket is
 * not empty. So no entry is ever put into a bucket that was closed for its position, and nobody has
 * to look back. No step of this waits for anybody: whatever a thread leaves half done (a raised
 * gate, closed buckets that `passed` does not tell of yet), the next one does again.
 *
 * The argument that a push finds a place. The gate of an upper level follows the level below: it is
 * raised to position s only when `passed` below stands in position s - 1 at least. So an entry that
 * finds s shut has room below. In level 0 it is put behind the gate, if its own tick is shut: that
 * is a tick late, or later if more than two seconds of entries wait to be popped.
 *
 * Why an entry never goes back into the bucket it was just taken from: a bucket holds entries of
 * one position only, since a push goes at most one lap beyond `passed`; and what is filed again is
 * due later than that position, or belongs into a level below.
 *
 * To find the next entry without looking at 24576 heads, each level has a list of buckets in use, a
 * bit each. 32 buckets share a word, with the lap that it speaks of: nobody ever clears a bit (a
 * thread that stops before clearing it would clear another's), the first push of the next lap
 * replaces the word. Every push makes sure that its bucket's bit is set, also when the bucket was
 * in use already: whoever put the first entry there may have stopped before setting it.
 */
#ifndef HF_ENGINE_TIMER_H
#define HF_ENGINE_TIMER_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/terms.h"

struct hf_timer_wheel;

struct hf_timer {
    struct hf_terms *terms; /* by number; the region's */
    struct hf_timer_wheel *wheel;
};

/* 0 or -ENOMEM. The terms are the caller's, and stay where they are until hf_timer_close(). */
int hf_timer_init(struct hf_timer *timer, struct hf_terms *terms, uint64_t now_ns);

/* No other thread uses the timer. Terms of what is still filed keep `armed`. */
void hf_timer_close(struct hf_timer *timer);

/*
 * Files `number` (not 0) by due_ns of its terms, unless it is filed already. True: somebody sleeps
 * past it and must be woken (see hf_timer_sleep()). Any thread; never blocks.
 *
 * due_ns may move while the entry is filed. To a later time: no call is needed, but one does no
 * harm. To an earlier one: it will still be popped at the time by which it was filed. `armed` and
 * `timer_next` are left alone, also when the cell is used again.
 */
bool hf_timer_arm(struct hf_timer *timer, uint32_t number);

/* The same for one thread alone, before others know the timer: without an instruction that locks, as
 * recovery files millions. Nobody sleeps yet. */
void hf_timer_arm_alone(struct hf_timer *timer, uint32_t number);

/*
 * Takes out one entry that is due (due_ns <= now_ns) and whose tick has passed; 0: there is none.
 * Its `armed` is cleared before this returns: the caller then loads the reservation's word and
 * decides. Whoever changed the word before and found it still armed is seen by that load.
 *
 * *budget is lowered by one for each entry that is moved: returned, cascaded, or filed again since
 * it is due later now. If it is 0 on return there may be more. *wake is set if an entry was moved
 * that somebody sleeps past, as by hf_timer_arm(), and left alone otherwise.
 *
 * Any thread; never blocks. The times that threads give may differ, and go backwards. What is filed
 * when its tick has passed by the latest of them comes a tick after that.
 */
uint32_t hf_timer_pop(struct hf_timer *timer, uint64_t now_ns, uint32_t *budget, bool *wake);

/*
 * Entries that are due at now_ns, in buckets up to the one that is passing right now, without
 * taking them out: fills numbers[], returns how many (at most `limit`). Each is a hint, since
 * others may pop it meanwhile; one may be told twice. Bounded work (8 x limit + 256 steps).
 */
uint32_t hf_timer_peek(const struct hf_timer *timer, uint64_t now_ns, uint32_t *numbers,
                       uint32_t limit);

/*
 * Both cheap, and false after a pop at that time that found nothing and had budget left.
 * has_work: hf_timer_pop() may have work at now_ns, cascades included. To be asked before it in
 * every turn: were only a backlog worked off, a cascade would not be done in time.
 * backlog: passed buckets may have entries at now_ns, so something may be due that was not popped
 * yet. An entry in the hands of another thread does not count.
 */
bool hf_timer_has_work(const struct hf_timer *timer, uint64_t now_ns);
bool hf_timer_backlog(const struct hf_timer *timer, uint64_t now_ns);

/* The earliest time at which hf_timer_pop() has work: an entry whose tick will have passed, or a
 * cascade. Not later than now_ns: it has now. UINT64_MAX: nothing is filed. */
uint64_t hf_timer_next_ns(const struct hf_timer *timer, uint64_t now_ns);

/*
 * For the one thread that sleeps until something is due. Announces until when it will sleep and
 * returns that time. If it is not later than now_ns nothing is announced: there is work.
 *
 * From then on whoever files an entry that needs to be looked at earlier is told to wake it, once:
 * the first to be told takes the announcement away. The sleeper calls hf_timer_awake() when it
 * wakes, for whatever reason.
 */
uint64_t hf_timer_sleep(struct hf_timer *timer, uint64_t now_ns);
void hf_timer_awake(struct hf_timer *timer);

#endif
