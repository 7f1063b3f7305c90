/* A simulated archive; see archive.h. */
#include "tests/sim/archive.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "wal/command.h"
#include "wal/segment_header.h"

#define LOOKS_MAX 6u /* at a command that runs */

static struct hf_sim_archive *used;

/* The command that runs. */
static struct {
    char name[HF_SIM_NAME_BYTES];
    uint32_t looks; /* at it, until it ends */
    bool runs;
} running;

/* ---- what it has ---- */

void hf_sim_archive_init(struct hf_sim_archive *archive, const struct hf_sim_disk *disk,
                         uint64_t seed)
{
    *archive = (struct hf_sim_archive){.disk = disk, .random = hf_random_for(seed, 6)};
    archive->fail_percent = hf_random_below(&archive->random, 3) * 30;
    archive->files = calloc(HF_SIM_ARCHIVE_MAX, sizeof *archive->files);
    HF_CHECK(archive->files != NULL);
}

void hf_sim_archive_close(struct hf_sim_archive *archive)
{
    for (uint32_t i = 0; i < archive->count; i++)
        hf_sim_content_close(&archive->files[i].content);
    free(archive->files);
    *archive = (struct hf_sim_archive){0};
    if (used == archive)
        used = NULL;
}

void hf_sim_archive_copy(struct hf_sim_archive *to, const struct hf_sim_archive *from,
                         const struct hf_sim_disk *disk)
{
    hf_sim_archive_init(to, disk, 0);
    to->random = from->random;
    to->fail_percent = from->fail_percent;
    to->count = from->count;
    for (uint32_t i = 0; i < from->count; i++) {
        memcpy(to->files[i].name, from->files[i].name, sizeof to->files[i].name);
        hf_sim_content_copy(&to->files[i].content, &from->files[i].content);
    }
}

void hf_sim_archive_use(struct hf_sim_archive *archive)
{
    used = archive;
    running.runs = false;
}

bool hf_sim_archive_runs(void)
{
    return running.runs;
}

static struct hf_sim_archived *find(const struct hf_sim_archive *archive, const char *name)
{
    for (uint32_t i = 0; i < archive->count; i++)
        if (strcmp(archive->files[i].name, name) == 0)
            return &archive->files[i];
    return NULL;
}

const struct hf_sim_content *hf_sim_archive_find(const struct hf_sim_archive *archive,
                                                 const char *name)
{
    const struct hf_sim_archived *file = find(archive, name);
    return file != NULL ? &file->content : NULL;
}

/* ---- taking a file ---- */

static void note_wrong(struct hf_sim_archive *archive, const char *what, const char *name)
{
    if (archive->wrong[0] == '\0')
        snprintf(archive->wrong, sizeof archive->wrong, "the archive command got %s: %s", what,
                 name);
}

static int take(struct hf_sim_archive *archive, const char *name)
{
    const struct hf_sim_content *content = hf_sim_disk_seen(archive->disk, name);
    uint64_t segment;
    bool is_segment = hf_segment_name_parse(name, &segment);
    if (content == NULL && is_segment)
        note_wrong(archive, "a segment that goes meanwhile", name);
    if (content == NULL || archive->disk->wound_count != 0)
        return 1; /* a snapshot of which there is a newer one by now; or what is to be healed yet */
    if (is_segment && content->page_count * (uint64_t)HF_SIM_PAGE_BYTES != content->bytes)
        note_wrong(archive, "a segment that is not full", name);
    struct hf_sim_archived *file = find(archive, name);
    if (file != NULL && !hf_sim_content_equal(&file->content, content))
        note_wrong(archive, "another content for a file that it has", name);
    if (file == NULL) {
        HF_CHECK(archive->count < HF_SIM_ARCHIVE_MAX);
        file = &archive->files[archive->count++];
        snprintf(file->name, sizeof file->name, "%s", name);
    }
    hf_sim_content_copy(&file->content, content);
    archive->taken++;
    return 0;
}

/* ---- what the linker puts in the place of shell commands ---- */

int __wrap_hf_command_start(struct hf_command *command, const char *directory, const char *text);
bool __wrap_hf_command_poll(struct hf_command *command, struct hf_command_end *end);
void __wrap_hf_command_stop(struct hf_command *command, uint64_t patience_ns);

int __wrap_hf_command_start(struct hf_command *command, const char *directory, const char *text)
{
    (void)directory;
    HF_CHECK(used != NULL && strncmp(text, "archive ", 8) == 0);
    *command = (struct hf_command){.pid = 1, .end = -1, .output = -1};
    snprintf(running.name, sizeof running.name, "%s", text + 8);
    running.looks = hf_random_below(&used->random, LOOKS_MAX);
    running.runs = true;
    if (hf_sim_disk_seen(used->disk, running.name) == NULL && !used->disk->dead)
        note_wrong(used, "a file that is not there", running.name);
    return 0;
}

bool __wrap_hf_command_poll(struct hf_command *command, struct hf_command_end *end)
{
    if (running.looks != 0 && !used->disk->dead) {
        running.looks--;
        return false;
    }
    running.runs = used->disk->dead;
    bool fails = used->disk->dead || hf_random_chance(&used->random, used->fail_percent);
    *command = (struct hf_command){0};
    *end = (struct hf_command_end){.status = fails ? 1 : take(used, running.name)};
    if (end->status != 0)
        snprintf(end->text, sizeof end->text, "exit status 1");
    used->failures += fails && !used->disk->dead;
    return true;
}

void __wrap_hf_command_stop(struct hf_command *command, uint64_t patience_ns)
{
    (void)patience_ns;
    *command = (struct hf_command){0};
}
