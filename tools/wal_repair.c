/* holdfast-wal repair: what is right of a damaged log becomes a log of its own. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tools/lost.h"
#include "tools/new_file.h"
#include "tools/restoration.h"
#include "tools/summary.h"
#include "tools/wal_command.h"

struct repair {
    const struct hf_wal_task *task;
    struct hf_moment until;
    bool damaged;
    char finding[HF_FILES_ERROR_BYTES]; /* the first thing that is wrong */
    uint8_t log_id[16];
    uint64_t segment; /* in which it is; 0: not known */
    struct hf_lost lost;
    struct hf_restoration restoration;
};

/* How far the log is right. */
static enum hf_wal_exit find_end(struct repair *repair)
{
    const struct hf_wal_task *task = repair->task;
    const struct hf_moment end = {.by = HF_MOMENT_END};
    struct hf_past past;
    enum hf_wal_exit status = HF_WAL_OK;
    repair->damaged = !hf_past_open(&past, task->directory, &end, task->retain_ns) ||
                      !hf_restoration_is_whole(&past, task->directory);
    if (repair->damaged && !past.has_possible)
        status = hf_wal_complain("nothing of the log in %s can be restored: %s", task->directory,
                                 past.error);
    repair->until = end;
    if (repair->damaged)
        repair->until = (struct hf_moment){.by = HF_MOMENT_LSN, .value = past.possible_lsn};
    repair->segment = past.fault_segment;
    memcpy(repair->finding, past.error, sizeof repair->finding);
    memcpy(repair->log_id, past.log_id, sizeof repair->log_id);
    hf_past_close(&past);
    return status;
}

/* What stands behind it. */
static enum hf_wal_exit find_lost(struct repair *repair)
{
    struct hf_new_file file;
    char error[HF_NEW_FILE_ERROR_BYTES];
    const char *path = repair->task->lost;
    const struct hf_lost_place place = {
        .directory = repair->task->directory,
        .log_id = repair->log_id,
        .segment = repair->segment,
        .after_lsn = repair->damaged ? repair->until.value : UINT64_MAX,
    };
    if (!repair->damaged && path == NULL)
        return HF_WAL_OK;
    if (path != NULL && !hf_new_file_open(&file, path, error))
        return hf_wal_complain("%s", error);
    if (!hf_lost_find(&repair->lost, &place, path == NULL ? NULL : file.out)) {
        if (path != NULL)
            hf_new_file_drop(&file);
        return hf_wal_complain("%s", repair->lost.error);
    }
    if (path != NULL && !hf_new_file_finish(&file, error))
        return hf_wal_complain("%s", error);
    return HF_WAL_OK;
}

/* Before anything is written. */
static void tell(const struct repair *repair)
{
    const struct hf_lost *lost = &repair->lost;
    fprintf(stderr, "holdfast-wal: the log in %s is right up to LSN %" PRIu64 "; then: %s\n",
            repair->task->directory, repair->until.value, repair->finding);
    if (lost->records == 0)
        fprintf(stderr, "holdfast-wal: nothing can be read behind that\n");
    else
        fprintf(stderr,
                "holdfast-wal: lost: behind that, %" PRIu64 " records can be read, LSN %" PRIu64
                " to %" PRIu64 ", of %" PRIu64 " reservations\n",
                lost->records, lost->first_lsn, lost->last_lsn, lost->reservations);
    if (lost->attested_lsn > repair->until.value)
        fprintf(stderr,
                "holdfast-wal: lost: everything up to LSN %" PRIu64
                " was durable once, and clients may have been told of it\n",
                lost->attested_lsn);
}

/* OK: go on. */
static enum hf_wal_exit ask(const struct repair *repair)
{
    char answer[16];
    if (repair->task->yes)
        return HF_WAL_OK;
    if (isatty(STDIN_FILENO) == 0)
        return hf_wal_misused("where nobody can be asked, repair needs --yes");
    fprintf(stderr, "Write the state up to LSN %" PRIu64 ", without what is lost, to %s? [y/N] ",
            repair->until.value, repair->task->target);
    fflush(stderr);
    if (fgets(answer, sizeof answer, stdin) != NULL &&
        (strcmp(answer, "y\n") == 0 || strcmp(answer, "yes\n") == 0))
        return HF_WAL_OK;
    return hf_wal_complain("nothing was written to %s", repair->task->target);
}

static void put_lost(const struct repair *repair)
{
    const struct hf_lost *lost = &repair->lost;
    struct hf_summary summary;
    hf_summary_begin(&summary, stdout, repair->task->json);
    hf_summary_text(&summary, "damage", repair->damaged ? repair->finding : NULL);
    hf_summary_number(&summary, "lost_records", lost->records);
    hf_summary_number(&summary, "lost_first_lsn", lost->first_lsn);
    hf_summary_number(&summary, "lost_last_lsn", lost->last_lsn);
    hf_summary_number(&summary, "lost_reservations", lost->reservations);
    hf_summary_number(&summary, "attested_lsn", lost->attested_lsn);
    hf_summary_end(&summary);
}

static enum hf_wal_exit write_right(struct repair *repair)
{
    const struct hf_wal_task *task = repair->task;
    const struct hf_restoration_order order = {
        .from = task->directory,
        .to = task->target,
        .until = &repair->until,
        .retain_ns = task->retain_ns,
        .no_verify = task->no_verify,
    };
    if (!hf_restore(&repair->restoration, &order))
        return hf_wal_complain("%s", repair->restoration.error);
    put_lost(repair);
    hf_restoration_put(&repair->restoration, &order, "repaired", task->json);
    return HF_WAL_OK;
}

static enum hf_wal_exit repair_log(struct repair *repair)
{
    enum hf_wal_exit status = find_end(repair);
    if (status == HF_WAL_OK)
        status = find_lost(repair);
    if (status == HF_WAL_OK && repair->damaged) {
        tell(repair);
        status = ask(repair);
    }
    return status == HF_WAL_OK ? write_right(repair) : status;
}

enum hf_wal_exit hf_wal_repair(const struct hf_wal_task *task)
{
    struct repair repair = {.task = task};
    int lock;
    if (!hf_files_lock(task->directory, &lock))
        return hf_wal_complain("a server runs on %s: stop it first", task->directory);
    enum hf_wal_exit status = repair_log(&repair);
    hf_files_release(lock);
    return status;
}
