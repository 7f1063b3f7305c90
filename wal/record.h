/*
 * A log record: 128 bytes, of which the log knows the LSN and the chain, and snapshots the kind.
 *
 *   0  u64  lsn           position in the one log; the first record of a log has 1
 *   8  120  image         what it stands for: the engine's business (engine/image.h), but for
 *   8  u8   kind          1 of an inventory, 2 of a reservation
 *  10  u8   chain_index   place in the chain, from 0
 *  11  u8   chain_length  records of the chain; 0: a record of its own
 *
 * A chain is one change of several records. Its LSNs are consecutive, and it stands in one block:
 * so it is durable, committed, or lost with a torn tail as a whole, and no reader meets half of it.
 */
#ifndef HF_WAL_RECORD_H
#define HF_WAL_RECORD_H

#define HF_RECORD_BYTES        128
#define HF_RECORD_IMAGE_BYTES  120
#define HF_RECORD_IMAGE        8 /* offset of the image */
#define HF_RECORD_KIND         8
#define HF_RECORD_CHAIN_INDEX  10
#define HF_RECORD_CHAIN_LENGTH 11
#define HF_MAX_CHAIN_RECORDS   128

#endif
