/* holdfast-wal backup: a consistent copy of a log, also of one that is being written. */
#include "base/clock.h"
#include "tools/log_copy.h"
#include "tools/summary.h"
#include "tools/wal_command.h"

static void put_copy(const struct hf_wal_task *task, const struct hf_log_copy *copy,
                     uint64_t duration_ns)
{
    struct hf_summary summary;
    hf_summary_begin(&summary, stdout, task->json);
    hf_summary_text(&summary, "backup", task->target);
    hf_summary_text(&summary, "from", task->directory);
    hf_summary_id(&summary, "log_id", copy->log_id);
    hf_summary_number(&summary, "last_lsn", hf_log_copy_last_lsn(copy));
    hf_summary_date(&summary, "last_written_at", copy->last.written_at_ns);
    hf_summary_number(&summary, "snapshots", copy->snapshots);
    hf_summary_number(&summary, "damaged_snapshots", copy->damaged_snapshots);
    hf_summary_number(&summary, "first_segment", copy->first_segment);
    hf_summary_number(&summary, "last_segment", copy->last_segment);
    hf_summary_number(&summary, "records", copy->records);
    hf_summary_number(&summary, "bytes", copy->bytes);
    hf_summary_text(&summary, "verified", task->no_verify ? "no" : "yes");
    hf_summary_seconds(&summary, "seconds", duration_ns);
    hf_summary_end(&summary);
}

enum hf_wal_exit hf_wal_backup(const struct hf_wal_task *task)
{
    struct hf_new_directory directory;
    struct hf_log_copy copy;
    char error[HF_FILES_ERROR_BYTES];
    uint64_t began_ns = hf_monotonic_now_ns();
    enum hf_wal_exit status = HF_WAL_OK;
    if (!hf_new_directory_open(&directory, task->target, error))
        return hf_wal_complain("%s", error);
    if (!hf_log_copy(&copy, task->directory, &directory) ||
        (!task->no_verify && !hf_log_copy_verify(&copy, &directory)))
        status = hf_wal_complain("%s", copy.error);
    else if (!hf_new_directory_finish(&directory, error))
        status = hf_wal_complain("%s", error);
    else
        put_copy(task, &copy, hf_monotonic_now_ns() - began_ns);
    hf_new_directory_drop(&directory);
    return status;
}
