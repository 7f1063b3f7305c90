/*
 * A rig for the engine: one engine with its ring, one actor, and a log in memory, in one thread.
 *
 * The ring is drained into the log after each operation, unless a test wants it full. The log can
 * be cut at any record and the engine recovered from what is left, as from a crash: a chain that
 * the cut falls into is dropped whole.
 *
 * What a test asks for goes the way of the server's requests: hf_request_check(), then
 * hf_engine_execute() inside an epoch. What is put aside is done again, for as long as a server
 * would have to do it again by itself (a grace period, a piece of counting); then it is told.
 *
 * Time stands still but for what the test adds to `actor.now_ns`, or hf_rig_pass().
 *
 * Every failure of the machine ends the process: it is not what is tested.
 */
#ifndef HF_TESTS_LIB_ENGINE_RIG_H
#define HF_TESTS_LIB_ENGINE_RIG_H

#include "engine/engine.h"
#include "engine/image.h"
#include "holdfast/message.h"

#define HF_RIG_START_NS 1000000000000000ull /* the date at which a rig is opened */
#define HF_RIG_MS       1000000ull
#define HF_RIG_S        1000000000ull

/* 0: a value that is in nobody's way. */
struct hf_rig_options {
    uint32_t max_inventories, max_reservations;
    uint32_t ring_slots; /* a power of two */
    uint64_t retain_ns;
};

struct hf_rig {
    struct hf_engine engine;
    struct hf_ring ring;
    struct hf_actor actor;
    struct hf_rig_options options;
    bool holds_ring; /* the ring is not drained after operations */
    uint8_t *log;    /* HF_RECORD_BYTES each, from LSN 1 on */
    uint32_t log_count, log_capacity;
    struct hf_outcome outcome; /* of the newest operation */
    struct hf_reservation_entry entries[HF_MAX_PAGE_ENTRIES];
};

void hf_rig_open(struct hf_rig *rig, const struct hf_rig_options *options);

/* The same, with inventories 1 to `inventories`, of so many units each. */
void hf_rig_open_stocked(struct hf_rig *rig, const struct hf_rig_options *options,
                         uint32_t inventories, uint32_t capacity);
void hf_rig_close(struct hf_rig *rig);

/* The process is gone, and the first `records` of its log are left; starts again, as a store does.
 * What is beyond them is forgotten. NULL, or why it cannot be recovered. */
const char *hf_rig_recover(struct hf_rig *rig, uint32_t records);

/* How many of the first `records` are left if the last chain among them has to be whole. */
uint32_t hf_rig_whole(const struct hf_rig *rig, uint32_t records);

void hf_rig_drain(struct hf_rig *rig);

/* One attempt at a request; the result, or HF_PUT_ASIDE_*. */
unsigned hf_rig_try(struct hf_rig *rig, const struct hf_request *request);

/* The same, until it is no longer put aside, if that comes about by itself. */
unsigned hf_rig_do(struct hf_rig *rig, const struct hf_request *request);

/* Time passes, and the engine does what is due: all of it. */
void hf_rig_pass(struct hf_rig *rig, uint64_t ns);

/* ---- requests: each returns the result; the ids are hf_id_of_number() ---- */

void hf_rig_create(struct hf_rig *rig, uint64_t inventory_id, uint32_t capacity);
unsigned hf_rig_reserve(struct hf_rig *rig, uint32_t number, uint64_t inventory_id,
                        uint64_t customer_id, uint32_t qty);
unsigned hf_rig_hold(struct hf_rig *rig, uint32_t number, uint64_t inventory_id,
                     uint64_t customer_id, uint32_t qty, uint64_t ttl_ns);
unsigned hf_rig_join(struct hf_rig *rig, uint32_t number, uint64_t inventory_id,
                     uint64_t customer_id, uint32_t qty);
/* CONFIRM, RELEASE, CANCEL or LEAVE, all of it, whatever the sequence; RESERVATION_GET. */
unsigned hf_rig_simple(struct hf_rig *rig, enum hf_operation operation, uint32_t number);
unsigned hf_rig_extend(struct hf_rig *rig, uint32_t number, uint64_t ttl_ns);
unsigned hf_rig_change(struct hf_rig *rig, uint32_t number, uint32_t qty);
unsigned hf_rig_move(struct hf_rig *rig, uint32_t number, uint64_t customer_id);
unsigned hf_rig_batch(struct hf_rig *rig, const struct hf_line *lines, uint32_t count);
unsigned hf_rig_set(struct hf_rig *rig, uint64_t inventory_id,
                    const struct hf_settings_change *change);
/* One 32-bit or 64-bit setting. */
unsigned hf_rig_set_one(struct hf_rig *rig, uint64_t inventory_id, uint32_t field, uint64_t value);
/* Sets the flags of `mask` to those in `flags`. */
unsigned hf_rig_set_flags(struct hf_rig *rig, uint64_t inventory_id, uint32_t mask, uint32_t flags);

/* ---- looking ---- */

struct hf_inventory hf_rig_inventory(struct hf_rig *rig, uint64_t inventory_id);

/* The state, and whether there is a reservation at all: 0, none. */
unsigned hf_rig_state(struct hf_rig *rig, uint32_t number);

/* The newest change of a reservation, which must exist. */
struct hf_reservation hf_rig_reservation(struct hf_rig *rig, uint32_t number);

/* The cell of a reservation, which must exist. */
struct hf_reservation_cell *hf_rig_cell(struct hf_rig *rig, uint32_t number);

/* The image with this LSN, which must be in the log. */
struct hf_image hf_rig_image(const struct hf_rig *rig, uint64_t lsn);

/* hf_digest_engine(), see digest.h. */
uint64_t hf_rig_digest(struct hf_rig *rig);

#endif
