/*
 * The wire protocol: sizes and offsets. docs/protocol.md is the specification; this is its index.
 *
 * Every frame, in both directions, begins with the same 16 bytes:
 *
 *   0  u32  frame_bytes   of the whole frame, these 16 included
 *   4  u8   version       1
 *   5  u8   operation     in a reply: the request's operation + 128
 *   6  u16  result        in a request: flags (HF_REQUEST_*)
 *   8  u64  tag           chosen by the client, returned in the reply
 */
#ifndef HOLDFAST_PROTOCOL_H
#define HOLDFAST_PROTOCOL_H

#include <stdint.h>

#define HF_VERSION               "0.1.0" /* of Holdfast; INFO tells the server's */
#define HF_PROTOCOL_VERSION      1
#define HF_DEFAULT_PORT          7411
#define HF_FRAME_HEADER_BYTES    16
#define HF_MAX_REQUEST_BYTES     16384
#define HF_MAX_REPLY_BYTES       65536
#define HF_REPLY_BIT             0x80
#define HF_INVENTORY_ENTRY_BYTES 64
#define HF_MAX_LIST_ENTRIES      1000 /* inventories of INVENTORY_LIST and AVAILABILITY */
#define HF_MAX_PAGE_ENTRIES      500  /* reservations of RESERVATION_LIST and HISTORY */
#define HF_MAX_BATCH_LINES       64
#define HF_MAX_WATCH_IDS         1000
#define HF_FRAME_RECORD_BYTES    128 /* of a record of the log in RECORDS */
#define HF_MAX_FRAME_RECORDS     511

/*
 * Flags of a request, in its header and in the lines of a batch. Those that its operation does not
 * know must be zero.
 *   EXPECT_VERSION  RESERVE, HOLD, JOIN, INVENTORY_SET: `expected` is the inventory's version
 *   OVERRIDE        RESERVE, HOLD, JOIN, CONFIRM, CHANGE, MOVE: an operator's; the customer limit
 *                   does not count
 *   REACQUIRE       CONFIRM: a lapsed hold is claimed anew
 *   STRICT          INVENTORY_SET: no deficit
 */
#define HF_REQUEST_EXPECT_VERSION 1u
#define HF_REQUEST_OVERRIDE       2u
#define HF_REQUEST_REACQUIRE      4u
#define HF_REQUEST_STRICT         8u

/* X(name, number, request bytes: the smallest of those that may be longer) */
#define HF_OPERATIONS(X)                                                                           \
    X(PING, 1, 16)                                                                                 \
    X(INFO, 2, 16)                                                                                 \
    X(STATE_HASH, 3, 16)                                                                           \
    X(STATUS, 4, 16)                                                                               \
    X(SNAPSHOT, 5, 16)                                                                             \
    X(INVENTORY_CREATE, 16, 48)                                                                    \
    X(INVENTORY_GET, 17, 24)                                                                       \
    X(INVENTORY_LIST, 18, 24)                                                                      \
    X(INVENTORY_SET, 19, 112)                                                                      \
    X(INVENTORY_SETTINGS, 20, 24)                                                                  \
    X(AVAILABILITY, 21, 24)                                                                        \
    X(RESERVE, 32, 64)                                                                             \
    X(RESERVATION_GET, 33, 32)                                                                     \
    X(CANCEL, 34, 32)                                                                              \
    X(HOLD, 35, 72)                                                                                \
    X(CONFIRM, 36, 56)                                                                             \
    X(RELEASE, 37, 40)                                                                             \
    X(EXTEND, 38, 48)                                                                              \
    X(CHANGE, 39, 40)                                                                              \
    X(MOVE, 40, 48)                                                                                \
    X(JOIN, 41, 64)                                                                                \
    X(LEAVE, 42, 40)                                                                               \
    X(BATCH, 48, 32)                                                                               \
    X(RESERVATION_LIST, 49, 72)                                                                    \
    X(HISTORY, 50, 40)                                                                             \
    X(SUBSCRIBE, 56, 32)                                                                           \
    X(UNSUBSCRIBE, 57, 24)

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
 *   INVENTORY_SET      16 u64 inventory_id, 24 u32 fields (HF_SET_*), 28 u32 expected version,
 *                      32 u32 sell_limit, 36 u32 customer_limit, 40 u32 min_qty, 44 u32 max_qty,
 *                      48 u32 waiting_limit, 52 u32 capacity, 56 u32 flags, 60 u32 flags_mask,
 *                      64 u64 opens_at, 72 u64 closes_at, 80 u64 longest_hold, 88 u64 cancel_until,
 *                      96 u64 offer_ttl, 104 u64 zero
 *   INVENTORY_SETTINGS 16 u64 inventory_id
 *   AVAILABILITY       16 u32 count (1..1000), 20 u32 zero, 24 count x u64 inventory_id
 *   RESERVE, JOIN      16 id (zero: the server chooses), 32 u64 inventory_id, 40 u64 customer_id,
 *                      48 u32 qty, 52 u32 expected version, 56 u64 not_after (0: none)
 *   HOLD               as RESERVE, 64 u64 ttl
 *   RESERVATION_GET    16 id
 *   CANCEL             16 id; or 40 bytes as RELEASE
 *   RELEASE, LEAVE     16 id, 32 u32 zero, 36 u32 expected sequence (0: any)
 *   CONFIRM            16 id, 32 u32 qty (0: all), 36 u32 expected sequence, 40 new_id (REACQUIRE;
 *                      zero: derived from id)
 *   EXTEND             16 id, 32 u32 zero, 36 u32 expected sequence, 40 u64 ttl
 *   CHANGE             16 id, 32 u32 qty (0: cancel), 36 u32 expected sequence
 *   MOVE               16 id, 32 u32 zero, 36 u32 expected sequence, 40 u64 customer_id
 *   BATCH              16 u32 count (1..64), 20 u32 zero, 24 u64 not_after, 32 count x 64 lines
 *   RESERVATION_LIST   16 u64 cursor (0, then `next` of the page before), 24 u32 limit (1..500),
 *                      28 u32 states (bit n: state n; 0: all), 32 u64 inventory_id,
 *                      40 u64 customer_id, 48 u64 made_from, 56 u64 made_before (0: none),
 *                      64 u32 filters (1: by inventory, 2: by customer), 68 u32 zero
 *   HISTORY            16 id, 32 u32 from_sequence, 36 u32 limit (1..500)
 *   SUBSCRIBE          16 u64 from_lsn (0: from now on), 24 u32 kind (0 all, 1 inventories,
 *                      2 customers), 28 u32 count (0 if all, else 1..1000), 32 count x u64
 *   UNSUBSCRIBE        16 u64 tag of the SUBSCRIBE
 *
 * A line of a batch, 64 bytes
 *   0 u8 operation (RESERVE, HOLD, CONFIRM, RELEASE, CANCEL, EXTEND, CHANGE, MOVE, JOIN, LEAVE),
 *   1 u8 zero, 2 u16 flags, 4 u32 qty, 8 id, 24 u64 inventory_id, 32 u64 customer_id, 40 u64 ttl,
 *   48 u32 expected (version or sequence, as in the operation's own frame), 52 12 zero.
 *   CONFIRM: 24 new_id.
 *
 * What the operation or its flags have no use for is zero, in requests and in lines: expected of a
 * claim without EXPECT_VERSION, new_id without REACQUIRE, a setting without its bit, an id of a
 * RESERVATION_LIST without its filter.
 *
 * Reply shapes
 *   short        32 bytes  16 i32 available, 20 u32 version (with SEQUENCE_MISMATCH and
 *                          WRONG_STATE: the reservation's sequence), 24 u16 field,
 *                          26 u8 state (with WRONG_STATE and SEQUENCE_MISMATCH), 27 u8 zero,
 *                          28 u16 line (of a batch, from 1; 0: none), 30 u16 zero
 *                          every result that is not a yes, the yes of PING, SNAPSHOT and
 *                          UNSUBSCRIBE; with LSN_NOT_KEPT 16 u64 first LSN kept; with NOT_READY
 *                          16 i32 percent of the recovery that is done
 *   reservation  96 bytes  16 id, 32 u64 inventory_id, 40 u64 customer_id, 48 u64 lsn,
 *                          56 u64 made_at_ns, 64 u64 changed_at_ns, 72 u64 deadline_ns, 80 u32 qty,
 *                          84 u8 state, 85 u8 flags (1: this answer repeats an earlier one,
 *                          2: linked), 86 u16 zero, 88 u32 sequence, 92 u32 zero
 *                112         flag `linked`: 96 linked_id
 *                          the yes of every operation about one reservation
 *   settings    160 bytes  16 one inventory entry, 80 u32 customer_limit, 84 u32 min_qty,
 *                          88 u32 max_qty, 92 u32 waiting_limit, 96 u64 opens_at,
 *                          104 u64 closes_at, 112 u64 longest_hold, 120 u64 cancel_until,
 *                          128 u64 offer_ttl, 136 u32 sequence, 140 20 zero
 *                          the yes of INVENTORY_SET, INVENTORY_SETTINGS
 *   availability 32 + 16n  16 u32 count, 20 12 zero, 32 n x (i32 available, u32 version, u32 flags,
 *                          u32 waiting), in the order of the request    the yes of AVAILABILITY
 *   reservations 32 + 96n  16 u32 count, 20 u32 zero, 24 u64 next (0: no more), 32 n entries
 *                          the yes of RESERVATION_LIST, HISTORY (next: a sequence) and BATCH
 *                          (next: 0; entries in the order of the lines)
 *   records      32 + 128n 16 u32 count, 20 u32 zero, 24 u64 next_lsn, 32 n records as in
 *                          docs/log-format.md    SUBSCRIBED (n = 0), RECORDS, FELL_BEHIND (n = 0),
 *                          UNSUBSCRIBED (n = 0), all with the tag of the SUBSCRIBE
 *   inventory    80 bytes  16 one inventory entry
 *                          the yes of INVENTORY_CREATE, INVENTORY_GET
 *   page         32 + 64n  16 u32 count, 20 u32 next (0: this was the last page), 24 u64 zero,
 *                          32 inventory entries
 *                          the yes of INVENTORY_LIST
 *   hash         48 bytes  16 u64 state_hash, 24 u64 lsn_before, 32 u64 lsn_after,
 *                          40 u64 reservations     the yes of STATE_HASH
 *   info        176 bytes  see struct hf_info      the yes of INFO
 *   status      384 bytes  see struct hf_status    the yes of STATUS
 *
 * An inventory entry
 *   0 u64 inventory_id, 8 u64 product_id, 16 u64 lsn, 24 u64 made_at_ns, 32 u32 capacity,
 *   36 u32 sell_limit, 40 i32 available, 44 u32 held, 48 u32 confirmed, 52 u32 version,
 *   56 u32 waiting, 60 u32 flags
 * A reservation entry
 *   0 u16 result (BATCH; else 0), 2 u8 state, 3 u8 flags (1: repeated), 4 u32 qty, 8 id,
 *   24 u64 inventory_id, 32 u64 customer_id, 40 u64 lsn, 48 u64 made_at_ns, 56 u64 changed_at_ns,
 *   64 u64 deadline_ns, 72 u32 sequence, 76 u32 zero, 80 linked_id
 */
#define HF_RESERVE_BYTES           64
#define HF_SHORT_REPLY_BYTES       32
#define HF_RESERVATION_REPLY_BYTES 96
#define HF_LINKED_REPLY_BYTES      112
#define HF_SETTINGS_REPLY_BYTES    160
#define HF_GUARDED_CANCEL_BYTES    40
#define HF_BATCH_HEADER_BYTES      32
#define HF_BATCH_LINE_BYTES        64
#define HF_RESERVATION_ENTRY_BYTES 96
#define HF_AVAILABILITY_BYTES      16
#define HF_INVENTORY_REPLY_BYTES   80
#define HF_PAGE_HEADER_BYTES       32
#define HF_HASH_REPLY_BYTES        48
#define HF_INFO_REPLY_BYTES        176
#define HF_STATUS_REPLY_BYTES      384

#define HF_REPLY_FLAG_REPEATED 1
#define HF_REPLY_FLAG_LINKED   2

/* The fields that INVENTORY_SET sets. */
#define HF_SET_SELL_LIMIT     (1u << 0)
#define HF_SET_CUSTOMER_LIMIT (1u << 1)
#define HF_SET_MIN_QTY        (1u << 2)
#define HF_SET_MAX_QTY        (1u << 3)
#define HF_SET_WAITING_LIMIT  (1u << 4)
#define HF_SET_CAPACITY       (1u << 5)
#define HF_SET_FLAGS          (1u << 6) /* those of flags_mask, to their values in flags */
#define HF_SET_OPENS_AT       (1u << 7)
#define HF_SET_CLOSES_AT      (1u << 8)
#define HF_SET_LONGEST_HOLD   (1u << 9)
#define HF_SET_CANCEL_UNTIL   (1u << 10)
#define HF_SET_OFFER_TTL      (1u << 11)
#define HF_SET_REOPEN         (1u << 12) /* undoes a close by selling out */
#define HF_SET_ALL            ((1u << 13) - 1)

#define HF_FILTER_INVENTORY 1u
#define HF_FILTER_CUSTOMER  2u

#define HF_WATCH_ALL         0
#define HF_WATCH_INVENTORIES 1
#define HF_WATCH_CUSTOMERS   2

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

/* What state a server is in; numbers of `state` in STATUS. */
#define HF_SERVER_RECOVERING 1u /* reads its log; STATUS is all that it answers */
#define HF_SERVER_READY      2u
#define HF_SERVER_STOPPING   3u

/* How blocks of the log are written; numbers of `write_method` in STATUS. */
#define HF_WRITE_DIRECT    1u /* past the page cache, data-synced by the write itself */
#define HF_WRITE_FDATASYNC 2u /* write, then fdatasync */

#define HF_STATUS_TEXT_BYTES 96

/*
 * What STATUS tells: how the server is, for those who watch over it. Offsets in the frame beside
 * each field. While it recovers, all is zero but what is marked with R.
 */
struct hf_status {
    uint8_t state;                 /*  16  R HF_SERVER_* */
    uint8_t percent;               /*  17  R of the recovery: 0 .. 99, and 100 behind it */
    uint8_t write_method;          /*  18  HF_WRITE_* */
    uint8_t storage_full;          /*  19  1: no room for another segment of the log */
    uint8_t snapshot_under_way;    /*  20  1: one is being made */
    uint8_t snapshot_requested;    /*  21  1: one was asked for, and is not begun */
    uint8_t archive_enabled;       /*  22  1: segments are archived before they are released */
    uint64_t recovery_done_bytes;  /*  24  R read of the log */
    uint64_t recovery_total_bytes; /*  32  R to be read */
    uint64_t first_kept_segment;   /*  40  the log is kept from this segment on */
    uint64_t active_segment;       /*  48  and is being written to this one */
    uint64_t segment_bytes;        /*  56  of each */
    uint64_t kept_bytes;           /*  64  of all of them */
    uint64_t write_latency_ns;     /*  72  of one block, as measured at the start; 0: it was not */
    uint32_t writes_inflight;      /*  80  at once, at most */
    int32_t storage_error;         /*  84  why no segment could be prepared: -errno; 0: one was */
    uint64_t snapshots_made;       /*  88  since the start */
    uint64_t snapshot_failures;    /*  96  since the start */
    uint32_t snapshots_kept;       /* 104 */
    int32_t snapshot_error;        /* 108  of the last attempt: -errno; 0: it succeeded */
    uint64_t snapshot_lsn;         /* 112  of the newest: it attests all up to here */
    uint64_t snapshot_made_at_ns;  /* 120  of the newest, a date */
    uint64_t snapshot_bytes;       /* 128  of the newest */
    uint64_t snapshot_duration_ns; /* 136  how long the newest took to make */
    uint64_t snapshot_done_bytes;  /* 144  of the one under way */
    uint64_t snapshot_expected_bytes; /* 152  of the one under way, about */
    uint64_t bytes_since_snapshot;    /* 160  of the log, behind the newest snapshot */
    uint64_t archived_segment;        /* 168  the newest that was archived; 0: none */
    uint64_t archive_waiting;         /* 176  full segments that are not archived yet */
    uint32_t archive_failures;        /* 184  in a row; 0: the last attempt succeeded */
    uint32_t archive_exit_status;     /* 188  of the last failure */
    uint64_t archived_at_ns;          /* 192  date of the last success; 0: none since the start */
    char archive_failure[HF_STATUS_TEXT_BYTES]; /* 200  text of the last failure, zero-padded */
    uint64_t put_aside;  /* 296  operations that waited for room in the log, since the start */
    uint64_t overloaded; /* 304  operations that were answered OVERLOADED since the start */
    uint64_t recovered_records; /* 312  R */
};                              /* 320  64 bytes zero */

#endif
