/*
 * The head of a segment. The log is cut into segments: files of one size, named by their number as
 * 16 decimal digits and ".wal", from 0000000000000001.wal on without gaps. Names that end in ".tmp"
 * are leftovers of preparing and no part of the log.
 *
 *     0  u64  magic          "HFSEGMNT"
 *     8  u16  format         1
 *    10  u16  header_bytes   4096
 *    12  u32  zero
 *    16  16   log_id         the same in every block and segment of a log
 *    32  u64  number         of the segment
 *    40  u64  segment_bytes  of the file: a multiple of 4096, 1 MiB .. 4 GiB - 4096
 *    48  u64  created_at_ns
 *    56  u64  zero
 *    64  4024 zero
 *  4088  u64  header_hash    XXH3-64 of bytes 0 .. 4087
 *
 * Blocks follow at offset 4096, back to back. A block never crosses into the next segment: the
 * writer cuts it to the room that is left and so fills every segment to its last byte. Segment n +
 * 1 holds blocks only if n is full; the last one may be a prepared one, without any.
 */
#ifndef HF_WAL_SEGMENT_HEADER_H
#define HF_WAL_SEGMENT_HEADER_H

#include <stdbool.h>
#include <stdint.h>

#define HF_SEGMENT_MAGIC        0x544e4d4745534648ull /* "HFSEGMNT" */
#define HF_SEGMENT_HEADER_BYTES 4096
#ifndef HF_SEGMENT_BYTES_MIN /* the simulation has smaller ones, which are full sooner */
#define HF_SEGMENT_BYTES_MIN (1ull << 20)
#endif
#define HF_SEGMENT_BYTES_MAX  ((1ull << 32) - 4096)
#define HF_SEGMENT_NUMBER_MAX 9999999999999999ull /* what 16 digits can say */

#define HF_SEGMENT_NAME_BYTES 21 /* "0000000000000001.wal" and the terminating zero */

#define HF_SEGMENT_TEMPORARY_SUFFIX ".tmp" /* of a name: being prepared, no part of the log */

struct hf_segment_header {
    uint8_t log_id[16];
    uint64_t number;
    uint64_t segment_bytes;
    uint64_t created_at_ns;
};

/* The name of segment 1 .. HF_SEGMENT_NUMBER_MAX. */
void hf_segment_name_format(uint64_t segment, char name[HF_SEGMENT_NAME_BYTES]);

/* The number of a segment's file. False if `name` is not one. */
bool hf_segment_name_parse(const char *name, uint64_t *segment);

/* True for a size that the format allows. */
bool hf_segment_bytes_valid(uint64_t segment_bytes);

/* Writes the whole header: HF_SEGMENT_HEADER_BYTES. */
void hf_segment_header_encode(uint8_t *bytes, const struct hf_segment_header *header);

/* Why bytes are not the header of a segment. */
enum hf_segment_fault {
    HF_SEGMENT_VALID,
    HF_SEGMENT_EMPTY, /* all zero */
    HF_SEGMENT_BAD_MAGIC,
    HF_SEGMENT_BAD_HASH,
    HF_SEGMENT_NEWER_FORMAT,
    HF_SEGMENT_BAD_FIELD, /* a field has an impossible value, or reserved bytes are not zero */
};

const char *hf_segment_fault_name(enum hf_segment_fault fault);

/* Reads HF_SEGMENT_HEADER_BYTES. *header is filled in if and only if they are valid. */
enum hf_segment_fault hf_segment_header_decode(const uint8_t *bytes,
                                               struct hf_segment_header *header);

#endif
