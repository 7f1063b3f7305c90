/* Requests and answers, as the client and the embedded API give and take them. */
#ifndef HOLDFAST_MESSAGE_H
#define HOLDFAST_MESSAGE_H

#include "holdfast/protocol.h"
#include "holdfast/result.h"
#include "holdfast/types.h"

/* One line of a batch. The fields that the operation does not have are ignored. */
struct hf_line {
    enum hf_operation operation; /* RESERVE, HOLD, JOIN, CONFIRM, RELEASE, CANCEL, EXTEND, CHANGE,
                                    MOVE, LEAVE */
    uint16_t flags;              /* HF_REQUEST_* */
    uint32_t qty;                /* RESERVE, HOLD, JOIN; CONFIRM: 0 is all; CHANGE: 0 cancels */
    struct hf_id id;             /* RESERVE, HOLD, JOIN: zero, the server makes one */
    uint64_t inventory_id;       /* RESERVE, HOLD, JOIN */
    uint64_t customer_id;        /* RESERVE, HOLD, JOIN, MOVE */
    uint64_t ttl_ns;             /* HOLD, EXTEND: 1 .. HF_MAX_TTL_NS */
    uint32_t expected;   /* RESERVE, HOLD, JOIN with EXPECT_VERSION: the inventory's version;
                            the others: the reservation's sequence, 0: any */
    struct hf_id new_id; /* CONFIRM with REACQUIRE; zero: derived from id */
};

/* INVENTORY_SET: those of `settings` that `fields` names. */
struct hf_settings_change {
    uint32_t fields; /* HF_SET_* */
    uint32_t capacity;
    uint32_t flags_mask; /* with HF_SET_FLAGS: which of settings.flags */
    struct hf_settings settings;
};

/* RESERVATION_LIST. All zero but the limit: everything. */
struct hf_reservation_filter {
    uint64_t cursor;  /* 0, then `next` of the page before */
    uint32_t filters; /* HF_FILTER_* */
    uint32_t states;  /* bit n: state n; 0: all */
    uint64_t inventory_id, customer_id;
    uint64_t made_from_ns, made_before_ns; /* made_before_ns 0: no end */
};

/* One request; the fields that the operation does not have are ignored. */
struct hf_request {
    enum hf_operation operation;
    uint16_t flags;        /* HF_REQUEST_* */
    struct hf_id id;       /* of the reservation; HISTORY too */
    uint64_t inventory_id; /* RESERVE, HOLD, JOIN, INVENTORY_* but LIST */
    uint64_t customer_id;  /* RESERVE, HOLD, JOIN, MOVE */
    uint64_t product_id;   /* INVENTORY_CREATE */
    uint32_t qty;          /* as in hf_line */
    uint32_t capacity;     /* INVENTORY_CREATE */
    uint32_t expected;     /* as in hf_line; INVENTORY_SET with EXPECT_VERSION */
    uint32_t from, limit;  /* INVENTORY_LIST; HISTORY: sequence; RESERVATION_LIST: limit */
    uint64_t ttl_ns;       /* HOLD, EXTEND */
    uint64_t not_after_ns; /* RESERVE, HOLD, JOIN, BATCH: date on the server's clock; 0: none */
    struct hf_id new_id;   /* CONFIRM with REACQUIRE */
    uint64_t from_lsn;     /* SUBSCRIBE: 0, from now on */
    uint64_t watch_tag;    /* UNSUBSCRIBE: the tag of the subscription */
    uint32_t kind;         /* SUBSCRIBE: HF_WATCH_* */
    uint32_t count;        /* BATCH: lines; AVAILABILITY, SUBSCRIBE: ids */
    const struct hf_line *lines;         /* BATCH */
    const uint64_t *ids;                 /* AVAILABILITY, SUBSCRIBE */
    struct hf_settings_change change;    /* INVENTORY_SET */
    struct hf_reservation_filter filter; /* RESERVATION_LIST */
};

/* One reservation of a list, a history, or a batch. */
struct hf_reservation_entry {
    unsigned result; /* BATCH: of its line; else 0 */
    bool repeated;
    struct hf_reservation reservation;
};

/* One answer. Which parts are filled in follows from the operation and the result. */
struct hf_reply {
    enum hf_operation operation;
    unsigned result;   /* enum hf_result, or a number from a newer server */
    unsigned field;    /* enum hf_field, where the result names one */
    int32_t available; /* a no about an inventory's units; NOT_READY: percent of the recovery */
    uint32_t version;  /* and its version at that moment; SEQUENCE_MISMATCH, WRONG_STATE: the
                          reservation's sequence */
    unsigned state;    /* SEQUENCE_MISMATCH, WRONG_STATE: the reservation's state */
    unsigned line;     /* a batch's no: the line that failed, from 1; 0: none */
    bool repeated;     /* a yes that was given before */
    bool resent;       /* the request was sent before; copies that were told NOT_READY aside, as
                          those are known not to have been done */
    struct hf_reservation reservation; /* a yes about one reservation */
    struct hf_inventory inventory;     /* a yes of INVENTORY_CREATE, GET, SET, SETTINGS */
    struct hf_settings settings;       /* a yes of INVENTORY_SET, INVENTORY_SETTINGS */
    uint32_t settings_sequence;        /* and the sequence of these settings */
    struct hf_info info;               /* a yes of INFO */
    struct hf_status status;           /* a yes of STATUS */
    uint64_t state_hash, lsn_before, lsn_after, reservations; /* a yes of STATE_HASH */
    uint64_t next; /* INVENTORY_LIST: pass as `from`; RESERVATION_LIST: as cursor; HISTORY: as
                      from; 0: no more */
    uint64_t
        next_lsn;   /* SUBSCRIBE's frames: resume from here; LSN_NOT_KEPT: the first that is kept */
    uint32_t count; /* of what follows; valid until the next call or the end of the callback */
    const struct hf_inventory *inventories;           /* INVENTORY_LIST */
    const struct hf_reservation_entry *entries;       /* BATCH, RESERVATION_LIST, HISTORY */
    const struct hf_availability_entry *availability; /* AVAILABILITY */
    const uint8_t *records; /* RECORDS: 128 bytes each, as in docs/log-format.md */
};

#endif
