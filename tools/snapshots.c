/* Snapshots of a directory; see snapshots.h. */
#include "tools/snapshots.h"

#include <errno.h>
#include <string.h>

#include "wal/io.h"

void hf_snapshot_entries_read(struct hf_snapshot_entries *entries, const char *directory,
                              const struct hf_files *files)
{
    entries->count = 0;
    for (uint64_t i = 0; i < files->snapshots && i < HF_FILES_SNAPSHOTS_MAX; i++) {
        struct hf_snapshot_entry *entry = &entries->entries[entries->count];
        struct hf_snapshot *snapshot;
        struct hf_snapshot_finding finding;
        *entry = (struct hf_snapshot_entry){.last_lsn = files->last_lsns[i]};
        entry->read = hf_snapshot_open(hf_io_posix(), directory, files->last_lsns[i], true,
                                       &snapshot, &finding);
        if (entry->read == HF_SNAPSHOT_RIGHT) {
            entry->header = *hf_snapshot_header(snapshot);
            hf_snapshot_close(snapshot);
        } else if (finding.error == -ENOENT) {
            continue;
        } else {
            memcpy(entry->text, finding.text, sizeof entry->text);
        }
        entries->count++;
    }
}

bool hf_snapshot_entries_begin_later(const struct hf_snapshot_entries *entries)
{
    for (uint32_t i = 0; i < entries->count; i++) {
        const struct hf_snapshot_entry *entry = &entries->entries[i];
        if (entry->read == HF_SNAPSHOT_RIGHT && entry->header.start.segment == 1)
            return entry->header.start.next_lsn > 1;
    }
    return false;
}

uint64_t hf_snapshot_entries_retain_ns(const struct hf_snapshot_entries *entries, uint64_t told_ns)
{
    if (told_ns != HF_RETAIN_AS_TOLD)
        return told_ns;
    for (uint32_t i = 0; i < entries->count; i++) {
        if (entries->entries[i].read == HF_SNAPSHOT_RIGHT)
            return entries->entries[i].header.retain_ns;
    }
    return HF_RETAIN_NS;
}

uint64_t hf_snapshot_entries_least_retain_ns(const struct hf_snapshot_entries *entries,
                                             uint32_t index)
{
    uint64_t least_ns = UINT64_MAX;
    for (; index < entries->count; index++) {
        const struct hf_snapshot_entry *entry = &entries->entries[index];
        if (entry->read == HF_SNAPSHOT_RIGHT && entry->header.retain_ns < least_ns)
            least_ns = entry->header.retain_ns;
    }
    return least_ns;
}

uint64_t hf_snapshot_entries_remember_ns(const struct hf_snapshot_entries *entries,
                                         uint64_t retain_ns)
{
    uint64_t longest_ns = retain_ns > HF_RETAIN_NS ? retain_ns : HF_RETAIN_NS;
    for (uint32_t i = 0; i < entries->count; i++) {
        const struct hf_snapshot_entry *entry = &entries->entries[i];
        if (entry->read == HF_SNAPSHOT_RIGHT && entry->header.retain_ns > longest_ns)
            longest_ns = entry->header.retain_ns;
    }
    return longest_ns;
}
