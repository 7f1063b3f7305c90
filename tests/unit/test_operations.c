/*
 * The runbook, docs/operations.md: every command of it is run as it stands there, in its order,
 * against real servers. A block that begins with "sh start" starts a server, which "sh stop" ends;
 * every other one must succeed.
 */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/process.h"

#define PAGE         "docs/operations.md"
#define BLOCK_BYTES  4096
#define OUTPUT_BYTES 16384
#define SERVERS      2
#define LEAST_BLOCKS 14 /* as many as there are: if fewer are found, the search is wrong */

static char directory[HF_DIRECTORY_TEXT_BYTES];
static pid_t servers[SERVERS]; /* "", "restored" */

static void set_path(const char *name, const char *below)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", directory, below);
    if (strcmp(name, "DIR") != 0)
        cr_assert_eq(mkdir(path, 0700), 0);
    setenv(name, path, 1);
}

static void set_address(const char *name)
{
    char address[32];
    snprintf(address, sizeof address, "127.0.0.1:%u", hf_port_find());
    setenv(name, address, 1);
}

/* The programs that were built are those that the page calls by their names. */
static void set_programs(void)
{
    char path[4096], programs[2048];
    const char *build = getenv("HOLDFAST_BUILD");
    cr_assert_not_null(realpath(build != NULL ? build : "build", programs));
    snprintf(path, sizeof path, "%s:%s", programs, getenv("PATH"));
    setenv("PATH", path, 1);
}

static void set_up(void)
{
    cr_assert_eq(hf_directory_make(directory), 0);
    set_programs();
    set_path("DIR", "data");
    set_path("ARCHIVE", "archive");
    set_path("BACKUP", "backup");
    set_address("SERVER");
    set_address("SERVER2");
}

static void stop(int number)
{
    int status;
    if (servers[number] == 0)
        return;
    kill(servers[number], SIGTERM);
    cr_expect_eq(waitpid(servers[number], &status, 0), servers[number]);
    cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "a server ended with %x", status);
    servers[number] = 0;
}

static void clean_up(void)
{
    for (int i = 0; i < SERVERS; i++)
        stop(i);
    hf_directory_remove(directory);
}

TestSuite(operations, .init = set_up, .fini = clean_up, .timeout = 120);

static pid_t start(const char *block)
{
    char command[BLOCK_BYTES + 8];
    snprintf(command, sizeof command, "exec %s", block);
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    return child;
}

/* A shell's verdict about a command; what it says is in `output`. */
static int shell(const char *command, char output[OUTPUT_BYTES])
{
    const char *const words[] = {"sh", "-c", command, NULL};
    return hf_process_run(words, output, OUTPUT_BYTES);
}

/* The server is ready: whoever comes next finds it so. */
static void await(const char *server)
{
    char command[128], output[OUTPUT_BYTES];
    snprintf(command, sizeof command, "holdfast --server \"$%s\" ping --wait 60s", server);
    /* Its port may not be open yet: that is no answer. */
    for (int tries = 0; tries < 200 && shell(command, output) != 0; tries++)
        usleep(50000);
}

static void run(const char *block)
{
    char command[BLOCK_BYTES + 8], output[OUTPUT_BYTES];
    snprintf(command, sizeof command, "set -e\n%s", block);
    int status = shell(command, output);
    cr_assert_eq(status, 0, "the runbook's command failed with status %d:\n%s\n%s", status, block,
                 output);
}

static void perform(const char *kind, const char *block)
{
    if (strcmp(kind, "sh start") == 0) {
        servers[0] = start(block);
        await("SERVER");
    } else if (strcmp(kind, "sh start restored") == 0) {
        servers[1] = start(block);
        await("SERVER2");
    } else if (strcmp(kind, "sh stop") == 0) {
        stop(0);
    } else if (strcmp(kind, "sh stop restored") == 0) {
        stop(1);
    } else {
        cr_assert_str_eq(kind, "sh", "an unknown kind of block");
        run(block);
    }
}

/* The whole page, from a server that is new to one that was repaired. */
Test(operations, every_command_of_the_runbook_works)
{
    FILE *page = fopen(PAGE, "r");
    cr_assert_not_null(page, "%s cannot be read: tests run in the project's directory", PAGE);
    char line[1024], kind[64] = "", block[BLOCK_BYTES] = "";
    int blocks = 0;
    while (fgets(line, sizeof line, page) != NULL) {
        bool fence = strncmp(line, "```", 3) == 0;
        if (fence && kind[0] == '\0') {
            snprintf(kind, sizeof kind, "%.*s", (int)strcspn(line + 3, "\n"), line + 3);
            block[0] = '\0';
        } else if (fence) {
            perform(kind, block);
            kind[0] = '\0';
            blocks++;
        } else if (kind[0] != '\0') {
            size_t used = strlen(block);
            cr_assert_lt(used + strlen(line), sizeof block);
            snprintf(block + used, sizeof block - used, "%s", line);
        }
    }
    fclose(page);
    cr_expect_geq(blocks, LEAST_BLOCKS);
}
