/* The command line of holdfast-wal; see wal_options.h. */
#include "tools/wal_options.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "holdfast/protocol.h"
#include "tools/snapshots.h"
#include "tools/values.h"

#define MAX_WORDS 3 /* command, directory, reservation */
#define MAX_GIVEN 64

/* ---- what people are told --------------------------------------------------------------- */

__attribute__((format(printf, 1, 0))) static void tell(const char *format, va_list arguments)
{
    fflush(stdout);
    fprintf(stderr, "holdfast-wal: ");
    vfprintf(stderr, format, arguments);
}

enum hf_wal_exit hf_wal_complain(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    tell(format, arguments);
    va_end(arguments);
    fprintf(stderr, "\n");
    return HF_WAL_BAD;
}

enum hf_wal_exit hf_wal_misused(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    tell(format, arguments);
    va_end(arguments);
    fprintf(stderr, "; see holdfast-wal --help\n");
    return HF_WAL_USAGE;
}

/* ---- options ---------------------------------------------------------------------------- */

static bool set_json(struct hf_wal_task *task, const char *value)
{
    (void)value;
    task->json = true;
    task->format = HF_ROWS_JSONL;
    return true;
}

static bool set_format(struct hf_wal_task *task, const char *value)
{
    return hf_row_format_parse(value, &task->format);
}

static bool set_reservation(struct hf_wal_task *task, const char *value)
{
    task->filter.by_reservation = true;
    return hf_id_parse(value, &task->filter.reservation_id) &&
           !hf_id_is_zero(&task->filter.reservation_id);
}

static bool set_inventory(struct hf_wal_task *task, const char *value)
{
    task->filter.by_inventory = true;
    return hf_cli_number_parse(value, &task->filter.inventory_id);
}

static bool set_customer(struct hf_wal_task *task, const char *value)
{
    task->filter.by_customer = true;
    return hf_cli_number_parse(value, &task->filter.customer_id);
}

static bool set_state(struct hf_wal_task *task, const char *value)
{
    return hf_cli_states_parse(value, &task->filter.states);
}

static bool set_from(struct hf_wal_task *task, const char *value)
{
    return hf_moment_parse(value, task->now_ns, &task->from);
}

static bool set_to(struct hf_wal_task *task, const char *value)
{
    return hf_moment_parse(value, task->now_ns, &task->to);
}

static bool set_at(struct hf_wal_task *task, const char *value)
{
    return hf_moment_parse(value, task->now_ns, &task->at);
}

static bool set_retain(struct hf_wal_task *task, const char *value)
{
    return hf_duration_parse(value, &task->retain_ns) && task->retain_ns != HF_RETAIN_AS_TOLD;
}

static bool set_quick(struct hf_wal_task *task, const char *value)
{
    (void)value;
    task->quick = true;
    return true;
}

static bool set_acks(struct hf_wal_task *task, const char *value)
{
    task->acks = value;
    return *value != '\0';
}

static bool set_reservations(struct hf_wal_task *task, const char *value)
{
    (void)value;
    task->reservations = true;
    return true;
}

static bool set_export_format(struct hf_wal_task *task, const char *value)
{
    task->export_as = strcmp(value, "sql") == 0     ? HF_EXPORT_SQL
                      : strcmp(value, "csv") == 0   ? HF_EXPORT_CSV
                      : strcmp(value, "jsonl") == 0 ? HF_EXPORT_JSONL
                                                    : HF_EXPORT_NONE;
    return task->export_as != HF_EXPORT_NONE;
}

static bool set_target(struct hf_wal_task *task, const char *value)
{
    task->target = value;
    return *value != '\0';
}

static bool set_table(struct hf_wal_task *task, const char *value)
{
    task->table = strcmp(value, "inventory") == 0     ? HF_TABLE_INVENTORY
                  : strcmp(value, "reservation") == 0 ? HF_TABLE_RESERVATION
                                                      : HF_TABLE_ALL;
    return task->table != HF_TABLE_ALL;
}

static bool set_archive(struct hf_wal_task *task, const char *value)
{
    task->directory = value;
    return *value != '\0';
}

static bool set_no_verify(struct hf_wal_task *task, const char *value)
{
    (void)value;
    task->no_verify = true;
    return true;
}

static bool set_yes(struct hf_wal_task *task, const char *value)
{
    (void)value;
    task->yes = true;
    return true;
}

static bool set_lost(struct hf_wal_task *task, const char *value)
{
    task->lost = value;
    return *value != '\0';
}

#define MOMENT "an LSN or a date"

/* One name may stand for two options, of different commands. */
static const struct option {
    unsigned bit;
    const char *name;
    const char *value; /* what it has to be; NULL: it takes none */
    bool (*set)(struct hf_wal_task *task, const char *value);
    const char *word; /* what its value is called in help */
    const char *help;
} options[] = {
    {HF_WAL_JSON, "--json", NULL, set_json, NULL, "one JSON object a line"},
    {HF_WAL_FORMAT, "--format", "text, jsonl or csv", set_format, "F",
     "text (if not given), jsonl (one JSON object a line) or csv"},
    {HF_WAL_EXPORT_FORMAT, "--format", "sql, csv or jsonl", set_export_format, "F",
     "sql, csv or jsonl"},
    {HF_WAL_RESERVATION, "--reservation", "a reservation's id", set_reservation, "ID",
     "this reservation only"},
    {HF_WAL_INVENTORY, "--inventory", "an inventory's number", set_inventory, "N",
     "this inventory, with its reservations and events, only"},
    {HF_WAL_CUSTOMER, "--customer", "a customer's number", set_customer, "N",
     "reservations of this customer only"},
    {HF_WAL_STATE, "--state", "states such as held,confirmed", set_state, "S,S...",
     "reservations in these states only: held, confirmed, cancelled, released, expired, waiting"},
    {HF_WAL_FROM, "--from", MOMENT, set_from, "LSN|T", "from this record, or date, on"},
    {HF_WAL_TO, "--to", MOMENT, set_to, "LSN|T", "up to this record, or date"},
    {HF_WAL_AT, "--at", MOMENT, set_at, "LSN|T", "as it was after this record, or at this date"},
    {HF_WAL_RETAIN, "--retain", "a duration such as 15m or 24h", set_retain, "DURATION",
     "how long what is finished belongs to the state, as the server's option of this name; if not "
     "given, as the newest snapshot says, or 24h"},
    {HF_WAL_QUICK, "--quick", NULL, set_quick, NULL, "checksums and the chain of blocks only"},
    {HF_WAL_ACKS, "--acks", "a file", set_acks, "FILE",
     "a list of what was acknowledged (-: stdin), one a line: ID [STATUS [QTY [LSN]]], or the "
     "answers of holdfast --json"},
    {HF_WAL_RESERVATIONS, "--reservations", NULL, set_reservations, NULL,
     "the reservations as well"},
    {HF_WAL_TARGET, "--to", "a file, or for csv a directory", set_target, "PATH",
     "write to this file, for csv to files in this directory; they must not exist yet"},
    {HF_WAL_TABLE, "--table", "inventory or reservation", set_table, "NAME",
     "only this table: inventory or reservation"},
    {HF_WAL_ARCHIVE, "--from", "a directory", set_archive, "ARCHIVE",
     "what to restore from: an archive, a backup, or a server's directory"},
    {HF_WAL_INTO, "--to", "a directory", set_target, "DEST",
     "write to this directory, which is made, or must be empty"},
    {HF_WAL_UNTIL, "--until", MOMENT, set_at, "LSN|T",
     "as it was after this record, or at this date; if not given, all that is there"},
    {HF_WAL_NO_VERIFY, "--no-verify", NULL, set_no_verify, NULL,
     "do not read back what was written"},
    {HF_WAL_LOST, "--lost", "a file", set_lost, "FILE",
     "list there what can be read behind the damage, one JSON object a line; it must not exist "
     "yet"},
    {HF_WAL_YES, "--yes", NULL, set_yes, NULL, "do not ask"},
};
#define OPTION_COUNT (sizeof options / sizeof options[0])

/* ---- help ------------------------------------------------------------------------------- */

#define HELP_COLUMNS 100

/* Words from column `indent` on, after `used` columns of the line. */
static void put_wrapped(const char *text, size_t indent, size_t used)
{
    while (*text != '\0') {
        size_t length = strcspn(text, " ");
        if (used > indent && used + 1 + length > HELP_COLUMNS) {
            printf("\n%*s", (int)indent, "");
            used = indent;
        } else if (used > indent) {
            putchar(' ');
            used++;
        }
        printf("%.*s", (int)length, text);
        used += length;
        text += length + (text[length] == ' ');
    }
    putchar('\n');
}

static void put_option(const struct option *option)
{
    enum { INDENT = 24 };
    int used = printf("  %s", option->name);
    if (option->word != NULL)
        used += printf(" %s", option->word);
    if (used > INDENT - 2)
        used = printf("\n") * 0;
    printf("%*s", INDENT - used, "");
    put_wrapped(option->help, INDENT, INDENT);
}

static const char moments[] =
    "LSN|T is an LSN, or a date: 2026-11-22T10:00:00Z, with a fraction if need be; @1795341600.5 "
    "is\n"
    "seconds since 1970; now-1h is by this machine's clock. The log up to a date is its longest\n"
    "beginning of whose records none is dated later.\n";

static void put_command_help(const struct hf_wal_command *command)
{
    printf("usage: holdfast-wal %s %s [OPTIONS]\n\n", command->name, command->words);
    put_wrapped(command->summary, 0, 0);
    if (command->help != NULL)
        printf("\n%s", command->help);
    if (command->options != 0)
        printf("\n");
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if ((command->options & options[i].bit) != 0)
            put_option(&options[i]);
    }
    if ((command->options & (HF_WAL_FROM | HF_WAL_TO | HF_WAL_AT | HF_WAL_UNTIL)) != 0)
        printf("\n%s", moments);
}

static void put_help(void)
{
    printf("usage: holdfast-wal COMMAND DIR [OPTIONS]\n\n"
           "Looks into the log of the directory DIR, a server's --dir. COMMAND --help tells "
           "more.\n\n");
    for (size_t i = 0; i < hf_wal_command_count; i++) {
        enum { INDENT = 28 };
        int used = printf("  %s %s", hf_wal_commands[i].name, hf_wal_commands[i].words);
        printf("%*s", INDENT - used, "");
        put_wrapped(hf_wal_commands[i].summary, INDENT, INDENT);
    }
    printf("\n  --help, --version\n\n"
           "Works beside a running server, and never changes anything in DIR. What takes long "
           "shows on\n"
           "a terminal how far it is.\n"
           "Exit status: 0 all is well; 1 the log is not sound, cannot be read, or does not have "
           "what\n"
           "was asked for, or the output cannot be written: stderr says why; 2 bad usage.\n");
}

/* ---- the command line ------------------------------------------------------------------- */

/* As it was typed: sorted, not judged, as the command may stand behind its options. */
struct line {
    const char *words[MAX_WORDS];
    int word_count;
    struct {
        const char *name;
        size_t name_bytes;
        const char *value; /* NULL: it takes none */
    } given[MAX_GIVEN];
    size_t given_count;
    bool help, version;
};

/* The option of that name; one of the command's, if it has one. NULL: there is none. */
static const struct option *find_option(const char *name, size_t name_bytes, unsigned taken)
{
    const struct option *found = NULL;
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (strlen(options[i].name) != name_bytes || memcmp(options[i].name, name, name_bytes) != 0)
            continue;
        if (found == NULL || (options[i].bit & taken) != 0)
            found = &options[i];
    }
    return found;
}

static enum hf_wal_exit refuse_unknown(const char *word)
{
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(word, "="), word);
    struct hf_cli_guess guess = hf_cli_guess_begin(name);
    for (size_t i = 0; i < OPTION_COUNT; i++)
        hf_cli_guess_weigh(&guess, options[i].name);
    if (guess.closest == NULL)
        return hf_wal_misused("unknown option %s", word);
    return hf_wal_misused("unknown option %s; did you mean %s?", word, guess.closest);
}

/* "--name", "--name VALUE" or "--name=VALUE". *at moves over what it took. */
static enum hf_wal_exit take_option(struct line *line, int argc, char **argv, int *at)
{
    const char *word = argv[*at], *value = NULL;
    size_t length = strcspn(word, "=");
    const struct option *option = find_option(word, length, 0);
    if (option == NULL)
        return refuse_unknown(word);
    if (option->value == NULL && word[length] == '=')
        return hf_wal_misused("%s takes no value", option->name);
    if (option->value != NULL) {
        value = word[length] == '=' ? word + length + 1 : NULL;
        if (value == NULL && ++*at < argc)
            value = argv[*at];
        if (value == NULL)
            return hf_wal_misused("%s needs %s", option->name, option->value);
    }
    if (line->given_count == MAX_GIVEN)
        return hf_wal_misused("there are more than %d options", MAX_GIVEN);
    line->given[line->given_count].name = option->name;
    line->given[line->given_count].name_bytes = length;
    line->given[line->given_count++].value = value;
    return HF_WAL_OK;
}

/* Sorts the command line into words and options. */
static enum hf_wal_exit sort_line(struct line *line, int argc, char **argv)
{
    *line = (struct line){.word_count = 0};
    enum hf_wal_exit status = HF_WAL_OK;
    for (int at = 1; at < argc && status == HF_WAL_OK; at++) {
        if (strcmp(argv[at], "--help") == 0 || strcmp(argv[at], "-h") == 0)
            line->help = true;
        else if (strcmp(argv[at], "--version") == 0)
            line->version = true;
        else if (argv[at][0] == '-' && argv[at][1] != '\0')
            status = take_option(line, argc, argv, &at);
        else if (line->word_count == MAX_WORDS)
            status = hf_wal_misused("one argument too many: %s", argv[at]);
        else
            line->words[line->word_count++] = argv[at];
    }
    return status;
}

static enum hf_wal_exit read_options(const struct line *line, struct hf_wal_task *task)
{
    for (size_t i = 0; i < line->given_count; i++) {
        const char *value = line->given[i].value;
        const struct option *option =
            find_option(line->given[i].name, line->given[i].name_bytes, task->command->options);
        if ((option->bit & task->command->options) == 0)
            return hf_wal_misused("%s has no option %s", task->command->name, option->name);
        if (!option->set(task, value))
            return hf_wal_misused("%s needs %s, not \"%s\"", option->name, option->value, value);
    }
    return HF_WAL_OK;
}

/* NULL: there is no such command. */
static const struct hf_wal_command *find_command(const char *name)
{
    for (size_t i = 0; i < hf_wal_command_count; i++) {
        if (strcmp(name, hf_wal_commands[i].name) == 0)
            return &hf_wal_commands[i];
    }
    return NULL;
}

static enum hf_wal_exit refuse_command(const char *name)
{
    struct hf_cli_guess guess = hf_cli_guess_begin(name);
    for (size_t i = 0; i < hf_wal_command_count; i++)
        hf_cli_guess_weigh(&guess, hf_wal_commands[i].name);
    if (guess.closest == NULL)
        return hf_wal_misused("unknown command %s", name);
    return hf_wal_misused("unknown command %s; did you mean %s?", name, guess.closest);
}

/* The words behind the command. */
static enum hf_wal_exit read_words(const struct line *line, struct hf_wal_task *task)
{
    bool names_one = task->command->names_reservation;
    bool by_option = (task->command->options & HF_WAL_ARCHIVE) != 0;
    if (by_option && line->word_count > 1)
        return hf_wal_misused("one argument too many: %s; it is --from %s", line->words[1],
                              line->words[1]);
    if (by_option)
        return HF_WAL_OK;
    if (line->word_count == 1)
        return hf_wal_misused("the directory is missing");
    if (line->word_count == 2 && names_one)
        return hf_wal_misused("the reservation is missing");
    if (line->word_count == 3 && !names_one)
        return hf_wal_misused("one argument too many: %s", line->words[2]);
    task->directory = line->words[1];
    if (names_one && !set_reservation(task, line->words[2]))
        return hf_wal_misused("\"%s\" is no reservation's id", line->words[2]);
    return HF_WAL_OK;
}

/* Those that options name. */
static enum hf_wal_exit check_directories(const struct hf_wal_task *task)
{
    if (task->directory == NULL)
        return hf_wal_misused("%s needs --from ARCHIVE", task->command->name);
    if ((task->command->options & HF_WAL_INTO) != 0 && task->target == NULL)
        return hf_wal_misused("%s needs --to DEST, a new directory", task->command->name);
    return HF_WAL_OK;
}

static enum hf_wal_exit read_line(const struct line *line, struct hf_wal_task *task)
{
    if (line->word_count == 0)
        return hf_wal_misused("a command is missing");
    task->command = find_command(line->words[0]);
    if (task->command == NULL)
        return refuse_command(line->words[0]);
    enum hf_wal_exit status = read_words(line, task);
    if (status == HF_WAL_OK)
        status = read_options(line, task);
    return status == HF_WAL_OK ? check_directories(task) : status;
}

bool hf_wal_options_read(int argc, char **argv, struct hf_wal_task *task, enum hf_wal_exit *status)
{
    struct line line;
    *task = (struct hf_wal_task){.now_ns = hf_date_now_ns(), .retain_ns = HF_RETAIN_AS_TOLD};
    *status = sort_line(&line, argc, argv);
    if (*status != HF_WAL_OK)
        return false;
    const struct hf_wal_command *about =
        line.help && line.word_count > 0 ? find_command(line.words[0]) : NULL;
    if (about != NULL)
        put_command_help(about);
    else if (line.help)
        put_help();
    else if (line.version)
        puts("holdfast-wal " HF_VERSION);
    if (line.help || line.version)
        return false;
    *status = read_line(&line, task);
    return *status == HF_WAL_OK;
}
