/*
 * The wire protocol: sizes and offsets. docs/protocol.md is the specification; this is its index.
 *
 * Every frame, in both directions, begins with the same 16 bytes:
 *
 *   0  u32  frame_bytes   of the whole frame, these 16 included
 *   4  u8   version       1
 *   5  u8   operation     in a reply: the request's operation + 128
 *   6  u16  result        in a request: zero
 *   8  u64  tag           chosen by the client, returned in the reply
 */
#ifndef HOLDFAST_PROTOCOL_H
#define HOLDFAST_PROTOCOL_H

#include <stdint.h>

#define HF_VERSION               "0.1.0" /* of Holdfast; INFO tells the server's */
#define HF_PROTOCOL_VERSION      1
#define HF_DEFAULT_PORT          7411
#define HF_FRAME_HEADER_BYTES    16
#define HF_MAX_REQUEST_BYTES     4096
#define HF_MAX_REPLY_BYTES       65536
#define HF_REPLY_BIT             0x80
#define HF_INVENTORY_ENTRY_BYTES 64
#define HF_MAX_LIST_ENTRIES      1000

/* X(name, number, request bytes) */
#define HF_OPERATIONS(X)                                                                           \
    X(PING, 1, 16)                                                                                 \
    X(INFO, 2, 16)                                                                                 \
    X(STATE_HASH, 3, 16)                                                                           \
    X(INVENTORY_CREATE, 16, 48)                                                                    \
    X(INVENTORY_GET, 17, 24)                                                                       \
    X(INVENTORY_LIST, 18, 24)                                                                      \
    X(RESERVE, 32, 64)                                                                             \
    X(RESERVATION_GET, 33, 32)                                                                     \
    X(CANCEL, 34, 32)

enum hf_operation {
#define X(name, number, bytes) HF_OP_##name = number,
    HF_OPERATIONS(X)
#undef X
};

/*
 * Request bodies, offsets from the start of the frame
 *   INVENTORY_CREATE   16 u64 inventory_id, 24 u64 product_id, 32 u32 capacity, 36 12 zero
 *   INVENTORY_GET      16 u64 inventory_id
 *   INVENTORY_LIST     16 u32 from (0, then `next` of the page before), 20 u32 limit (1..1000)
 *   RESERVE            16 id (zero: the server chooses), 32 u64 inventory_id, 40 u64 customer_id,
 *                      48 u32 qty, 52 12 zero
 *   RESERVATION_GET    16 id
 *   CANCEL             16 id
 *
 * Reply shapes
 *   short        32 bytes  16 i32 available, 20 u32 version, 24 u16 field, 26 6 zero
 *                          every result that is not a yes, and the yes of PING
 *   reservation  96 bytes  16 id, 32 u64 inventory_id, 40 u64 customer_id, 48 u64 lsn,
 *                          56 u64 made_at_ns, 64 u64 changed_at_ns, 72 u64 zero, 80 u32 qty,
 *                          84 u8 state, 85 u8 flags (1: this answer repeats an earlier one),
 *                          86 u16 zero, 88 u32 sequence, 92 u32 zero
 *                          the yes of RESERVE, RESERVATION_GET, CANCEL
 *   inventory    80 bytes  16 one inventory entry
 *                          the yes of INVENTORY_CREATE, INVENTORY_GET
 *   page         32 + 64n  16 u32 count, 20 u32 next (0: this was the last page), 24 u64 zero,
 *                          32 inventory entries
 *                          the yes of INVENTORY_LIST
 *   hash         48 bytes  16 u64 state_hash, 24 u64 lsn_before, 32 u64 lsn_after,
 *                          40 u64 reservations     the yes of STATE_HASH
 *   info        176 bytes  see docs/protocol.md    the yes of INFO
 *
 * An inventory entry
 *   0 u64 inventory_id, 8 u64 product_id, 16 u64 lsn, 24 u64 made_at_ns, 32 u32 capacity,
 *   36 u32 sell_limit, 40 i32 available, 44 u32 held, 48 u32 confirmed, 52 u32 version, 56 u64 zero
 */
#define HF_RESERVE_BYTES           64
#define HF_SHORT_REPLY_BYTES       32
#define HF_RESERVATION_REPLY_BYTES 96
#define HF_INVENTORY_REPLY_BYTES   80
#define HF_PAGE_HEADER_BYTES       32
#define HF_HASH_REPLY_BYTES        48
#define HF_INFO_REPLY_BYTES        176

#define HF_REPLY_FLAG_REPEATED 1

/* What INFO tells. Offsets in the frame beside each field. */
struct hf_info {
    uint8_t log_id[16];              /*  16  which log this is; a UUID */
    uint64_t epoch;                  /*  32  how many times a server was started on this log */
    uint64_t started_at_ns;          /*  40  date of the start */
    uint64_t now_ns;                 /*  48  the server's clock */
    uint64_t next_lsn;               /*  56  the LSN that the next change will get */
    uint64_t commit_lsn;             /*  64  everything up to here is committed */
    uint64_t durable_lsn;            /*  72  everything up to here is on the disk */
    uint64_t recovered_records;      /*  80  read from the log at the start */
    uint64_t recovered_reservations; /*  88  rebuilt from them */
    uint64_t recovery_ns;            /*  96  how long that took */
    uint64_t reservations;           /* 104  retained now */
    uint64_t max_reservations;       /* 112 */
    uint64_t connections;            /* 120  open now */
    uint64_t log_bytes;              /* 128  written to the log since the start */
    uint64_t log_blocks;             /* 136  in this many writes */
    uint32_t inventories;            /* 144 */
    uint32_t max_inventories;        /* 148 */
    uint32_t workers;                /* 152 */
    uint32_t durability;             /* 156  0 disk, 1 memory */
    char server_version[16];         /* 160  "0.1.0", zero-padded */
};

#endif
