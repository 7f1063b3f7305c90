/*
 * A block: what one write to the log carries. A header of 128 bytes, records of 128 bytes, and zero
 * bytes up to a multiple of 4096. A block may carry no record (see flags).
 *
 *    0  u64  magic            "HFBLOCK1"
 *    8  u16  format           1
 *   10  u16  header_bytes     128
 *   12  u16  record_bytes     128
 *   14  u16  flags            1 START: first block of a server's run; 2 STOP: clean end of a run;
 *                             4 ATTEST: written when idle, to attest what is committed
 *   16  16   log_id           the same in every block and segment of a log
 *   32  u64  epoch            of the run that wrote it: grows with every start
 *   40  u64  sequence         1 for the first block of the log, one more for each
 *   48  u64  previous_hash    header_hash of the block before; 0 for the first
 *   56  u64  first_lsn        LSN of the first record, or of the next one if there is none here
 *   64  u32  record_count     0 .. 8191
 *   68  u32  block_bytes      header, records and padding: a multiple of 4096
 *   72  u64  commit_lsn       everything up to here was durable when this block was made
 *   80  u64  commit_sequence  every block up to this one was durable when this block was made
 *   88  u64  segment          number of the segment it stands in
 *   96  u32  offset           of this block in its segment, in bytes
 *  100  u32  zero
 *  104  u64  written_at_ns    the server's clock
 *  112  u64  payload_hash     XXH3-64 of the records (0 if none)
 *  120  u64  header_hash      XXH3-64 of bytes 0 .. 119
 *
 * A block is valid if and only if
 *   1. magic, format, header_bytes, record_bytes are as above and the bytes at 100 are zero;
 *   2. header_hash is right;
 *   3. log_id is the log's, segment and offset are where it was read;
 *   4. record_count <= 8191, block_bytes is 128 * (record_count + 1) rounded up to 4096, epoch is
 *      not zero, and no other flag than those above is set;
 *   5. payload_hash is right, the padding is zero, and record i has LSN first_lsn + i;
 *   6. commit_lsn < first_lsn and commit_sequence < sequence.
 * header_hash is judged before format: whatever a later format adds, these two and magic stay where
 * they are, so that a damaged byte is never taken for a newer format.
 * It continues the log if and only if, beyond that, its sequence is one more than that of the block
 * before, its previous_hash is that block's header_hash, its first_lsn is that block's first_lsn +
 * record_count, its epoch is not smaller, and larger exactly if it is a START block.
 */
#ifndef HF_WAL_BLOCK_H
#define HF_WAL_BLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wal/record.h"

#define HF_BLOCK_MAGIC        0x314b434f4c424648ull /* "HFBLOCK1" */
#define HF_LOG_FORMAT         1
#define HF_BLOCK_HEADER_BYTES 128
#define HF_BLOCK_ALIGN_BYTES  4096
#define HF_MAX_BLOCK_BYTES    (1u << 20)
#define HF_MAX_BLOCK_RECORDS  (HF_MAX_BLOCK_BYTES / HF_RECORD_BYTES - 1)
#define HF_MAX_INFLIGHT       8 /* blocks that may be in flight at once, by the format */

#define HF_BLOCK_START  1u
#define HF_BLOCK_STOP   2u
#define HF_BLOCK_ATTEST 4u

struct hf_block {
    uint16_t flags;
    uint8_t log_id[16];
    uint64_t epoch;
    uint64_t sequence;
    uint64_t previous_hash;
    uint64_t first_lsn;
    uint32_t record_count;
    uint32_t block_bytes;
    uint64_t commit_lsn;
    uint64_t commit_sequence;
    uint64_t segment;
    uint32_t offset;
    uint64_t written_at_ns;
    uint64_t payload_hash;
    uint64_t header_hash;
};

/* Bytes of a block with that many records. */
uint32_t hf_block_bytes(uint32_t record_count);

/*
 * Finishes a block in place: `bytes` holds the records from offset 128 on; hashes them, zeroes the
 * padding, and writes the header. Sets block_bytes, payload_hash and header_hash in *block.
 */
void hf_block_seal(uint8_t *bytes, struct hf_block *block);

/* Why bytes are not a valid block. */
enum hf_block_fault {
    HF_BLOCK_VALID,
    HF_BLOCK_EMPTY, /* all of the first 128 bytes are zero */
    HF_BLOCK_BAD_MAGIC,
    HF_BLOCK_BAD_HEADER_HASH,
    HF_BLOCK_NEWER_FORMAT,
    HF_BLOCK_BAD_HEADER, /* a header field has an impossible value */
    HF_BLOCK_BAD_PAYLOAD_HASH,
    HF_BLOCK_BAD_PADDING,
    HF_BLOCK_BAD_LSN, /* a record's LSN is not its position */
};

const char *hf_block_fault_name(enum hf_block_fault fault);

/* Reads the header at `bytes` (128 bytes): rules 1, 2, 4 and 6. */
enum hf_block_fault hf_block_read_header(const uint8_t *bytes, struct hf_block *block);

/* Checks the payload of a block whose header was read, all block_bytes at `bytes`: rule 5. */
enum hf_block_fault hf_block_check_payload(const uint8_t *bytes, const struct hf_block *block);

#endif
