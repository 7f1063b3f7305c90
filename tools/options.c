/* The command line into words and options. See options.h. */
#include "tools/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/values.h"

static const struct {
    const char *text, *value, *help;
} options[HF_CLI_OPTION_COUNT] = {
#define X(option, text, value, help) {text, value, help},
    HF_CLI_OPTIONS(X)
#undef X
};

const char *hf_cli_option_text(enum hf_cli_option option)
{
    return options[option].text;
}

const char *hf_cli_option_value_name(enum hf_cli_option option)
{
    return options[option].value;
}

const char *hf_cli_option_help(enum hf_cli_option option)
{
    return options[option].help;
}

const char *hf_cli_shown(const char *word, char text[HF_CLI_SHOWN_BYTES])
{
    size_t length = 0;
    for (; length < HF_CLI_SHOWN_BYTES - 4 && word[length] != '\0'; length++)
        text[length] = (char)(word[length] >= ' ' && word[length] <= '~' ? word[length] : '?');
    snprintf(text + length, HF_CLI_SHOWN_BYTES - length, "%s", word[length] == '\0' ? "" : "...");
    return text;
}

/* The option that `argument` names, up to its end or to '='; HF_CLI_OPTION_COUNT: none. */
static enum hf_cli_option find_option(const char *argument, const char **value)
{
    const char *equals = strchr(argument, '=');
    size_t length = equals == NULL ? strlen(argument) : (size_t)(equals - argument);
    *value = equals == NULL ? NULL : equals + 1;
    for (unsigned i = 0; i < HF_CLI_OPTION_COUNT; i++) {
        if (strlen(options[i].text) == length && memcmp(options[i].text, argument, length) == 0)
            return (enum hf_cli_option)i;
    }
    return HF_CLI_OPTION_COUNT;
}

/* "-5" is a word, and no number that any argument allows; "-" is stdin; "-x" is an option that does
 * not exist. */
static bool is_word(const char *argument)
{
    return argument[0] != '-' || argument[1] == '\0' || (argument[1] >= '0' && argument[1] <= '9');
}

/* Names the closest option, if one is close. Hyphens in front say nothing about what was meant. */
static bool refuse_unknown(const char *argument, char error[HF_CLI_ERROR_BYTES])
{
    char typed[HF_CLI_SHOWN_BYTES], shown[HF_CLI_SHOWN_BYTES];
    const char *name = argument + strspn(argument, "-");
    snprintf(typed, sizeof typed, "%.*s", (int)strcspn(name, "="), name);
    struct hf_cli_guess guess = hf_cli_guess_begin(typed);
    for (unsigned i = 0; i < HF_CLI_OPTION_COUNT; i++)
        hf_cli_guess_weigh(&guess, options[i].text + strlen("--"));
    hf_cli_shown(argument, shown);
    if (guess.closest == NULL)
        snprintf(error, HF_CLI_ERROR_BYTES, "unknown option '%s'; see holdfast --help", shown);
    else
        snprintf(error, HF_CLI_ERROR_BYTES, "unknown option '%s'; did you mean --%s?", shown,
                 guess.closest);
    return false;
}

/* Takes the option at *argument, and its value, which may be the next argument. */
static bool sort_option(struct hf_cli_arguments *arguments, char *const **argument,
                        char error[HF_CLI_ERROR_BYTES])
{
    const char *value;
    enum hf_cli_option option = find_option(**argument, &value);
    if (option == HF_CLI_OPTION_COUNT)
        return refuse_unknown(**argument, error);
    if (options[option].value == NULL && value != NULL) {
        snprintf(error, HF_CLI_ERROR_BYTES, "%s takes no value", options[option].text);
        return false;
    }
    if (options[option].value != NULL && value == NULL && (value = *++*argument) == NULL) {
        snprintf(error, HF_CLI_ERROR_BYTES, "%s needs a value: %s %s", options[option].text,
                 options[option].text, options[option].value);
        return false;
    }
    arguments->given[arguments->given_count++] = (struct hf_cli_given){option, value};
    return true;
}

bool hf_cli_arguments_sort(struct hf_cli_arguments *arguments, int argc, char *const argv[],
                           char error[HF_CLI_ERROR_BYTES])
{
    size_t room = argc > 0 ? (size_t)argc : 1;
    *arguments = (struct hf_cli_arguments){.words = calloc(room, sizeof *arguments->words),
                                           .given = calloc(room, sizeof *arguments->given)};
    error[0] = '\0';
    if (arguments->words == NULL || arguments->given == NULL) {
        snprintf(error, HF_CLI_ERROR_BYTES, "out of memory");
        return false;
    }
    for (char *const *argument = argv + 1; argc > 1 && *argument != NULL; argument++) {
        if (is_word(*argument))
            arguments->words[arguments->word_count++] = *argument;
        else if (!sort_option(arguments, &argument, error))
            return false;
    }
    return true;
}

void hf_cli_arguments_close(struct hf_cli_arguments *arguments)
{
    free(arguments->words);
    free(arguments->given);
    *arguments = (struct hf_cli_arguments){0};
}

size_t hf_cli_arguments_count(const struct hf_cli_arguments *arguments, enum hf_cli_option option)
{
    size_t count = 0;
    for (size_t i = 0; i < arguments->given_count; i++)
        count += arguments->given[i].option == option;
    return count;
}

bool hf_cli_arguments_have(const struct hf_cli_arguments *arguments, enum hf_cli_option option)
{
    return hf_cli_arguments_count(arguments, option) > 0;
}

const char *hf_cli_arguments_value(const struct hf_cli_arguments *arguments,
                                   enum hf_cli_option option)
{
    const char *value = NULL;
    for (size_t i = 0; i < arguments->given_count; i++) {
        if (arguments->given[i].option == option)
            value = arguments->given[i].value;
    }
    return value;
}
