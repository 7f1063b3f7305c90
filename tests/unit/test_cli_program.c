/*
 * The command line client as a program, against a real server: each verb, each way it can end, as
 * somebody meets them who has only a shell. test_cli.c has the pieces.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "engine/image.h"
#include "net/codec.h"
#include "tests/lib/process.h"

#define OUTPUT_BYTES  (1 << 20)
#define MAX_ARGUMENTS 32
#define PATIENCE_MS   20000

#define ID_ONE   "018f0000-0000-7000-8000-000000000001"
#define ID_TWO   "018f0000-0000-7000-8000-000000000002"
#define ID_THREE "018f0000-0000-7000-8000-000000000003"
#define ID_NONE  "018f0000-0000-7000-8000-00000000000f"

static struct {
    struct hf_daemon server;
    struct hf_daemon_options options;
    char directory[HF_DIRECTORY_TEXT_BYTES];
    char server_program[HF_PROGRAM_TEXT_BYTES];
    char client_program[HF_PROGRAM_TEXT_BYTES];
    char file[HF_DIRECTORY_TEXT_BYTES + 16]; /* of a batch */
    char output[OUTPUT_BYTES];
} sut;

static void prepare(void)
{
    cr_assert(hf_directory_make(sut.directory) == 0);
    snprintf(sut.file, sizeof sut.file, "%s/lines", sut.directory);
    hf_program_path("holdfastd", sut.server_program);
    hf_program_path("holdfast", sut.client_program);
    sut.options.program = sut.server_program;
    sut.options.directory = sut.directory;
}

static void prepare_and_start(void)
{
    prepare();
    cr_assert(hf_daemon_start(&sut.server, &sut.options) == 0, "%s", sut.server.error);
}

static void clean_up(void)
{
    hf_daemon_forget(&sut.server);
    hf_directory_remove(sut.directory);
}

TestSuite(cli_program, .init = prepare_and_start, .fini = clean_up, .timeout = 120);
TestSuite(cli_alone, .init = prepare, .fini = clean_up, .timeout = 60);

/* ---- running it ------------------------------------------------------------------------- */

/* Cuts words, in place, behind "holdfast --server ADDRESS". */
static void make_arguments(char *words, const char *argv[MAX_ARGUMENTS])
{
    size_t count = 0;
    argv[count++] = sut.client_program;
    if (sut.server.address[0] != '\0') {
        argv[count++] = "--server";
        argv[count++] = sut.server.address;
    }
    for (char *word = strtok(words, " "); word && count + 1 < MAX_ARGUMENTS;
         word = strtok(NULL, " "))
        argv[count++] = word;
    argv[count] = NULL;
}

/* Runs it to its end; sut.output has what it said. */
__attribute__((format(printf, 1, 2))) static int holdfast(const char *format, ...)
{
    char words[1024];
    const char *argv[MAX_ARGUMENTS];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(words, sizeof words, format, arguments);
    va_end(arguments);
    make_arguments(words, argv);
    return hf_process_run_within(60, argv, sut.output, sizeof sut.output);
}

#define EXPECT_STATUS(status, ...)                                                                 \
    do {                                                                                           \
        int ended = holdfast(__VA_ARGS__);                                                         \
        cr_expect(ended == (status), "status %d, not %d: %s", ended, (status), sut.output);        \
    } while (0)

static bool says(const char *text)
{
    return strstr(sut.output, text) != NULL;
}

#define EXPECT_SAYS(text) cr_expect(says(text), "'%s' is not said: %s", (text), sut.output)
#define EXPECT_NOT(text)  cr_expect(!says(text), "'%s' is said: %s", (text), sut.output)

/* The number behind `"name":` in the output, or -1. */
static long long number(const char *name)
{
    char member[64];
    snprintf(member, sizeof member, "\"%s\":", name);
    const char *found = strstr(sut.output, member);
    return found ? strtoll(found + strlen(member), NULL, 10) : -1;
}

static unsigned count_lines(const char *text)
{
    unsigned count = 0;
    for (; *text; text++)
        count += *text == '\n';
    return count;
}

/* The file of lines that a batch is to do. */
static void write_file(const char *text)
{
    int file = open(sut.file, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    cr_assert(file >= 0 && write(file, text, strlen(text)) == (ssize_t)strlen(text));
    close(file);
}

static void create(unsigned inventory, unsigned capacity)
{
    cr_assert(holdfast("inventory create %u --capacity %u", inventory, capacity) == 0, "%s",
              sut.output);
}

static long long available(unsigned inventory)
{
    cr_assert(holdfast("inventory show %u --json", inventory) == 0, "%s", sut.output);
    return number("available");
}

/* ---- beside it -------------------------------------------------------------------------- */

/* A run that goes on while the test does: its stdin and its stdout with stderr. */
struct companion {
    pid_t pid;
    int input, output;
    size_t used; /* of text, read and not taken as a line yet */
    char text[65536];
};

static struct companion companion;

__attribute__((format(printf, 1, 2))) static void run_beside(const char *format, ...)
{
    char words[1024];
    const char *argv[MAX_ARGUMENTS];
    int to[2], from[2];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(words, sizeof words, format, arguments);
    va_end(arguments);
    make_arguments(words, argv);
    cr_assert(pipe2(to, O_CLOEXEC) == 0 && pipe2(from, O_CLOEXEC) == 0);
    companion = (struct companion){.pid = fork(), .input = to[1], .output = from[0]};
    if (companion.pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (dup2(to[0], 0) == 0 && dup2(from[1], 1) == 1 && dup2(from[1], 2) == 2)
            execv(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    cr_assert(companion.pid > 0);
    close(to[0]);
    close(from[1]);
}

/* The next line that it says, into sut.output; false: none came in time. */
static bool next_line(void)
{
    for (;;) {
        char *end = memchr(companion.text, '\n', companion.used);
        if (end) {
            size_t length = (size_t)(end - companion.text) + 1;
            memcpy(sut.output, companion.text, length);
            sut.output[length] = '\0';
            companion.used -= length;
            memmove(companion.text, companion.text + length, companion.used);
            return true;
        }
        struct pollfd wait = {.fd = companion.output, .events = POLLIN};
        if (poll(&wait, 1, PATIENCE_MS) <= 0)
            return false;
        ssize_t count = read(companion.output, companion.text + companion.used,
                             sizeof companion.text - companion.used);
        if (count <= 0)
            return false;
        companion.used += (size_t)count;
    }
}

/* The next line that is an answer: what is said to a person is passed over. */
static bool next_answer(void)
{
    do {
        if (!next_line())
            return false;
    } while (strncmp(sut.output, "holdfast: ", strlen("holdfast: ")) == 0);
    return true;
}

/* Waits for its end and returns its exit status. */
static int end_companion(void)
{
    int status = 0;
    close(companion.input);
    for (unsigned i = 0; i < PATIENCE_MS && waitpid(companion.pid, &status, WNOHANG) == 0; i++) {
        if (i + 1 == PATIENCE_MS)
            kill(companion.pid, SIGKILL);
        usleep(1000);
    }
    close(companion.output);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* ---- without a server ------------------------------------------------------------------- */

/* Usage is judged before anything is sent, in one line, with status 2. */
Test(cli_alone, bad_usage_ends_with_2_and_one_line)
{
    static const struct {
        const char *words, *mentions;
    } cases[] = {
        {"", "a command is missing"},
        {"frobnicate", "unknown command"},
        {"hold 1 --custmer 7 --ttl 15m", "did you mean --customer?"},
        {"hold 1 --customer 7", "--ttl is missing"},
        {"hold 1 --customer 7 --ttl 15", "is not a duration"},
        {"confirm nonsense", "is not a UUID"},
        {"inventory set 1", "nothing is set"},
        {"list --status gone", "is not a list of"},
        {"batch /nonexistent/file", "/nonexistent/file: No such file"},
        {"batch /dev/null --atomic", "there are no lines to do"},
        {"ping --server nowhere", "is not HOST:PORT"},
        {"ping --timeout 0", "--timeout '0'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        EXPECT_STATUS(2, "%s", cases[i].words);
        EXPECT_SAYS(cases[i].mentions);
        cr_expect(count_lines(sut.output) == 1, "not one line: %s", sut.output);
    }
}

Test(cli_alone, help_and_version_need_no_server)
{
    EXPECT_STATUS(0, "--help");
    EXPECT_SAYS("Exit status: 0 yes, 1 a definite no");
    EXPECT_STATUS(0, "hold --help");
    EXPECT_SAYS("example:");
    EXPECT_STATUS(0, "--version");
    EXPECT_SAYS("holdfast ");
}

/* What was never sent is told as such; what may have been done is told with its id. */
Test(cli_alone, a_server_that_is_not_there_is_status_3)
{
    snprintf(sut.server.address, sizeof sut.server.address, "127.0.0.1:%u", hf_port_find());
    EXPECT_STATUS(3, "hold 1 --customer 7 --ttl 15m --timeout 200 --json");
    EXPECT_SAYS("\"result\":\"NOT_CONNECTED\"");
    EXPECT_STATUS(3, "reserve 1 --customer 7 --not-after now+2s --timeout 200 --json");
    EXPECT_SAYS("\"result\":\"NOT_CONNECTED\"");
    write_file("{\"op\":\"cancel\",\"id\":\"" ID_ONE "\"}\n");
    EXPECT_STATUS(3, "batch %s --timeout 200", sut.file);
    EXPECT_SAYS("line 1: NOT_CONNECTED");
    EXPECT_STATUS(3, "batch %s --atomic --timeout 200", sut.file);
    EXPECT_SAYS("NOT_CONNECTED");
}

/* A slip in the last line of a file: nothing of it is sent, the server need not even be there. */
Test(cli_alone, a_file_with_a_slip_is_not_begun)
{
    write_file("{\"op\":\"cancel\",\"id\":\"" ID_ONE "\"}\n\n{\"op\":\"cancel\"}\n");
    EXPECT_STATUS(2, "batch %s", sut.file);
    EXPECT_SAYS("line 3: BAD_FIELD: 'id' is missing");
    EXPECT_SAYS("nothing was sent");
    EXPECT_STATUS(2, "batch %s --json", sut.file);
    EXPECT_SAYS("{\"line\":3,\"result\":\"BAD_FIELD\",\"field\":\"reservation_id\"");
    EXPECT_STATUS(2, "batch %s --atomic", sut.file);
    EXPECT_SAYS("line 3: BAD_FIELD: 'id' is missing");
}

/* What is decided at one instant is late as a whole. */
Test(cli_alone, a_line_of_an_atomic_batch_has_no_date_of_its_own)
{
    write_file("{\"op\":\"reserve\",\"inventory\":1,\"customer\":7,"
               "\"not_after\":\"2026-02-02T02:40:00Z\"}\n");
    EXPECT_STATUS(2, "batch %s --atomic", sut.file);
    EXPECT_SAYS("line 1: BAD_FIELD: 'not_after' is the batch's: --not-after");
}

/* ---- holds ------------------------------------------------------------------------------ */

Test(cli_program, a_hold_is_extended_changed_moved_and_confirmed)
{
    create(1, 10);
    EXPECT_STATUS(0, "hold 1 --customer 7 --qty 3 --ttl 15m --id %s --json", ID_ONE);
    EXPECT_SAYS("\"result\":\"GRANTED\"");
    EXPECT_SAYS("\"status\":\"HELD\"");
    EXPECT_SAYS("\"deadline\":\"20");
    cr_expect(number("sequence") == 1);
    EXPECT_STATUS(0, "hold 1 --customer 7 --qty 3 --ttl 15m --id %s --json", ID_ONE);
    EXPECT_SAYS("\"repeated\":true");
    EXPECT_STATUS(0, "extend %s --ttl 1h --json", ID_ONE);
    EXPECT_SAYS("\"result\":\"EXTENDED\"");
    EXPECT_STATUS(0, "change %s --qty 5 --sequence 2 --json", ID_ONE);
    EXPECT_SAYS("\"result\":\"CHANGED\"");
    EXPECT_SAYS("\"qty\":5");
    cr_expect(available(1) == 5, "%s", sut.output);
    EXPECT_STATUS(0, "move %s --customer 8 --json", ID_ONE);
    EXPECT_SAYS("\"result\":\"MOVED\"");
    EXPECT_SAYS("\"customer_id\":8");
    EXPECT_STATUS(0, "confirm %s --qty 4 --json", ID_ONE);
    EXPECT_SAYS("\"result\":\"CONFIRMED\"");
    EXPECT_SAYS("\"qty\":4");
    cr_expect(available(1) == 6 && number("confirmed") == 4 && number("held") == 0, "%s",
              sut.output);
    EXPECT_STATUS(2, "extend %s --ttl 1h", ID_ONE);
    EXPECT_SAYS("WRONG_STATE");
    EXPECT_SAYS("status: CONFIRMED");
    EXPECT_STATUS(0, "cancel %s --json", ID_ONE);
    EXPECT_SAYS("\"result\":\"CANCELLED\"");
    EXPECT_STATUS(0, "get %s", ID_ONE);
    EXPECT_SAYS("cancelled at");
    cr_expect(available(1) == 10, "%s", sut.output);
}

Test(cli_program, a_hold_is_released)
{
    create(1, 1);
    EXPECT_STATUS(0, "hold 1 --customer 7 --ttl 24h --id %s", ID_ONE);
    EXPECT_SAYS("held until");
    EXPECT_STATUS(1, "reserve 1 --customer 8");
    EXPECT_SAYS("SOLD_OUT");
    EXPECT_STATUS(0, "release %s", ID_ONE);
    EXPECT_SAYS("RELEASED");
    EXPECT_STATUS(0, "release %s --json", ID_ONE);
    EXPECT_SAYS("\"repeated\":true");
    EXPECT_STATUS(0, "reserve 1 --customer 8");
    EXPECT_STATUS(1, "release %s", ID_NONE);
    EXPECT_SAYS("NOT_FOUND");
}

/* The deadline has passed: no confirm, whoever noticed; --reacquire makes another reservation. */
Test(cli_program, a_lapsed_hold_is_not_confirmed_but_may_be_had_anew)
{
    create(1, 2);
    EXPECT_STATUS(0, "hold 1 --customer 7 --ttl 1ms --id %s", ID_ONE);
    usleep(20000);
    EXPECT_STATUS(1, "confirm %s", ID_ONE);
    EXPECT_SAYS("HOLD_EXPIRED");
    EXPECT_STATUS(0, "confirm %s --reacquire --new-id %s --json", ID_ONE, ID_TWO);
    EXPECT_SAYS("\"result\":\"CONFIRMED\",\"reservation_id\":\"" ID_TWO "\"");
    EXPECT_SAYS("\"linked_id\":\"" ID_ONE "\"");
    EXPECT_STATUS(0, "get %s --json", ID_ONE);
    EXPECT_SAYS("\"status\":\"EXPIRED\"");
    cr_expect(available(1) == 1, "%s", sut.output);
}

/* ---- guards ----------------------------------------------------------------------------- */

Test(cli_program, versions_sequences_and_dates_guard)
{
    create(1, 10);
    cr_assert(available(1) == 10);
    long long version = number("version");
    EXPECT_STATUS(0, "reserve 1 --customer 7 --id %s --expect-version %lld", ID_ONE, version);
    EXPECT_STATUS(2, "reserve 1 --customer 7 --expect-version %lld", version);
    EXPECT_SAYS("VERSION_MISMATCH");
    EXPECT_STATUS(2, "inventory set 1 --sell-limit 9 --expect-version %lld", version);
    EXPECT_SAYS("VERSION_MISMATCH");
    EXPECT_STATUS(2, "change %s --qty 2 --sequence 9 --json", ID_ONE);
    EXPECT_SAYS("\"result\":\"SEQUENCE_MISMATCH\"");
    EXPECT_SAYS("\"sequence\":1,\"status\":\"CONFIRMED\"");
    EXPECT_STATUS(1, "reserve 1 --customer 7 --not-after 2020-01-01T00:00:00Z");
    EXPECT_SAYS("TOO_LATE");
    EXPECT_STATUS(0, "reserve 1 --customer 7 --not-after now+1h");
    EXPECT_STATUS(1, "reserve 1 --customer 7 --not-after now-1s");
    EXPECT_SAYS("TOO_LATE");
    cr_expect(available(1) == 8, "%s", sut.output);
}

/* ---- settings --------------------------------------------------------------------------- */

Test(cli_program, settings_are_set_shown_and_obeyed)
{
    create(1, 10);
    EXPECT_STATUS(0, "inventory set 1 --sell-limit 6 --customer-limit 3 --min-qty 2 --max-qty 3 "
                     "--longest-hold 10m --offer-ttl 90s --waiting-limit 5 --skip on --json");
    EXPECT_STATUS(0, "inventory show 1 --json");
    EXPECT_SAYS("\"customer_limit\":3,\"min_qty\":2,\"max_qty\":3,\"waiting_limit\":5");
    EXPECT_SAYS("\"longest_hold\":\"10m\",\"offer_ttl\":\"1m30s\"");
    EXPECT_SAYS("\"skip\":true");
    cr_expect(number("sell_limit") == 6 && number("available") == 6 && number("capacity") == 10);
    EXPECT_STATUS(1, "reserve 1 --customer 7");
    EXPECT_SAYS("QTY_NOT_ALLOWED");
    EXPECT_STATUS(1, "reserve 1 --customer 7 --qty 4");
    EXPECT_STATUS(1, "hold 1 --customer 7 --qty 2 --ttl 11m");
    EXPECT_SAYS("TTL_NOT_ALLOWED");
    EXPECT_STATUS(0, "hold 1 --customer 7 --qty 2 --ttl 10m");
    EXPECT_STATUS(1, "reserve 1 --customer 7 --qty 2");
    EXPECT_SAYS("CUSTOMER_LIMIT");
    EXPECT_STATUS(0, "reserve 1 --customer 7 --qty 2 --override");
    EXPECT_STATUS(1, "inventory set 1 --sell-limit 3 --strict");
    EXPECT_SAYS("BELOW_SOLD");
    EXPECT_STATUS(0, "inventory set 1 --sell-limit 3");
    EXPECT_SAYS("deficit       1 ");
    EXPECT_STATUS(0, "inventory set 1 --customer-limit none --min-qty none --max-qty none "
                     "--longest-hold none --sell-limit 10 --json");
    EXPECT_SAYS("\"customer_limit\":null,\"min_qty\":null,\"max_qty\":null");
    EXPECT_STATUS(0, "reserve 1 --customer 7 --qty 4");
}

Test(cli_program, sales_open_close_pause_and_resume)
{
    create(1, 10);
    EXPECT_STATUS(0, "hold 1 --customer 7 --ttl 15m --id %s", ID_ONE);
    EXPECT_STATUS(0, "inventory pause 1");
    EXPECT_SAYS("sale          paused");
    EXPECT_STATUS(1, "reserve 1 --customer 7");
    EXPECT_SAYS("PAUSED");
    EXPECT_STATUS(0, "confirm %s", ID_ONE);
    EXPECT_STATUS(0, "inventory close 1");
    EXPECT_STATUS(1, "reserve 1 --customer 7");
    EXPECT_SAYS("CLOSED");
    EXPECT_STATUS(0, "inventory open 1");
    EXPECT_STATUS(1, "reserve 1 --customer 7");
    EXPECT_SAYS("PAUSED");
    EXPECT_STATUS(0, "inventory resume 1");
    EXPECT_STATUS(0, "reserve 1 --customer 7");
    EXPECT_STATUS(0, "inventory set 1 --opens-at now+1h");
    EXPECT_STATUS(1, "reserve 1 --customer 7");
    EXPECT_SAYS("NOT_OPEN");
    EXPECT_STATUS(0, "inventory set 1 --opens-at none --closes-at now-1s");
    EXPECT_STATUS(1, "reserve 1 --customer 7");
    EXPECT_SAYS("CLOSED");
    EXPECT_STATUS(0, "inventory set 1 --closes-at none --cancel-until now-1s");
    EXPECT_STATUS(1, "cancel %s", ID_ONE);
    EXPECT_SAYS("CANCEL_TOO_LATE");
}

/* Sticky: units that come back are not for sale until somebody says so. */
Test(cli_program, selling_out_may_end_the_sale)
{
    create(1, 1);
    EXPECT_STATUS(0, "inventory set 1 --close-when-sold-out on");
    EXPECT_STATUS(0, "reserve 1 --customer 7 --id %s", ID_ONE);
    EXPECT_STATUS(0, "cancel %s", ID_ONE);
    EXPECT_STATUS(1, "reserve 1 --customer 8");
    EXPECT_SAYS("CLOSED");
    EXPECT_STATUS(0, "inventory show 1");
    EXPECT_SAYS("closed by selling out");
    EXPECT_STATUS(0, "inventory resume 1");
    EXPECT_STATUS(0, "reserve 1 --customer 8");
}

/* ---- the waiting list ------------------------------------------------------------------- */

Test(cli_program, the_waiting_list_is_joined_left_and_offered)
{
    create(1, 1);
    EXPECT_STATUS(1, "join 1 --customer 8");
    EXPECT_SAYS("NOT_SOLD_OUT");
    EXPECT_STATUS(0, "reserve 1 --customer 7 --id %s", ID_ONE);
    EXPECT_STATUS(0, "join 1 --customer 8 --id %s --json", ID_TWO);
    EXPECT_SAYS("\"result\":\"JOINED\"");
    EXPECT_SAYS("\"status\":\"WAITING\"");
    EXPECT_STATUS(0, "join 1 --customer 9 --id %s", ID_THREE);
    EXPECT_STATUS(1, "reserve 1 --customer 10");
    EXPECT_SAYS("WAITING_LIST");
    EXPECT_STATUS(0, "inventory show 1 --json");
    cr_expect(number("waiting") == 2, "%s", sut.output);
    EXPECT_STATUS(0, "leave %s --json", ID_TWO);
    EXPECT_SAYS("\"result\":\"LEFT\"");
    EXPECT_STATUS(0, "cancel %s", ID_ONE);
    EXPECT_STATUS(0, "get %s --json", ID_THREE);
    EXPECT_SAYS("\"status\":\"HELD\"");
    EXPECT_STATUS(0, "confirm %s", ID_THREE);
    EXPECT_STATUS(2, "leave %s", ID_THREE);
    EXPECT_SAYS("WRONG_STATE");
}

/* ---- batches ---------------------------------------------------------------------------- */

/* Answers stand in the order of the lines, numbered as in the file; the worst makes the status. */
Test(cli_program, lines_of_a_batch_are_answered_in_their_order)
{
    create(1, 3);
    write_file("{\"op\":\"reserve\",\"inventory\":1,\"customer\":7,\"id\":\"" ID_ONE "\"}\n"
               "\n"
               "{\"op\":\"reserve\",\"inventory\":1,\"customer\":7,\"qty\":9}\n"
               "{\"op\":\"hold\",\"inventory\":1,\"customer\":8,\"ttl\":\"15m\",\"id\":\"" ID_TWO
               "\",\"not_after\":\"now+1h\"}\n"
               "{\"op\":\"cancel\",\"id\":\"" ID_ONE "\"}\n"
               "{\"op\":\"confirm\",\"id\":\"" ID_TWO "\"}");
    EXPECT_STATUS(1, "batch %s", sut.file);
    EXPECT_SAYS("line 1: GRANTED " ID_ONE " inventory 1 customer 7 qty 1 CONFIRMED\n"
                "line 3: SOLD_OUT: ");
    EXPECT_SAYS("\nline 4: GRANTED " ID_TWO " inventory 1 customer 8 qty 1 HELD until 20");
    EXPECT_SAYS("\nline 5: CANCELLED " ID_ONE " ");
    EXPECT_SAYS("\nline 6: CONFIRMED " ID_TWO " ");
    EXPECT_SAYS("of 5 lines 4 yes, 1 no");
    EXPECT_STATUS(1, "batch %s --json", sut.file);
    EXPECT_SAYS("{\"line\":1,\"op\":\"reserve\",\"result\":\"GRANTED\"");
    EXPECT_SAYS("\"repeated\":true");
    cr_expect(available(1) == 2, "%s", sut.output);
    EXPECT_STATUS(1, "batch %s --not-after 2020-01-01T00:00:00Z", sut.file);
    EXPECT_SAYS("line 3: TOO_LATE"); /* line 1 is known, line 4 has a date of its own */
}

/* More lines than are on their way at once. */
Test(cli_program, a_long_batch_loses_and_swaps_nothing)
{
    static char text[5000 * 96];
    size_t length = 0;
    create(1, 4000);
    for (unsigned i = 1; i <= 5000; i++)
        length += (size_t)snprintf(text + length, sizeof text - length,
                                   "{\"op\":\"reserve\",\"inventory\":1,\"customer\":%u}\n", i);
    write_file(text);
    EXPECT_STATUS(1, "batch %s", sut.file);
    EXPECT_SAYS("of 5000 lines 4000 yes, 1000 no, 0 bad or in conflict, 0 unknown");
    const char *at = sut.output;
    for (unsigned i = 1; i <= 5000; i++) {
        char begin[64];
        snprintf(begin, sizeof begin, "line %u: %s", i, i <= 4000 ? "GRANTED" : "SOLD_OUT");
        cr_assert(strncmp(at, begin, strlen(begin)) == 0, "%s: %.80s", begin, at);
        at = strchr(at, '\n') + 1;
    }
    cr_expect(available(1) == 0);
}

/* Whoever asks a line at a time gets each answer before the next line is written. */
Test(cli_program, a_batch_on_a_pipe_answers_each_line_when_it_comes)
{
    create(1, 2);
    run_beside("batch - --json");
    for (unsigned i = 1; i <= 3; i++) {
        char line[128], begin[64];
        snprintf(line, sizeof line, "{\"op\":\"reserve\",\"inventory\":1,\"customer\":%u}\n", i);
        cr_assert(write(companion.input, line, strlen(line)) == (ssize_t)strlen(line));
        cr_assert(next_line(), "no answer to line %u", i);
        snprintf(begin, sizeof begin, "{\"line\":%u,\"op\":\"reserve\",\"result\":\"%s\"", i,
                 i < 3 ? "GRANTED" : "SOLD_OUT");
        cr_expect(strncmp(sut.output, begin, strlen(begin)) == 0, "%s", sut.output);
    }
    cr_assert(write(companion.input, "nonsense\n", 9) == 9);
    cr_assert(next_line());
    cr_expect(strncmp(sut.output, "{\"line\":4,\"result\":\"BAD_FIELD\"", 30) == 0, "%s",
              sut.output);
    cr_expect(end_companion() == 2);
}

/* A stay of two nights: both or none, and the line that failed is named. */
Test(cli_program, an_atomic_batch_is_all_or_nothing)
{
    create(1, 1);
    create(2, 2);
    write_file("\n{\"op\":\"hold\",\"inventory\":1,\"customer\":7,\"ttl\":\"15m\",\"id\":\"" ID_ONE
               "\"}\n{\"op\":\"hold\",\"inventory\":2,\"customer\":7,\"ttl\":\"15m\",\"id\":"
               "\"" ID_TWO "\"}\n");
    EXPECT_STATUS(0, "batch %s --atomic", sut.file);
    EXPECT_SAYS("line 2: GRANTED " ID_ONE);
    EXPECT_SAYS("line 3: GRANTED " ID_TWO);
    EXPECT_STATUS(0, "batch %s --atomic --json", sut.file);
    EXPECT_SAYS("{\"line\":3,\"op\":\"hold\",\"result\":\"GRANTED\"");
    EXPECT_SAYS("\"repeated\":true");
    write_file("{\"op\":\"reserve\",\"inventory\":2,\"customer\":8}\n"
               "{\"op\":\"reserve\",\"inventory\":1,\"customer\":8}\n");
    EXPECT_STATUS(1, "batch %s --atomic", sut.file);
    EXPECT_SAYS("line 2 (reserve): SOLD_OUT");
    EXPECT_STATUS(1, "batch %s --atomic --json", sut.file);
    EXPECT_SAYS("\"result\":\"SOLD_OUT\"");
    EXPECT_SAYS("\"line\":2,\"op\":\"reserve\"");
    cr_expect(available(1) == 0);
    cr_expect(available(2) == 1);
    /* A swap: what one line gives back, the other takes. */
    write_file("{\"op\":\"release\",\"id\":\"" ID_ONE "\"}\n"
               "{\"op\":\"reserve\",\"inventory\":1,\"customer\":8}\n");
    EXPECT_STATUS(0, "batch %s --atomic", sut.file);
    cr_expect(available(1) == 0);
}

Test(cli_program, an_atomic_batch_of_65_lines_is_refused_here)
{
    static char text[65 * 64];
    size_t length = 0;
    for (unsigned i = 0; i < 65; i++)
        length += (size_t)snprintf(text + length, sizeof text - length,
                                   "{\"op\":\"reserve\",\"inventory\":1,\"customer\":7}\n");
    create(1, 100);
    write_file(text);
    EXPECT_STATUS(2, "batch %s --atomic", sut.file);
    EXPECT_SAYS("line 65 is one too many");
    cr_expect(available(1) == 100);
}

/* ---- reading ---------------------------------------------------------------------------- */

Test(cli_program, reservations_are_listed_by_what_is_asked)
{
    create(1, 10);
    create(2, 10);
    EXPECT_STATUS(0, "hold 1 --customer 7 --ttl 15m --id %s", ID_ONE);
    EXPECT_STATUS(0, "reserve 1 --customer 8 --id %s", ID_TWO);
    EXPECT_STATUS(0, "reserve 2 --customer 7 --id %s", ID_THREE);
    EXPECT_STATUS(0, "cancel %s", ID_THREE);
    EXPECT_STATUS(0, "list --json");
    cr_expect(count_lines(sut.output) == 3, "%s", sut.output);
    EXPECT_STATUS(0, "list --inventory 1 --json");
    cr_expect(count_lines(sut.output) == 2 && !says(ID_THREE), "%s", sut.output);
    EXPECT_STATUS(0, "list --customer 7 --json");
    cr_expect(count_lines(sut.output) == 2 && !says(ID_TWO), "%s", sut.output);
    EXPECT_STATUS(0, "list --customer 7 --inventory 1 --json");
    cr_expect(count_lines(sut.output) == 1 && says(ID_ONE), "%s", sut.output);
    EXPECT_STATUS(0, "list --status held,cancelled --json");
    cr_expect(count_lines(sut.output) == 2 && !says(ID_TWO), "%s", sut.output);
    EXPECT_STATUS(0, "list --since now-1h --until now+1h --limit 2 --json");
    cr_expect(count_lines(sut.output) == 2, "%s", sut.output);
    EXPECT_STATUS(0, "list --until now-1h --json");
    cr_expect(count_lines(sut.output) == 0, "%s", sut.output);
    EXPECT_STATUS(0, "list --since now+1h");
    cr_expect(count_lines(sut.output) == 1, "a heading: %s", sut.output);
    EXPECT_STATUS(0, "inventory list --json");
    cr_expect(count_lines(sut.output) == 2, "inventories: %s", sut.output);
}

/* More than a page holds: each is listed once. */
Test(cli_program, long_lists_come_whole)
{
    static char text[1300 * 128];
    size_t length = 0;
    create(1, 5000);
    for (unsigned i = 0; i < 1300; i++)
        length += (size_t)snprintf(text + length, sizeof text - length,
                                   "{\"op\":\"reserve\",\"inventory\":1,\"customer\":%u,"
                                   "\"id\":\"018f0000-0000-7000-8000-00000000%04x\"}\n",
                                   i % 10, i);
    write_file(text);
    EXPECT_STATUS(0, "batch %s", sut.file);
    EXPECT_STATUS(0, "list --json");
    cr_expect(count_lines(sut.output) == 1300, "%u lines", count_lines(sut.output));
    for (unsigned i = 0; i < 1300; i++) {
        char id[64];
        snprintf(id, sizeof id, "018f0000-0000-7000-8000-00000000%04x", i);
        const char *found = strstr(sut.output, id);
        cr_assert(found && !strstr(found + 1, id), "%s is not there once", id);
    }
    EXPECT_STATUS(0, "list --json --limit 1001");
    cr_expect(count_lines(sut.output) == 1001, "%u lines", count_lines(sut.output));
    EXPECT_STATUS(0, "list --json --customer 3");
    cr_expect(count_lines(sut.output) == 130, "%u lines", count_lines(sut.output));
}

Test(cli_program, the_history_of_a_reservation_is_told)
{
    create(1, 10);
    EXPECT_STATUS(0, "hold 1 --customer 7 --qty 3 --ttl 15m --id %s", ID_ONE);
    EXPECT_STATUS(0, "change %s --qty 2", ID_ONE);
    EXPECT_STATUS(0, "confirm %s", ID_ONE);
    EXPECT_STATUS(0, "cancel %s", ID_ONE);
    EXPECT_STATUS(0, "history %s --json", ID_ONE);
    cr_expect(count_lines(sut.output) == 4, "%s", sut.output);
    const char *held = strstr(sut.output, "\"status\":\"HELD\"");
    const char *confirmed = strstr(sut.output, "\"status\":\"CONFIRMED\"");
    const char *cancelled = strstr(sut.output, "\"status\":\"CANCELLED\"");
    cr_expect(held && confirmed && cancelled && held < confirmed && confirmed < cancelled, "%s",
              sut.output);
    EXPECT_STATUS(0, "history %s", ID_ONE);
    cr_expect(count_lines(sut.output) == 5, "with a heading: %s", sut.output);
    EXPECT_STATUS(1, "history %s", ID_NONE);
    EXPECT_SAYS("NOT_FOUND");
}

Test(cli_program, availability_of_many_at_once)
{
    create(1, 10);
    create(2, 20);
    EXPECT_STATUS(0, "availability 2 1 --json");
    EXPECT_SAYS("{\"inventory_id\":2,\"available\":20,");
    EXPECT_SAYS("\n{\"inventory_id\":1,\"available\":10,");
    EXPECT_STATUS(2, "availability 1 3");
    EXPECT_SAYS("unknown inventory");
    EXPECT_STATUS(0, "inventory get 2 --json");
    EXPECT_SAYS("\"available\":20");
}

/* ---- watching --------------------------------------------------------------------------- */

/* Everything from the first LSN on, then what comes; Ctrl-C ends it with the LSN to go on from. */
Test(cli_program, changes_are_watched_as_they_come)
{
    create(1, 1);
    create(2, 5);
    EXPECT_STATUS(0, "reserve 2 --customer 9");
    run_beside("watch --from 1 --inventory 1 --json");
    cr_assert(next_line());
    EXPECT_SAYS("{\"lsn\":1,\"kind\":\"inventory\"");
    EXPECT_STATUS(0, "reserve 1 --customer 7 --id %s", ID_ONE);
    cr_assert(next_line());
    EXPECT_SAYS("\"kind\":\"reservation\",\"reservation_id\":\"" ID_ONE "\"");
    EXPECT_SAYS("\"sold_out\":true");
    EXPECT_STATUS(0, "cancel %s", ID_ONE);
    cr_assert(next_line());
    EXPECT_SAYS("\"status\":\"CANCELLED\"");
    cr_assert(next_line());
    EXPECT_SAYS("\"event\":\"AVAILABLE_AGAIN\"");
    kill(companion.pid, SIGINT);
    cr_assert(next_line());
    EXPECT_SAYS("{\"kind\":\"end\",\"next_lsn\":");
    long long next = number("next_lsn");
    cr_expect(end_companion() == 0);
    EXPECT_STATUS(0, "reserve 1 --customer 7 --id %s", ID_TWO);
    EXPECT_STATUS(0, "watch --from %lld --inventory 1 --count 1", next);
    EXPECT_SAYS("*** SOLD OUT *** lsn=");
    EXPECT_SAYS(ID_TWO);
    EXPECT_NOT(ID_ONE);
    EXPECT_SAYS("go on with --from ");
}

/* From now on, of one customer, until so many have come. */
Test(cli_program, a_customer_is_watched)
{
    create(1, 10);
    EXPECT_STATUS(0, "reserve 1 --customer 7 --id %s", ID_ONE);
    EXPECT_STATUS(0, "reserve 1 --customer 8 --id %s", ID_TWO);
    EXPECT_STATUS(0, "reserve 1 --customer 7 --id %s", ID_THREE);
    EXPECT_STATUS(0, "watch --from 1 --customer 7 --count 2 --json");
    EXPECT_SAYS(ID_ONE);
    EXPECT_SAYS(ID_THREE);
    EXPECT_NOT(ID_TWO);
    cr_expect(count_lines(sut.output) == 3, "two records and the end: %s", sut.output);
}

/* The server goes and comes back: the watch goes on where it was, and sees nothing twice. */
Test(cli_program, a_watch_survives_a_restart_of_the_server)
{
    char listen[sizeof sut.server.address];
    hf_daemon_kill(&sut.server);
    snprintf(listen, sizeof listen, "127.0.0.1:%u", hf_port_find());
    sut.options.listen = listen;
    cr_assert(hf_daemon_start(&sut.server, &sut.options) == 0, "%s", sut.server.error);
    create(1, 10);
    run_beside("watch --from 1 --json");
    cr_assert(next_answer());
    EXPECT_SAYS("\"kind\":\"inventory\"");
    hf_daemon_kill(&sut.server);
    cr_assert(hf_daemon_start(&sut.server, &sut.options) == 0, "%s", sut.server.error);
    EXPECT_STATUS(0, "reserve 1 --customer 7 --id %s", ID_ONE);
    cr_assert(next_answer());
    EXPECT_SAYS(ID_ONE);
    kill(companion.pid, SIGTERM);
    cr_assert(next_answer());
    EXPECT_SAYS("\"kind\":\"end\"");
    cr_expect(end_companion() == 0);
}

/* ---- a server that says what a test wants ----------------------------------------------- */

/* One frame of a subscription, as it will be sent. */
struct told {
    unsigned result;
    uint64_t next_lsn;
    uint32_t count; /* of records, from `first_lsn` on */
    uint64_t first_lsn;
};

static struct {
    int listener;
    pthread_t thread;
    const struct told *told;
    size_t told_count;
    uint64_t not_after_ns; /* of the last RESERVE */
} fake;

#define FAKE_NOW_NS 2000000000000000000ull /* 2033-05-18T03:33:20Z */

static bool read_whole(int socket, uint8_t *bytes, size_t count)
{
    while (count > 0) {
        ssize_t got = read(socket, bytes, count);
        if (got <= 0)
            return false;
        bytes += got;
        count -= (size_t)got;
    }
    return true;
}

/* The records of one reservation that is confirmed and cancelled by turns. */
static void make_records(uint8_t *records, const struct told *told)
{
    struct hf_reservation reservation = {
        .qty = 1, .customer_id = 7, .made_at_ns = 1, .changed_at_ns = 1};
    reservation.id.bytes[15] = 1;
    for (uint32_t i = 0; i < told->count; i++) {
        uint8_t *record = records + (size_t)i * HF_FRAME_RECORD_BYTES;
        reservation.sequence = (uint32_t)(told->first_lsn + i);
        reservation.state = i % 2 ? HF_STATE_CANCELLED : HF_STATE_CONFIRMED;
        struct hf_image_notes notes = {.inventory_version = 1};
        hf_image_encode_reservation(record, &reservation, &notes);
        hf_put_u64(record, told->first_lsn + i);
    }
}

/* What is answered in one frame: PING, INFO, and RESERVE, always too late. */
static size_t make_answer(uint8_t *bytes, const struct hf_frame *frame)
{
    if (frame->operation == HF_OP_INFO) {
        struct hf_info info = {.now_ns = FAKE_NOW_NS, .epoch = 1};
        return hf_reply_encode_info(bytes, frame->tag, &info);
    }
    if (frame->operation == HF_OP_RESERVE)
        fake.not_after_ns = hf_get_u64(bytes + 56);
    return hf_reply_encode_short(bytes, frame->operation, frame->tag,
                                 frame->operation == HF_OP_PING ? HF_OK : HF_TOO_LATE,
                                 HF_FIELD_NONE, 0, 0);
}

/* SUBSCRIBE is answered by all that is to be told. False: the connection is over. */
static bool answer_frame(int socket)
{
    static uint8_t bytes[HF_MAX_REPLY_BYTES], records[HF_MAX_REPLY_BYTES];
    struct hf_frame frame;
    size_t length;
    if (!read_whole(socket, bytes, HF_FRAME_HEADER_BYTES))
        return false;
    hf_frame_read(bytes, &frame);
    if (!read_whole(socket, bytes + HF_FRAME_HEADER_BYTES,
                    frame.frame_bytes - HF_FRAME_HEADER_BYTES))
        return false;
    if (frame.operation != HF_OP_SUBSCRIBE && frame.operation != HF_OP_UNSUBSCRIBE) {
        length = make_answer(bytes, &frame);
        return write(socket, bytes, length) == (ssize_t)length;
    }
    for (size_t i = 0; frame.operation == HF_OP_SUBSCRIBE && i < fake.told_count; i++) {
        const struct told *told = &fake.told[i];
        make_records(records, told);
        length = told->result == HF_LSN_NOT_KEPT
                     ? hf_reply_encode_not_kept(bytes, HF_OP_SUBSCRIBE, frame.tag, told->next_lsn)
                     : hf_reply_encode_records(bytes, frame.tag, told->result, told->next_lsn,
                                               records, told->count);
        if (write(socket, bytes, length) != (ssize_t)length)
            return false;
    }
    return true;
}

static void *serve(void *unused)
{
    int socket;
    while ((socket = accept4(fake.listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        while (answer_frame(socket))
            ;
        close(socket);
    }
    return unused;
}

static void pretend(const struct told *told, size_t count)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof address;
    fake.told = told;
    fake.told_count = count;
    fake.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert(bind(fake.listener, (struct sockaddr *)&address, length) == 0);
    cr_assert(listen(fake.listener, 8) == 0);
    cr_assert(getsockname(fake.listener, (struct sockaddr *)&address, &length) == 0);
    snprintf(sut.server.address, sizeof sut.server.address, "127.0.0.1:%u",
             ntohs(address.sin_port));
    cr_assert(pthread_create(&fake.thread, NULL, serve, NULL) == 0);
}

static void stop_pretending(void)
{
    shutdown(fake.listener, SHUT_RDWR);
    pthread_join(fake.thread, NULL);
    close(fake.listener);
}

/* A watch that is too slow is told so, and goes on. */
Test(cli_alone, falling_behind_is_told)
{
    static const struct told told[] = {
        {.result = HF_SUBSCRIBED, .next_lsn = 5},
        {.result = HF_RECORDS, .next_lsn = 7, .count = 2, .first_lsn = 5},
        {.result = HF_FELL_BEHIND, .next_lsn = 7},
        {.result = HF_RECORDS, .next_lsn = 9, .count = 1, .first_lsn = 8},
        {.result = HF_UNSUBSCRIBED, .next_lsn = 12},
    };
    pretend(told, sizeof told / sizeof told[0]);
    EXPECT_STATUS(0, "watch --from 5");
    EXPECT_SAYS("lsn=5 reservation ");
    EXPECT_SAYS("holdfast: fell behind: from LSN 7 on, records are read from the disk; none is "
                "left out\nlsn=8 ");
    EXPECT_SAYS("\nholdfast: ended; go on with --from 12\n");
    cr_expect(count_lines(sut.output) == 5, "%s", sut.output);
    EXPECT_STATUS(0, "watch --from 5 --json");
    EXPECT_SAYS("\n{\"kind\":\"fell_behind\",\"next_lsn\":7}\n{\"lsn\":8,");
    EXPECT_SAYS("\n{\"kind\":\"end\",\"next_lsn\":12}\n");
    stop_pretending();
}

/* --count may be reached in the middle of a frame: the rest is for the next watch. */
Test(cli_alone, a_watch_that_has_seen_enough_goes_on_behind_the_last_line)
{
    static const struct told told[] = {
        {.result = HF_SUBSCRIBED, .next_lsn = 5},
        {.result = HF_RECORDS, .next_lsn = 25, .count = 20, .first_lsn = 5},
    };
    pretend(told, sizeof told / sizeof told[0]);
    EXPECT_STATUS(0, "watch --from 5 --count 3 --json");
    cr_expect(count_lines(sut.output) == 4, "%s", sut.output);
    EXPECT_SAYS("{\"lsn\":7,");
    EXPECT_SAYS("{\"kind\":\"end\",\"next_lsn\":8}\n");
    EXPECT_STATUS(0, "watch --from 5 --count 20 --json");
    EXPECT_SAYS("{\"kind\":\"end\",\"next_lsn\":25}\n");
    stop_pretending();
}

/* The last records of a frame may have been of others: the server has told how far it looked. */
Test(cli_alone, a_watch_that_is_refused_later_tells_how_far_it_came)
{
    static const struct told told[] = {
        {.result = HF_SUBSCRIBED, .next_lsn = 5},
        {.result = HF_RECORDS, .next_lsn = 9, .count = 1, .first_lsn = 5},
        {.result = HF_LSN_NOT_KEPT, .next_lsn = 1000},
    };
    pretend(told, sizeof told / sizeof told[0]);
    EXPECT_STATUS(1, "watch --from 5");
    EXPECT_SAYS("LSN_NOT_KEPT");
    EXPECT_SAYS("ended; go on with --from 9\n");
    stop_pretending();
}

/* The first that is kept is told; nothing was watched, so there is nothing to go on from. */
Test(cli_alone, an_lsn_that_is_no_longer_kept_is_a_no)
{
    static const struct told told[] = {{.result = HF_LSN_NOT_KEPT, .next_lsn = 1000}};
    pretend(told, 1);
    EXPECT_STATUS(1, "watch --from 5");
    EXPECT_SAYS("LSN_NOT_KEPT");
    EXPECT_SAYS("(first: 1000)");
    EXPECT_NOT("go on with");
    EXPECT_STATUS(1, "watch --from 5 --json");
    EXPECT_SAYS("\"first_lsn\":1000}");
    stop_pretending();
}

/* Nobody there: a watch is not to wait for ever for a name that was mistyped. */
Test(cli_alone, a_watch_of_no_server_gives_up)
{
    snprintf(sut.server.address, sizeof sut.server.address, "127.0.0.1:%u", hf_port_find());
    EXPECT_STATUS(3, "watch --timeout 200");
    EXPECT_SAYS("NOT_CONNECTED");
    cr_expect(count_lines(sut.output) == 1, "%s", sut.output);
}

/* "now" is the server's, whatever the clock here says; with or without a batch. */
Test(cli_alone, dates_relative_to_now_are_the_servers)
{
    pretend(NULL, 0);
    EXPECT_STATUS(1, "reserve 1 --customer 7 --not-after now+2s");
    EXPECT_SAYS("TOO_LATE");
    cr_expect(fake.not_after_ns > FAKE_NOW_NS + 1900000000 &&
                  fake.not_after_ns < FAKE_NOW_NS + 60000000000,
              "%llu", (unsigned long long)fake.not_after_ns);
    fake.not_after_ns = 0;
    write_file("{\"op\":\"reserve\",\"inventory\":1,\"customer\":7,\"not_after\":\"now+2s\"}\n");
    EXPECT_STATUS(1, "batch %s", sut.file);
    EXPECT_SAYS("line 1: TOO_LATE");
    cr_expect(fake.not_after_ns > FAKE_NOW_NS + 1900000000 &&
                  fake.not_after_ns < FAKE_NOW_NS + 60000000000,
              "%llu", (unsigned long long)fake.not_after_ns);
    write_file("{\"op\":\"reserve\",\"inventory\":1,\"customer\":7}\n");
    EXPECT_STATUS(1, "batch %s --not-after 2033-05-18T03:33:20Z", sut.file);
    cr_expect(fake.not_after_ns == FAKE_NOW_NS, "%llu", (unsigned long long)fake.not_after_ns);
    stop_pretending();
}
