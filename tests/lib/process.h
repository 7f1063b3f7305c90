/*
 * Programs under a test's control: run one to its end, or start a server, talk to it, and kill it.
 *
 * Children never outlive the program that started them: each asks the kernel to be killed when the
 * *thread* that started it ends, so start a server from a thread that lives as long as the server.
 */
#ifndef HF_TESTS_LIB_PROCESS_H
#define HF_TESTS_LIB_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* hf_process_run() kills what has not ended by itself after this time. */
#define HF_PROCESS_TIMEOUT_S 300

/*
 * Runs argv[0] (found along PATH if it has no slash) to its end, with stdin empty. Blocks.
 * `output` (may be NULL if output_bytes is 0) receives the beginning of stdout and stderr, in the
 * order written, zero-terminated; the rest is read and dropped. Returns the exit status,
 * 128 + the signal if one ended it, or 127 if it could not be started.
 */
int hf_process_run(const char *const argv[], char *output, size_t output_bytes);

/* The same with a time limit of the caller's: past it the program is killed (137). */
int hf_process_run_within(unsigned timeout_s, const char *const argv[], char *output,
                          size_t output_bytes);

/* The path of one of our programs: below $HOLDFAST_BUILD, or below build if that is not set. */
#define HF_PROGRAM_TEXT_BYTES 512
void hf_program_path(const char *name, char path[HF_PROGRAM_TEXT_BYTES]);

/* What a server said in its ready line about the state it found. */
struct hf_recovery {
    uint64_t reservations;
    uint64_t inventories;
    uint64_t records;
    uint64_t lsn; /* of the newest change */
    double duration_ms;
};

struct hf_daemon_options {
    const char *program;      /* path of holdfastd */
    const char *directory;    /* its --dir */
    const char *listen;       /* its --listen; NULL: 127.0.0.1:0, a free port */
    const char *const *extra; /* further arguments, NULL-terminated; NULL: none */
};

/* A server that was started here. All zero: none. */
struct hf_daemon {
    pid_t pid;                   /* 0: not running */
    int output;                  /* its stdout, open as long as it runs */
    int messages;                /* its stderr: a file in memory */
    char ready[512];             /* the ready line, without its newline */
    char address[128];           /* "HOST:PORT" as the ready line has it */
    struct hf_recovery recovery; /* from the ready line */
    uint64_t launched_at_ns;     /* monotonic */
    double start_ms;             /* from launch to the ready line */
    char error[1200];            /* why the start failed, with what the server said */
};

/*
 * Starts a server and blocks until its ready line is there (at most 60 s). 0; or -1 with
 * server->error set and nothing running.
 */
int hf_daemon_start(struct hf_daemon *server, const struct hf_daemon_options *options);

/* The same for holdfastd of this build, on that directory; `extra` as above. */
int hf_daemon_start_in(struct hf_daemon *server, const char *directory, const char *const extra[]);

/* The halves of hf_daemon_start(): start without waiting (0 or -1), and wait for the ready line. */
int hf_daemon_launch(struct hf_daemon *server, const struct hf_daemon_options *options);
int hf_daemon_await(struct hf_daemon *server);

/*
 * A TCP port of 127.0.0.1 that is free now, below the range from which the kernel takes the ports
 * of outgoing connections: a server that is down cannot lose it to one, and a client that knocks at
 * it meanwhile cannot connect to itself. 0: none found.
 */
unsigned hf_port_find(void);

/* SIGKILL, and waits until it is gone. The exit status as above: 137, unless it had ended by itself
 * before; 137 too if none runs. */
int hf_daemon_kill(struct hf_daemon *server);

/* SIGTERM, and waits for its end at most 60 s (then SIGKILL: 137). The exit status as above; 0 if
 * none runs. */
int hf_daemon_stop(struct hf_daemon *server);

/* True while the process lives. One that ended by itself is reaped, and *status (may be NULL) set.
 */
bool hf_daemon_running(struct hf_daemon *server, int *status);

/* What the latest server wrote to stderr so far: the last `text_bytes` - 1 bytes of it. Works until
 * the next start, or hf_daemon_forget(). */
void hf_daemon_messages(const struct hf_daemon *server, char *text, size_t text_bytes);

/* Kills the server if it runs, and frees what is kept of it. */
void hf_daemon_forget(struct hf_daemon *server);

#define HF_DIRECTORY_TEXT_BYTES 256

/*
 * Makes a new directory below $TMPDIR, or below /var/tmp if that is not set or in memory (a log
 * wants a disk). 0; or -errno.
 */
int hf_directory_make(char path[HF_DIRECTORY_TEXT_BYTES]);

/* How many entries a directory has, . and .. not counted; 0 if it cannot be read. */
unsigned hf_directory_entries(const char *path);

/* Removes a directory and all that is in it. 0, also if it does not exist; or -errno. */
int hf_directory_remove(const char *path);

#endif
