/* Acknowledgements; see acks.h. */
#include "tools/acks.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "tools/json_line.h"
#include "tools/options.h"
#include "tools/values.h"
#include "wal/record.h"

#define FIRST_ROOM 1024
#define SEPARATORS ", \t\r"

enum {
    AT_KIND = 8,
    AT_STATE = 9,
    AT_QTY = 12,
    AT_ID = 16,
};
#define KIND_RESERVATION 2

__attribute__((format(printf, 3, 4))) static bool refuse(char error[HF_ACKS_ERROR_BYTES],
                                                         uint64_t line, const char *format, ...)
{
    int length = snprintf(error, HF_ACKS_ERROR_BYTES, "line %" PRIu64 ": ", line);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error + length, HF_ACKS_ERROR_BYTES - (size_t)length, format, arguments);
    va_end(arguments);
    return false;
}

/* ---- lines ------------------------------------------------------------------------------ */

static bool add(struct hf_acks *acks, const struct hf_ack *ack, char error[HF_ACKS_ERROR_BYTES])
{
    if (acks->count == acks->room) {
        uint32_t room = acks->room == 0 ? FIRST_ROOM : 2 * acks->room;
        struct hf_ack *grown =
            room < acks->room ? NULL : realloc(acks->acks, (size_t)room * sizeof *grown);
        if (grown == NULL)
            return refuse(error, ack->line, "not enough memory for so many");
        acks->acks = grown;
        acks->room = room;
    }
    if (!hf_ledger_index_reserve(&acks->index))
        return refuse(error, ack->line, "not enough memory for so many");
    hf_ledger_index_add(&acks->index, hf_ledger_hash_of_id(acks->seed, ack->id.bytes), acks->count);
    acks->acks[acks->count++] = *ack;
    return true;
}

static bool says_nothing(const char *word)
{
    return word[0] == '\0' || strcmp(word, "-") == 0;
}

static bool set_id(struct hf_ack *ack, const char *word, char error[HF_ACKS_ERROR_BYTES])
{
    char shown[HF_CLI_SHOWN_BYTES];
    if (hf_id_parse(word, &ack->id) && !hf_id_is_zero(&ack->id))
        return true;
    return refuse(error, ack->line, "\"%s\" is no reservation's id", hf_cli_shown(word, shown));
}

static bool set_state(struct hf_ack *ack, const char *word, char error[HF_ACKS_ERROR_BYTES])
{
    char shown[HF_CLI_SHOWN_BYTES];
    uint32_t states;
    if (says_nothing(word))
        return true;
    if (!hf_cli_states_parse(word, &states) || (states & (states - 1)) != 0)
        return refuse(error, ack->line, "\"%s\" is no status", hf_cli_shown(word, shown));
    ack->state = (uint8_t)__builtin_ctz(states);
    return true;
}

static bool set_qty(struct hf_ack *ack, const char *word, char error[HF_ACKS_ERROR_BYTES])
{
    char shown[HF_CLI_SHOWN_BYTES];
    uint64_t qty;
    if (says_nothing(word))
        return true;
    if (!hf_cli_number_parse(word, &qty) || qty == 0 || qty > HF_MAX_UNITS)
        return refuse(error, ack->line, "\"%s\" is no quantity", hf_cli_shown(word, shown));
    ack->qty = (uint32_t)qty;
    return true;
}

static bool set_lsn(struct hf_ack *ack, const char *word, char error[HF_ACKS_ERROR_BYTES])
{
    char shown[HF_CLI_SHOWN_BYTES];
    uint64_t lsn;
    if (says_nothing(word))
        return true;
    if (!hf_cli_number_parse(word, &lsn) || lsn == 0)
        return refuse(error, ack->line, "\"%s\" is no LSN", hf_cli_shown(word, shown));
    ack->lsn = lsn;
    return true;
}

static bool (*const setters[])(struct hf_ack *ack, const char *word,
                               char error[HF_ACKS_ERROR_BYTES]) = {set_id, set_state, set_qty,
                                                                   set_lsn};
#define COLUMNS    (sizeof setters / sizeof setters[0])
#define WORD_BYTES 64

/* The next word, moved over, with what separates it from the one behind: one comma, or white
 * space. */
static bool take_word(const char **at, char word[WORD_BYTES])
{
    size_t length = strcspn(*at, SEPARATORS);
    snprintf(word, WORD_BYTES, "%.*s", length < WORD_BYTES ? (int)length : WORD_BYTES - 1, *at);
    *at += length;
    *at += strspn(*at, " \t\r");
    if (**at == ',') {
        ++*at;
        *at += strspn(*at, " \t\r");
    }
    return length < WORD_BYTES;
}

static bool add_words(struct hf_acks *acks, const char *line, uint64_t number,
                      char error[HF_ACKS_ERROR_BYTES])
{
    struct hf_ack ack = {.line = number};
    for (size_t column = 0; *line != '\0' && *line != '#'; column++) {
        char word[WORD_BYTES];
        bool fits = take_word(&line, word);
        if (column == 0 && strcmp(word, "reservation_id") == 0)
            return true;
        if (column >= COLUMNS)
            return refuse(error, number, "there are more than %zu columns", COLUMNS);
        if (!setters[column](&ack, fits ? word : "?", error))
            return false;
    }
    return hf_id_is_zero(&ack.id) || add(acks, &ack, error);
}

/* An answer: it acknowledges something if it has an LSN. */
static bool add_object(struct hf_acks *acks, const char *line, uint64_t number,
                       char error[HF_ACKS_ERROR_BYTES])
{
    static const char *const names[COLUMNS] = {"reservation_id", "status", "qty", "lsn"};
    char words[COLUMNS][WORD_BYTES];
    struct hf_ack ack = {.line = number};
    if (!hf_json_line_read(line, names, COLUMNS, WORD_BYTES, words[0]))
        return refuse(error, number, "begins like a JSON object, but is none");
    if (words[0][0] == '\0' || words[3][0] == '\0')
        return true;
    for (size_t column = 0; column < COLUMNS; column++) {
        if (!setters[column](&ack, words[column], error))
            return false;
    }
    return add(acks, &ack, error);
}

bool hf_acks_add_line(struct hf_acks *acks, const char *line, uint64_t number,
                      char error[HF_ACKS_ERROR_BYTES])
{
    line += strspn(line, " \t\r");
    return *line == '{' ? add_object(acks, line, number, error)
                        : add_words(acks, line, number, error);
}

/* ---- files ------------------------------------------------------------------------------ */

static bool read_lines(struct hf_acks *acks, FILE *file, char error[HF_ACKS_ERROR_BYTES])
{
    char *line = NULL;
    size_t room = 0;
    ssize_t length;
    bool right = true;
    for (uint64_t number = 1; right && (length = getline(&line, &room, file)) >= 0; number++) {
        if (length > 0 && line[length - 1] == '\n')
            line[--length] = '\0';
        right = strlen(line) == (size_t)length
                    ? hf_acks_add_line(acks, line, number, error)
                    : refuse(error, number, "there is a zero byte in it");
    }
    free(line);
    if (right && ferror(file)) {
        snprintf(error, HF_ACKS_ERROR_BYTES, "cannot be read: %s", strerror(errno));
        return false;
    }
    return right;
}

bool hf_acks_open(struct hf_acks *acks, const char *path, char error[HF_ACKS_ERROR_BYTES])
{
    char found[HF_ACKS_ERROR_BYTES];
    *acks = (struct hf_acks){.seed = hf_ledger_seed()};
    bool is_stdin = strcmp(path, "-") == 0;
    FILE *file = is_stdin ? stdin : fopen(path, "re");
    if (file == NULL) {
        snprintf(error, HF_ACKS_ERROR_BYTES, "cannot open %.300s: %s", path, strerror(errno));
        return false;
    }
    bool right = read_lines(acks, file, found);
    if (!is_stdin)
        fclose(file);
    if (!right)
        snprintf(error, HF_ACKS_ERROR_BYTES, "%.300s: %.300s", path, found);
    return right;
}

void hf_acks_close(struct hf_acks *acks)
{
    hf_ledger_index_free(&acks->index);
    free(acks->acks);
    *acks = (struct hf_acks){.count = 0};
}

/* ---- meeting records -------------------------------------------------------------------- */

/* True if it says all that the acknowledgement says. */
static bool says_so(const struct hf_ack *ack, const uint8_t *record)
{
    return (ack->state == 0 || ack->state == record[AT_STATE]) &&
           (ack->qty == 0 || ack->qty == hf_get_u32(record + AT_QTY)) &&
           (ack->lsn == 0 || ack->lsn == hf_get_u64(record));
}

static bool is_final(unsigned state)
{
    return state == HF_STATE_CANCELLED || state == HF_STATE_RELEASED || state == HF_STATE_EXPIRED;
}

/* True if one state can become another, by one change or more. */
static bool leads_to(unsigned from, unsigned to)
{
    switch (from) {
    case HF_STATE_CONFIRMED:
        return to == HF_STATE_CONFIRMED || to == HF_STATE_CANCELLED;
    case HF_STATE_HELD:
        return to != HF_STATE_WAITING;
    default:
        return !is_final(from);
    }
}

static void meet_in_log(struct hf_ack *ack, const uint8_t *record)
{
    ack->found |= says_so(ack, record);
}

/* The newest image of the reservation then. If that is older than what was acknowledged, that was
 * never logged. */
static void meet_in_snapshot(struct hf_ack *ack, const uint8_t *record)
{
    bool is_newer = ack->lsn == 0 || ack->lsn < hf_get_u64(record);
    if (says_so(ack, record) || (is_newer && leads_to(ack->state, record[AT_STATE])))
        ack->found = true;
    else
        ack->contradicted = !(is_newer && ack->lsn != 0 && is_final(ack->state));
}

static void meet(struct hf_acks *acks, const uint8_t *record,
                 void (*judge)(struct hf_ack *ack, const uint8_t *record))
{
    uint32_t number;
    if (record[AT_KIND] != KIND_RESERVATION)
        return;
    const uint8_t *id = record + AT_ID;
    struct hf_ledger_probe probe =
        hf_ledger_index_seek(&acks->index, hf_ledger_hash_of_id(acks->seed, id));
    while (hf_ledger_index_next(&acks->index, &probe, &number)) {
        struct hf_ack *ack = &acks->acks[number];
        if (!ack->found && memcmp(ack->id.bytes, id, sizeof ack->id.bytes) == 0)
            judge(ack, record);
    }
}

void hf_acks_meet(struct hf_acks *acks, const uint8_t *records, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        meet(acks, records + (size_t)i * HF_RECORD_BYTES, meet_in_log);
}

void hf_acks_meet_snapshot(struct hf_acks *acks, const uint8_t *records, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        meet(acks, records + (size_t)i * HF_RECORD_BYTES, meet_in_snapshot);
}

bool hf_ack_is_unprovable(const struct hf_ack *ack, uint64_t known_lsn)
{
    return !ack->found && !ack->contradicted && ack->lsn != 0 && ack->lsn <= known_lsn;
}
