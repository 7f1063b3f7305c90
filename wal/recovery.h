/*
 * Recovery: reads what a directory holds, and hands it to whoever rebuilds the state.
 *
 *   1. The newest snapshot, record by record. One that is damaged is told to the operator, and the
 *      one before it is taken. What was handed over of it already was right, group by group, and is
 *      an image of this log: whoever rebuilds by "the newest image stands" may keep it.
 *   2. All records of the log from the snapshot's start on; without a snapshot, from segment 1 on.
 *   3. The end of the log: a torn tail is made zero, durably. The snapshot attests that the log was
 *      durable up to its last LSN; a log that ends before is damaged.
 *
 * Nothing is written before all of this has been read and found right.
 */
#ifndef HF_WAL_RECOVERY_H
#define HF_WAL_RECOVERY_H

#include "wal/log.h"
#include "wal/reader.h"

/* Writes a line for the operator into error[HF_LOG_ERROR_BYTES], and returns `result`. */
__attribute__((format(printf, 3, 4))) int hf_log_explain(char *error, int result,
                                                         const char *format, ...);

/*
 * Hands everything over, and finds out where the log goes on. *recovery, *tail and *files are filled
 * in; tail->next_lsn is 1 and files->last_segment 0 if the directory holds no log. The directory's
 * lock is held. 0, or -errno with a line in `error`.
 */
int hf_recover(const struct hf_log_options *options, struct hf_log_recovery *recovery,
               struct hf_log_tail *tail, struct hf_log_files *files, char *error);

#endif
