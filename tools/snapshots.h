/* The snapshots of a directory, as far as their headers tell: which there are to begin with. */
#ifndef HF_TOOLS_SNAPSHOTS_H
#define HF_TOOLS_SNAPSHOTS_H

#include "tools/files.h"
#include "wal/snapshot.h"

struct hf_snapshot_entry {
    uint64_t last_lsn;
    enum hf_snapshot_read read;                                 /* RIGHT: its header is */
    struct hf_snapshot_header header;                           /* if it is */
    char text[sizeof(((struct hf_snapshot_finding *)0)->text)]; /* else what was found */
};

/* The newest first. */
struct hf_snapshot_entries {
    uint32_t count;
    struct hf_snapshot_entry entries[HF_FILES_SNAPSHOTS_MAX];
};

/* Reads the headers of those that `files` names. One that is gone meanwhile is left out. */
void hf_snapshot_entries_read(struct hf_snapshot_entries *entries, const char *directory,
                              const struct hf_files *files);

/* True if the log's first segment does not begin with the first LSN: the log was made of another
 * one, and what came before is in its snapshots alone. */
bool hf_snapshot_entries_begin_later(const struct hf_snapshot_entries *entries);

/*
 * How long a server keeps what is finished is not in its log; but its snapshots tell it, and a
 * person can. `told_ns` is what a person says, HF_RETAIN_AS_TOLD if nothing: then it is what the
 * newest snapshot says that is right, or 24 hours, as a server's that nobody told otherwise.
 */
#define HF_RETAIN_AS_TOLD UINT64_MAX
#define HF_RETAIN_NS      (24ull * 3600 * 1000000000ull)
uint64_t hf_snapshot_entries_retain_ns(const struct hf_snapshot_entries *entries, uint64_t told_ns);

/* The least that any server kept of the finished which made the snapshot at `index`, or an older one:
 * what it forgot is in no later snapshot, however long the next server retains. */
uint64_t hf_snapshot_entries_least_retain_ns(const struct hf_snapshot_entries *entries,
                                             uint32_t index);

/* How long what is finished must be remembered to be held against all of them: at least as long as
 * a person says, and 24 hours. */
uint64_t hf_snapshot_entries_remember_ns(const struct hf_snapshot_entries *entries,
                                         uint64_t retain_ns);

#endif
