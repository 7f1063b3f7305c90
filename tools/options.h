/*
 * Options: those of every command, and the command line sorted into words, options and values.
 *
 * Options may stand before, between and behind the words, as "--option value" or "--option=value".
 * Sorting does not judge: which options a command takes is its own affair (commands.h).
 */
#ifndef HF_TOOLS_OPTIONS_H
#define HF_TOOLS_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

/* X(option, text, what its value is called (NULL: it takes none), what it does) */
#define HF_CLI_OPTIONS(X)                                                                          \
    X(SERVER, "--server", "HOST:PORT", "the server, 127.0.0.1:7411 if not given")                  \
    X(TIMEOUT, "--timeout", "MS", "how long to try, 5000 if not given")                            \
    X(JSON, "--json", NULL, "answer with one JSON object a line")                                  \
    X(HELP, "--help", NULL, "tell how the command is used")                                        \
    X(VERSION, "--version", NULL, "tell the version of this program")                              \
    X(WAIT, "--wait", "DURATION", "wait until it is so, but no longer than that")                  \
    X(CAPACITY, "--capacity", "N", "units that there are")                                         \
    X(PRODUCT, "--product", "P", "the number of the product, 0 if not given")                      \
    X(CUSTOMER, "--customer", "C", "the number of the customer")                                   \
    X(INVENTORY, "--inventory", "I", "the number of the inventory")                                \
    X(QTY, "--qty", "N", "how many units")                                                         \
    X(ID, "--id", "UUID", "the reservation's id; repeating a request with it is safe")             \
    X(TTL, "--ttl", "DURATION", "how long the hold stands from now")                               \
    X(NOT_AFTER, "--not-after", "T", "a definite no if the server decides it later than this")     \
    X(EXPECT_VERSION, "--expect-version", "N", "only if the inventory has this version")           \
    X(SEQUENCE, "--sequence", "N", "only if the reservation has this sequence")                    \
    X(OVERRIDE, "--override", NULL, "an operator's: the limit per customer does not count")        \
    X(REACQUIRE, "--reacquire", NULL, "if the hold has lapsed, reserve anew what can be had")      \
    X(NEW_ID, "--new-id", "UUID", "the id of what --reacquire makes; else made from the old one")  \
    X(ATOMIC, "--atomic", NULL, "all lines take effect at one instant, or none does")              \
    X(STATUS, "--status", "S,S...",                                                                \
      "in these states: held, confirmed, cancelled, released, expired, waiting")                   \
    X(SINCE, "--since", "T", "made at this date or later")                                         \
    X(UNTIL, "--until", "T", "made before this date")                                              \
    X(LIMIT, "--limit", "N", "at most so many")                                                    \
    X(FROM, "--from", "LSN", "from this LSN on; else from now on")                                 \
    X(COUNT, "--count", "N", "end after so many records")                                          \
    X(SELL_LIMIT, "--sell-limit", "N", "units that may be held or confirmed")                      \
    X(CUSTOMER_LIMIT, "--customer-limit", "N", "units that one customer may have, or none")        \
    X(MIN_QTY, "--min-qty", "N", "units of one claim at least, or none")                           \
    X(MAX_QTY, "--max-qty", "N", "units of one claim at most, or none")                            \
    X(WAITING_LIMIT, "--waiting-limit", "N",                                                       \
      "entries of the waiting list; none: there is no list")                                       \
    X(OPENS_AT, "--opens-at", "T", "no claims before this date, or none")                          \
    X(CLOSES_AT, "--closes-at", "T", "no claims from this date on, or none")                       \
    X(CANCEL_UNTIL, "--cancel-until", "T", "nothing confirmed is given back from this date on")    \
    X(LONGEST_HOLD, "--longest-hold", "DURATION", "the longest hold that may be had, or none")     \
    X(OFFER_TTL, "--offer-ttl", "DURATION", "how long an offer to the waiting list stands")        \
    X(CLOSE_WHEN_SOLD_OUT, "--close-when-sold-out", "on|off", "the last unit ends the sale")       \
    X(SKIP, "--skip", "on|off", "waiting list: who fits passes a head that does not")              \
    X(STRICT, "--strict", NULL, "refuse limits below what is held and confirmed")

enum hf_cli_option {
#define X(option, text, value, help) HF_CLI_##option,
    HF_CLI_OPTIONS(X)
#undef X
        HF_CLI_OPTION_COUNT,
};

/* Sets of options. */
#define HF_CLI_BIT(option) (1ull << HF_CLI_##option)
_Static_assert(HF_CLI_OPTION_COUNT <= 64, "a set of options is 64 bits");

/* Static storage. */
const char *hf_cli_option_text(enum hf_cli_option option);
const char *hf_cli_option_value_name(enum hf_cli_option option); /* NULL: it takes no value */
const char *hf_cli_option_help(enum hf_cli_option option);

struct hf_cli_given {
    enum hf_cli_option option;
    const char *value; /* NULL: it takes none */
};

/* A command line, sorted but not judged. Points into argv. */
struct hf_cli_arguments {
    const char **words;
    size_t word_count;
    struct hf_cli_given *given; /* in the order of the command line */
    size_t given_count;
};

/* A message for a person, one line; empty: none. */
#define HF_CLI_ERROR_BYTES 384

/*
 * Sorts argv[1] and following. False, with the reason in `error`: an option that does not exist
 * (the closest one is named), a value that is missing or too much. To be closed in either case.
 */
bool hf_cli_arguments_sort(struct hf_cli_arguments *arguments, int argc, char *const argv[],
                           char error[HF_CLI_ERROR_BYTES]);
void hf_cli_arguments_close(struct hf_cli_arguments *arguments);

/* How often it was given. */
size_t hf_cli_arguments_count(const struct hf_cli_arguments *arguments, enum hf_cli_option option);
bool hf_cli_arguments_have(const struct hf_cli_arguments *arguments, enum hf_cli_option option);

/* Its value, the last one if it was given more often; NULL: not given, or it takes none. */
const char *hf_cli_arguments_value(const struct hf_cli_arguments *arguments,
                                   enum hf_cli_option option);

#define HF_CLI_SHOWN_BYTES 64

/* A word of the user's, fit to be shown in one line: printable, and shortened. Returns `text`. */
const char *hf_cli_shown(const char *word, char text[HF_CLI_SHOWN_BYTES]);

#endif
