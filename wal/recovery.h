/*
 * Recovery: reads what a directory holds, and hands it to whoever rebuilds the state.
 *
 *   1. The newest snapshot, record by record. One that is damaged, or cannot be read, is told to the
 *      operator, and the one before it is taken.
 *   2. All records of the log from the snapshot's start on; without a snapshot, from segment 1 on.
 *   3. The end of the log: a torn tail is made zero, durably.
 *
 * A snapshot attests that the log was durable up to its last LSN; a log that ends before is damaged.
 * So does a snapshot that is damaged itself: its name, which it got only when all of that was true,
 * is enough. That is also why what was handed over of a damaged one may stay. It was right, group by
 * group, so it is images of this log; all of them have LSNs up to the last one, to which the log must
 * reach; and whoever rebuilds by "the newest image stands" gets nothing from them that the log, which
 * is read from an earlier place on, would not have told.
 *
 * All snapshots that are read, and all segments, must be of one log. What is handed over of another
 * one before that is found out is lost with the attempt.
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
