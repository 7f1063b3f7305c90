/* holdfast-wal verify: the proof. */
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "tools/audit.h"
#include "tools/wal_command.h"

#define MAX_ATTEMPTS 4 /* to read a log that seems damaged beside a running server */
#define PAUSE_NS     (100 * HF_NS_PER_MS)

/* One attempt. *again: it found damage, but a server is running, so it may be worth another
 * look. */
static enum hf_wal_exit verify_once(const struct hf_wal_task *task, struct hf_acks *acks,
                                    bool last_attempt, bool *again)
{
    *again = false;
    const struct hf_audit_options options = {
        .directory = task->directory,
        .quick = task->quick,
        .retain_ns = task->retain_ns,
        .acks = acks,
    };
    struct hf_audit *audit = malloc(sizeof *audit);
    if (audit == NULL)
        return hf_wal_complain("out of memory");
    enum hf_wal_exit status = HF_WAL_OK;
    if (hf_audit_open(audit, &options)) {
        *again = audit->found && audit->fault_lsn == 0 && !last_attempt &&
                 hf_files_server_runs(task->directory);
        if (!*again)
            (task->json ? hf_audit_json_put : hf_audit_text_put)(stdout, audit);
        if (!hf_audit_passed(audit))
            status = HF_WAL_BAD;
    } else {
        status = hf_wal_complain("%s", audit->fault);
    }
    hf_audit_close(audit);
    free(audit);
    return status;
}

static enum hf_wal_exit verify(const struct hf_wal_task *task, struct hf_acks *acks)
{
    for (int attempt = 1;; attempt++) {
        bool again;
        enum hf_wal_exit status = verify_once(task, acks, attempt == MAX_ATTEMPTS, &again);
        if (!again)
            return status;
        nanosleep(&(struct timespec){.tv_nsec = (long)PAUSE_NS}, NULL);
    }
}

enum hf_wal_exit hf_wal_verify(const struct hf_wal_task *task)
{
    char error[HF_ACKS_ERROR_BYTES];
    struct hf_acks acks;
    if (task->acks == NULL)
        return verify(task, NULL);
    enum hf_wal_exit status = hf_acks_open(&acks, task->acks, error)
                                  ? verify(task, &acks)
                                  : hf_wal_complain("--acks: %s", error);
    hf_acks_close(&acks);
    return status;
}
