/*
 * The bytes of a snapshot: a file that holds, as records of the log's own form, the newest image of
 * all that the log up to an LSN is about. It is named by that LSN as 16 decimal digits and
 * ".snapshot". What images mean, and which of them belong in, is not told here: docs/log-format.md.
 *
 * The file begins with a header of 4096 bytes
 *
 *     0  u64  magic            "HFSNAPSH"
 *     8  u16  format           1
 *    10  u16  header_bytes     4096
 *    12  u16  record_bytes     128
 *    14  u16  zero
 *    16  16   log_id           of the log
 *    32  u64  epoch            of the run that made it; 0: a tool did
 *    40  u64  last_lsn         of the log when it was complete; no record has a higher one
 *    48  u64  start.segment    where the log goes on from which recovery reads what is newer: all
 *    56  u64  start.epoch      before it is in the snapshot. See wal/start.h
 *    64  u64  start.sequence
 *    72  u64  start.previous_hash
 *    80  u64  start.next_lsn
 *    88  u64  start.written_at_ns
 *    96  u64  records
 *   104  u64  inventories      those of kind 1; they come first
 *   112  u64  groups
 *   120  u64  file_bytes
 *   128  u64  made_at_ns       when it was begun: stands in each group, too
 *   136  u64  log_time_ns      the newest date in any record before start.next_lsn, or a newer one
 *                              up to last_lsn
 *   144  u64  retain_ns        the server's retention then; information
 *   152  u64  segment_bytes    of the log
 *   160  16   origin_log_id    the log that this one was made from; zero: none
 *   176  u64  origin_last_lsn  up to where
 *   184  u64  last_group_hash  header_hash of the last group; 0: there is none
 *   192  3896 zero
 *  4088  u64  header_hash      XXH3-64 of bytes 0 .. 4087
 *
 * Then come groups, back to back: a header of 128 bytes, records, and zero bytes up to a multiple
 * of 4096. Every group but the last holds 2047 records, which makes it 256 KiB.
 *
 *     0  u64  magic            "HFSNAPGR"
 *     8  u16  format           1
 *    10  u16  header_bytes     128
 *    12  u16  record_bytes     128
 *    14  u16  zero
 *    16  16   log_id           of the log
 *    32  u64  made_at_ns       of the snapshot
 *    40  u64  index            of the group, from 0
 *    48  u64  offset           in the file
 *    56  u64  previous_hash    header_hash of the group before; 0 in the first
 *    64  u32  record_count     1 .. 2047
 *    68  u32  group_bytes      header, records and padding
 *    72  40   zero
 *   112  u64  payload_hash     XXH3-64 of the records
 *   120  u64  header_hash      XXH3-64 of bytes 0 .. 119
 *
 * A snapshot is right if and only if
 *   1. magic, format, header_bytes, record_bytes and the zeros of its header are as above;
 *   2. header_hash is right;
 *   3. last_lsn is that of its name, file_bytes is the size of the file;
 *   4. start.segment is 1 .. 10^16 - 1, 1 <= start.next_lsn <= last_lsn + 1, start.epoch <= epoch,
 *      and start.sequence is zero exactly if start.epoch is, and then start.previous_hash is too;
 *   5. inventories <= records, groups is records / 2047 rounded up, file_bytes is that of such a
 *      file, last_group_hash is zero if there is no group, segment_bytes is a size of segments;
 *   6. origin_log_id is not log_id (so log_id is not zero); if it is zero, origin_last_lsn is;
 *      origin_last_lsn < start.next_lsn;
 *   7. each group has the magic, format, header_bytes, record_bytes and zeros as above, and its
 *      header_hash is right;
 *   8. its log_id and made_at_ns are the header's, its index and offset where it stands;
 *   9. its previous_hash is the header_hash of the group before; that of the last group is
 *      last_group_hash;
 *  10. its record_count is 2047, in the last what is left, and group_bytes 128 * (record_count + 1)
 *      rounded up to 4096;
 *  11. its payload_hash is right, and its padding is zero;
 *  12. each record's LSN is 1 .. last_lsn, its kind 1 for the first `inventories` and 2 for the
 *      rest, and it is in no chain (bytes 10 and 11 are zero).
 * As with blocks, header_hash is judged before format, so that a damaged byte is never taken for a
 * newer format.
 */
#ifndef HF_WAL_SNAPSHOT_HEADER_H
#define HF_WAL_SNAPSHOT_HEADER_H

#include <stdbool.h>
#include <stdint.h>

#include "wal/record.h"
#include "wal/start.h"

#define HF_SNAPSHOT_MAGIC              0x485350414e534648ull /* "HFSNAPSH" */
#define HF_SNAPSHOT_GROUP_MAGIC        0x524750414e534648ull /* "HFSNAPGR" */
#define HF_SNAPSHOT_FORMAT             1
#define HF_SNAPSHOT_HEADER_BYTES       4096
#define HF_SNAPSHOT_GROUP_HEADER_BYTES 128
#define HF_SNAPSHOT_GROUP_BYTES        (256u << 10) /* of all groups but the last */
#define HF_SNAPSHOT_GROUP_RECORDS                                                                  \
    ((HF_SNAPSHOT_GROUP_BYTES - HF_SNAPSHOT_GROUP_HEADER_BYTES) / HF_RECORD_BYTES)

#define HF_SNAPSHOT_LSN_MAX    9999999999999999ull /* what 16 digits can say */
#define HF_SNAPSHOT_NAME_BYTES 26 /* "0000000000000001.snapshot" and the terminating zero */
#define HF_SNAPSHOT_TEMPORARY  "snapshot.tmp" /* being made; no part of the log */

#define HF_SNAPSHOT_KIND_INVENTORY   1 /* of the records that come first */
#define HF_SNAPSHOT_KIND_RESERVATION 2 /* of the others */

struct hf_snapshot_header {
    uint8_t log_id[16];
    uint64_t epoch;
    uint64_t last_lsn;
    struct hf_log_start start;
    uint64_t records;
    uint64_t inventories;
    uint64_t groups;
    uint64_t file_bytes;
    uint64_t made_at_ns;
    uint64_t log_time_ns;
    uint64_t retain_ns;
    uint64_t segment_bytes;
    uint8_t origin_log_id[16];
    uint64_t origin_last_lsn;
    uint64_t last_group_hash;
};

struct hf_snapshot_group {
    uint8_t log_id[16];
    uint64_t made_at_ns;
    uint64_t index;
    uint64_t offset;
    uint64_t previous_hash;
    uint32_t record_count;
    uint32_t group_bytes;
    uint64_t payload_hash;
    uint64_t header_hash;
};

/* The name of the snapshot up to LSN 0 .. HF_SNAPSHOT_LSN_MAX. */
void hf_snapshot_name_format(uint64_t last_lsn, char name[HF_SNAPSHOT_NAME_BYTES]);

/* The last LSN of a snapshot. False if `name` is not one. */
bool hf_snapshot_name_parse(const char *name, uint64_t *last_lsn);

/* Bytes of a group with 1 .. HF_SNAPSHOT_GROUP_RECORDS records. */
uint32_t hf_snapshot_group_bytes(uint32_t record_count);

/* Sets `groups` and `file_bytes` to what follows from `records`. False: no file is so large. */
bool hf_snapshot_header_measure(struct hf_snapshot_header *header);

/* Why bytes are not what they should be. */
enum hf_snapshot_fault {
    HF_SNAPSHOT_VALID,
    HF_SNAPSHOT_EMPTY, /* all zero */
    HF_SNAPSHOT_BAD_MAGIC,
    HF_SNAPSHOT_BAD_HASH,
    HF_SNAPSHOT_NEWER_FORMAT,
    HF_SNAPSHOT_BAD_FIELD, /* a field has an impossible value, or reserved bytes are not zero */
    HF_SNAPSHOT_BAD_PAYLOAD_HASH,
    HF_SNAPSHOT_BAD_PADDING,
};

/* What was found instead, for a person: "a header with a wrong checksum". Static storage. */
const char *hf_snapshot_fault_name(enum hf_snapshot_fault fault);

/* Writes HF_SNAPSHOT_HEADER_BYTES. The header must be one that the rules allow. */
void hf_snapshot_header_encode(uint8_t *bytes, const struct hf_snapshot_header *header);

/* Reads HF_SNAPSHOT_HEADER_BYTES: rules 1, 2, and 4 to 6. *header is filled in if and only if they
 * are VALID. */
enum hf_snapshot_fault hf_snapshot_header_decode(const uint8_t *bytes,
                                                 struct hf_snapshot_header *header);

/*
 * Finishes a group in place: `bytes` holds record_count records from offset 128 on; hashes them,
 * zeroes the padding, and writes the header. Sets group_bytes, payload_hash and header_hash.
 */
void hf_snapshot_group_seal(uint8_t *bytes, struct hf_snapshot_group *group);

/* Reads the header at `bytes` (128 bytes): rule 7, and 10 as far as it concerns one group alone.
 * *group is filled in if and only if it is VALID. */
enum hf_snapshot_fault hf_snapshot_group_read_header(const uint8_t *bytes,
                                                     struct hf_snapshot_group *group);

/* Checks the records and the padding of a group whose header was read, all group_bytes at `bytes`:
 * rule 11. */
enum hf_snapshot_fault hf_snapshot_group_check_payload(const uint8_t *bytes,
                                                       const struct hf_snapshot_group *group);

/*
 * Rule 12, for `count` records at `records` of which the first is number `first` of the snapshot,
 * from 0. Returns the number of the first record that breaks it, first + count if none does. Of the
 * header, `inventories` and `last_lsn` are used.
 */
uint64_t hf_snapshot_check_records(const struct hf_snapshot_header *header, uint64_t first,
                                   const uint8_t *records, uint32_t count);

#endif
