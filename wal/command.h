/*
 * A shell command that runs beside the server: started, looked at, ended. Nobody waits for it.
 *
 * The text is a template in PostgreSQL's manner: %p is the path of the file that it is for, %f the
 * file's name, %% a percent sign; anything else behind a % is refused. /bin/sh runs it, in a
 * directory that the caller names. Path and name go into the text as they are, so they must not
 * hold what the shell gives a meaning to.
 *
 * The child. posix_spawn() makes it without a copy of our memory maps, whatever their size, and
 * without a moment in which a lock of another thread is held for ever. It has a process group of
 * its own, so that all of it can be ended; no signal blocked or ignored, whatever its parent does;
 * its stdin is /dev/null; its stdout is our stderr; it has no other descriptor than these and a
 * pipe for its stderr.
 *
 * Its stderr. What comes through the pipe goes on to our stderr, and the first line is kept, as it
 * mostly tells why a command failed. If our stderr takes no more, the command's takes no more
 * either, as if it had inherited ours; we do not wait for it.
 *
 * Its end is the end of the shell, not of the pipe: a process that the command left in the
 * background may hold the pipe open, and is not waited for. What it writes to stderr from then on
 * is an error for it (EPIPE).
 *
 * One thread at a time uses a command. Nothing here blocks but hf_command_stop().
 */
#ifndef HF_WAL_COMMAND_H
#define HF_WAL_COMMAND_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define HF_COMMAND_ERROR_BYTES 160
#define HF_COMMAND_LINE_BYTES  101 /* of the first line on stderr, with the terminating zero */
#define HF_COMMAND_END_BYTES   168
#define HF_COMMAND_FILES       2
#define HF_COMMAND_CHUNK_BYTES 4096 /* a pipe that has room has room for that many */

/* How a command ended. */
struct hf_command_end {
    /* 0: success. 1 .. 255: the exit status. 128 + a signal that ended it: `text` tells it from an
     * exit status. Negative: -errno, it could not be started, or its end could not be learnt. */
    int status;
    /* "exit status 1: cp: ..."; of a success "". Printable ASCII, one line. */
    char text[HF_COMMAND_END_BYTES];
};

/* All zero: none runs. */
struct hf_command {
    pid_t pid;       /* of the shell, and of its process group; 0: none runs */
    int end;         /* pidfd: readable once the shell has ended */
    int output;      /* the reading end of its stderr; -1: closed */
    bool muted;      /* what it writes is read and dropped */
    bool line_whole; /* the first line is complete */
    uint32_t line_bytes;
    char line[HF_COMMAND_LINE_BYTES];
    uint32_t held_from, held_bytes; /* read, but our stderr has not taken it yet */
    char held[HF_COMMAND_CHUNK_BYTES];
};

/* True if the template can be expanded; else `error` says why not. */
bool hf_command_check(const char *template, char error[HF_COMMAND_ERROR_BYTES]);

/* The text of the command for one file, to be freed; NULL: out of memory. The template was checked.
 */
char *hf_command_expand(const char *template, const char *path, const char *name);

/* Starts `text` in `directory`. 0 or -errno. None runs. */
int hf_command_start(struct hf_command *command, const char *directory, const char *text);

static inline bool hf_command_running(const struct hf_command *command)
{
    return command->pid != 0;
}

/* Passes on what the running command wrote. True: it has ended, *end says how, and none runs. */
bool hf_command_poll(struct hf_command *command, struct hf_command_end *end);

/* *end of a command that could not be started, or the like: -errno. */
void hf_command_end_with(struct hf_command_end *end, int result);

/* What to wait for until the running command has to be looked at again. How many there are. */
uint32_t hf_command_files(const struct hf_command *command, struct pollfd files[HF_COMMAND_FILES]);

/*
 * Ends a running command: SIGTERM to its process group, and after `patience_ns`, or once the shell
 * has ended and nobody holds its stderr open, SIGKILL to what is left of the group. Blocks until
 * then, and at most a second longer: a process that the kernel cannot end is left behind.
 */
void hf_command_stop(struct hf_command *command, uint64_t patience_ns);

#endif
