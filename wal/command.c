/* A shell command beside the server: see command.h. */
#include "wal/command.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"

#define SHELL "/bin/sh"

/* How many chunks of its output are passed on in one go, while it runs and once it has ended: more
 * than a pipe holds, but not for ever, as a process that it left in the background may go on
 * writing. */
#define CHUNKS_A_POLL 8
#define CHUNKS_AT_END 256

/* How long a process that was sent SIGKILL is waited for. */
#define KILL_PATIENCE_NS HF_NS_PER_S

/* ---- the template ---- */

bool hf_command_check(const char *template, char error[HF_COMMAND_ERROR_BYTES])
{
    error[0] = '\0';
    if (template[0] == '\0') {
        snprintf(error, HF_COMMAND_ERROR_BYTES, "the command is empty");
        return false;
    }
    for (const char *at = strchr(template, '%'); at != NULL; at = strchr(at + 2, '%')) {
        unsigned char what = (unsigned char)at[1];
        if (what == 'p' || what == 'f' || what == '%')
            continue;
        if (what == '\0')
            snprintf(error, HF_COMMAND_ERROR_BYTES, "the command ends in a single %%");
        else if (what > ' ' && what < 0x7f)
            snprintf(error, HF_COMMAND_ERROR_BYTES, "the command has %%%c", what);
        else
            snprintf(error, HF_COMMAND_ERROR_BYTES, "the command has %% before the byte 0x%02x",
                     what);
        size_t length = strlen(error);
        snprintf(error + length, HF_COMMAND_ERROR_BYTES - length,
                 "; only %%p (path of the file), %%f (its name) and %%%% (a percent sign) are "
                 "known");
        return false;
    }
    return true;
}

/* Writes the expansion to `to`, if that is not NULL. Its length. */
static size_t expand(char *to, const char *template, const char *path, const char *name)
{
    size_t length = 0;
    for (const char *at = template; *at != '\0'; at++) {
        const char *piece = at;
        size_t bytes = 1;
        if (*at == '%' && *++at != '%') {
            piece = *at == 'p' ? path : name;
            bytes = strlen(piece);
        }
        if (to != NULL)
            memcpy(to + length, piece, bytes);
        length += bytes;
    }
    return length;
}

char *hf_command_expand(const char *template, const char *path, const char *name)
{
    size_t length = expand(NULL, template, path, name);
    char *text = malloc(length + 1);
    if (text == NULL)
        return NULL;
    expand(text, template, path, name);
    text[length] = '\0';
    return text;
}

/* ---- the start ---- */

/* A process group of its own, and all signals as a new process has them. */
static int prepare_attributes(posix_spawnattr_t *attributes)
{
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    int result = posix_spawnattr_setflags(
        attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    if (result == 0)
        result = posix_spawnattr_setpgroup(attributes, 0);
    if (result == 0)
        result = posix_spawnattr_setsigmask(attributes, &none);
    if (result == 0)
        result = posix_spawnattr_setsigdefault(attributes, &all);
    return -result;
}

/*
 * Our descriptors are closed on exec, all of them. That the others are closed here, too, is for
 * what whoever started us left open, and for libraries: one inherited descriptor of a segment or of
 * the lock would keep its flock for as long as the command runs.
 */
static int prepare_files(posix_spawn_file_actions_t *files, const char *directory, int output)
{
    int result = posix_spawn_file_actions_addchdir_np(files, directory);
    if (result == 0)
        result = posix_spawn_file_actions_addopen(files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (result == 0)
        result = posix_spawn_file_actions_adddup2(files, STDERR_FILENO, STDOUT_FILENO);
    if (result == 0)
        result = posix_spawn_file_actions_adddup2(files, output, STDERR_FILENO);
    if (result == 0)
        result = posix_spawn_file_actions_addclosefrom_np(files, STDERR_FILENO + 1);
    return -result;
}

/* Starts the shell with `output` as its stderr. 0 or -errno. */
static int spawn(pid_t *pid, const char *directory, const char *text, int output)
{
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_t files;
    int result = -posix_spawnattr_init(&attributes);
    if (result != 0)
        return result;
    result = -posix_spawn_file_actions_init(&files);
    if (result != 0)
        goto destroy_attributes;
    result = prepare_attributes(&attributes);
    if (result == 0)
        result = prepare_files(&files, directory, output);
    if (result == 0) {
        /* "--": a text that begins with - is no option. */
        char *const argv[] = {(char *)"sh", (char *)"-c", (char *)"--", (char *)text, NULL};
        result = -posix_spawn(pid, SHELL, &files, &attributes, argv, environ);
    }
    posix_spawn_file_actions_destroy(&files);
destroy_attributes:
    posix_spawnattr_destroy(&attributes);
    return result;
}

/* Waits for `pid`: its status, 0 if it has not ended, -errno. */
static int reap(pid_t pid, int options, int *status)
{
    pid_t ended;
    do {
        ended = waitpid(pid, status, options);
    } while (ended < 0 && errno == EINTR);
    return ended < 0 ? -errno : ended;
}

int hf_command_start(struct hf_command *command, const char *directory, const char *text)
{
    HF_CHECK(!hf_command_running(command));
    *command = (struct hf_command){.end = -1, .output = -1};
    int pipe_ends[2], status;
    if (pipe2(pipe_ends, O_CLOEXEC) != 0)
        return -errno;
    /* Of our end only: the other is another open file. */
    int result = fcntl(pipe_ends[0], F_SETFL, O_NONBLOCK) != 0 ? -errno : 0;
    if (result == 0)
        result = spawn(&command->pid, directory, text, pipe_ends[1]);
    close(pipe_ends[1]);
    if (result != 0)
        goto close_output;
    command->end = pidfd_open(command->pid, 0);
    if (command->end < 0) {
        /* ESRCH: it has ended, and the system has thrown away how. Else it is ours to end. */
        result = errno == ESRCH ? -ECHILD : -errno;
        if (result != -ECHILD) {
            kill(-command->pid, SIGKILL);
            reap(command->pid, 0, &status);
        }
        goto close_output;
    }
    command->output = pipe_ends[0];
    return 0;

close_output:
    command->pid = 0;
    close(pipe_ends[0]);
    return result;
}

/* ---- its stderr ---- */

/* Keeps what belongs to the first line that is not empty. */
static void note_line(struct hf_command *command, const char *bytes, size_t count)
{
    for (size_t i = 0; i < count && !command->line_whole; i++) {
        if (bytes[i] == '\n') {
            command->line_whole = command->line_bytes != 0;
            continue;
        }
        bool printable = bytes[i] >= ' ' && bytes[i] <= '~';
        command->line[command->line_bytes++] = (char)(printable ? bytes[i] : '?');
        command->line_whole = command->line_bytes == HF_COMMAND_LINE_BYTES - 1;
    }
}

static void close_output(struct hf_command *command)
{
    if (command->output >= 0)
        close(command->output);
    command->output = -1;
}

/* Reads a chunk. False: there is none now, or never again. */
static bool read_chunk(struct hf_command *command)
{
    if (command->output < 0)
        return false;
    ssize_t count;
    do {
        count = read(command->output, command->held, sizeof command->held);
    } while (count < 0 && errno == EINTR);
    if (count < 0 && errno == EAGAIN)
        return false;
    if (count <= 0) {
        close_output(command);
        return false;
    }
    command->held_from = 0;
    command->held_bytes = command->muted ? 0 : (uint32_t)count;
    note_line(command, command->held, (size_t)count);
    return true;
}

/* Writes what is held to our stderr, as far as that takes it without making us wait. True: all is
 * gone, or cannot be written at all. */
static bool write_chunk(struct hf_command *command)
{
    while (command->held_bytes != 0) {
        struct pollfd file = {.fd = STDERR_FILENO, .events = POLLOUT};
        int ready = poll(&file, 1, 0);
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready == 0)
            return false;
        ssize_t count =
            write(STDERR_FILENO, command->held + command->held_from, command->held_bytes);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0 && errno == EAGAIN)
            return false;
        uint32_t written = count < 0 ? command->held_bytes : (uint32_t)count;
        command->held_from += written;
        command->held_bytes -= written;
    }
    return true;
}

/* Passes on what is in the pipe, as far as our stderr takes it, and `chunks` at most. */
static void pass_output(struct hf_command *command, int chunks)
{
    for (int i = 0; i < chunks && write_chunk(command); i++) {
        if (!read_chunk(command))
            return;
    }
}

/* ---- its end ---- */

static void forget(struct hf_command *command)
{
    close_output(command);
    close(command->end);
    command->pid = 0;
}

/* What waitpid() told, and the first line that the command wrote. */
static void describe_end(const struct hf_command *command, int status, struct hf_command_end *end)
{
    end->status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    end->text[0] = '\0';
    if (end->status == 0)
        return;
    if (WIFSIGNALED(status)) {
        const char *name = sigdescr_np(WTERMSIG(status));
        snprintf(end->text, sizeof end->text, "ended by signal %d (%s)", WTERMSIG(status),
                 name != NULL ? name : "unknown");
    } else {
        snprintf(end->text, sizeof end->text, "exit status %d", end->status);
    }
    size_t length = strlen(end->text);
    if (command->line_bytes != 0)
        snprintf(end->text + length, sizeof end->text - length, ": %.*s", (int)command->line_bytes,
                 command->line);
}

void hf_command_end_with(struct hf_command_end *end, int result)
{
    end->status = result;
    if (result == -ECHILD)
        snprintf(end->text, sizeof end->text,
                 "it has ended, but the system does not tell how: is SIGCHLD ignored?");
    else
        snprintf(end->text, sizeof end->text, "cannot be started: %s", strerror(-result));
}

bool hf_command_poll(struct hf_command *command, struct hf_command_end *end)
{
    HF_CHECK(hf_command_running(command));
    pass_output(command, CHUNKS_A_POLL);
    int status = 0;
    int result = reap(command->pid, WNOHANG, &status);
    if (result == 0)
        return false;
    pass_output(command, CHUNKS_AT_END); /* its last words; what our stderr does not take is lost */
    if (result < 0)
        hf_command_end_with(end, result);
    else
        describe_end(command, status, end);
    forget(command);
    return true;
}

uint32_t hf_command_files(const struct hf_command *command, struct pollfd files[HF_COMMAND_FILES])
{
    files[0] = (struct pollfd){.fd = command->end, .events = POLLIN};
    if (command->output < 0)
        return 1;
    files[1] = command->held_bytes != 0 ? (struct pollfd){.fd = STDERR_FILENO, .events = POLLOUT}
                                        : (struct pollfd){.fd = command->output, .events = POLLIN};
    return 2;
}

/* Until the shell has ended, and nobody has its stderr open. */
static void await_end(struct hf_command *command, uint64_t patience_ns)
{
    uint64_t until_ns = hf_monotonic_now_ns() + patience_ns;
    bool ended = false;
    for (;;) {
        /* The end first: what was written before it is then read. */
        struct pollfd file = {.fd = command->end, .events = POLLIN};
        ended = ended || poll(&file, 1, 0) > 0;
        pass_output(command, CHUNKS_A_POLL);
        uint64_t now_ns = hf_monotonic_now_ns();
        if ((ended && command->output < 0) || now_ns >= until_ns)
            return;
        struct pollfd files[HF_COMMAND_FILES];
        uint32_t count = hf_command_files(command, files);
        int wait_ms = (int)((until_ns - now_ns) / HF_NS_PER_MS) + 1;
        poll(ended ? files + 1 : files, ended ? count - 1 : count, wait_ms);
    }
}

/* The shell is reaped last: until then its number is that of its group, and of no other. */
void hf_command_stop(struct hf_command *command, uint64_t patience_ns)
{
    if (!hf_command_running(command))
        return;
    command->muted = true;
    command->held_bytes = 0;
    kill(-command->pid, SIGTERM);
    await_end(command, patience_ns);
    kill(-command->pid, SIGKILL);
    await_end(command, KILL_PATIENCE_NS);
    int status;
    reap(command->pid, WNOHANG, &status);
    forget(command);
}
