/* holdfast-wal restore and compact: a state becomes a log of its own. */
#include "tools/restoration.h"
#include "tools/wal_command.h"

/* Does it, and tells what was done. */
static enum hf_wal_exit restore(const struct hf_wal_task *task,
                                const struct hf_restoration_order *order, const char *what)
{
    struct hf_restoration restoration;
    if (!hf_restore(&restoration, order))
        return hf_wal_complain("%s", restoration.error);
    hf_restoration_put(&restoration, order, what, task->json);
    return HF_WAL_OK;
}

enum hf_wal_exit hf_wal_restore(const struct hf_wal_task *task)
{
    const struct hf_restoration_order order = {
        .from = task->directory,
        .to = task->target,
        .until = &task->at,
        .retain_ns = task->retain_ns,
        .no_verify = task->no_verify,
    };
    return restore(task, &order, "restored");
}

/* What a server would write meanwhile would be missing: none may run. */
enum hf_wal_exit hf_wal_compact(const struct hf_wal_task *task)
{
    const struct hf_restoration_order order = {
        .from = task->directory,
        .to = task->target,
        .until = &task->at,
        .retain_ns = task->retain_ns,
        .no_verify = task->no_verify,
    };
    int lock;
    if (!hf_files_lock(task->directory, &lock))
        return hf_wal_complain("a server runs on %s: stop it first, or take a backup",
                               task->directory);
    enum hf_wal_exit status = restore(task, &order, "compacted");
    hf_files_release(lock);
    return status;
}
