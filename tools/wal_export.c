/* holdfast-wal export: the state as tables. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "tools/new_file.h"
#include "tools/past.h"
#include "tools/tables.h"
#include "tools/wal_command.h"

static enum hf_tables tables_of(const struct hf_wal_task *task)
{
    return task->table == HF_TABLE_INVENTORY     ? HF_TABLES_INVENTORY
           : task->table == HF_TABLE_RESERVATION ? HF_TABLES_RESERVATION
                                                 : HF_TABLES_BOTH;
}

/* One stream. False: out of memory. */
static bool put_stream(FILE *out, const struct hf_wal_task *task,
                       const struct hf_tables_state *state)
{
    switch (task->export_as) {
    case HF_EXPORT_SQL:
        return hf_tables_put_sql(out, state);
    case HF_EXPORT_JSONL:
        return hf_tables_put_jsonl(out, state);
    default:
        return hf_tables_put_csv(out, state, state->tables);
    }
}

static enum hf_wal_exit put_file(const struct hf_wal_task *task,
                                 const struct hf_tables_state *state)
{
    struct hf_new_file file;
    char error[HF_NEW_FILE_ERROR_BYTES];
    if (!hf_new_file_open(&file, task->target, error))
        return hf_wal_complain("%s", error);
    if (!put_stream(file.out, task, state)) {
        hf_new_file_drop(&file);
        return hf_wal_complain("out of memory");
    }
    return hf_new_file_finish(&file, error) ? HF_WAL_OK : hf_wal_complain("%s", error);
}

/* ---- CSV in a directory ----------------------------------------------------------------- */

/* The one that says what they are of comes last. */
enum { INVENTORY_CSV, RESERVATION_CSV, EXPORT_CSV, CSV_FILES };
static const char *const csv_names[CSV_FILES] = {"inventory.csv", "reservation.csv", "export.csv"};

static bool put_csv_file(FILE *out, int number, const struct hf_tables_state *state)
{
    switch (number) {
    case INVENTORY_CSV:
        return hf_tables_put_csv(out, state, HF_TABLES_INVENTORY);
    case RESERVATION_CSV:
        return hf_tables_put_csv(out, state, HF_TABLES_RESERVATION);
    default:
        hf_tables_put_export_csv(out, state);
        return true;
    }
}

static bool open_csv_file(struct hf_new_file *file, const char *directory, const char *name,
                          char error[HF_NEW_FILE_ERROR_BYTES])
{
    char path[PATH_MAX];
    int length = snprintf(path, sizeof path, "%s/%s", directory, name);
    file->out = NULL;
    if (length > 0 && (size_t)length < sizeof path)
        return hf_new_file_open(file, path, error);
    snprintf(error, HF_NEW_FILE_ERROR_BYTES, "%.300s: %s", directory, strerror(ENAMETOOLONG));
    return false;
}

/* All are opened before any is written: what exists already is told at once. */
static enum hf_wal_exit put_directory(const struct hf_wal_task *task,
                                      const struct hf_tables_state *state)
{
    struct hf_new_file files[CSV_FILES] = {{.out = NULL}};
    char error[HF_NEW_FILE_ERROR_BYTES] = "out of memory";
    bool done = true;
    if (mkdir(task->target, 0777) < 0 && errno != EEXIST)
        return hf_wal_complain("cannot make %s: %s", task->target, strerror(errno));
    for (int i = 0; i < CSV_FILES && done; i++)
        done = open_csv_file(&files[i], task->target, csv_names[i], error);
    for (int i = 0; i < CSV_FILES && done; i++)
        done = put_csv_file(files[i].out, i, state);
    for (int i = 0; i < CSV_FILES && done; i++)
        done = hf_new_file_finish(&files[i], error);
    for (int i = 0; i < CSV_FILES; i++)
        hf_new_file_drop(&files[i]);
    return done ? HF_WAL_OK : hf_wal_complain("%s", error);
}

/* ---- the command ------------------------------------------------------------------------ */

static enum hf_wal_exit put_stdout(const struct hf_wal_task *task,
                                   const struct hf_tables_state *state)
{
    if (!put_stream(stdout, task, state))
        return hf_wal_complain("out of memory");
    if (task->export_as == HF_EXPORT_CSV) /* it has no place for this */
        hf_wal_complain("this is the state after LSN %" PRIu64 ", state hash %016" PRIx64,
                        state->lsn, state->state_hash);
    return HF_WAL_OK;
}

static enum hf_wal_exit export_state(const struct hf_wal_task *task, const struct hf_past *past)
{
    struct hf_tables_state state = {
        .ledger = past->intake.ledger,
        .retain_ns = past->retain_ns,
        .log_id = past->log_id,
        .lsn = past->lsn,
        .exported_at_ns = task->now_ns,
        .tables = tables_of(task),
    };
    if (!hf_tables_measure(&state))
        return hf_wal_complain("out of memory");
    if (task->target == NULL)
        return put_stdout(task, &state);
    return task->export_as == HF_EXPORT_CSV && task->table == HF_TABLE_ALL
               ? put_directory(task, &state)
               : put_file(task, &state);
}

enum hf_wal_exit hf_wal_export(const struct hf_wal_task *task)
{
    struct hf_past past;
    if (task->export_as == HF_EXPORT_NONE)
        return hf_wal_misused("export needs --format sql, csv or jsonl");
    if (task->export_as == HF_EXPORT_CSV && task->target == NULL && task->table == HF_TABLE_ALL)
        return hf_wal_misused("csv is a file for each table: give --to DIRECTORY, or --table");
    enum hf_wal_exit status = hf_past_open(&past, task->directory, &task->at, task->retain_ns)
                                  ? export_state(task, &past)
                                  : hf_wal_complain("%s", past.error);
    hf_past_close(&past);
    return status;
}
