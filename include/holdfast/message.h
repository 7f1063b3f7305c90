/* Requests and answers, as the client and the embedded API give and take them. */
#ifndef HOLDFAST_MESSAGE_H
#define HOLDFAST_MESSAGE_H

#include "holdfast/protocol.h"
#include "holdfast/result.h"
#include "holdfast/types.h"

/* One request; the fields that the operation does not have are ignored. */
struct hf_request {
    enum hf_operation operation;
    struct hf_id id;       /* RESERVE, RESERVATION_GET, CANCEL */
    uint64_t inventory_id; /* RESERVE, INVENTORY_* */
    uint64_t customer_id;  /* RESERVE */
    uint64_t product_id;   /* INVENTORY_CREATE */
    uint32_t qty;          /* RESERVE */
    uint32_t capacity;     /* INVENTORY_CREATE */
    uint32_t from, limit;  /* INVENTORY_LIST */
};

/* One answer. Which parts are filled in follows from the operation and the result. */
struct hf_reply {
    enum hf_operation operation;
    unsigned result;   /* enum hf_result, or a number from a newer server */
    unsigned field;    /* enum hf_field: with BAD_FIELD, ID_REUSED, INVENTORY_EXISTS */
    int32_t available; /* with SOLD_OUT */
    uint32_t version;  /* with SOLD_OUT: the inventory's version at that moment */
    bool repeated;     /* a yes that was given before */
    bool resent;       /* the request was sent more than once */
    struct hf_reservation reservation; /* a yes of RESERVE, RESERVATION_GET, CANCEL */
    struct hf_inventory inventory;     /* a yes of INVENTORY_CREATE, INVENTORY_GET */
    struct hf_info info;               /* a yes of INFO */
    uint64_t state_hash, lsn_before, lsn_after, reservations; /* a yes of STATE_HASH */
    uint32_t next;  /* INVENTORY_LIST: pass as `from`; 0: no more */
    uint32_t count; /* INVENTORY_LIST */
    const struct hf_inventory
        *inventories; /* INVENTORY_LIST: `count`, until the next call or the end of the callback */
};

#endif
