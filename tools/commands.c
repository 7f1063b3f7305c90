/* Commands: found, judged, explained. See commands.h. */
#include "tools/commands.h"

#include <inttypes.h>
#include <string.h>

#include "tools/values.h"

#define BIT(option) HF_CLI_BIT(option)
#define EVERYWHERE  (BIT(SERVER) | BIT(TIMEOUT) | BIT(JSON) | BIT(HELP) | BIT(VERSION))

/* ---- finding ---------------------------------------------------------------------------- */

static size_t name_words(const struct hf_cli_command *command)
{
    return command->words[1] == NULL ? 1 : 2;
}

/* How many words of its name stand at the beginning. */
static size_t same_words(const struct hf_cli_command *command,
                         const struct hf_cli_arguments *arguments)
{
    size_t same = 0;
    while (same < name_words(command) && same < arguments->word_count &&
           strcmp(arguments->words[same], command->words[same]) == 0)
        same++;
    return same;
}

const struct hf_cli_command *hf_cli_command_find(const struct hf_cli_arguments *arguments)
{
    for (size_t i = 0; i < hf_cli_command_count; i++) {
        if (same_words(&hf_cli_commands[i], arguments) == name_words(&hf_cli_commands[i]))
            return &hf_cli_commands[i];
    }
    return NULL;
}

const char *const *hf_cli_operands(const struct hf_cli_session *session, size_t *count)
{
    size_t first = name_words(session->command);
    *count = session->arguments.word_count - first;
    return session->arguments.words + first;
}

const char *hf_cli_operand(const struct hf_cli_session *session)
{
    size_t count;
    return hf_cli_operands(session, &count)[0];
}

/* ---- judging ---------------------------------------------------------------------------- */

static const char *operand_name(enum hf_cli_operand operand)
{
    switch (operand) {
    case HF_CLI_INVENTORY_ID:
    case HF_CLI_INVENTORY_IDS:
        return "inventory_id";
    case HF_CLI_RESERVATION_ID:
        return "reservation_id";
    case HF_CLI_FILE:
        return "file";
    case HF_CLI_NOTHING:
        break;
    }
    return "nothing";
}

static bool check_words(const struct hf_cli_command *command,
                        const struct hf_cli_arguments *arguments, char error[HF_CLI_ERROR_BYTES])
{
    char shown[HF_CLI_SHOWN_BYTES];
    size_t least = name_words(command) + (command->operand != HF_CLI_NOTHING);
    size_t most = command->operand == HF_CLI_INVENTORY_IDS ? SIZE_MAX : least;
    if (arguments->word_count >= least && arguments->word_count <= most)
        return true;
    if (arguments->word_count < least)
        snprintf(error, HF_CLI_ERROR_BYTES, "%s is missing: holdfast %s",
                 operand_name(command->operand), command->synopsis);
    else
        snprintf(error, HF_CLI_ERROR_BYTES, "'%s' is one word too many: holdfast %s",
                 hf_cli_shown(arguments->words[most], shown), command->synopsis);
    return false;
}

/*
 * Options of every command may be repeated, and the last counts: an alias may set a server that the
 * command line overrides. Others that are given twice are a mistake.
 */
static const char *option_mistake(const struct hf_cli_command *command, unsigned option,
                                  size_t count)
{
    uint64_t bit = 1ull << option;
    if (count > 0 && ((EVERYWHERE | command->takes) & bit) == 0)
        return "has no meaning here";
    if (count == 0 && (command->needs & bit) != 0)
        return "is missing";
    if (count > 1 && ((EVERYWHERE | command->many) & bit) == 0)
        return "is given more than once";
    return NULL;
}

bool hf_cli_command_check(const struct hf_cli_command *command,
                          const struct hf_cli_arguments *arguments, char error[HF_CLI_ERROR_BYTES])
{
    if (!check_words(command, arguments, error))
        return false;
    for (unsigned i = 0; i < HF_CLI_OPTION_COUNT; i++) {
        enum hf_cli_option option = (enum hf_cli_option)i;
        const char *mistake = option_mistake(command, i, hf_cli_arguments_count(arguments, option));
        if (mistake != NULL) {
            snprintf(error, HF_CLI_ERROR_BYTES, "%s %s: holdfast %s", hf_cli_option_text(option),
                     mistake, command->synopsis);
            return false;
        }
    }
    return true;
}

/* The name that needs the fewest corrections; NULL: none is close. */
static const struct hf_cli_command *closest(const struct hf_cli_arguments *arguments)
{
    const struct hf_cli_command *found = NULL;
    unsigned least = UINT32_MAX;
    for (size_t i = 0; i < hf_cli_command_count; i++) {
        unsigned sum = 0;
        for (size_t word = 0; word < name_words(&hf_cli_commands[i]); word++) {
            const char *typed = word < arguments->word_count ? arguments->words[word] : "";
            unsigned distance = hf_cli_distance(typed, hf_cli_commands[i].words[word]);
            sum = distance > hf_cli_distance_limit(typed) ? UINT32_MAX : sum + distance;
            if (sum == UINT32_MAX)
                break;
        }
        if (sum < least) {
            least = sum;
            found = &hf_cli_commands[i];
        }
    }
    return found;
}

/* True if commands of two words begin with the first of these. */
static bool is_group(const struct hf_cli_arguments *arguments)
{
    bool group = false;
    for (size_t i = 0; i < hf_cli_command_count; i++)
        group |= same_words(&hf_cli_commands[i], arguments) > 0;
    return group;
}

void hf_cli_command_unknown(const struct hf_cli_arguments *arguments,
                            char error[HF_CLI_ERROR_BYTES])
{
    char shown[HF_CLI_SHOWN_BYTES], second[HF_CLI_SHOWN_BYTES] = "";
    if (arguments->word_count == 0) {
        snprintf(error, HF_CLI_ERROR_BYTES, "a command is missing; see holdfast --help");
        return;
    }
    hf_cli_shown(arguments->words[0], shown);
    if (arguments->word_count == 1 && is_group(arguments)) {
        snprintf(error, HF_CLI_ERROR_BYTES, "%s what? see holdfast %s --help", shown, shown);
        return;
    }
    const struct hf_cli_command *meant = closest(arguments);
    if (arguments->word_count > 1 && strcmp(arguments->words[0], "inventory") == 0)
        hf_cli_shown(arguments->words[1], second);
    int length = snprintf(error, HF_CLI_ERROR_BYTES, "unknown command '%s%s%s'; ", shown,
                          second[0] == '\0' ? "" : " ", second);
    if (meant == NULL)
        snprintf(error + length, HF_CLI_ERROR_BYTES - (size_t)length, "see holdfast --help");
    else
        snprintf(error + length, HF_CLI_ERROR_BYTES - (size_t)length, "did you mean %s%s%s?",
                 meant->words[0], meant->words[1] == NULL ? "" : " ",
                 meant->words[1] == NULL ? "" : meant->words[1]);
}

/* ---- help ------------------------------------------------------------------------------- */

static void put_options(FILE *out, uint64_t set)
{
    for (unsigned i = 0; i < HF_CLI_OPTION_COUNT; i++) {
        enum hf_cli_option option = (enum hf_cli_option)i;
        char text[48];
        const char *value = hf_cli_option_value_name(option);
        if ((set & 1ull << i) == 0)
            continue;
        snprintf(text, sizeof text, "%s%s%s", hf_cli_option_text(option), value == NULL ? "" : " ",
                 value == NULL ? "" : value);
        fprintf(out, "  %-30s %s\n", text, hf_cli_option_help(option));
    }
}

static void put_conventions(FILE *out)
{
    fprintf(out,
            "\nIds of inventories, products and customers are numbers from 0 to %" PRIu64 ",\n"
            "quantities and capacities from 1 to %u, reservation ids UUIDs.\n"
            "A DURATION is 200ms, 15m, 1h30m, 24h or 7d. A T is a date of the server's clock:\n"
            "2026-05-01T10:00:00Z, now+15m, or none where a date may be unset.\n"
            "Exit status: 0 yes, 1 a definite no, 2 bad usage, bad request or conflict,\n"
            "3 outcome unknown, retry later, or server not reached. Of several: the highest.\n",
            UINT64_MAX, HF_MAX_UNITS);
}

static void put_command(FILE *out, const struct hf_cli_command *command)
{
    fprintf(out, "usage: holdfast %s\n\n%s\n\nexample:\n  %s\n", command->synopsis,
            command->summary, command->example);
    if (command->takes != 0) {
        fputs("\noptions:\n", out);
        put_options(out, command->takes);
    }
}

/* One line of a summary for each. */
static void put_commands(FILE *out, const struct hf_cli_arguments *arguments)
{
    fputs("usage: holdfast COMMAND [OPTIONS]\n\n", out);
    for (size_t i = 0; i < hf_cli_command_count; i++) {
        if (arguments->word_count > 0 && same_words(&hf_cli_commands[i], arguments) == 0)
            continue;
        const char *summary = hf_cli_commands[i].summary;
        fprintf(out, "  %s\n      ", hf_cli_commands[i].synopsis);
        for (; *summary != '\0'; summary++) {
            putc(*summary, out);
            if (*summary == '\n')
                fputs("      ", out);
        }
        putc('\n', out);
    }
    fputs("\nholdfast COMMAND --help tells its options, with an example.\n", out);
}

void hf_cli_help(FILE *out, const struct hf_cli_arguments *arguments)
{
    const struct hf_cli_command *command = hf_cli_command_find(arguments);
    static const struct hf_cli_arguments no_words;
    if (command != NULL)
        put_command(out, command);
    else
        put_commands(out, is_group(arguments) ? arguments : &no_words);
    fputs("\noptions of every command, before or behind it, also as --option=value:\n", out);
    put_options(out, EVERYWHERE);
    put_conventions(out);
}
