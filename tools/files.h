/*
 * Files: what a log's directory holds, by the names in it; and keeping it there.
 *
 * A server that runs on the directory removes segments and snapshots that it no longer needs,
 * unless somebody holds a lock on DIR/keep. So a tool holds it from before it looks until it has
 * read.
 */
#ifndef HF_TOOLS_FILES_H
#define HF_TOOLS_FILES_H

#include <stdbool.h>
#include <stdint.h>

#define HF_FILES_SNAPSHOTS_MAX 64 /* two are kept; the rest are leftovers */

struct hf_files {
    uint64_t first_segment, last_segment; /* numbers; 0: there is none */
    uint64_t segments;
    uint64_t snapshots;                         /* that there are */
    uint64_t last_lsns[HF_FILES_SNAPSHOTS_MAX]; /* of these, the newest first */
    uint64_t temporary;                         /* files being made, or leftovers of that */
    uint64_t disk_bytes;                        /* that all of the above take on the disk */
};

#define HF_FILES_ERROR_BYTES 512

/* Looks. False, with the reason in `error`: the directory cannot be read. */
bool hf_files_list(struct hf_files *files, const char *directory, char error[HF_FILES_ERROR_BYTES]);

/* The segment with the smallest number that is not below this one; 0: there is none. */
uint64_t hf_files_next_segment(const char *directory, uint64_t number);

/* Has a running server keep all files: a descriptor, to be given to hf_files_release(). -1: no
 * server ever ran there that would remove any, or it cannot be had. May wait while a server removes
 * some. */
int hf_files_keep(const char *directory);
void hf_files_release(int keep);

/* True while a server runs on the directory: it holds its lock. Taken and released at once. */
bool hf_files_server_runs(const char *directory);

/* Keeps servers from starting on the directory, until *lock is given to hf_files_release(); -1: no
 * server ever ran there. False: one runs. */
bool hf_files_lock(const char *directory, int *lock);

#endif
