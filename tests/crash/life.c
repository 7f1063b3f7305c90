/*
 * The end of a server, and the next one.
 *
 * Between the two the directory is at rest: the log is read to its end, every snapshot must be right,
 * and now and then the newest is damaged. Of the next server it is known what it has to begin with.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "tests/crash/crash.h"
#include "tests/crash/kept.h"

#define STOP_EVERY_CYCLES 10
#define DEFAULT_RETAIN_NS (24 * 3600 * HF_NS_PER_S)
#define SLOW_CYCLE_NS     (2000 * HF_NS_PER_MS) /* what a repeat needs may be forgotten by then */

/* ---- the end ---- */

void hf_crash_stop_server(struct hf_crash *crash)
{
    uint64_t deadline_ns = hf_monotonic_now_ns() + 30 * HF_NS_PER_S;
    int status = 0;
    kill(crash->server.pid, SIGTERM);
    while (hf_daemon_running(&crash->server, &status)) {
        hf_crash_pump(crash, 1);
        if (hf_monotonic_now_ns() > deadline_ns) {
            hf_model_contradict(crash->model, "the server did not stop within 30 s of SIGTERM");
            return;
        }
    }
    if (status != 0)
        hf_model_contradict(crash->model, "the server ended with status %d after SIGTERM", status);
    crash->counts.stops++;
    struct hf_kept kept = {0};
    if (hf_kept_look(&kept, crash->directory) != 0 || kept.temporaries != 0)
        hf_model_contradict(crash->model, "a server that was stopped leaves %llu .tmp files",
                            (unsigned long long)kept.temporaries);
}

static void kill_server(struct hf_crash *crash)
{
    int status = hf_daemon_kill(&crash->server);
    if (status != 128 + SIGKILL)
        hf_model_contradict(crash->model, "the server ended by itself, exit status %d", status);
}

/* Mostly none, so that it falls right behind the moment; else up to 20 ms. */
static uint64_t random_delay_ns(struct hf_crash *crash)
{
    return hf_random_below(&crash->random, 2)
               ? 0
               : hf_random_below(&crash->random, 20000 >> hf_random_below(&crash->random, 8)) *
                     HF_NS_PER_US;
}

void hf_crash_take_aim(struct hf_crash *crash)
{
    static const enum hf_moment moments[] = {
        HF_MOMENT_SNAPSHOT_BEGUN, HF_MOMENT_SNAPSHOT_BEGUN,   HF_MOMENT_SNAPSHOT_NAMED,
        HF_MOMENT_SEGMENT_BEGUN,  HF_MOMENT_SEGMENT_RECYCLED, HF_MOMENT_SEGMENT_NAMED,
        HF_MOMENT_FILE_REMOVED,   HF_MOMENT_ARCHIVED,
    };
    bool stop = crash->cycle % STOP_EVERY_CYCLES == STOP_EVERY_CYCLES - 1;
    crash->moment = HF_MOMENT_NEVER;
    if (!stop && hf_random_below(&crash->random, 2))
        crash->moment = moments[hf_random_below(&crash->random, sizeof moments / sizeof *moments)];
    hf_aim_at(crash->aim, crash->server.pid, crash->moment, random_delay_ns(crash));
}

/*
 * Half of the clients vanish: what they had in flight is unknown from now on. All of them, if the
 * next server soon forgets: a request that is sent again after that is a new one.
 */
static void replace_clients(struct hf_crash *crash)
{
    for (unsigned i = 0; i < HF_CRASH_CLIENTS; i++)
        if (crash->retain_s != 0 || hf_random_below(&crash->random, 2)) {
            hf_client_close(crash->clients[i]);
            hf_crash_open_client(crash, i);
        }
}

/* The server is gone. In some cycles the next one soon forgets what is finished. */
static void choose_retention(struct hf_crash *crash)
{
    bool is_short = hf_random_below(&crash->random, 3) == 0 && crash->latest_ns < SLOW_CYCLE_NS;
    crash->retain_s = is_short ? hf_crash_between(crash, 4, 6) : 0;
    crash->counts.short_retentions += is_short;
    hf_witness_end_run(&crash->witness, hf_crash_retain_ns(crash));
    hf_model_set_forgotten_until(crash->model,
                                 is_short ? UINT64_MAX : crash->witness.forgotten_until_ns);
}

/* What is gone was archived before, if the server had to. */
static void check_released(struct hf_crash *crash)
{
    struct hf_kept kept = {0};
    int result = hf_kept_look(&kept, crash->directory);
    if (result != 0)
        hf_model_contradict(crash->model, "cannot list %s: %s", crash->directory,
                            strerror(-result));
    for (; crash->oldest_segment < kept.first_segment && !hf_crash_failed(crash);
         crash->oldest_segment++) {
        const char *wrong = NULL;
        if (crash->oldest_segment != 0 && crash->archives)
            wrong =
                hf_archive_check(&crash->archive, &crash->witness.annals, crash->oldest_segment);
        if (wrong)
            hf_witness_contradict(&crash->witness, "%s", wrong);
    }
}

uint64_t hf_crash_end_server(struct hf_crash *crash)
{
    bool met = hf_aim_rest(crash->aim);
    if (met) {
        crash->counts.aimed_kills++;
        crash->counts.met[crash->moment]++;
    }
    if (!met && crash->cycle % STOP_EVERY_CYCLES == STOP_EVERY_CYCLES - 1) {
        hf_crash_stop_server(crash);
    } else {
        kill_server(crash);
        crash->counts.kills++;
    }
    uint64_t gone_ns = hf_monotonic_now_ns();
    if (hf_crash_failed(crash))
        return gone_ns;
    hf_crash_follow(crash);
    if (!hf_crash_failed(crash))
        check_released(crash);
    choose_retention(crash);
    replace_clients(crash);
    return gone_ns;
}

/* ---- what the next one finds ---- */

static bool is_damaged_here(const struct hf_crash *crash, uint64_t last_lsn)
{
    for (unsigned i = 0; i < HF_CRASH_DAMAGED; i++)
        if (crash->damaged_lsns[i] == last_lsn)
            return true;
    return false;
}

/* Every snapshot must be right and true, but for those that were damaged here. */
static void check_snapshots(struct hf_crash *crash, const struct hf_kept *kept)
{
    for (int i = kept->snapshot_count - 1; i >= 0 && !hf_crash_failed(crash); i--) {
        const struct hf_kept_snapshot *snapshot = &kept->snapshots[i];
        const char *wrong = snapshot->wrong;
        if (!snapshot->right && is_damaged_here(crash, snapshot->last_lsn))
            continue;
        if (snapshot->right && snapshot->last_lsn <= crash->checked_lsn)
            continue;
        crash->checked_lsn = snapshot->last_lsn;
        if (snapshot->right)
            wrong = hf_basis_take_snapshot(&crash->basis, crash->directory, snapshot->last_lsn);
        if (wrong)
            hf_witness_contradict(&crash->witness, "%s", wrong);
    }
}

/* In every few cycles: damage to the newest snapshot, if there is another one behind it. */
static void damage_snapshot(struct hf_crash *crash, struct hf_kept *kept)
{
    unsigned every = crash->options.damage_every;
    if (every == 0 || crash->cycle % every != every - 1 || kept->snapshot_count < 2 ||
        !kept->snapshots[0].right || !kept->snapshots[1].right)
        return;
    uint64_t last_lsn = kept->snapshots[0].last_lsn;
    if (hf_kept_damage(crash->directory, last_lsn, hf_random_next(&crash->random)) != 0) {
        hf_model_contradict(crash->model, "the snapshot up to LSN %llu cannot be damaged",
                            (unsigned long long)last_lsn);
        return;
    }
    kept->snapshots[0].right = false;
    memmove(crash->damaged_lsns, crash->damaged_lsns + 1,
            sizeof crash->damaged_lsns - sizeof crash->damaged_lsns[0]);
    crash->damaged_lsns[HF_CRASH_DAMAGED - 1] = last_lsn;
    crash->counts.damaged++;
}

/* What the next server has to begin with. */
static void take_basis(struct hf_crash *crash, const struct hf_kept *kept)
{
    const struct hf_kept_snapshot *newest = hf_kept_newest_right(kept);
    const char *wrong = NULL;
    if (newest == NULL)
        hf_basis_take_log(&crash->basis);
    else
        wrong = hf_basis_take_snapshot(&crash->basis, crash->directory, newest->last_lsn);
    if (wrong)
        hf_witness_contradict(&crash->witness, "%s", wrong);
}

static void look_at_directory(struct hf_crash *crash, struct hf_kept *kept)
{
    hf_crash_follow(crash);
    if (!hf_crash_failed(crash))
        check_released(crash); /* by those that were killed on their way */
    int result = hf_kept_look(kept, crash->directory);
    if (result != 0)
        hf_model_contradict(crash->model, "cannot list %s: %s", crash->directory,
                            strerror(-result));
    if (!hf_crash_failed(crash))
        check_snapshots(crash, kept);
    if (kept->segments > crash->counts.most_segments)
        crash->counts.most_segments = (unsigned)kept->segments;
}

/* Damage must be told, and only damage. */
static void check_messages(struct hf_crash *crash, const struct hf_kept *kept)
{
    char messages[4096], name[HF_SNAPSHOT_NAME_BYTES];
    hf_daemon_messages(&crash->server, messages, sizeof messages);
    bool told = strstr(messages, "is damaged") != NULL;
    bool damaged = kept->snapshot_count != 0 && !kept->snapshots[0].right;
    if (damaged)
        hf_snapshot_name_format(kept->snapshots[0].last_lsn, name);
    if (told != damaged || (damaged && strstr(messages, name) == NULL))
        hf_model_contradict(crash->model, "the newest snapshot is %s, and the server said: %.400s",
                            damaged ? "damaged" : "right", messages);
}

/* The server has begun with what it had to begin with, and let go of what nobody needs. */
static void check_start(struct hf_crash *crash, const struct hf_kept *kept)
{
    const struct hf_kept_snapshot *newest = hf_kept_newest_right(kept);
    const struct hf_kept_snapshot *older = newest != NULL ? newest + 1 : NULL;
    uint64_t first_lsn = newest != NULL ? newest->header.start.next_lsn : 1;
    struct hf_kept now = {0};
    hf_crash_follow(crash);
    if (crash->server.recovery.records != crash->proof.start_lsn + 1 - first_lsn)
        hf_model_contradict(crash->model,
                            "the server read %llu records behind its snapshot; from LSN %llu to "
                            "%llu there are others",
                            (unsigned long long)crash->server.recovery.records,
                            (unsigned long long)first_lsn,
                            (unsigned long long)crash->proof.start_lsn);
    check_messages(crash, kept);
    crash->counts.from_snapshot += newest != NULL;
    if (crash->archives || older == NULL || older == kept->snapshots + kept->snapshot_count ||
        !older->right)
        return;
    /* One is kept to be prepared anew. */
    if (hf_kept_look(&now, crash->directory) == 0 &&
        now.first_segment + 1 < older->header.start.segment)
        hf_model_contradict(crash->model, "segment %llu is still there, %llu is the first needed",
                            (unsigned long long)now.first_segment,
                            (unsigned long long)older->header.start.segment);
}

/* ---- the next one ---- */

static uint64_t retain_s(const struct hf_crash *crash)
{
    return crash->retain_s != 0 ? crash->retain_s : DEFAULT_RETAIN_NS / HF_NS_PER_S;
}

uint64_t hf_crash_retain_ns(const struct hf_crash *crash)
{
    return retain_s(crash) * HF_NS_PER_S;
}

/* Of a command line. */
struct words {
    const char *words[24];
    unsigned count;
};

static void add_option(struct words *words, const char *name, const char *value)
{
    words->words[words->count++] = name;
    words->words[words->count++] = value;
}

static const char *any_of(struct hf_crash *crash, const char *const values[4])
{
    return values[hf_random_below(&crash->random, 4)];
}

/* Snapshots are due after a second, or a MiB of log, or both, or when they are asked for; and made
 * fast, or so slowly that they are still being made when the end comes. Mostly there is an archive,
 * whose command fails now and then. */
static void server_options(struct hf_crash *crash, struct hf_daemon_options *options)
{
    static char retain[16];
    static struct words extra;
    static const char *const workers[] = {"1", "2", "3", "8"};
    static const char *const afters[] = {"1048576", "1048576", "1048576", "never"};
    static const char *const rates[] = {"134217728", "134217728", "134217728", "4194304"};
    static const char *const ways[] = {"auto", "auto", "direct", "sync"};
    extra = (struct words){.count = 0};
    snprintf(retain, sizeof retain, "%llus", (unsigned long long)retain_s(crash));
    add_option(&extra, "--segment-bytes", "1048576");
    add_option(&extra, "--retain", retain);
    add_option(&extra, "--workers", any_of(crash, workers));
    add_option(&extra, "--snapshot-after", any_of(crash, afters));
    add_option(&extra, "--snapshot-rate", any_of(crash, rates));
    add_option(&extra, "--log-writes",
               crash->options.log_writes ? crash->options.log_writes : any_of(crash, ways));
    if (hf_random_below(&crash->random, 4) != 0)
        add_option(&extra, "--snapshot-every", "1s");
    crash->archives = hf_random_below(&crash->random, 3) != 0;
    hf_archive_set_failing(&crash->archive, hf_random_below(&crash->random, 8) == 0);
    if (crash->archives)
        add_option(&extra, "--archive-command", crash->archive.command);
    *options = (struct hf_daemon_options){.program = crash->program,
                                          .directory = crash->directory,
                                          .listen = crash->listen,
                                          .extra = extra.words};
}

uint64_t hf_crash_acknowledged_lsn(const struct hf_crash *crash)
{
    uint64_t plain = hf_model_figures(crash->model)->lsn;
    return plain > crash->witness.figures.lsn ? plain : crash->witness.figures.lsn;
}

static void tell_clock(struct hf_crash *crash)
{
    struct hf_reply reply;
    uint64_t asked_ns = hf_monotonic_now_ns();
    hf_crash_call(crash, HF_OP_INFO, 0, &reply);
    hf_witness_begin_run(&crash->witness, reply.info.now_ns, asked_ns, hf_monotonic_now_ns());
}

/* Launches the server and kills it on its way, at a random time or at a moment. */
static void start_in_vain(struct hf_crash *crash, const struct hf_daemon_options *options)
{
    static const enum hf_moment moments[] = {HF_MOMENT_NEVER, HF_MOMENT_NEVER,
                                             HF_MOMENT_SNAPSHOT_BEGUN, HF_MOMENT_SEGMENT_RECYCLED};
    uint64_t until_ns =
        hf_monotonic_now_ns() + hf_random_below(&crash->random, 60000) * HF_NS_PER_US;
    if (hf_daemon_launch(&crash->server, options) == 0) {
        hf_aim_at(crash->aim, crash->server.pid, moments[hf_random_below(&crash->random, 4)],
                  random_delay_ns(crash));
        while (hf_monotonic_now_ns() < until_ns && !hf_aim_met(crash->aim))
            hf_crash_pump(crash, 1);
    }
    hf_aim_rest(crash->aim);
    kill_server(crash);
    crash->counts.interrupted_starts++;
}

void hf_crash_start_server(struct hf_crash *crash, uint64_t *gone_ns)
{
    struct hf_daemon_options options;
    struct hf_kept kept = {0};
    uint64_t began_ns = hf_monotonic_now_ns();
    server_options(crash, &options);
    while (crash->cycle > 0 && hf_random_below(&crash->random, 8) == 0 && !hf_crash_failed(crash)) {
        start_in_vain(crash, &options);
        *gone_ns = hf_monotonic_now_ns();
    }
    if (!hf_crash_failed(crash))
        look_at_directory(crash, &kept);
    if (hf_crash_failed(crash))
        return;
    damage_snapshot(crash, &kept);
    take_basis(crash, &kept);
    if (hf_daemon_start(&crash->server, &options) < 0)
        hf_model_contradict(crash->model, "%s", crash->server.error);
    else if (crash->server.recovery.lsn < hf_crash_acknowledged_lsn(crash))
        hf_model_contradict(crash->model, "recovered up to LSN %llu, but %llu was acknowledged",
                            (unsigned long long)crash->server.recovery.lsn,
                            (unsigned long long)hf_crash_acknowledged_lsn(crash));
    if (!hf_crash_failed(crash))
        check_start(crash, &kept);
    if (!hf_crash_failed(crash))
        tell_clock(crash);
    crash->durations.start_ns += hf_monotonic_now_ns() - began_ns;
}
