/*
 * The commands of holdfast-wal: what each takes, and what it does. The table is holdfast-wal.c;
 * each family of commands has a file of its own, wal_*.c.
 */
#ifndef HF_TOOLS_WAL_COMMAND_H
#define HF_TOOLS_WAL_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/image_filter.h"
#include "tools/moment.h"
#include "tools/row.h"

enum hf_wal_exit {
    HF_WAL_OK = 0,
    HF_WAL_BAD = 1, /* the log is not sound, cannot be read, or does not have what was asked for */
    HF_WAL_USAGE = 2, /* bad usage: nothing was done */
};

/* How an export is written. */
enum hf_wal_export {
    HF_EXPORT_NONE, /* it was not told */
    HF_EXPORT_SQL,
    HF_EXPORT_CSV,
    HF_EXPORT_JSONL,
};

enum hf_wal_table {
    HF_TABLE_ALL,
    HF_TABLE_INVENTORY,
    HF_TABLE_RESERVATION,
};

/* What the command line asks for. */
struct hf_wal_task {
    const struct hf_wal_command *command;
    const char *directory;
    uint64_t now_ns; /* the date that "now" stands for */

    bool json; /* --json */
    enum hf_row_format format;
    struct hf_image_filter filter;
    struct hf_moment from, to, at; /* at: --at, or --until of a restoration */
    uint64_t retain_ns;            /* or HF_RETAIN_AS_TOLD */
    bool quick, reservations;
    const char *acks; /* path; NULL: none */
    enum hf_wal_export export_as;
    const char *target;      /* --to: path; NULL: an export to stdout */
    enum hf_wal_table table; /* of an export */
    const char *lost;        /* --lost: path; NULL: none */
    bool yes, no_verify;
};

/* Options, as bits. */
enum {
    HF_WAL_JSON = 1 << 0,
    HF_WAL_FORMAT = 1 << 1, /* text, jsonl, csv */
    HF_WAL_RESERVATION = 1 << 2,
    HF_WAL_INVENTORY = 1 << 3,
    HF_WAL_CUSTOMER = 1 << 4,
    HF_WAL_STATE = 1 << 5,
    HF_WAL_FROM = 1 << 6,
    HF_WAL_TO = 1 << 7, /* a moment */
    HF_WAL_AT = 1 << 8,
    HF_WAL_RETAIN = 1 << 9,
    HF_WAL_QUICK = 1 << 10,
    HF_WAL_ACKS = 1 << 11,
    HF_WAL_RESERVATIONS = 1 << 12,
    HF_WAL_EXPORT_FORMAT = 1 << 13, /* sql, csv, jsonl */
    HF_WAL_TARGET = 1 << 14,        /* --to: a file or a directory */
    HF_WAL_TABLE = 1 << 15,
    HF_WAL_ARCHIVE = 1 << 16, /* --from: a directory, that stands in place of the first word */
    HF_WAL_INTO = 1 << 17,    /* --to: a directory that is new; must be given */
    HF_WAL_UNTIL = 1 << 18,
    HF_WAL_NO_VERIFY = 1 << 19,
    HF_WAL_YES = 1 << 20,
    HF_WAL_LOST = 1 << 21,
};

struct hf_wal_command {
    const char *name;
    const char *words;      /* behind the name, for help: "DIR" */
    unsigned options;       /* that it takes */
    bool names_reservation; /* a second word is a reservation's id */
    enum hf_wal_exit (*run)(const struct hf_wal_task *task);
    const char *summary; /* one line */
    const char *help;    /* the rest, lines of up to 80 columns; or NULL */
};

extern const struct hf_wal_command hf_wal_commands[];
extern const size_t hf_wal_command_count;

enum hf_wal_exit hf_wal_info(const struct hf_wal_task *task);
enum hf_wal_exit hf_wal_dump(const struct hf_wal_task *task);
enum hf_wal_exit hf_wal_history(const struct hf_wal_task *task);
enum hf_wal_exit hf_wal_verify(const struct hf_wal_task *task);
enum hf_wal_exit hf_wal_state(const struct hf_wal_task *task);
enum hf_wal_exit hf_wal_hash(const struct hf_wal_task *task);
enum hf_wal_exit hf_wal_export(const struct hf_wal_task *task);
enum hf_wal_exit hf_wal_backup(const struct hf_wal_task *task);
enum hf_wal_exit hf_wal_restore(const struct hf_wal_task *task);
enum hf_wal_exit hf_wal_compact(const struct hf_wal_task *task);
enum hf_wal_exit hf_wal_repair(const struct hf_wal_task *task);

/* Tells a person on stderr, in one line. Returns HF_WAL_BAD. */
__attribute__((format(printf, 1, 2))) enum hf_wal_exit hf_wal_complain(const char *format, ...);

/* Likewise, about the command line. Returns HF_WAL_USAGE. */
__attribute__((format(printf, 1, 2))) enum hf_wal_exit hf_wal_misused(const char *format, ...);

#endif
