/*
 * The model: what the clients of a server know about every id they ever used, and whether what the
 * server says fits that knowledge.
 *
 * It is fed with two kinds of events, in the order in which they happen: a request is asked
 * (hf_model_ask()), and it is answered, or ends unknown (hf_model_answer()). Each answer is checked
 * at once against all that was known when its request was asked. When a server was killed and
 * everything unknown has been resolved, hf_model_settle() looks back on the cycle as a whole. From
 * then on every id has exactly one right answer: CONFIRMED, CANCELLED or NOT_FOUND.
 *
 * What is checked, and how it can be known from outside
 *   - ACK-AFTER-COMMIT: what any answer ever revealed (a receipt, or a lookup by another client) is
 *     true for ever, with the same parameters, dates and LSN.
 *   - NO-OVERSELL: units are surely held from the acknowledgement of the grant until somebody asks
 *     to cancel it; the sum of those never exceeds the capacity, at any instant.
 *   - HONEST-NO: units were possibly held from the moment when somebody asked for them until the
 *     cancel is acknowledged, or until the crash if the request was in flight; if the sum of those
 *     left room for a refused request at every instant of its interval, the refusal was a lie.
 *     A refusal of an id whose grant had been acknowledged before it was asked is a lie too.
 *   - LSNs: no two changes share one; a change that was asked for after another was acknowledged
 * has the higher one.
 *   - CONSERVATION and SAME-STATE: the sums that a settled model gives are there to be compared.
 *
 * The first contradiction is kept as a sentence (hf_model_violation()); later ones are dropped.
 * Not thread-safe.
 */
#ifndef HF_TESTS_LIB_MODEL_H
#define HF_TESTS_LIB_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "holdfast/client.h"

struct hf_model;
struct hf_model_reservation;

struct hf_model_inventory {
    uint64_t inventory_id;
    uint64_t product_id;
    uint32_t capacity;
    uint32_t index;
    bool created;        /* a server said so */
    bool create_unknown; /* a request to create it ended without an answer */
    uint64_t lsn;        /* of its creation */
    uint64_t made_at_ns;
    uint64_t lsn_floor; /* the highest LSN acknowledged when it was first asked for */

    /* Reservations surely active: granted for sure, and nobody asked to cancel them. */
    struct hf_model_reservation **active;
    uint32_t active_count, active_room;
    uint64_t active_units;
};

/* What is known of a reservation id. */
struct hf_model_reservation {
    struct hf_id id;
    uint64_t customer_id;
    struct hf_model_inventory *inventory;
    uint32_t qty;
    uint32_t index;              /* in the model */
    uint32_t active_index;       /* in inventory->active, or UINT32_MAX */
    uint32_t unanswered;         /* requests about it that are in flight */
    uint64_t asked_ns;           /* first RESERVE in this cycle */
    uint64_t cancelled_known_ns; /* when the clients learned that it is cancelled */
    uint64_t grant_lsn;          /* 0: not known */
    uint64_t cancel_lsn;
    uint64_t made_at_ns; /* 0: not known */
    uint64_t cancelled_at_ns;
    uint64_t grant_lsn_floor;  /* the highest LSN acknowledged when it was first asked for */
    uint64_t cancel_lsn_floor; /* when its cancel was first asked for */
    bool granted : 1;          /* some answer revealed that it exists */
    bool cancelled : 1;        /* some answer revealed that it is cancelled */
    bool cancel_asked : 1;
    bool reserve_unknown : 1; /* a RESERVE of it ended without an answer */
    bool cancel_unknown : 1;
    bool lost_in_crash : 1; /* in this cycle, a RESERVE of it was in flight at a crash */
    bool touched : 1;       /* asked about in this cycle */
    bool held_before : 1;   /* it was active when this cycle began */
};

/* What a request is meant to show. */
enum hf_model_purpose {
    HF_MODEL_LOAD,    /* part of the load */
    HF_MODEL_REUSE,   /* RESERVE with a granted id and one other parameter: must be ID_REUSED */
    HF_MODEL_RESOLVE, /* decides what is unknown; the only request about its id in flight */
    HF_MODEL_EXACT,   /* lookup in a settled model: there is one right answer */
};

struct hf_model_request {
    struct hf_request wire; /* to be submitted */
    enum hf_model_purpose purpose;
    struct hf_model *model;
    struct hf_model_reservation *reservation; /* NULL: about the inventory */
    struct hf_model_inventory *inventory;
    uint64_t asked_ns;
    bool granted_before; /* known when it was asked */
    bool cancelled_before;
    unsigned reused_field; /* REUSE: enum hf_field of the parameter that differs */
    unsigned client;       /* for the caller's use */
    struct hf_model_request *next_free;
};

struct hf_model_figures {
    uint64_t grants;       /* reservations that exist, as some answer said */
    uint64_t cancels;      /* of them, cancelled */
    uint64_t refusals;     /* answers of SOLD_OUT */
    uint64_t repeats;      /* answers that gave an earlier yes again */
    uint64_t reuses;       /* answers of ID_REUSED */
    uint64_t unknown;      /* requests that ended without an answer */
    uint64_t resent;       /* answers to requests that a client sent again by itself */
    uint64_t nothing_done; /* answers that the server is stopping */
    uint64_t lsn;          /* the highest acknowledged */
    uint64_t reservations; /* ids ever used */
};

struct hf_model *hf_model_open(void);
void hf_model_close(struct hf_model *model);

/* New nouns: nothing is asked yet. Pointers stay valid until hf_model_close(). An inventory's id is
 * its index + 1. */
struct hf_model_inventory *hf_model_add_inventory(struct hf_model *model, uint32_t capacity);
struct hf_model_reservation *hf_model_add_reservation(struct hf_model *model,
                                                      struct hf_model_inventory *inventory,
                                                      uint64_t customer_id, uint32_t qty);

uint32_t hf_model_inventory_count(const struct hf_model *model);
struct hf_model_inventory *hf_model_inventory(const struct hf_model *model, uint32_t index);
uint32_t hf_model_reservation_count(const struct hf_model *model);
struct hf_model_reservation *hf_model_reservation(const struct hf_model *model, uint32_t index);

/* Reservations that were asked about since the last hf_model_settle(). */
uint32_t hf_model_touched_count(const struct hf_model *model);
struct hf_model_reservation *hf_model_touched(const struct hf_model *model, uint32_t index);

/*
 * A request is about to be submitted: request->wire is ready. It belongs to the model and is given
 * back to it by hf_model_answer().
 */
struct hf_model_request *hf_model_ask(struct hf_model *model, enum hf_operation operation,
                                      struct hf_model_reservation *reservation,
                                      enum hf_model_purpose purpose);
struct hf_model_request *hf_model_ask_create(struct hf_model *model,
                                             struct hf_model_inventory *inventory);

/* REUSE only: changes one parameter of the request. */
void hf_model_ask_other(struct hf_model_request *request, enum hf_field field, uint64_t value);

/* The request ended. */
void hf_model_answer(struct hf_model_request *request, const struct hf_reply *reply);

/*
 * The cycle is over: nothing is in flight, nothing is unknown; the server that the load ran on was
 * gone at `gone_ns`. Judges the refusals of the cycle; `touched` starts anew.
 */
void hf_model_settle(struct hf_model *model, uint64_t gone_ns);

/* From now on a server may have forgotten what was cancelled at this date or before; UINT64_MAX:
 * whatever is cancelled, its retention being short. */
void hf_model_set_forgotten_until(struct hf_model *model, uint64_t until_ns);

/* Compares what a server says of an inventory with the settled model. */
void hf_model_check_inventory(struct hf_model *model, const struct hf_inventory *said);

/* Notes a contradiction, in the words of printf. */
void hf_model_contradict(struct hf_model *model, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* NULL, or the first contradiction. */
const char *hf_model_violation(const struct hf_model *model);

const struct hf_model_figures *hf_model_figures(const struct hf_model *model);

#endif
