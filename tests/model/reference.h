/*
 * The reference model: what Holdfast must answer, operation by operation, in one order.
 *
 * It is written from the tables of what a booking needs, never from the engine: two readings of one
 * text, so that each finds the other's mistakes. Time is a parameter.
 *
 * What the text leaves to the server is followed rather than guessed: at which moment it notices a
 * lapsed hold, in which order it notices several, which id or version it chooses, when it drops a
 * finished reservation. Whoever drives the model tells it of these by hf_reference_follow(), which
 * says whether the server was free to do so. All else is decided here.
 *
 * A request is decided in three steps. Each line is judged against the one state that stands before
 * (its own checks, in their order); then the lines are summed for each inventory and each customer,
 * and the first that fails decides; then all take effect. A single operation is a batch of one.
 */
#ifndef HF_TESTS_MODEL_REFERENCE_H
#define HF_TESTS_MODEL_REFERENCE_H

#include "engine/image.h"
#include "holdfast/message.h"
#include "tests/model/world.h"

/* One reservation of a yes. */
struct hf_expected_entry {
    unsigned result;
    bool repeated;
    struct hf_reservation reservation; /* right after the operation's own changes */
    struct hf_reservation settled; /* after the offers that followed from them: as good an answer */
};

/* What an answer must be. */
struct hf_expectation {
    unsigned result;
    uint32_t fields; /* bit n: hf_field n may be named; 0: not looked at */
    unsigned line;
    bool repeated;
    bool any_repeated;    /* `repeated` is not looked at */
    bool tells_available; /* `available` is said */
    int32_t available;
    uint32_t sequence; /* WRONG_STATE, SEQUENCE_MISMATCH: of the reservation */
    unsigned state;    /* likewise; 0: not looked at */
    bool tells_inventory, tells_settings;
    struct hf_inventory inventory, settled_inventory; /* as with entries */
    struct hf_settings settings;
    uint32_t count; /* of entries: of a yes about one reservation 1, of BATCH one a line */
    struct hf_expected_entry entries[HF_MAX_BATCH_LINES];
};

/* The ids that the server chose, where a line left it to it: one a line. */
struct hf_chosen_ids {
    struct hf_id ids[HF_MAX_BATCH_LINES];
};

/*
 * Decides and does RESERVE, HOLD, JOIN, CONFIRM, RELEASE, CANCEL, EXTEND, CHANGE, MOVE, LEAVE, BATCH,
 * INVENTORY_CREATE, INVENTORY_SET, or reads RESERVATION_GET, INVENTORY_GET, INVENTORY_SETTINGS. Units
 * that came free by it are not handed over yet, unless `settle`.
 *
 * With EXPECT_VERSION the state's version must be known (hf_world_note_version()); one that is not
 * is taken for another than the expected.
 */
void hf_reference_execute(struct hf_world *world, uint64_t now_ns, const struct hf_request *request,
                          const struct hf_chosen_ids *chosen, bool settle,
                          struct hf_expectation *expected);

/* Fills in what the expectation says of the time after the offers: now. */
void hf_reference_note_settled(const struct hf_world *world, struct hf_expectation *expected);

/* True of a refusal that lapsed holds, once noticed, might turn into a yes. */
bool hf_reference_wants_units(unsigned result);

/* True if this hold's deadline has passed, noticed or not. */
bool hf_reference_lapsed(const struct hf_reservation *reservation, uint64_t now_ns);

/* Notices all lapsed holds, in the order of their deadlines, and hands over. */
void hf_reference_expire(struct hf_world *world, uint64_t now_ns);

/* Hands over what is free, by the rules of the waiting lists, until nothing is to be done. */
void hf_reference_settle(struct hf_world *world, uint64_t now_ns);

/* NULL, or the one that is to be offered units, or to be dropped instead (`dropped`), next. */
const struct hf_world_reservation *hf_reference_next_offer(const struct hf_world *world,
                                                           uint64_t inventory_id, bool *dropped);

/* One such step by itself. False: there is none, nothing changed. */
bool hf_reference_expire_one(struct hf_world *world, uint64_t now_ns, const struct hf_id *id);
bool hf_reference_offer_one(struct hf_world *world, uint64_t now_ns, uint64_t inventory_id);

/* True of a refusal that would be a yes if all lapsed holds were noticed first. */
bool hf_reference_refuses_early(struct hf_world *world, uint64_t now_ns,
                                const struct hf_request *request,
                                const struct hf_chosen_ids *chosen, unsigned refusal);

/*
 * The server changed a reservation by itself: a hold expired, an offer was made, an entry of a list
 * was dropped. Does the same. NULL, or why the server may not.
 */
const char *hf_reference_follow(struct hf_world *world, uint64_t now_ns,
                                const struct hf_reservation *image, enum hf_reason reason);

#endif
