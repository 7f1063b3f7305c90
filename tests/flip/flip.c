/*
 * The flip test: a small log, written by real processes, of which every byte is flipped, one at a
 * time, and recovered from. No flip may lead to another state than the log's own without a word.
 *
 *   flip --programs BUILDDIR [--every N] [--workers N] [--seed N] [--keep]
 *
 * The log is told in story.h. It is read as it is, and as it would be if some of it were no longer
 * there, so that everything is needed in some view:
 *   all of it                          the newest snapshot is read, and the log behind it
 *   without the newest snapshot        the older one, and the log behind it
 *   without snapshots                  the whole log
 *   nothing that may be released       the newest snapshot alone, and the log behind it
 *
 * What must come of a flip is known beforehand, by where the byte stands:
 *   a segment's header                 refusal
 *   a block that is attested           refusal: a later block, or the snapshot that was read, says
 *                                      that it was durable
 *   a block that nobody attests        it is cut, with all behind it, and told: the state is that
 *                                      before it. Such are the newest blocks only: it may just as
 *                                      well be a write that was in flight
 *   zeros behind the last block        the same; the state is that of the whole log
 *   the snapshot that is to be read    what was before it is read instead, and that is told; the state
 *                                      is the same. Refusal, if nothing was before it
 *   what is not read in this view      nothing; the state is the same
 * A refusal names the file and the place. "Attested" is defined by the log itself: block q is, if the
 * last block's commit_sequence is q or more, or if its first record has an LSN up to the snapshot's
 * last_lsn.
 *
 * Recoveries are made in memory (attempt.h), as there are a million of them. Some flips are made to
 * real files, too, and a real server is started on them: it must do the same.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "tests/flip/map.h"
#include "tests/flip/onfile.h"
#include "tests/flip/story.h"
#include "tests/lib/process.h"
#include "tests/lib/stress.h"

#define DEFAULT_EVERY  211 /* places */
#define MAX_WORKERS    64
#define UNREAD_SAMPLES 64 /* places that are not read, of one file in one view, at most */

struct options {
    const char *programs;
    unsigned every, workers;
    unsigned behind;  /* places of zeros, of one file in one view, at most */
    unsigned on_file; /* flips that a real server meets */
    uint64_t seed;
    bool keep;
};

/* Shared by all workers; each adds to it at its end. */
struct figures {
    uint64_t flips[HF_MAP_AREA_COUNT][HF_MAP_END_COUNT];
    uint64_t on_file;
    uint64_t wrong;
};

struct flip {
    struct options options;
    struct hf_still still;
    struct hf_map map;
    char directory[HF_DIRECTORY_TEXT_BYTES], program[HF_PROGRAM_TEXT_BYTES];
    struct figures *figures;
    struct hf_random random; /* of this worker */
    unsigned worker;
    bool counting;          /* nothing is flipped yet */
    uint64_t turn;          /* of places: every worker takes its own */
    uint64_t on_file_every; /* turns */
};

/* ---- one flip ---- */

static void tell_wrong(struct flip *flip, enum hf_map_view view, struct hf_map_place place,
                       uint8_t mask, const struct hf_map_expected *expected, const char *wrong)
{
    __atomic_add_fetch(&flip->figures->wrong, 1, __ATOMIC_RELAXED);
    printf("flip: %s of %s, byte %llu ^ %02x (%s), must be %s: %s\n", hf_map_view_text(view),
           flip->still.files[place.file].name, (unsigned long long)place.offset, mask,
           hf_map_area_text(expected->area), hf_map_end_text(expected->end), wrong);
    fflush(stdout);
}

static void flip_bits(struct flip *flip, enum hf_map_view view, struct hf_map_place place,
                      uint8_t mask, bool on_file)
{
    struct hf_map_expected expected;
    struct hf_attempt attempt;
    uint8_t *byte = flip->still.files[place.file].bytes + place.offset;
    hf_map_expect(&flip->map, view, place, &expected);
    *byte ^= mask;
    hf_attempt_make(&attempt, &flip->still);
    const char *wrong = hf_map_judge(&expected, &attempt);
    if (wrong == NULL && on_file) {
        wrong = hf_onfile_check(flip->program, &flip->still, &expected);
        __atomic_add_fetch(&flip->figures->on_file, 1, __ATOMIC_RELAXED);
    }
    *byte ^= mask;
    __atomic_add_fetch(&flip->figures->flips[expected.area][expected.end], 1, __ATOMIC_RELAXED);
    if (wrong != NULL)
        tell_wrong(flip, view, place, mask, &expected, wrong);
}

/* One bit; of headers, when every place is met, each bit once. */
static void flip_place(struct flip *flip, enum hf_map_view view, struct hf_map_place place)
{
    struct hf_map_expected expected;
    uint64_t turn = flip->turn++;
    if (flip->counting || turn % flip->options.workers != flip->worker)
        return;
    hf_map_expect(&flip->map, view, place, &expected);
    bool on_file = turn % flip->on_file_every < flip->options.workers;
    if (flip->options.every == 1 && expected.area == HF_MAP_BLOCK_HEADER)
        for (unsigned bit = 0; bit < 8; bit++)
            flip_bits(flip, view, place, (uint8_t)(1u << bit), false);
    else
        flip_bits(flip, view, place, (uint8_t)(1u << hf_random_below(&flip->random, 8)), on_file);
}

/* ---- all of them ---- */

/* One place of each `every`, from `first` to `end`. */
static void flip_range(struct flip *flip, enum hf_map_view view, uint32_t file, uint64_t first,
                       uint64_t end, uint64_t every, struct hf_random *choice)
{
    for (uint64_t offset = first; offset < end; offset += every) {
        uint64_t left = end - offset, span = left < every ? left : every;
        uint64_t at = offset + hf_random_below(choice, (uint32_t)span);
        flip_place(flip, view, (struct hf_map_place){file, at});
    }
}

static uint64_t least_stride(uint64_t bytes, uint64_t every, uint64_t samples)
{
    uint64_t stride = bytes / samples + 1;
    return stride > every ? stride : every;
}

/* The whole log is read in two views; in one of them every place is met, in the other some. */
static void flip_file(struct flip *flip, enum hf_map_view view, uint32_t file,
                      struct hf_random *choice)
{
    struct hf_map_expected expected;
    uint64_t used = hf_map_used_bytes(&flip->map, file), every = flip->options.every;
    uint64_t size = flip->still.files[file].file_bytes;
    hf_map_expect(&flip->map, view, (struct hf_map_place){file, 0}, &expected);
    if (expected.end == HF_MAP_SAME)
        every = least_stride(used, every, UNREAD_SAMPLES);
    else if (view == HF_MAP_LOG)
        every *= 16;
    flip_range(flip, view, file, 0, used, every, choice);
    flip_range(flip, view, file, used, size, least_stride(size, every, flip->options.behind),
               choice);
}

static void meet_places(struct flip *flip)
{
    /* The same for all workers, so that they share the places out. */
    struct hf_random choice = hf_random_for(flip->options.seed, 0);
    flip->turn = 0;
    for (unsigned view = 0; view < HF_MAP_VIEW_COUNT; view++) {
        hf_map_show(&flip->map, view);
        for (uint32_t file = 0; file < flip->still.file_count; file++)
            if (!flip->still.files[file].absent)
                flip_file(flip, view, file, &choice);
    }
}

static void work(struct flip *flip)
{
    flip->random = hf_random_for(flip->options.seed, 1 + flip->worker);
    flip->counting = true;
    meet_places(flip);
    flip->on_file_every = flip->turn / flip->options.on_file * flip->options.workers + 1;
    flip->counting = false;
    meet_places(flip);
}

/* True if all workers came to their end. */
static bool run_workers(struct flip *flip)
{
    bool ended = true;
    fflush(stdout);
    for (flip->worker = 0; flip->worker < flip->options.workers; flip->worker++) {
        pid_t child = fork();
        HF_CHECK(child >= 0);
        if (child == 0) {
            HF_CHECK(hf_attempt_catch_messages() == 0);
            work(flip);
            _exit(0);
        }
    }
    for (unsigned i = 0; i < flip->options.workers; i++) {
        int status = 0;
        HF_CHECK(wait(&status) > 0);
        ended &= status == 0;
    }
    return ended;
}

/* ---- the whole ---- */

static void print_figures(const struct flip *flip)
{
    uint64_t sum[HF_MAP_END_COUNT] = {0}, all = 0;
    for (unsigned area = 0; area < HF_MAP_AREA_COUNT; area++) {
        printf("flip: %-16s", hf_map_area_text(area));
        for (unsigned end = 0; end < HF_MAP_END_COUNT; end++) {
            uint64_t count = flip->figures->flips[area][end];
            printf(" %s %llu%s", hf_map_end_text(end), (unsigned long long)count,
                   end + 1 < HF_MAP_END_COUNT ? "," : "\n");
            sum[end] += count;
            all += count;
        }
    }
    printf("flip: flips=%llu refused=%llu fallback=%llu cut=%llu not_read=%llu on_file=%llu "
           "wrong=%llu %s\n",
           (unsigned long long)all, (unsigned long long)sum[HF_MAP_REFUSED],
           (unsigned long long)sum[HF_MAP_FALLBACK], (unsigned long long)sum[HF_MAP_CUT],
           (unsigned long long)sum[HF_MAP_SAME], (unsigned long long)flip->figures->on_file,
           (unsigned long long)flip->figures->wrong, flip->figures->wrong == 0 ? "ok" : "FAILED");
}

/* The log, in memory, and what stands where. */
static bool take_in(struct flip *flip)
{
    if (hf_directory_make(flip->directory) != 0 ||
        hf_story_write(flip->directory, flip->options.seed) != 0) {
        fprintf(stderr, "flip: cannot write a log\n");
        return false;
    }
    HF_CHECK(hf_still_open(&flip->still, flip->directory) == 0);
    HF_CHECK(hf_attempt_catch_messages() == 0);
    const char *wrong = hf_map_open(&flip->map, &flip->still);
    if (wrong != NULL) {
        printf("flip: %s\n", wrong);
        return false;
    }
    printf("flip: seed %llu, log in %s: LSN %llu in %u blocks, attested up to %llu of %llu; "
           "snapshots up to LSN %llu and %llu; of each %u bytes one\n",
           (unsigned long long)flip->options.seed, flip->directory,
           (unsigned long long)flip->map.last_lsn, flip->map.block_count,
           (unsigned long long)flip->map.attested_sequence,
           (unsigned long long)flip->map.blocks[flip->map.block_count - 1].header.sequence,
           (unsigned long long)flip->map.older.last_lsn,
           (unsigned long long)flip->map.newest.last_lsn, flip->options.every);
    return true;
}

static bool parse_options(int argc, char **argv, struct options *options)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    *options = (struct options){.programs = "build",
                                .every = DEFAULT_EVERY,
                                .workers = cores > 0 && cores < MAX_WORKERS ? (unsigned)cores : 1,
                                .seed = hf_date_now_ns() >> 20};
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--keep") == 0) {
            options->keep = true;
            continue;
        }
        if (value == NULL)
            return false;
        if (strcmp(argv[i], "--programs") == 0)
            options->programs = value;
        else if (strcmp(argv[i], "--every") == 0)
            options->every = (unsigned)strtoul(value, NULL, 10);
        else if (strcmp(argv[i], "--workers") == 0)
            options->workers = (unsigned)strtoul(value, NULL, 10);
        else if (strcmp(argv[i], "--seed") == 0)
            options->seed = strtoull(value, NULL, 10);
        else
            return false;
        i++;
    }
    options->behind = options->every == 1 ? 4096 : 64;
    options->on_file = options->every == 1 ? 300 : 30;
    return options->every > 0 && options->workers > 0 && options->workers <= MAX_WORKERS;
}

int main(int argc, char **argv)
{
    struct flip flip = {0};
    if (!parse_options(argc, argv, &flip.options)) {
        fprintf(stderr,
                "usage: flip --programs BUILDDIR [--every N] [--workers N] [--seed N] [--keep]\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    snprintf(flip.program, sizeof flip.program, "%s/holdfastd", flip.options.programs);
    flip.figures =
        mmap(NULL, sizeof *flip.figures, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    HF_CHECK(flip.figures != MAP_FAILED);
    bool ended = take_in(&flip) && run_workers(&flip);
    bool right = ended && flip.figures->wrong == 0;
    if (ended)
        print_figures(&flip);
    else
        printf("flip: FAILED: a worker ended early; again with --seed %llu\n",
               (unsigned long long)flip.options.seed);
    if (flip.options.keep || !right)
        printf("flip: the log stays in %s\n", flip.directory);
    else
        hf_directory_remove(flip.directory);
    hf_map_close(&flip.map);
    hf_still_close(&flip.still);
    return right ? 0 : 1;
}
