/* Programs under a test's control. See process.h. */
#include "tests/lib/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/magic.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/temporary.h"

#define START_TIMEOUT_MS   60000
#define STOP_TIMEOUT_MS    60000
#define MAX_ARGUMENTS      64
#define STATUS_NOT_STARTED 127

/* The exit status in the shell's way of counting. */
static int exit_status(int status)
{
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int remaining_ms(uint64_t deadline_ns)
{
    uint64_t now_ns = hf_monotonic_now_ns();
    return now_ns >= deadline_ns ? 0 : (int)((deadline_ns - now_ns) / HF_NS_PER_MS) + 1;
}

/* Between fork and exec, in the child: only async-signal-safe calls. */
static void become(pid_t parent, const char *const argv[], int output, int messages)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) /* it died before the line above */
        _exit(STATUS_NOT_STARTED);
    int input = open("/dev/null", O_RDONLY);
    if (input < 0 || dup2(input, STDIN_FILENO) < 0 || dup2(output, STDOUT_FILENO) < 0 ||
        dup2(messages, STDERR_FILENO) < 0)
        _exit(STATUS_NOT_STARTED);
    close_range(STDERR_FILENO + 1, ~0u, 0); /* what the test's runner left open */
    execvp(argv[0], (char *const *)(uintptr_t)argv);
    _exit(STATUS_NOT_STARTED);
}

static pid_t spawn(const char *const argv[], int output, int messages)
{
    pid_t parent = getpid();
    pid_t child = fork();
    if (child == 0)
        become(parent, argv, output, messages);
    return child;
}

/* Waits for the end of a child until the deadline, then kills it. */
static int reap(pid_t child, uint64_t deadline_ns)
{
    int status = 0;
    for (;;) {
        pid_t ended = waitpid(child, &status, WNOHANG);
        if (ended == child)
            return exit_status(status);
        if (ended < 0 && errno != EINTR)
            return STATUS_NOT_STARTED;
        if (ended == 0 && hf_monotonic_now_ns() >= deadline_ns) {
            kill(child, SIGKILL);
            while (waitpid(child, &status, 0) < 0 && errno == EINTR)
                ;
            return exit_status(status);
        }
        usleep(500);
    }
}

/* Reads until the writers are gone or the deadline has come; keeps what fits. */
static void read_all(int file, uint64_t deadline_ns, char *output, size_t output_bytes)
{
    char dropped[4096];
    size_t used = 0;
    for (;;) {
        struct pollfd wait = {.fd = file, .events = POLLIN};
        int left_ms = remaining_ms(deadline_ns);
        if (left_ms == 0)
            break;
        if (poll(&wait, 1, left_ms) <= 0)
            continue;
        size_t room = output_bytes > used + 1 ? output_bytes - used - 1 : 0;
        ssize_t count =
            room ? read(file, output + used, room) : read(file, dropped, sizeof dropped);
        if (count == 0 || (count < 0 && errno != EINTR))
            break;
        if (count > 0 && room)
            used += (size_t)count;
    }
    if (output_bytes)
        output[used] = '\0';
}

int hf_process_run(const char *const argv[], char *output, size_t output_bytes)
{
    return hf_process_run_within(HF_PROCESS_TIMEOUT_S, argv, output, output_bytes);
}

int hf_process_run_within(unsigned timeout_s, const char *const argv[], char *output,
                          size_t output_bytes)
{
    uint64_t deadline_ns = hf_monotonic_now_ns() + timeout_s * HF_NS_PER_S;
    int ends[2];
    if (output_bytes)
        output[0] = '\0';
    if (pipe2(ends, O_CLOEXEC) < 0)
        return STATUS_NOT_STARTED;
    pid_t child = spawn(argv, ends[1], ends[1]);
    close(ends[1]);
    if (child > 0)
        read_all(ends[0], deadline_ns, output, output_bytes);
    int status = child > 0 ? reap(child, deadline_ns) : STATUS_NOT_STARTED;
    close(ends[0]);
    return status;
}

void hf_program_path(const char *name, char path[HF_PROGRAM_TEXT_BYTES])
{
    const char *build = getenv("HOLDFAST_BUILD");
    snprintf(path, HF_PROGRAM_TEXT_BYTES, "%s/%s", build && build[0] ? build : "build", name);
}

/* The number behind `mark`, at or after `text`. */
static bool number_behind(const char *text, const char *mark, double *number)
{
    const char *found = strstr(text, mark);
    char *end;
    if (!found)
        return false;
    found += strlen(mark);
    *number = strtod(found, &end);
    return end != found;
}

/*
 * "holdfastd: ready on 127.0.0.1:7411, 2 workers, durability disk, recovered 1000 reservations and
 * 3 inventories from 1040 records in 12.3 ms (84.6 k records/s), LSN 1040"
 */
static bool parse_ready(struct hf_daemon *server)
{
    static const char mark[] = "holdfastd: ready on ";
    const char *comma = strchr(server->ready, ',');
    const char *recovered = strstr(server->ready, ", recovered ");
    double reservations, inventories, records, duration_ms, lsn;
    if (strncmp(server->ready, mark, sizeof mark - 1) != 0 || !comma || !recovered ||
        !number_behind(recovered, "recovered ", &reservations) ||
        !number_behind(recovered, " and ", &inventories) ||
        !number_behind(recovered, " from ", &records) ||
        !number_behind(recovered, " in ", &duration_ms) ||
        !number_behind(recovered, ", LSN ", &lsn))
        return false;
    snprintf(server->address, sizeof server->address, "%.*s",
             (int)(comma - server->ready - (int)sizeof mark + 1), server->ready + sizeof mark - 1);
    server->recovery = (struct hf_recovery){.reservations = (uint64_t)reservations,
                                            .inventories = (uint64_t)inventories,
                                            .records = (uint64_t)records,
                                            .lsn = (uint64_t)lsn,
                                            .duration_ms = duration_ms};
    return true;
}

/* Reads the first line of the server's stdout. */
static bool read_ready(struct hf_daemon *server, uint64_t deadline_ns)
{
    size_t used = 0;
    while (used + 1 < sizeof server->ready) {
        struct pollfd wait = {.fd = server->output, .events = POLLIN};
        int left_ms = remaining_ms(deadline_ns);
        if (left_ms == 0)
            return false;
        if (poll(&wait, 1, left_ms) <= 0)
            continue;
        ssize_t count = read(server->output, server->ready + used, 1);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return false;
        if (server->ready[used] == '\n') {
            server->ready[used] = '\0';
            return parse_ready(server);
        }
        used++;
    }
    return false;
}

/* The start failed: tells why in server->error, and leaves nothing running. */
static int start_failed(struct hf_daemon *server, const char *problem)
{
    char said[800];
    int status = STATUS_NOT_STARTED;
    if (server->pid > 0 && hf_daemon_running(server, &status))
        hf_daemon_kill(server);
    hf_daemon_messages(server, said, sizeof said);
    snprintf(server->error, sizeof server->error, "the server %s (exit status %d): %.780s", problem,
             status, said[0] ? said : server->ready);
    return -1;
}

int hf_daemon_start(struct hf_daemon *server, const struct hf_daemon_options *options)
{
    return hf_daemon_launch(server, options) < 0 ? -1 : hf_daemon_await(server);
}

int hf_daemon_start_in(struct hf_daemon *server, const char *directory, const char *const extra[])
{
    char program[HF_PROGRAM_TEXT_BYTES];
    hf_program_path("holdfastd", program);
    struct hf_daemon_options options = {.program = program, .directory = directory, .extra = extra};
    return hf_daemon_start(server, &options);
}

int hf_daemon_launch(struct hf_daemon *server, const struct hf_daemon_options *options)
{
    /* Two workers, however few CPUs there are, as two may meet; `extra` has the last word. */
    const char *argv[MAX_ARGUMENTS] = {options->program,
                                       "--dir",
                                       options->directory,
                                       "--listen",
                                       options->listen ? options->listen : "127.0.0.1:0",
                                       "--workers",
                                       "2"};
    int ends[2];
    hf_daemon_forget(server);
    server->launched_at_ns = hf_monotonic_now_ns();
    for (size_t i = 0; options->extra && options->extra[i] && i + 8 < MAX_ARGUMENTS; i++)
        argv[i + 7] = options->extra[i];
    server->messages = memfd_create("messages", MFD_CLOEXEC);
    if (server->messages < 0 || pipe2(ends, O_CLOEXEC) < 0)
        return start_failed(server, strerror(errno));
    server->output = ends[0];
    server->pid = spawn(argv, ends[1], server->messages);
    close(ends[1]);
    return server->pid > 0 ? 0 : start_failed(server, "could not be forked");
}

int hf_daemon_await(struct hf_daemon *server)
{
    uint64_t deadline_ns = server->launched_at_ns + START_TIMEOUT_MS * HF_NS_PER_MS;
    if (server->pid <= 0 || !read_ready(server, deadline_ns)) {
        usleep(100 * 1000); /* its stdout may close a moment before it ends */
        return start_failed(server, "gave no ready line");
    }
    server->start_ms =
        (double)(hf_monotonic_now_ns() - server->launched_at_ns) / (double)HF_NS_PER_MS;
    return 0;
}

static bool port_is_free(unsigned port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int one = 1, probe = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool free = probe >= 0 && setsockopt(probe, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 &&
                bind(probe, (struct sockaddr *)&address, sizeof address) == 0;
    if (probe >= 0)
        close(probe);
    return free;
}

unsigned hf_port_find(void)
{
    unsigned first_outgoing = 32768, lowest = 10000;
    FILE *range = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");
    if (range) {
        char text[64];
        if (fgets(text, sizeof text, range))
            first_outgoing = (unsigned)strtoul(text, NULL, 10);
        fclose(range);
    }
    if (first_outgoing < lowest + 1000 ||
        first_outgoing > 65536) /* an unusual range: be content with any free port */
        first_outgoing = 65536;
    for (unsigned attempt = 0; attempt < 1000; attempt++) {
        uint32_t random = (uint32_t)hf_monotonic_now_ns();
        if (getrandom(&random, sizeof random, GRND_NONBLOCK) < 0)
            usleep(1);
        unsigned port = lowest + random % (first_outgoing - lowest);
        if (port_is_free(port))
            return port;
    }
    return 0;
}

/* The process is gone. */
static void ended(struct hf_daemon *server)
{
    server->pid = 0;
    if (server->output > 0)
        close(server->output);
    server->output = 0;
}

int hf_daemon_kill(struct hf_daemon *server)
{
    if (server->pid <= 0)
        return 128 + SIGKILL;
    kill(server->pid, SIGKILL);
    int status = reap(server->pid, UINT64_MAX);
    ended(server);
    return status;
}

int hf_daemon_stop(struct hf_daemon *server)
{
    if (server->pid <= 0)
        return 0;
    kill(server->pid, SIGTERM);
    int status = reap(server->pid, hf_monotonic_now_ns() + STOP_TIMEOUT_MS * HF_NS_PER_MS);
    ended(server);
    return status;
}

bool hf_daemon_running(struct hf_daemon *server, int *status)
{
    int raw;
    if (server->pid <= 0)
        return false;
    if (waitpid(server->pid, &raw, WNOHANG) != server->pid)
        return true;
    if (status)
        *status = exit_status(raw);
    ended(server);
    return false;
}

void hf_daemon_messages(const struct hf_daemon *server, char *text, size_t text_bytes)
{
    struct stat file;
    text[0] = '\0';
    if (server->messages <= 0 || fstat(server->messages, &file) < 0)
        return;
    off_t room = (off_t)text_bytes - 1;
    ssize_t count =
        pread(server->messages, text, (size_t)room, file.st_size > room ? file.st_size - room : 0);
    text[count > 0 ? count : 0] = '\0';
}

void hf_daemon_forget(struct hf_daemon *server)
{
    hf_daemon_kill(server);
    if (server->messages > 0)
        close(server->messages);
    memset(server, 0, sizeof *server);
}

static bool in_memory(const char *path)
{
    struct statfs file_system;
    return statfs(path, &file_system) == 0 &&
           (file_system.f_type == TMPFS_MAGIC || file_system.f_type == RAMFS_MAGIC);
}

int hf_directory_make(char path[HF_DIRECTORY_TEXT_BYTES])
{
    const char *parent = getenv("TMPDIR");
    if (!parent || !parent[0] || in_memory(parent))
        parent = "/var/tmp";
    return hf_temporary_directory(path, HF_DIRECTORY_TEXT_BYTES, parent);
}

unsigned hf_directory_entries(const char *path)
{
    unsigned count = 0;
    DIR *entries = opendir(path);
    const struct dirent *entry;
    while (entries != NULL && (entry = readdir(entries)) != NULL)
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    if (entries != NULL)
        closedir(entries);
    return count;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *position)
{
    (void)status;
    (void)type;
    (void)position;
    return remove(path) < 0 ? -errno : 0;
}

int hf_directory_remove(const char *path)
{
    int result = nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    if (result == -1)
        result = -errno;
    return result == -ENOENT ? 0 : result;
}
