/*
 * holdfast-wal: the log's tool. Looks at the log of a directory, shows its records, proves it.
 *
 * It only reads, and works beside a running server (walk.h); a log that seems damaged beside one is
 * read a few times before that is believed. `verify` enters every record into a ledger that shares
 * no code with the engine (audit.h, ledger.h).
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "holdfast/protocol.h"
#include "tools/audit.h"
#include "tools/image_filter.h"
#include "tools/image_text.h"
#include "tools/values.h"
#include "tools/walk.h"
#include "tools/walk_text.h"
#include "wal/record.h"

#define MAX_ATTEMPTS        4 /* to read a log that seems damaged beside a running server */
#define PAUSE_NS            (100 * HF_NS_PER_MS)
#define OUTPUT_BUFFER_BYTES (1u << 20)
#define DEFAULT_RETAIN_NS   (24 * 3600 * HF_NS_PER_S)

enum exit_status {
    EXIT_OK = 0,
    EXIT_BAD = 1,
    EXIT_USAGE = 2,
};

/* The command line. */
struct task {
    const struct command *command;
    const char *directory;
    bool json;
    uint64_t retain_ns;
    struct hf_image_filter filter;
};

__attribute__((format(printf, 1, 2))) static enum exit_status complain(const char *format, ...)
{
    va_list arguments;
    fprintf(stderr, "holdfast-wal: ");
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "\n");
    return EXIT_BAD;
}

/* ---- info ------------------------------------------------------------------------------- */

static enum exit_status run_info(const struct task *task)
{
    struct hf_walk walk;
    if (!hf_walk_open(&walk, task->directory, true))
        return complain("%s", walk.finding.text);
    struct hf_block_view view;
    while (hf_walk_next(&walk, &view))
        ;
    (task->json ? hf_walk_json_put : hf_walk_text_put)(stdout, &walk);
    enum exit_status status =
        hf_walk_ended_well(&walk) ? EXIT_OK : complain("%s", walk.finding.text);
    hf_walk_close(&walk);
    return status;
}

/* ---- dump, history ---------------------------------------------------------------------- */

/* What a dump showed. */
struct shown {
    uint64_t images, unknown;
};

static void put_record(const struct task *task, const uint8_t *record, struct shown *shown)
{
    if (!hf_image_filter_may_want(&task->filter, record))
        return;
    struct hf_image image;
    const char *reason = hf_image_decode(record, &image);
    if (reason != NULL) {
        hf_image_put_unknown(stdout, record, reason, task->json);
        shown->unknown++;
    } else if (hf_image_filter_wants(&task->filter, &image)) {
        (task->json ? hf_image_json_put : hf_image_text_put)(stdout, &image);
        shown->images++;
    }
}

/* Shows what is wanted, to the log's end, or the filter's. */
static void put_records(const struct task *task, struct hf_walk *walk, struct shown *shown)
{
    struct hf_block_view view;
    while (!ferror(stdout) && hf_walk_last_lsn(walk) < task->filter.last_lsn &&
           hf_walk_next(walk, &view)) {
        for (uint32_t i = 0; i < view.header.record_count; i++)
            put_record(task, view.records + (size_t)i * HF_RECORD_BYTES, shown);
    }
}

static enum exit_status run_dump(const struct task *task)
{
    struct hf_walk walk;
    if (!hf_walk_open(&walk, task->directory, false)) /* the records themselves are progress */
        return complain("%s", walk.finding.text);
    enum exit_status status = EXIT_OK;
    struct shown shown = {0, 0};
    put_records(task, &walk, &shown);
    fflush(stdout);
    if (walk.end == HF_READ_TORN && !walk.in_flight)
        complain("the log has a torn tail: %s", walk.finding.text);
    if (shown.unknown != 0)
        status = complain("%" PRIu64 " records are not known images", shown.unknown);
    if (walk.end != HF_READ_BLOCK && !hf_walk_ended_well(&walk))
        status = complain("%s", walk.finding.text);
    hf_walk_close(&walk);
    return status;
}

static enum exit_status run_history(const struct task *task)
{
    struct hf_walk walk;
    if (!hf_walk_open(&walk, task->directory, true))
        return complain("%s", walk.finding.text);
    enum exit_status status = EXIT_OK;
    struct shown shown = {0, 0};
    put_records(task, &walk, &shown);
    fflush(stdout);
    char id[HF_ID_TEXT_BYTES];
    hf_id_format(&task->filter.reservation_id, id);
    if (walk.end != HF_READ_BLOCK && !hf_walk_ended_well(&walk))
        status = complain("%s", walk.finding.text);
    else if (shown.images + shown.unknown == 0)
        status = complain("the log has no record of reservation %s", id);
    hf_walk_close(&walk);
    return status;
}

/* ---- verify ----------------------------------------------------------------------------- */

/* One attempt. *again: it found damage, but a server is running, so it may be worth another look.
 */
static enum exit_status verify_once(const struct task *task, bool last_attempt, bool *again)
{
    *again = false;
    struct hf_walk walk;
    if (!hf_walk_open(&walk, task->directory, true))
        return complain("%s", walk.finding.text);
    enum exit_status status = EXIT_OK;
    struct hf_audit audit;
    if (hf_audit_open(&audit, &walk, task->retain_ns)) {
        *again = audit.found && audit.fault_lsn == 0 && !last_attempt &&
                 hf_walk_server_runs(task->directory);
        if (!*again)
            (task->json ? hf_audit_json_put : hf_audit_text_put)(stdout, &audit);
        if (audit.found)
            status = EXIT_BAD;
    } else {
        status = complain("out of memory");
    }
    hf_audit_close(&audit);
    hf_walk_close(&walk);
    return status;
}

static enum exit_status run_verify(const struct task *task)
{
    for (int attempt = 1;; attempt++) {
        bool again;
        enum exit_status status = verify_once(task, attempt == MAX_ATTEMPTS, &again);
        if (!again)
            return status;
        nanosleep(&(struct timespec){.tv_nsec = (long)PAUSE_NS}, NULL);
    }
}

/* ---- the command line ------------------------------------------------------------------- */

static const char help[] =
    "usage: holdfast-wal COMMAND DIR [OPTIONS]\n"
    "\n"
    "  info DIR                 what the log in DIR consists of, and how it ends\n"
    "  dump DIR                 its records, one a line\n"
    "  history DIR RESERVATION  all records of one reservation, in their order\n"
    "  verify DIR               reads every block and record, checks every checksum and the "
    "chain,\n"
    "                           rebuilds the state, and proves of every change that it was "
    "allowed:\n"
    "                           that nothing was oversold, that units came back once, that no "
    "hold\n"
    "                           expired early or was confirmed late; ends with \"verify: ok\" or\n"
    "                           \"verify: FAILED\"\n"
    "\n"
    "  --json                   one JSON object a line\n"
    "  --reservation ID         dump: records of this reservation only\n"
    "  --inventory N            dump: of this inventory, its reservations and events\n"
    "  --customer N             dump: of this customer's reservations\n"
    "  --from LSN, --to LSN     dump, history: from this record on, up to this one\n"
    "  --retain DURATION        verify: how long finished reservations belong to the state that "
    "is\n"
    "                           hashed (200ms, 15m, 24h, 7d), 24h if not given; as the server's\n"
    "  --help, --version\n"
    "\n"
    "Works beside a running server, and never changes anything in DIR.\n"
    "Exit status: 0 the log is sound, 1 it is not, cannot be read, or has no such reservation,\n"
    "2 bad usage.\n";

enum {
    FOR_INFO = 1,
    FOR_DUMP = 2,
    FOR_HISTORY = 4,
    FOR_VERIFY = 8,
};

static const struct command {
    const char *name;
    unsigned bit;
    enum exit_status (*run)(const struct task *task);
} commands[] = {
    {"info", FOR_INFO, run_info},
    {"dump", FOR_DUMP, run_dump},
    {"history", FOR_HISTORY, run_history},
    {"verify", FOR_VERIFY, run_verify},
};

static bool set_reservation(struct task *task, const char *value)
{
    task->filter.by_reservation = true;
    return hf_id_parse(value, &task->filter.reservation_id) &&
           !hf_id_is_zero(&task->filter.reservation_id);
}

static bool set_inventory(struct task *task, const char *value)
{
    task->filter.by_inventory = true;
    return hf_cli_number_parse(value, &task->filter.inventory_id);
}

static bool set_customer(struct task *task, const char *value)
{
    task->filter.by_customer = true;
    return hf_cli_number_parse(value, &task->filter.customer_id);
}

static bool set_from(struct task *task, const char *value)
{
    return hf_cli_number_parse(value, &task->filter.first_lsn);
}

static bool set_to(struct task *task, const char *value)
{
    return hf_cli_number_parse(value, &task->filter.last_lsn);
}

static bool set_retain(struct task *task, const char *value)
{
    return hf_duration_parse(value, &task->retain_ns);
}

/* Options with a value. */
static const struct option {
    const char *name;
    unsigned commands; /* that know it */
    const char *value; /* what it has to be */
    bool (*set)(struct task *task, const char *value);
} options[] = {
    {"--reservation", FOR_DUMP, "a reservation's id", set_reservation},
    {"--inventory", FOR_DUMP, "an inventory's number", set_inventory},
    {"--customer", FOR_DUMP, "a customer's number", set_customer},
    {"--from", FOR_DUMP | FOR_HISTORY, "an LSN", set_from},
    {"--to", FOR_DUMP | FOR_HISTORY, "an LSN", set_to},
    {"--retain", FOR_VERIFY, "a duration such as 15m or 24h", set_retain},
};
#define OPTION_COUNT (sizeof options / sizeof options[0])

#define MAX_WORDS 3

struct line {
    const char *words[MAX_WORDS];
    int word_count;
    const char *values[OPTION_COUNT]; /* NULL: not given */
    bool json, help, version;
};

__attribute__((format(printf, 1, 2))) static enum exit_status bad_usage(const char *format, ...)
{
    va_list arguments;
    fprintf(stderr, "holdfast-wal: ");
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "; see holdfast-wal --help\n");
    return EXIT_USAGE;
}

/* An option with a value, "--name VALUE" or "--name=VALUE". *at moves over what it took. */
static enum exit_status take_option(struct line *line, int argc, char **argv, int *at)
{
    const char *word = argv[*at];
    size_t length = strcspn(word, "=");
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (strlen(options[i].name) != length || strncmp(word, options[i].name, length) != 0)
            continue;
        if (word[length] == '=')
            line->values[i] = word + length + 1;
        else if (*at + 1 < argc)
            line->values[i] = argv[++*at];
        else
            return bad_usage("%s needs %s", options[i].name, options[i].value);
        return EXIT_OK;
    }
    return bad_usage("unknown option %s", word);
}

/* Sorts the command line into words and options. */
static enum exit_status sort_line(struct line *line, int argc, char **argv)
{
    *line = (struct line){.word_count = 0};
    enum exit_status status = EXIT_OK;
    for (int at = 1; at < argc && status == EXIT_OK; at++) {
        if (strcmp(argv[at], "--help") == 0 || strcmp(argv[at], "-h") == 0)
            line->help = true;
        else if (strcmp(argv[at], "--version") == 0)
            line->version = true;
        else if (strcmp(argv[at], "--json") == 0)
            line->json = true;
        else if (argv[at][0] == '-')
            status = take_option(line, argc, argv, &at);
        else if (line->word_count == MAX_WORDS)
            status = bad_usage("one argument too many: %s", argv[at]);
        else
            line->words[line->word_count++] = argv[at];
    }
    return status;
}

static enum exit_status read_options(const struct line *line, struct task *task)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (line->values[i] == NULL)
            continue;
        if ((options[i].commands & task->command->bit) == 0)
            return bad_usage("%s has no option %s", task->command->name, options[i].name);
        if (!options[i].set(task, line->values[i]))
            return bad_usage("%s needs %s, not \"%s\"", options[i].name, options[i].value,
                             line->values[i]);
    }
    return EXIT_OK;
}

/* NULL: there is no such command. */
static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(name, commands[i].name) == 0)
            return &commands[i];
    }
    return NULL;
}

/* The words behind the command. */
static enum exit_status read_words(const struct line *line, struct task *task)
{
    bool names_one = task->command->bit == FOR_HISTORY;
    if (line->word_count == 1)
        return bad_usage("the directory is missing");
    if (line->word_count == 2 && names_one)
        return bad_usage("the reservation is missing");
    if (line->word_count == 3 && !names_one)
        return bad_usage("one argument too many: %s", line->words[2]);
    task->directory = line->words[1];
    if (names_one && !set_reservation(task, line->words[2]))
        return bad_usage("\"%s\" is no reservation's id", line->words[2]);
    return EXIT_OK;
}

static enum exit_status run(int argc, char **argv)
{
    struct line line;
    struct task task = {.retain_ns = DEFAULT_RETAIN_NS, .filter = {.last_lsn = UINT64_MAX}};
    enum exit_status status = sort_line(&line, argc, argv);
    if (status != EXIT_OK)
        return status;
    if (line.help || line.version) {
        fputs(line.help ? help : "holdfast-wal " HF_VERSION "\n", stdout);
        return EXIT_OK;
    }
    if (line.word_count == 0)
        return bad_usage("a command is missing");
    task.json = line.json;
    task.command = find_command(line.words[0]);
    if (task.command == NULL)
        return bad_usage("unknown command %s", line.words[0]);
    status = read_words(&line, &task);
    if (status == EXIT_OK)
        status = read_options(&line, &task);
    return status == EXIT_OK ? task.command->run(&task) : status;
}

int main(int argc, char **argv)
{
    static char buffer[OUTPUT_BUFFER_BYTES];
    setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
    enum exit_status status = run(argc, argv);
    if (fflush(stdout) != 0 || ferror(stdout))
        return (int)complain("cannot write the output: %s", strerror(errno));
    return (int)status;
}
