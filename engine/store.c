/* The store: see store.h. */
#include "engine/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/replay.h"
#include "engine/waiting.h"

#define EXIT_LOG_FAILED 70 /* EX_SOFTWARE of sysexits.h */

static void end_process(void *context, const char *text)
{
    (void)context;
    fprintf(stderr, "holdfast: %s\n", text);
    _exit(EXIT_LOG_FAILED);
}

/* What the log calls back with. */
struct recovery {
    struct hf_replay *replay;
    struct hf_store_phases *phases;
};

static const char *replay_records(void *context, const uint8_t *records, uint32_t count,
                                  uint32_t *fault)
{
    const struct recovery *recovery = context;
    uint64_t started_ns = hf_monotonic_now_ns();
    const char *reason = hf_replay_apply_all(recovery->replay, records, count, fault);
    recovery->phases->replay_ns += hf_monotonic_now_ns() - started_ns;
    return reason;
}

static const char *restore_records(void *context, const uint8_t *records, uint32_t count,
                                   uint64_t log_time_ns, uint32_t *fault)
{
    const struct recovery *recovery = context;
    uint64_t started_ns = hf_monotonic_now_ns();
    const char *reason =
        hf_replay_restore_all(recovery->replay, records, count, log_time_ns, fault);
    recovery->phases->replay_ns += hf_monotonic_now_ns() - started_ns;
    return reason;
}

static const char *end_replay(void *context, uint64_t epoch)
{
    const struct recovery *recovery = context;
    recovery->replay->epoch = epoch;
    uint64_t started_ns = hf_monotonic_now_ns();
    const char *reason = hf_replay_finish(recovery->replay);
    recovery->phases->derive_ns = hf_monotonic_now_ns() - started_ns;
    return reason;
}

static int explain_region(int result, const struct hf_store_options *options, char *error)
{
    if (result == -EINVAL)
        snprintf(error, HF_LOG_ERROR_BYTES,
                 "--max-inventories must be 1 .. 16777216 and --max-reservations 1 .. 2147418112");
    else
        snprintf(error, HF_LOG_ERROR_BYTES,
                 "cannot map memory for %u inventories and %u reservations: %s; choose a smaller "
                 "--max-reservations",
                 options->max_inventories, options->max_reservations, strerror(-result));
    return result;
}

/* Opens the log, replaying it into the region. */
static int recover(struct hf_store *store, const struct hf_store_options *options,
                   struct hf_replay *replay, char *error)
{
    struct recovery recovery = {.replay = replay, .phases = &store->phases};
    struct hf_log_options log_options = {
        .directory = options->directory,
        .io = options->io,
        .segment_bytes = options->segment_bytes,
        .ring_slots = options->ring_slots,
        .writes_inflight = options->writes_inflight,
        .archive_command = options->archive_command,
        .log_writes = options->log_writes,
        .durability = options->durability,
        .manual = options->manual,
        .on_failure = options->on_failure != NULL ? options->on_failure : end_process,
        .failure_context = options->failure_context,
        .progress = options->progress,
        .replay = replay_records,
        .restore = restore_records,
        .replay_end = end_replay,
        .replay_context = &recovery,
    };
    uint64_t started_ns = hf_monotonic_now_ns();
    int result = hf_log_open(&store->log, &log_options, error);
    if (result != 0)
        return result;
    store->recovered_reservations = replay->reservations;
    store->recovery_ns = hf_monotonic_now_ns() - started_ns - store->log.disk.probe_ns;
    store->phases.read_ns = store->recovery_ns - store->phases.replay_ns - store->phases.derive_ns;
    return 0;
}

/* The engine of the recovered region. Units that came free before the crash, and were not offered
 * yet, are offered before anyone is served. */
static int start_engine(struct hf_store *store, const struct hf_store_options *options,
                        const struct hf_replay *replay)
{
    struct hf_actor actor;
    uint64_t started_ns = hf_monotonic_now_ns();
    int result = hf_engine_init(&store->engine, replay->region, options->retain_ns,
                                hf_server_clock_now_ns(&store->log.clock));
    if (result != 0)
        return result;
    if (!hf_replay_start_engine(replay, &store->engine) ||
        hf_actor_init(&actor, &store->engine, &store->log.ring) != 0) {
        hf_engine_close(&store->engine);
        return -ENOMEM;
    }
    actor.now_ns = hf_server_clock_now_ns(&store->log.clock);
    hf_actor_enter(&actor);
    hf_waiting_serve_lists(&actor);
    hf_actor_exit(&actor);
    hf_actor_close(&actor);
    store->phases.start_ns = hf_monotonic_now_ns() - started_ns;
    return 0;
}

static int start_snapshotter(struct hf_store *store, const struct hf_store_options *options)
{
    struct hf_snapshotter_options snapshotter_options = {
        .engine = &store->engine,
        .log = &store->log,
        .directory = options->directory,
        .io = options->io,
        .log_bytes = options->snapshot_log_bytes,
        .interval_ns = options->snapshot_interval_ns,
        .rate = options->snapshot_rate,
        .copy_cells = options->snapshot_copy_cells,
        .manual = options->manual,
    };
    return hf_snapshotter_open(&store->snapshotter, &snapshotter_options);
}

int hf_store_open(struct hf_store **opened, const struct hf_store_options *given,
                  char error[HF_LOG_ERROR_BYTES])
{
    struct hf_store_options options = *given;
    if (options.max_inventories == 0)
        options.max_inventories = HF_DEFAULT_MAX_INVENTORIES;
    if (options.max_reservations == 0)
        options.max_reservations = HF_DEFAULT_MAX_RESERVATIONS;
    if (options.retain_ns == 0)
        options.retain_ns = HF_DEFAULT_RETAIN_NS;
    error[0] = '\0';

    struct hf_store *store = aligned_alloc(HF_CACHE_LINE_BYTES, sizeof *store);
    if (store == NULL) {
        snprintf(error, HF_LOG_ERROR_BYTES, "out of memory");
        return -ENOMEM;
    }
    memset(store, 0, sizeof *store);
    struct hf_region region;
    int result = hf_region_create(&region, options.max_inventories, options.max_reservations);
    if (result != 0) {
        explain_region(result, &options, error);
        goto free_store;
    }
    struct hf_replay replay;
    result = hf_replay_init(&replay, &region, options.retain_ns);
    if (result == 0)
        result = recover(store, &options, &replay, error);
    if (result != 0)
        goto close_replay;
    result = start_engine(store, &options, &replay);
    if (result != 0) {
        snprintf(error, HF_LOG_ERROR_BYTES, "cannot start the engine: %s", strerror(-result));
        hf_log_close(&store->log);
        goto close_replay;
    }
    hf_replay_close(&replay);
    memcpy(region.header->log_id, store->log.flusher.log_id, sizeof region.header->log_id);
    result = hf_region_publish(&region, options.directory);
    if (result != 0) {
        snprintf(error, HF_LOG_ERROR_BYTES, "cannot make the link %s/region: %s", options.directory,
                 strerror(-result));
        goto close_engine;
    }
    store->engine.region = region; /* with its link */
    result = start_snapshotter(store, &options);
    if (result != 0) {
        snprintf(error, HF_LOG_ERROR_BYTES, "cannot start the snapshots: %s", strerror(-result));
        goto close_engine;
    }
    store->started_at_ns = hf_server_clock_now_ns(&store->log.clock);
    *opened = store;
    return 0;

close_engine:
    hf_engine_close(&store->engine);
    hf_log_close(&store->log);
    goto close_region;
close_replay:
    hf_replay_close(&replay);
close_region:
    hf_region_close(&region);
free_store:
    free(store);
    return result;
}

void hf_store_request_snapshot(struct hf_store *store)
{
    hf_snapshotter_request(store->snapshotter);
}

static void describe_snapshots(struct hf_store *store, struct hf_status *status)
{
    struct hf_snapshotter_report report;
    hf_snapshotter_describe(store->snapshotter, &report);
    status->snapshot_under_way = report.running;
    status->snapshot_requested = report.requested;
    status->snapshots_made = report.made;
    status->snapshot_failures = report.failures;
    status->snapshot_error = report.last_error;
    status->snapshot_lsn = report.last_lsn;
    status->snapshot_made_at_ns = report.made_at_ns;
    status->snapshot_bytes = report.bytes;
    status->snapshot_duration_ns = report.duration_ns;
    status->snapshot_done_bytes = report.running ? report.done_bytes : 0;
    status->snapshot_expected_bytes = report.running ? report.expected_bytes : 0;
    status->bytes_since_snapshot = report.log_bytes;
    status->snapshots_kept = hf_load_relaxed(&store->log.snapshots_kept); /* a figure */
}

static void describe_disk(const struct hf_disk *disk, struct hf_status *status)
{
    bool direct = disk->writes == HF_LOG_WRITES_DIRECT;
    status->write_method = direct ? HF_WRITE_DIRECT : HF_WRITE_FDATASYNC;
    status->write_latency_ns = direct ? disk->direct_ns : disk->sync_ns;
}

static void describe_archive(const struct hf_archiver *archiver, struct hf_status *status)
{
    struct hf_archiver_status archive;
    hf_archiver_describe(archiver, &archive);
    status->archive_enabled = archive.enabled != 0;
    if (!status->archive_enabled)
        return;
    status->archived_segment = archive.segment;
    status->archive_waiting = archive.waiting_segments;
    status->archive_failures =
        archive.failures < UINT32_MAX ? (uint32_t)archive.failures : UINT32_MAX;
    status->archive_exit_status = (uint32_t)archive.failure_status;
    status->archived_at_ns = archive.succeeded_at_ns;
    memcpy(status->archive_failure, archive.failure_text, sizeof status->archive_failure - 1);
}

void hf_store_describe(struct hf_store *store, struct hf_status *status)
{
    struct hf_log *log = &store->log;
    const struct hf_log_recovery *recovery = &log->recovery;
    struct hf_log_start start;
    int storage_error = hf_segments_error(&log->segments);
    hf_flusher_segment_start(&log->flusher, &start);
    status->percent = 100;
    status->recovery_done_bytes = recovery->snapshot.bytes + recovery->bytes;
    status->recovery_total_bytes = status->recovery_done_bytes;
    status->recovered_records = recovery->snapshot_records + recovery->records;
    status->first_kept_segment = hf_segments_first(&log->segments);
    status->active_segment = start.segment;
    status->segment_bytes = log->segments.segment_bytes;
    status->kept_bytes =
        (start.segment - status->first_kept_segment + 1) * log->segments.segment_bytes;
    describe_disk(&log->disk, status);
    status->writes_inflight = log->flusher.writes_inflight;
    status->storage_full = storage_error != 0;
    status->storage_error = storage_error;
    describe_archive(log->archiver, status);
    describe_snapshots(store, status);
}

int hf_store_close(struct hf_store *store)
{
    hf_snapshotter_close(store->snapshotter);
    /* The link first: closing the log gives the directory to the next. */
    hf_region_unpublish(&store->engine.region);
    int result = hf_log_close(&store->log);
    hf_engine_close(&store->engine);
    hf_region_close(&store->engine.region);
    free(store);
    return result;
}
