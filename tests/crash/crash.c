/*
 * The crash test: kills the server under load, again and again over the same data, and checks after
 * each restart everything that the clients were ever told.
 *
 *   crash --cycles N --programs BUILDDIR [--seed N] [--dir DIR] [--keep]
 *         [--log-writes auto|direct|sync] [--snapshot-damage N]
 *
 * One cycle: eight clients load the server, with two loads at once on different inventories.
 *   plain     reserves and cancels, on three hot inventories that are mostly sold out and on two
 *             hundred others; with repeats, reused ids, the same id on two connections at once,
 *             lookups of what is in flight. tests/lib/model.h knows from outside what is right.
 *   bookings  all operations (tests/lib/bookings.h): holds that lapse under load and while nobody
 *             runs, confirms, extensions, changes, moves, waiting lists with offers, batches,
 *             settings changed while units are sold. tests/lib/witness.h holds all that was told
 *             against the log.
 * The segments are of 1 MiB, and snapshots are due after a second or a MiB of log: so in most cycles
 * segments are filled, snapshots made, and old segments released and prepared anew; most servers
 * have an archive, in which what they have released must be (archive.h). All that is released was
 * read before (annals.h).
 *
 * At a random moment, right behind a burst of requests, SIGKILL; or at a moment that shows in the
 * directory: a snapshot is being made, has its name, a segment is released, ... (aim.h). Every few
 * cycles SIGTERM, which must end with exit status 0. Half of the clients stay and reconnect by
 * themselves, the others are closed and leave unknowns. Every snapshot must be right, and true of the
 * log (basis.h). In every N-th cycle the newest is damaged. The server is started again, now and then
 * killed once more while it recovers, now and then with a retention of a few seconds; how it writes
 * its log changes as well, if --log-writes does not fix it. Then
 *   1. it has begun with the newest snapshot that is right, and told of one that is not;
 *   2. all unknowns are resolved, by repeating the request or by looking its ids up;
 *   3. the cycle as a whole is judged, by the model and by the witness, and every new record by the
 *      ledger of holdfast-wal (proof.h);
 *   4. every id of the cycle, and a sample of older ones (at the end: all), is looked up;
 *   5. once nothing moves, every inventory's sums are compared with those of the clients and of the
 *      log, nobody may wait for units that are free, and no lapsed hold may stand;
 *   6. the live state hash is compared with that of the log from its first record on, which two
 *      others compute, and with the one that holdfast-wal finds in the directory.
 *
 * What SIGKILL cannot show: that something was not synced. The kernel keeps what it was given.
 *
 * The moments are random, so a seed repeats the choices but not the interleaving.
 */
#include "tests/crash/crash.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"

#define WIDE_INVENTORIES  200
#define PROGRESS_PERIOD_S 10
#define DAMAGE_EVERY      7 /* cycles */

static volatile sig_atomic_t interrupted;

const char *hf_crash_violation(const struct hf_crash *crash)
{
    const char *violation = hf_model_violation(crash->model);
    return violation ? violation : hf_witness_violation(&crash->witness);
}

bool hf_crash_failed(const struct hf_crash *crash)
{
    return hf_crash_violation(crash) != NULL || interrupted;
}

static void on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

static void run_cycle(struct hf_crash *crash)
{
    uint32_t first = hf_model_reservation_count(crash->model);
    uint64_t gone_ns, began_ns, cycle_began_ns = hf_monotonic_now_ns();
    hf_crash_take_aim(crash);
    hf_crash_load(crash);
    if (hf_crash_failed(crash))
        return;
    began_ns = hf_monotonic_now_ns();
    gone_ns = hf_crash_end_server(crash);
    crash->durations.stop_ns += hf_monotonic_now_ns() - began_ns;
    if (!hf_crash_failed(crash))
        hf_crash_start_server(crash, &gone_ns);
    if (!hf_crash_failed(crash))
        hf_crash_resolve(crash);
    if (hf_crash_failed(crash))
        return;
    hf_model_settle(crash->model, gone_ns);
    if (!hf_crash_failed(crash))
        hf_crash_look_up_ids(crash, first, false);
    if (!hf_crash_failed(crash))
        hf_crash_check_at_rest(crash);
    crash->latest_ns = hf_monotonic_now_ns() - cycle_began_ns;
}

/* ---- the whole ---- */

static void first_start(struct hf_crash *crash)
{
    uint64_t gone_ns = 0;
    unsigned port = hf_port_find();
    snprintf(crash->listen, sizeof crash->listen, "127.0.0.1:%u", port);
    for (unsigned i = 0; i < HF_CRASH_CLIENTS; i++)
        hf_crash_open_client(crash, i);
    hf_witness_end_run(&crash->witness, hf_crash_retain_ns(crash));
    hf_crash_start_server(crash, &gone_ns);
    if (hf_crash_failed(crash))
        return;
    struct hf_asking *asking;
    while ((asking = hf_bookings_set_up(&crash->bookings)) != NULL) {
        hf_crash_submit_booking(crash, 0, asking); /* each before the next, and before any sale */
        hf_crash_finish_requests(crash);
    }
    for (unsigned i = 0; i < HF_CRASH_HOT_INVENTORIES; i++)
        hf_crash_ask_inventory(crash, 8u << (2 * i));
    for (unsigned i = 0; i < WIDE_INVENTORIES; i++)
        hf_crash_ask_inventory(crash, hf_crash_between(crash, 20, 1000));
    hf_crash_resolve(crash); /* until all of them are created */
    if (!hf_crash_failed(crash))
        hf_model_settle(crash->model, 0);
}

/* Everything once more; a clean stop; and the log of a server that does not run. */
static void last_checks(struct hf_crash *crash)
{
    hf_crash_look_up_ids(crash, 0, true);
    if (hf_crash_failed(crash))
        return;
    uint64_t live = hf_crash_check_at_rest(crash);
    if (hf_crash_failed(crash))
        return;
    uint64_t rested_lsn = crash->witness.annals.last_lsn;
    hf_crash_stop_server(crash);
    uint64_t stopped = hf_crash_judge_log(crash);
    if (live != stopped && crash->witness.annals.last_lsn == rested_lsn)
        hf_model_contradict(crash->model, "SAME-STATE: %016llx before the last stop, %016llx after",
                            (unsigned long long)live, (unsigned long long)stopped);
}

static double seconds(uint64_t duration_ns)
{
    return (double)duration_ns / (double)HF_NS_PER_S;
}

static unsigned long long done(const struct hf_crash *crash, enum hf_operation operation)
{
    return crash->witness.figures.by_operation[operation];
}

static void print_bookings(const struct hf_crash *crash)
{
    const struct hf_witness_figures *figures = &crash->witness.figures;
    printf("crash: bookings: requests=%llu yes=%llu no=%llu unknown=%llu repeated=%llu resent=%llu "
           "records=%llu reserved=%llu held=%llu joined=%llu confirmed=%llu released=%llu "
           "cancelled=%llu extended=%llu changed=%llu moved=%llu left=%llu expired=%llu "
           "offers=%llu reacquired=%llu batches=%llu batch_records=%llu settings=%llu "
           "forgotten=%llu short_retentions=%u\n",
           (unsigned long long)figures->requests, (unsigned long long)figures->yes,
           (unsigned long long)figures->no, (unsigned long long)figures->unknown,
           (unsigned long long)figures->repeated, (unsigned long long)figures->resent,
           (unsigned long long)figures->records, done(crash, HF_OP_RESERVE),
           done(crash, HF_OP_HOLD), done(crash, HF_OP_JOIN), done(crash, HF_OP_CONFIRM),
           done(crash, HF_OP_RELEASE), done(crash, HF_OP_CANCEL), done(crash, HF_OP_EXTEND),
           done(crash, HF_OP_CHANGE), done(crash, HF_OP_MOVE), done(crash, HF_OP_LEAVE),
           (unsigned long long)figures->expired, (unsigned long long)figures->offers,
           (unsigned long long)figures->reacquired, (unsigned long long)figures->batches,
           (unsigned long long)figures->batch_records, (unsigned long long)figures->settings,
           (unsigned long long)figures->forgotten, crash->counts.short_retentions);
}

/* How often a server was killed at each moment; and what became of files. */
static void print_files(const struct hf_crash *crash)
{
    struct hf_sights sights;
    hf_aim_sights(crash->aim, &sights);
    printf("crash: moments:");
    for (unsigned i = HF_MOMENT_NEVER + 1; i < HF_MOMENT_COUNT; i++)
        printf("%s %u when %s", i == HF_MOMENT_NEVER + 1 ? "" : ",", crash->counts.met[i],
               hf_moment_text(i));
    printf("\ncrash: files: snapshots=%llu from_snapshot=%u damaged=%u segments=%llu released=%llu "
           "recycled=%llu archived=%llu most_segments=%u aimed_kills=%u\n",
           (unsigned long long)sights.count[HF_MOMENT_SNAPSHOT_NAMED], crash->counts.from_snapshot,
           crash->counts.damaged, (unsigned long long)sights.count[HF_MOMENT_SEGMENT_NAMED],
           (unsigned long long)(sights.segments_removed + sights.count[HF_MOMENT_SEGMENT_RECYCLED]),
           (unsigned long long)sights.count[HF_MOMENT_SEGMENT_RECYCLED],
           (unsigned long long)crash->archive.checked, crash->counts.most_segments,
           crash->counts.aimed_kills);
}

static void print_figures(const struct hf_crash *crash, const char *verdict)
{
    const struct hf_model_figures *figures = hf_model_figures(crash->model);
    const struct hf_witness_figures *bookings = &crash->witness.figures;
    print_bookings(crash);
    print_files(crash);
    printf("crash: cycles=%u acknowledged=%llu refused=%llu unknown=%llu repeated=%llu reused=%llu "
           "resent=%llu lost=%u kills=%u stops=%u interrupted_starts=%u lsn=%llu %s\n",
           crash->cycle, (unsigned long long)(figures->grants + figures->cancels + bookings->yes),
           (unsigned long long)(figures->refusals + bookings->no),
           (unsigned long long)(figures->unknown + bookings->unknown),
           (unsigned long long)(figures->repeats + bookings->repeated),
           (unsigned long long)figures->reuses,
           (unsigned long long)(figures->resent + bookings->resent),
           hf_crash_violation(crash) ? 1u : 0u, crash->counts.kills, crash->counts.stops,
           crash->counts.interrupted_starts, (unsigned long long)hf_crash_acknowledged_lsn(crash),
           verdict);
    fflush(stdout);
}

static void run_cycles(struct hf_crash *crash)
{
    uint64_t began_ns = hf_monotonic_now_ns(), told_ns = began_ns;
    first_start(crash);
    while (crash->cycle < crash->options.cycles && !hf_crash_failed(crash)) {
        run_cycle(crash);
        if (hf_crash_failed(crash))
            break;
        crash->cycle++;
        if (hf_monotonic_now_ns() - told_ns < PROGRESS_PERIOD_S * HF_NS_PER_S)
            continue;
        told_ns = hf_monotonic_now_ns();
        printf("crash: %u of %u cycles in %.0f s (load %.0f, stop %.0f, start %.0f, resolve %.0f, "
               "look up %.0f, verify %.0f), LSN %llu\n",
               crash->cycle, crash->options.cycles, seconds(told_ns - began_ns),
               seconds(crash->durations.load_ns), seconds(crash->durations.stop_ns),
               seconds(crash->durations.start_ns), seconds(crash->durations.resolve_ns),
               seconds(crash->durations.lookup_ns), seconds(crash->durations.verify_ns),
               (unsigned long long)hf_crash_acknowledged_lsn(crash));
        fflush(stdout);
    }
    if (!hf_crash_failed(crash))
        last_checks(crash);
}

/* Tells the outcome. Returns the exit status. */
static int conclude(struct hf_crash *crash)
{
    const char *violation = hf_crash_violation(crash);
    bool keep = crash->options.keep || violation;
    char messages[4096];
    if (violation) {
        hf_daemon_messages(&crash->server, messages, sizeof messages);
        printf("crash: cycle %u: %s\n", crash->cycle, violation);
        if (messages[0])
            printf("crash: the server said: %s\n", messages);
        printf("crash: run again with --seed %llu\n", (unsigned long long)crash->options.seed);
    }
    hf_daemon_forget(&crash->server);
    if (keep)
        printf("crash: the data stay in %s: see holdfast-wal dump, and history of what is named\n",
               crash->directory);
    else
        hf_directory_remove(crash->directory);
    hf_archive_close(&crash->archive);
    print_figures(crash, violation ? "FAILED" : interrupted ? "interrupted" : "ok");
    return violation || interrupted ? 1 : 0;
}

static int usage(void)
{
    fprintf(stderr, "usage: crash --cycles N --programs BUILDDIR [--seed N] [--dir DIR]\n"
                    "             [--snapshot-damage N] [--keep]\n");
    return 2;
}

static bool parse_options(int argc, char **argv, struct hf_crash_options *options)
{
    *options = (struct hf_crash_options){
        .cycles = 20, .programs = "build", .seed = hf_date_now_ns(), .damage_every = DAMAGE_EVERY};
    for (int i = 1; i < argc; i++) {
        char *end = NULL;
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--keep") == 0) {
            options->keep = true;
            continue;
        }
        if (!value)
            return false;
        if (strcmp(argv[i], "--cycles") == 0)
            options->cycles = (unsigned)strtoul(value, &end, 10);
        else if (strcmp(argv[i], "--seed") == 0)
            options->seed = strtoull(value, &end, 10);
        else if (strcmp(argv[i], "--snapshot-damage") == 0)
            options->damage_every = (unsigned)strtoul(value, &end, 10);
        else if (strcmp(argv[i], "--programs") == 0)
            options->programs = value;
        else if (strcmp(argv[i], "--dir") == 0)
            options->directory = value;
        else if (strcmp(argv[i], "--log-writes") == 0)
            options->log_writes = value;
        else
            return false;
        if (end && (*end != '\0' || end == value))
            return false;
        i++;
    }
    return options->cycles > 0;
}

/* A new directory, or the given one, which must be empty: it is removed in the end. */
static bool make_directory(struct hf_crash *crash)
{
    if (!crash->options.directory)
        return hf_directory_make(crash->directory) == 0;
    snprintf(crash->directory, sizeof crash->directory, "%s", crash->options.directory);
    if (rmdir(crash->directory) < 0 && errno != ENOENT)
        return false;
    return mkdir(crash->directory, 0700) == 0;
}

static void open_parts(struct hf_crash *crash)
{
    const char *programs = crash->options.programs;
    crash->random = hf_random_for(crash->options.seed, 0);
    crash->model = hf_model_open();
    hf_bookings_open(&crash->bookings, &crash->witness, crash->options.seed);
    hf_proof_open(&crash->proof);
    crash->witness.annals.on_block = hf_proof_block;
    crash->witness.annals.context = &crash->proof;
    hf_basis_open(&crash->basis, &crash->witness.annals);
    HF_CHECK(hf_aim_open(&crash->aim, crash->directory) == 0);
    HF_CHECK(hf_archive_open(&crash->archive, crash->directory) == 0);
    snprintf(crash->program, sizeof crash->program, "%s/holdfastd", programs);
    snprintf(crash->wal_program, sizeof crash->wal_program, "%s/holdfast-wal", programs);
}

static void close_parts(struct hf_crash *crash)
{
    for (unsigned i = 0; i < HF_CRASH_CLIENTS; i++)
        if (crash->clients[i])
            hf_client_close(crash->clients[i]);
    hf_aim_close(crash->aim);
    hf_basis_close(&crash->basis);
    hf_proof_close(&crash->proof);
    hf_model_close(crash->model);
    hf_bookings_close(&crash->bookings);
    hf_witness_close(&crash->witness);
    free(crash);
}

int main(int argc, char **argv)
{
    struct hf_crash *crash = calloc(1, sizeof *crash);
    HF_CHECK(crash);
    if (!parse_options(argc, argv, &crash->options)) {
        free(crash);
        return usage();
    }
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    signal(SIGPIPE, SIG_IGN);
    if (!make_directory(crash)) {
        fprintf(stderr, "crash: cannot make an empty directory %s: %s\n", crash->directory,
                strerror(errno));
        free(crash);
        return 2;
    }
    open_parts(crash);
    printf("crash: %u cycles, seed %llu, data in %s\n", crash->options.cycles,
           (unsigned long long)crash->options.seed, crash->directory);
    fflush(stdout);
    run_cycles(crash);
    int status = conclude(crash);
    close_parts(crash);
    return status;
}
