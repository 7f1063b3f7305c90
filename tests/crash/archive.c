/* The archive; see archive.h. */
#include "tests/crash/archive.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define FAILING        "failing"
#define REMOVE_TRIES   50
#define REMOVE_WAIT_US 100000

int hf_archive_open(struct hf_archive *archive, const char *beside)
{
    *archive = (struct hf_archive){.checked = 0};
    snprintf(archive->directory, sizeof archive->directory, "%s.archive", beside);
    snprintf(archive->command, sizeof archive->command,
             "A=%s; if [ -e $A/" FAILING " ]; then exit 1; fi; "
             "if [ -e $A/%%f ]; then exec cmp -s %%p $A/%%f; fi; "
             "cp %%p $A/%%f.$$ && ln $A/%%f.$$ $A/%%f; R=$?; rm -f $A/%%f.$$; exit $R",
             archive->directory);
    return mkdir(archive->directory, 0700) == 0 ? 0 : -errno;
}

void hf_archive_close(struct hf_archive *archive)
{
    for (int i = 0; i < REMOVE_TRIES && hf_directory_remove(archive->directory) != 0; i++)
        usleep(REMOVE_WAIT_US);
}

void hf_archive_set_failing(struct hf_archive *archive, bool failing)
{
    char path[sizeof archive->directory + sizeof FAILING + 1];
    snprintf(path, sizeof path, "%s/" FAILING, archive->directory);
    if (!failing) {
        unlink(path);
        return;
    }
    int file = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    if (file >= 0)
        close(file);
}

const char *hf_archive_check(struct hf_archive *archive, struct hf_annals *annals, uint64_t segment)
{
    const char *wrong = hf_annals_compare_segment(annals, archive->directory, segment);
    archive->checked++;
    if (wrong == NULL)
        return NULL;
    snprintf(archive->text, sizeof archive->text,
             "segment %llu was released, and in the archive: %.300s", (unsigned long long)segment,
             wrong);
    return archive->text;
}
