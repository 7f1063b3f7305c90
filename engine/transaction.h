/*
 * A transaction: what one change is about, and what it holds while it is decided (engine/change.h).
 *
 * It holds chains of ids that are to be made, marks of reservations that are to be changed, rights to
 * waiting lists, and cells; all are taken by trying, never by waiting, and in one order by all: so if
 * several are in each other's way one of them gets on. Whoever does not lets go of everything.
 *
 * An actor has one, which it uses again and again: no memory is asked for on the way.
 */
#ifndef HF_ENGINE_TRANSACTION_H
#define HF_ENGINE_TRANSACTION_H

#include "engine/decide.h"
#include "engine/engine.h"

#define HF_MAX_STEPS  HF_MAX_BATCH_LINES
#define HF_MAX_COUNTS (2 * HF_MAX_STEPS) /* MOVE has two customers */

/* Credits of the largest: an image of each line; an event for each inventory that gets units, and
 * for each waiting list that ends. */
_Static_assert(3 * HF_MAX_STEPS <= HF_RING_MAX_CREDITS, "credits of one change");

/* One inventory of a change, and what its lines want of it. */
struct hf_use {
    struct hf_inventory_cell *cell;
    uint64_t word;         /* as weighed */
    struct hf_rules rules; /* likewise */
    uint32_t bits;
    int64_t takes, gives; /* units */
    int64_t held;         /* change of the held units */
    uint32_t joins;
    bool weighed; /* in this round */
    bool obeys;   /* a line looked at its word for a rule or a guard */
    bool needs_list, has_list;
    bool announced;   /* among those that will give back */
    uint32_t version; /* that the claim produced */
    bool sold_out;
};

/* The units of one customer in one inventory. */
struct hf_count {
    struct hf_use *use;
    uint64_t customer_id;
    struct hf_customer_cell *cell;
    uint64_t word;
    int64_t takes, gives;
    bool weighed;
};

/* One line of it. */
struct hf_step {
    struct hf_line line;
    _Atomic uint64_t *head; /* of the chain of its id */
    uint64_t hash;
    struct hf_reservation_cell *cell; /* known, or to be made; NULL: not yet */
    uint32_t number;
    uint64_t word; /* of a known one, without the mark */
    struct hf_reservation before;
    struct hf_image_notes notes;
    struct hf_decision decision;
    struct hf_use *use;
    struct hf_step *chain_of; /* who has taken the chain of this id; NULL: nobody */
    struct hf_chain chain;
    uint32_t linked;                 /* number of the lapsed hold that this one is made from */
    struct hf_rules_mark rules_mark; /* the settings by which it was decided */
    bool makes;                      /* a new reservation */
    bool allotted;                   /* its cell is one that we took out of stock */
    bool marked;
};

struct hf_transaction {
    struct hf_actor *actor;
    uint64_t not_after_ns;
    uint32_t step_count, use_count, count_count;
    uint32_t failed; /* the step that is refused */
    struct hf_availability seen;
    bool batch;
    struct hf_step *order[HF_MAX_STEPS];
    struct hf_step steps[HF_MAX_STEPS];
    struct hf_use uses[HF_MAX_STEPS];
    struct hf_count counts[HF_MAX_COUNTS];
};

/* How an attempt ends. */
enum hf_attempt {
    HF_ATTEMPT_GO_ON,
    HF_ATTEMPT_DONE,
    HF_ATTEMPT_REFUSED,  /* failed step, result in its decision */
    HF_ATTEMPT_BUSY,     /* put aside */
    HF_ATTEMPT_LOG_FULL, /* put aside */
    HF_ATTEMPT_AGAIN,    /* from the start, at once */
};

static inline struct hf_region *hf_transaction_region(const struct hf_transaction *change)
{
    return &change->actor->engine->region;
}

/* True for what makes a reservation of its own. */
static inline bool hf_step_is_claim(enum hf_operation operation)
{
    return operation == HF_OP_RESERVE || operation == HF_OP_HOLD || operation == HF_OP_JOIN;
}

/* The no that this step gets. */
static inline enum hf_attempt hf_transaction_refuse(struct hf_transaction *change,
                                                    struct hf_step *step, unsigned result,
                                                    enum hf_field field)
{
    step->decision.result = result;
    step->decision.field = field;
    change->failed = (uint32_t)(step - change->steps);
    return HF_ATTEMPT_REFUSED;
}

/* Units that the reservation has for its customer. */
static inline int64_t hf_reservation_units(const struct hf_reservation *reservation)
{
    return hf_state_is_active(reservation->state) ? reservation->qty : 0;
}

/* What the step takes of its inventory; negative: gives back. */
static inline int64_t hf_step_units_taken(const struct hf_step *step)
{
    return hf_reservation_units(&step->decision.after) -
           (step->makes ? 0 : hf_reservation_units(&step->before));
}

/* Units that it holds until a deadline. */
static inline int64_t hf_reservation_held(const struct hf_reservation *reservation)
{
    return reservation->state == HF_STATE_HELD ? reservation->qty : 0;
}

/* True if its units are, or will be, in the count of its customer. */
static inline bool hf_step_is_counted(const struct hf_step *step)
{
    return step->makes ? (step->use->bits & HF_RULE_COUNTED) != 0
                       : (step->word & HF_WORD_COUNTED) != 0;
}

/* True if a place in a waiting list is given up. */
static inline bool hf_step_leaves(const struct hf_step *step)
{
    return step->decision.changes && !step->makes && step->before.state == HF_STATE_WAITING;
}

/* Room for one change at a time. NULL: out of memory. */
struct hf_transaction *hf_transaction_new(void);
void hf_transaction_free(struct hf_transaction *transaction);

/* The inventory among those of the change, added if it is new. */
struct hf_use *hf_transaction_use(struct hf_transaction *change, struct hf_inventory_cell *cell);

/* Begins again, with these lines: nothing is held. Makes ids where there is none. */
void hf_transaction_begin(struct hf_transaction *change, const struct hf_line *lines);

/* Finds every id, and takes the chains of those that are to be made. GO_ON or BUSY. */
enum hf_attempt hf_transaction_look_up(struct hf_transaction *change);

/* The same for one step. Sets step->cell if the reservation is known. */
enum hf_attempt hf_transaction_take_chain(struct hf_transaction *change, struct hf_step *step);
enum hf_attempt hf_transaction_find(struct hf_transaction *change, struct hf_step *step);

/* The step has another id now. */
void hf_step_set_id(const struct hf_transaction *change, struct hf_step *step,
                    const struct hf_id *id);

/* Takes the rights to the waiting lists that are joined or left. GO_ON or BUSY. */
enum hf_attempt hf_transaction_take_lists(struct hf_transaction *change);

/* Marks what changes. GO_ON or BUSY. */
enum hf_attempt hf_transaction_mark(struct hf_transaction *change);

/* Cells for those that are to be made. GO_ON or REFUSED. */
enum hf_attempt hf_transaction_take_cells(struct hf_transaction *change);

/* Lets go of everything: nothing happened. */
void hf_transaction_let_go(struct hf_transaction *change);

#endif
