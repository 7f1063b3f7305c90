/*
 * A simulated archive: what the operator's archive command has taken, and how it fails.
 *
 * The program is linked with --wrap for hf_command_start(), hf_command_poll() and
 * hf_command_stop(): no shell is started. A command runs for some looks at it, and then fails, or
 * takes the file as it is then. It never takes another content for a file that it has: that is
 * noted as wrong, as is a segment that is not full.
 *
 * One thread; one archive at a time is in use.
 */
#ifndef HF_TESTS_SIM_ARCHIVE_H
#define HF_TESTS_SIM_ARCHIVE_H

#include "tests/sim/disk.h"

#define HF_SIM_ARCHIVE_COMMAND "archive %f"
#define HF_SIM_ARCHIVE_MAX     256u

struct hf_sim_archived {
    char name[HF_SIM_NAME_BYTES];
    struct hf_sim_content content;
};

struct hf_sim_archive {
    const struct hf_sim_disk *disk; /* that the files are on */
    struct hf_random random;
    uint32_t fail_percent;
    struct hf_sim_archived *files;
    uint32_t count;
    uint64_t failures, taken;
    char wrong[200]; /* the first thing that the archiver did wrong */
};

void hf_sim_archive_init(struct hf_sim_archive *archive, const struct hf_sim_disk *disk,
                         uint64_t seed);
void hf_sim_archive_close(struct hf_sim_archive *archive);

/* Makes `to` an archive of its own of files on `disk`, that has taken the same. */
void hf_sim_archive_copy(struct hf_sim_archive *to, const struct hf_sim_archive *from,
                         const struct hf_sim_disk *disk);

/* From here on, commands hand files to this one. */
void hf_sim_archive_use(struct hf_sim_archive *archive);

/* True if a command ran when its server was last seen alive. */
bool hf_sim_archive_runs(void);

/* What it has of a file; NULL: nothing. */
const struct hf_sim_content *hf_sim_archive_find(const struct hf_sim_archive *archive,
                                                 const char *name);

#endif
