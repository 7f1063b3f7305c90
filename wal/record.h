/*
 * A log record: 128 bytes, of which the log knows the first 8.
 *
 *   0  u64  lsn    position in the one log; the first record of a log has 1
 *   8  120  image  what it stands for: the engine's business (engine/image.h)
 */
#ifndef HF_WAL_RECORD_H
#define HF_WAL_RECORD_H

#define HF_RECORD_BYTES       128
#define HF_RECORD_IMAGE_BYTES 120
#define HF_RECORD_IMAGE       8 /* offset of the image */

#endif
