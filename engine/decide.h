/*
 * Deciding about one reservation: the table of states, as functions without effect.
 *
 * What is decided here depends on the reservation as it is, the settings of its inventory, and the
 * time. Whether the units can be had is another matter: engine/change.h asks for those of all lines
 * at once.
 */
#ifndef HF_ENGINE_DECIDE_H
#define HF_ENGINE_DECIDE_H

#include "engine/image.h"
#include "holdfast/message.h"

struct hf_decision {
    unsigned result; /* enum hf_result */
    enum hf_field field;
    bool repeated;               /* a yes that was given before: nothing changes */
    bool changes;                /* `after` is to be recorded */
    bool claims;                 /* what a new claim must obey counts for it, too */
    bool reacquires;             /* a lapsed hold is to be claimed anew */
    struct hf_reservation after; /* its lsn is still the one before */
};

/* A request for an id that is known: the answer of the first again, or ID_REUSED. */
void hf_decide_repeat(const struct hf_line *line, const struct hf_reservation *known,
                      const struct hf_image_notes *notes, struct hf_decision *decision);

/* CONFIRM, RELEASE, CANCEL, EXTEND, CHANGE, MOVE or LEAVE of a reservation. */
void hf_decide_change(const struct hf_line *line, const struct hf_reservation *before,
                      const struct hf_image_notes *notes, const struct hf_settings *settings,
                      uint64_t now_ns, struct hf_decision *decision);

/* RESERVE, HOLD, JOIN, or CONFIRM anew: the reservation that it makes, and the yes, if it may. */
void hf_decide_claim(const struct hf_line *line, uint64_t now_ns, struct hf_image_notes *notes,
                     struct hf_decision *decision);

/*
 * The rules that a claim obeys whatever others have, in their order: NOT_OPEN, CLOSED, PAUSED,
 * QTY_NOT_ALLOWED, TTL_NOT_ALLOWED. HF_OK: none is against it. qty: in all, after it; sealed: the
 * sale was closed by selling out.
 */
enum hf_result hf_decide_rules(const struct hf_line *line, const struct hf_settings *settings,
                               uint32_t qty, bool sealed, uint64_t now_ns);

#endif
