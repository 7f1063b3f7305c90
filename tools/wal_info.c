/* holdfast-wal info: what a log consists of. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tools/json.h"
#include "tools/snapshots.h"
#include "tools/wal_command.h"
#include "tools/walk_text.h"
#include "wal/archived.h"
#include "wal/io.h"

/* All of it. */
struct info {
    struct hf_walk walk;
    struct hf_files files;
    struct hf_snapshot_entries snapshots;
    bool archives; /* DIR/archived is there, and right */
    struct hf_archived archived;
};

/* Reads what the header of a snapshot promises. */
static void read_snapshot(const char *directory, struct hf_snapshot_entry *entry)
{
    struct hf_snapshot *snapshot;
    struct hf_snapshot_finding finding;
    if (entry->read != HF_SNAPSHOT_RIGHT)
        return;
    entry->read =
        hf_snapshot_open(hf_io_posix(), directory, entry->last_lsn, true, &snapshot, &finding);
    if (entry->read == HF_SNAPSHOT_RIGHT) {
        struct hf_snapshot_view view;
        while ((entry->read = hf_snapshot_next(snapshot, &view)) == HF_SNAPSHOT_RIGHT)
            ;
        if (entry->read != HF_SNAPSHOT_END)
            finding = *hf_snapshot_finding(snapshot);
        hf_snapshot_close(snapshot);
    }
    if (entry->read != HF_SNAPSHOT_END)
        snprintf(entry->text, sizeof entry->text, "%s", finding.text);
}

/* A snapshot whose header is right has values; one that is damaged, words. */
static void put_snapshot(FILE *out, const struct hf_snapshot_entry *entry, bool json)
{
    struct hf_rows rows = {.out = out, .format = json ? HF_ROWS_JSONL : HF_ROWS_TEXT};
    const struct hf_snapshot_header *header = &entry->header;
    bool right = entry->read == HF_SNAPSHOT_END;
    struct hf_id origin;
    hf_row_begin(&rows, json ? "snapshot" : "snapshot:");
    hf_row_number(&rows, "last_lsn", entry->last_lsn);
    hf_row_text(&rows, "verdict", right ? "right" : "damaged");
    hf_row_date(&rows, "made_at", header->made_at_ns);
    hf_row_limit(&rows, "file_bytes", header->file_bytes);
    hf_row_number(&rows, "records", header->records);
    hf_row_number(&rows, "inventories", header->inventories);
    hf_row_limit(&rows, "start_segment", header->start.segment);
    hf_row_duration(&rows, "retain", header->retain_ns);
    memcpy(origin.bytes, header->origin_log_id, sizeof origin.bytes);
    hf_row_id(&rows, "origin_log_id", &origin);
    hf_row_limit(&rows, "origin_last_lsn", header->origin_last_lsn);
    hf_row_text(&rows, "finding", right ? NULL : entry->text);
    putc(json ? '}' : '\n', out);
}

/* What the archive command has taken. */
static void put_archived(FILE *out, const struct info *info, bool json)
{
    struct hf_rows rows = {.out = out, .format = json ? HF_ROWS_JSONL : HF_ROWS_TEXT};
    hf_row_begin(&rows, json ? "archived" : "archived:");
    hf_row_limit(&rows, "segment", info->archived.segment);
    hf_row_limit(&rows, "snapshot", info->archived.snapshot_lsn);
    hf_row_date(&rows, "date", info->archived.date_ns);
    putc(json ? '}' : '\n', out);
}

static void put_text(const struct info *info)
{
    hf_walk_text_put(stdout, &info->walk);
    printf("disk_bytes: %" PRIu64 "\ntemporary_files: %" PRIu64 "\nsnapshots: %" PRIu64 "\n",
           info->files.disk_bytes, info->files.temporary, info->files.snapshots);
    for (uint32_t i = 0; i < info->snapshots.count; i++)
        put_snapshot(stdout, &info->snapshots.entries[i], false);
    if (info->archives)
        put_archived(stdout, info, false);
}

static void put_json(const struct info *info)
{
    hf_walk_json_put(stdout, &info->walk);
    printf(",\"disk_bytes\":%" PRIu64 ",\"temporary_files\":%" PRIu64 ",\"snapshots\":[",
           info->files.disk_bytes, info->files.temporary);
    for (uint32_t i = 0; i < info->snapshots.count; i++) {
        if (i > 0)
            putchar(',');
        put_snapshot(stdout, &info->snapshots.entries[i], true);
    }
    fputs("],\"archived\":", stdout);
    if (info->archives)
        put_archived(stdout, info, true);
    else
        fputs("null", stdout);
    puts("}");
}

static enum hf_wal_exit tell(const struct hf_wal_task *task, struct info *info)
{
    struct hf_block_view view;
    while (hf_walk_next(&info->walk, &view))
        ;
    enum hf_wal_exit status = HF_WAL_OK;
    hf_snapshot_entries_read(&info->snapshots, task->directory, &info->files);
    for (uint32_t i = 0; i < info->snapshots.count; i++)
        read_snapshot(task->directory, &info->snapshots.entries[i]);
    info->archives = hf_archived_read(hf_io_posix(), task->directory, &info->archived) == 0;
    (task->json ? put_json : put_text)(info);
    if (!hf_walk_ended_well(&info->walk))
        status = hf_wal_complain("%s", info->walk.finding.text);
    for (uint32_t i = 0; i < info->snapshots.count; i++) {
        if (info->snapshots.entries[i].read != HF_SNAPSHOT_END)
            status = hf_wal_complain("%s", info->snapshots.entries[i].text);
    }
    return status;
}

enum hf_wal_exit hf_wal_info(const struct hf_wal_task *task)
{
    char error[HF_FILES_ERROR_BYTES];
    struct info *info = calloc(1, sizeof *info);
    if (info == NULL)
        return hf_wal_complain("out of memory");
    enum hf_wal_exit status = HF_WAL_BAD;
    int keep = hf_files_keep(task->directory);
    if (!hf_files_list(&info->files, task->directory, error)) {
        hf_wal_complain("%s", error);
    } else if (!hf_walk_open(&info->walk, task->directory, NULL, true)) {
        hf_wal_complain("%s", info->walk.finding.text);
    } else {
        status = tell(task, info);
        hf_walk_close(&info->walk);
    }
    hf_files_release(keep);
    free(info);
    return status;
}
