/* The random scenario; see scenario.h. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "tests/sim/clock.h"
#include "tests/sim/scenario.h"
#include "tests/sim/verdict.h"
#include "wal/segment_header.h"
#include "wal/snapshot_header.h"

#define RUNS_MAX 14u

#define SMALL_SEGMENTS_BYTES 65536u /* full soon */

/* Records that a full disk may have no room for: actors had credits before it was known. */
#define UNPLACED_MAX (HF_SIM_ACTORS * 64u + 8)

static uint32_t below(struct hf_sim_life *life, uint32_t end)
{
    return hf_random_below(&life->random, end);
}

static bool chance(struct hf_sim_life *life, uint32_t percent)
{
    return hf_random_chance(&life->random, percent);
}

static enum hf_sim_loss some_loss(struct hf_sim_life *life)
{
    return chance(life, 65) ? HF_SIM_POWER : HF_SIM_KILL;
}

/* Mostly short, so that runs of many kinds fit into a life. */
static uint32_t some_steps(struct hf_sim_life *life)
{
    return below(life, chance(life, 70) ? 30 : 120);
}

/* ---- runs: how each goes, and how it ends ---- */

/* The disk stops in the middle of some change. */
static const char *run_into_crash(struct hf_sim_life *life)
{
    life->disk.die_at = life->disk.changes + below(life, chance(life, 60) ? 12 : 60);
    const char *error = hf_sim_life_run(life, 400);
    hf_sim_life_crash(life, some_loss(life));
    return error;
}

static const char *run_and_crash(struct hf_sim_life *life)
{
    const char *error = hf_sim_life_run(life, some_steps(life));
    hf_sim_life_crash(life, some_loss(life));
    return error;
}

/* The flusher runs in the middle of what an operation records, and then the power fails. */
static const char *run_and_end_earlier(struct hf_sim_life *life)
{
    const char *error = hf_sim_life_run(life, some_steps(life));
    hf_sim_life_crash(life, HF_SIM_POWER);
    if (error == NULL && hf_sim_end_earlier(&life->disk, life->promised_lsn, &life->random))
        life->coverage->ended_earlier++;
    return error;
}

static const char *run_and_stop(struct hf_sim_life *life)
{
    const char *error = hf_sim_life_run(life, some_steps(life));
    return error != NULL ? error : hf_sim_life_stop(life);
}

/* A write fails: from then on nothing more is acknowledged, and nothing more is written. */
static const char *run_and_fail(struct hf_sim_life *life)
{
    static const struct hf_sim_fate fates[] = {
        {.end = HF_SIM_REFUSED, .error = -EIO},
        {.end = HF_SIM_REFUSED, .error = -ECANCELED},
        {.end = HF_SIM_REFUSED, .error = -ENOSPC},
        {.end = HF_SIM_SHORT},
    };
    life->trouble.fate = fates[below(life, 4)];
    life->trouble.fate_in = 1 + below(life, 20);
    const char *error = hf_sim_life_run(life, 300);
    if (error != NULL || life->server.failures == 0) {
        hf_sim_life_crash(life, HF_SIM_KILL);
        return error;
    }
    uint64_t submitted = life->disk.submitted;
    hf_sim_life_tell(life, "the log has failed");
    for (uint32_t i = 0; i < 10 && error == NULL; i++) {
        uint32_t failures = life->server.failures;
        life->server.failures = 0; /* the steps go on */
        error = hf_sim_life_run(life, 1);
        life->server.failures += failures;
    }
    if (error == NULL && life->server.failures != 1)
        error = hf_sim_life_wrong(life, "the failure was told %u times", life->server.failures);
    uint64_t commit_lsn = hf_flusher_commit_lsn(hf_sim_server_flusher(&life->server));
    if (error == NULL && life->server.options.durability == HF_DURABILITY_DISK &&
        commit_lsn != life->server.failed_commit_lsn)
        error = hf_sim_life_wrong(life, "after a failed write, commit went on to LSN %" PRIu64,
                                  commit_lsn);
    if (error == NULL && life->disk.submitted != submitted)
        error = hf_sim_life_wrong(life, "after a failed write, more was written");
    hf_sim_life_crash(life, some_loss(life));
    return error;
}

/* No write ends for ten seconds. */
static const char *run_through_stall(struct hf_sim_life *life)
{
    const char *error = hf_sim_life_run(life, some_steps(life));
    struct hf_flusher *flusher = hf_sim_server_flusher(&life->server);
    uint64_t durable_lsn = hf_tail_limit(flusher);
    life->is_stalled = true;
    for (uint32_t second = 0; second < 10 && error == NULL; second++) {
        life->workload.now_ns += HF_NS_PER_S;
        error = hf_sim_life_run(life, 6 + below(life, 40));
    }
    life->is_stalled = false;
    if (error == NULL && life->disk.inflight_count != 0) {
        life->coverage->stalls++;
        if (hf_tail_limit(flusher) != durable_lsn)
            error = hf_sim_life_wrong(life, "while no write ended, commit moved");
    }
    hf_sim_life_settle(life);
    uint64_t turned_away = life->server.turned_away;
    for (uint32_t i = 0; i < 20 && error == NULL; i++)
        error = hf_sim_life_ask(life);
    if (error == NULL && life->server.turned_away != turned_away)
        error = hf_sim_life_wrong(life, "when writes end again, requests are still turned away");
    if (error != NULL)
        return error;
    return chance(life, 50) ? run_and_crash(life) : run_and_stop(life);
}

/* Room is made, in the middle of everything: the log goes on by itself. */
static const char *make_room(struct hf_sim_life *life)
{
    life->disk.room_bytes = UINT64_MAX;
    life->is_full = false;
    if (life->disk.dead)
        return NULL;
    if (hf_sim_life_prepare(life) != 0)
        return hf_sim_life_wrong(life, "there is room again, and no segment is prepared");
    hf_sim_life_settle(life);
    uint64_t turned_away = life->server.turned_away;
    const char *error = NULL;
    for (uint32_t i = 0; i < 20 && error == NULL; i++)
        error = hf_sim_life_ask(life);
    if (error == NULL && life->server.turned_away != turned_away)
        error = hf_sim_life_wrong(life, "there is room again, and requests are still turned away");
    life->coverage->resumed += turned_away != 0;
    return error;
}

static void fill_disk(struct hf_sim_life *life)
{
    life->disk.room_bytes = hf_sim_disk_used_bytes(&life->disk);
    life->is_full = true;
    life->coverage->full_disks++;
}

static uint64_t unwritten(const struct hf_sim_life *life)
{
    return life->server.last_lsn - hf_tail_limit(hf_sim_server_flusher(&life->server));
}

/* Until no segment can be prepared, if that comes soon. True: that is known now. */
static bool use_up_segments(struct hf_sim_life *life, const char **error)
{
    bool small = life->server.options.segment_bytes <= SMALL_SEGMENTS_BYTES;
    for (uint32_t i = 0; i < 60 && *error == NULL && !life->disk.dead; i++) {
        if (hf_sim_life_prepare(life) != 0)
            return true;
        for (uint32_t j = 0; j < 6 && *error == NULL && small; j++)
            *error = hf_sim_life_ask(life);
        hf_sim_life_settle(life);
    }
    return false;
}

/* The disk is full: no segment can be prepared. */
static const char *run_on_full_disk(struct hf_sim_life *life)
{
    const char *error = NULL;
    if (!life->is_full)
        fill_disk(life);
    bool is_last = use_up_segments(life, &error);
    hf_sim_life_settle(life);
    for (uint32_t i = 0; i < 400 && is_last && error == NULL; i++)
        error = hf_sim_life_ask(life);
    if (error == NULL)
        error = hf_sim_life_run(life, 300);
    hf_sim_life_settle(life);
    if (error == NULL && is_last && unwritten(life) > UNPLACED_MAX)
        error = hf_sim_life_wrong(life, "%" PRIu64 " records were made for which there is no room",
                                  unwritten(life));
    if (error == NULL && chance(life, 60))
        error = make_room(life);
    if (error != NULL)
        return error;
    error = chance(life, 70) ? run_and_crash(life) : run_and_stop(life);
    if (life->is_full && chance(life, 50)) {
        life->is_full = false;
        life->disk.room_bytes = UINT64_MAX;
    }
    return error;
}

/* Preparing a segment meets an error, once; then it succeeds. */
static const char *run_with_errors(struct hf_sim_life *life)
{
    static const enum hf_sim_operation operations[] = {HF_SIM_OPEN,           HF_SIM_WRITE,
                                                       HF_SIM_SYNC_FILE,      HF_SIM_RENAME,
                                                       HF_SIM_SYNC_DIRECTORY, HF_SIM_REMOVE};
    hf_sim_disk_fail(&life->disk, operations[below(life, 6)], below(life, 2), 1 + below(life, 2),
                     chance(life, 80) ? -EIO : -EMFILE);
    return run_and_crash(life);
}

/* ---- damage ---- */

/* Some segment or snapshot; "": there is none. */
static void some_file(struct hf_sim_life *life, char name[HF_SIM_NAME_BYTES])
{
    const struct hf_sim_names *names = &life->disk.seen;
    uint64_t number;
    name[0] = '\0';
    for (uint32_t tries = 0; tries < 50 && names->count != 0 && name[0] == '\0'; tries++) {
        const char *some = names->names[below(life, names->count)].name;
        if (hf_segment_name_parse(some, &number) || hf_snapshot_name_parse(some, &number))
            snprintf(name, HF_SIM_NAME_BYTES, "%s", some);
    }
}

/* Mostly where something is written. */
static uint64_t some_place(struct hf_sim_life *life, const char *name)
{
    const struct hf_sim_content *content = hf_sim_disk_seen(&life->disk, name);
    uint64_t pages = content->bytes / HF_SIM_PAGE_BYTES;
    uint64_t used = content->page_count + 4ull < pages ? content->page_count + 4ull : pages;
    return below(life, (uint32_t)(chance(life, 80) ? used : pages));
}

/* A write is lost, or goes elsewhere. */
static const char *run_with_damage(struct hf_sim_life *life)
{
    static char name[HF_SIM_NAME_BYTES];
    life->trouble.fate_in = 1 + below(life, 12);
    life->trouble.fate.end = HF_SIM_LOST;
    if (chance(life, 60)) {
        some_file(life, name);
        life->trouble.fate.end = HF_SIM_MISDIRECTED;
        life->trouble.fate.name = name;
        life->trouble.fate.offset = some_place(life, name) * HF_SIM_PAGE_BYTES;
    }
    const char *error = hf_sim_life_run(life, 20 + some_steps(life));
    if (error == NULL && chance(life, 30))
        return hf_sim_life_stop(life);
    hf_sim_life_crash(life, HF_SIM_POWER);
    return error;
}

static const char *run_and_rot(struct hf_sim_life *life)
{
    char name[HF_SIM_NAME_BYTES];
    const char *error = hf_sim_life_run(life, some_steps(life));
    if (error == NULL && chance(life, 50))
        error = hf_sim_life_stop(life);
    else
        hf_sim_life_crash(life, HF_SIM_POWER);
    some_file(life, name);
    if (error != NULL || name[0] == '\0')
        return error;
    uint64_t offset = some_place(life, name) * HF_SIM_PAGE_BYTES;
    offset += below(life, chance(life, 50) ? 512 : HF_SIM_PAGE_BYTES);
    hf_sim_disk_copy(&life->healed, &life->disk);
    hf_sim_disk_rot(&life->disk, name, offset, (uint8_t)(1u << below(life, 8)));
    hf_sim_life_tell(life, "a bit of %s at %" PRIu64 " is another now", name, offset);
    life->coverage->rotten++;
    return NULL;
}

/* ---- the life ---- */

static const struct {
    uint32_t weight;
    const char *(*run)(struct hf_sim_life *life);
} runs[] = {
    {32, run_into_crash}, {8, run_and_end_earlier}, {16, run_and_crash},   {8, run_and_stop},
    {10, run_and_fail},   {4, run_through_stall},   {5, run_on_full_disk}, {6, run_with_errors},
    {6, run_with_damage}, {5, run_and_rot},
};

static const char *run_somehow(struct hf_sim_life *life)
{
    uint32_t dice = below(life, 100), number = 0;
    life->trouble.again_percent = chance(life, 25) ? 20 : 0;
    if (life->is_full)
        return run_on_full_disk(life);
    while (dice >= runs[number].weight)
        dice -= runs[number++].weight;
    return runs[number].run(life);
}

const char *hf_sim_random(struct hf_sim_life *life)
{
    uint32_t count = 1 + below(life, RUNS_MAX);
    bool goes_on = true;
    if (chance(life, 10))
        fill_disk(life); /* from the first: so that there is no spare segment */
    const char *error = hf_sim_life_start(life, true);
    for (uint32_t i = 0; i < count && error == NULL && goes_on; i++) {
        error = run_somehow(life);
        if (error == NULL)
            error = life->wrong;
        if (error == NULL && life->disk.wound_count != 0)
            error = hf_sim_start_damaged(life, &goes_on);
        else if (error == NULL)
            error = hf_sim_life_start(life, true);
    }
    return error;
}
