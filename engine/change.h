/*
 * Changes: one or several operations on reservations that take effect at one instant, or not at all.
 * A single operation that is more than a plain claim is a change of one line.
 *
 * Step by step (1 and 3: engine/transaction.h; 4 and 5: engine/weighing.h; 6 to 8:
 * engine/recording.h):
 *   1. look up     every id. For those that are to be made, the chain is taken, as for a grant; so
 *                  no one else decides about these ids.
 *   2. decide      about each known reservation (engine/decide.h).
 *   3. mark        those that will change. Others who meet a mark put their operation aside, so what
 *                  was decided stays true. It is not a lock on anything but this reservation.
 *   4. weigh       the lines of one inventory are summed first; so are those of one customer. Where
 *                  more is taken than given back, or a rule, a guard or a limit was looked at, the
 *                  words take part in
 *   5. claim       one CAS, or one over all words (engine/mcas.h): the instant. If a word has changed
 *                  since it was weighed, weigh again.
 *   6. record      one chain of images, with consecutive LSNs (CLAIM-BEFORE-LOG)
 *   7. give back   what is given back, net (LOG-BEFORE-RELEASE), places in waiting lists included.
 *                  A change of several words has announced that before 5: until it is done, nobody
 *                  is refused for want of it, who may have seen the rest; such a refusal is put
 *                  aside. tests/stress/instant.c shows what happens without.
 *                  What the lines give back by themselves is announced before 3: settings, which have
 *                  a say in cancels, may change meanwhile, and deadlines pass.
 *   8. clear       the marks, leave the chains.
 *
 * Whatever is in the way before 5, chains and marks are let go and the operation is put aside or
 * refused: neither has been seen by anybody but as "not decided yet", so there is no undoing that
 * others could be refused for (HONEST-NO). Chains are taken in the order of their places, and marks,
 * too, so of several changes that are in each other's way one gets on. A worker that stops in the
 * middle stops nobody from getting units: words are never held (see mcas.h).
 *
 * A refusal names the first line that fails. Units are weighed in the order of the lines, after all
 * that the change itself gives back.
 */
#ifndef HF_ENGINE_CHANGE_H
#define HF_ENGINE_CHANGE_H

#include "engine/engine.h"

/*
 * Carries out `count` lines (1 .. HF_MAX_BATCH_LINES), whose values are checked and whose ids are
 * distinct. One line without `entries`: the outcome is that of the operation. With `entries` (room
 * for `count`): BATCH_DONE and what became of each, or the result and the line that failed.
 * not_after_ns: 0, or when its claims come too late. May be put aside.
 */
void hf_engine_change(struct hf_actor *actor, const struct hf_line *lines, uint32_t count,
                      uint64_t not_after_ns, struct hf_reservation_entry *entries,
                      struct hf_outcome *outcome);

#endif
