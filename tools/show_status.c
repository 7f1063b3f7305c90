/* How a server is, for people and for programs. See show.h. */
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "tools/json.h"
#include "tools/show.h"

static const char *state_name(unsigned state)
{
    return state == HF_SERVER_RECOVERING ? "recovering"
           : state == HF_SERVER_READY    ? "ready"
           : state == HF_SERVER_STOPPING ? "stopping"
                                         : "unknown";
}

static const char *method_name(unsigned method)
{
    return method == HF_WRITE_DIRECT      ? "direct"
           : method == HF_WRITE_FDATASYNC ? "fdatasync"
                                          : "unknown";
}

/* ---- text ------------------------------------------------------------------------------- */

/* "1.2 GB" */
static void put_bytes(FILE *out, uint64_t bytes)
{
    if (bytes >= 1000000000)
        fprintf(out, "%.1f GB", (double)bytes / 1e9);
    else if (bytes >= 1000000)
        fprintf(out, "%.1f MB", (double)bytes / 1e6);
    else
        fprintf(out, "%.1f kB", (double)bytes / 1e3);
}

/* As long as it is for a person: ms, below them us. */
static void put_duration(FILE *out, uint64_t duration_ns)
{
    char text[HF_DURATION_TEXT_BYTES];
    uint64_t unit_ns = duration_ns < HF_NS_PER_MS ? HF_NS_PER_US : HF_NS_PER_MS;
    hf_duration_format(duration_ns - duration_ns % unit_ns, text);
    fputs(text, out);
}

static void put_date(FILE *out, uint64_t date_ns)
{
    char text[HF_DATE_TEXT_BYTES];
    hf_date_format(date_ns, text);
    fputs(text, out);
}

const char *hf_cli_error_name(int32_t error)
{
    return error < 0 && error > -4096 ? strerror(-error) : "unknown error";
}

static void put_state(FILE *out, const struct hf_status *status)
{
    fprintf(out, "state         %s", state_name(status->state));
    if (status->percent < 100)
        fprintf(out, ", %u%% recovered: %" PRIu64 " records", status->percent,
                status->recovered_records);
    if (status->percent < 100 && status->recovery_total_bytes != 0) {
        fputs(", ", out);
        put_bytes(out, status->recovery_done_bytes);
        fputs(" of ", out);
        put_bytes(out, status->recovery_total_bytes);
    }
    putc('\n', out);
}

static void put_log(FILE *out, const struct hf_status *status)
{
    fprintf(out, "log           segments %" PRIu64 " to %" PRIu64 ", ", status->first_kept_segment,
            status->active_segment);
    put_bytes(out, status->kept_bytes);
    putc('\n', out);
}

void hf_cli_text_snapshot(FILE *out, const struct hf_status *status)
{
    fprintf(out, "snapshot at LSN %" PRIu64 " of ", status->snapshot_lsn);
    put_date(out, status->snapshot_made_at_ns);
    fputs(", ", out);
    put_bytes(out, status->snapshot_bytes);
    fputs(", made in ", out);
    put_duration(out, status->snapshot_duration_ns);
    putc('\n', out);
}

static void put_snapshots(FILE *out, const struct hf_status *status)
{
    fprintf(out, "snapshots     %" PRIu32 " kept", status->snapshots_kept);
    if (status->snapshots_kept != 0) {
        fputs(", the newest: ", out);
        hf_cli_text_snapshot(out, status);
    } else {
        putc('\n', out);
    }
    if (status->snapshot_under_way != 0) {
        fputs("              one is under way: ", out);
        put_bytes(out, status->snapshot_done_bytes);
        fputs(" of about ", out);
        put_bytes(out, status->snapshot_expected_bytes);
        putc('\n', out);
    }
    if (status->snapshot_requested != 0)
        fputs("              one was asked for\n", out);
    if (status->snapshot_failures != 0)
        fprintf(out, "              failed %" PRIu64 " times since the start%s%s\n",
                status->snapshot_failures, status->snapshot_error != 0 ? ", at last: " : "",
                status->snapshot_error != 0 ? hf_cli_error_name(status->snapshot_error) : "");
}

static void put_archive(FILE *out, const struct hf_status *status)
{
    if (status->archive_enabled == 0)
        return;
    fprintf(out, "archive       up to segment %" PRIu64 ", %" PRIu64 " waiting",
            status->archived_segment, status->archive_waiting);
    if (status->archived_at_ns != 0) {
        fputs(", last success ", out);
        put_date(out, status->archived_at_ns);
    }
    putc('\n', out);
    if (status->archive_failures == 0)
        return;
    fprintf(out, "              FAILED %" PRIu32 " times in a row, exit status %" PRIu32 ": ",
            status->archive_failures, status->archive_exit_status);
    for (const char *text = status->archive_failure; *text != '\0'; text++)
        putc(*text >= ' ' && *text <= '~' ? *text : '?', out);
    putc('\n', out);
}

static void put_storage(FILE *out, const struct hf_status *status)
{
    if (status->storage_full != 0)
        fprintf(out, "storage       FULL: no room for another segment of the log: %s\n",
                hf_cli_error_name(status->storage_error));
}

void hf_cli_text_status_brief(FILE *out, const struct hf_status *status)
{
    put_state(out, status);
    put_log(out, status);
    put_snapshots(out, status);
    put_archive(out, status);
    put_storage(out, status);
}

void hf_cli_text_status(FILE *out, const struct hf_status *status)
{
    if (status->state == HF_SERVER_RECOVERING) {
        put_state(out, status); /* the rest is not known yet */
        return;
    }
    hf_cli_text_status_brief(out, status);
    fputs("since then    ", out);
    put_bytes(out, status->bytes_since_snapshot);
    fputs(status->snapshots_kept != 0 ? " of log behind the newest snapshot\n" : " of log\n", out);
    fprintf(out, "blocks        %s writes, at most %" PRIu32 " at once",
            method_name(status->write_method), status->writes_inflight);
    if (status->write_latency_ns != 0) {
        fputs(", measured: ", out);
        put_duration(out, status->write_latency_ns);
    }
    putc('\n', out);
    fprintf(out,
            "log was full  for %" PRIu64 " operations that waited, and %" PRIu64
            " that were answered OVERLOADED\n",
            status->put_aside, status->overloaded);
}

/* ---- JSON ------------------------------------------------------------------------------- */

#define NUMBER(field) fprintf(out, ",\"" #field "\":%" PRIu64, (uint64_t)status->field)
#define SIGNED(field) fprintf(out, ",\"" #field "\":%" PRId32, status->field)
#define FLAG(field)   fprintf(out, ",\"" #field "\":%s", status->field != 0 ? "true" : "false")

static void put_snapshot_members(FILE *out, const struct hf_status *status)
{
    NUMBER(snapshot_lsn);
    NUMBER(snapshot_made_at_ns);
    NUMBER(snapshot_bytes);
    NUMBER(snapshot_duration_ns);
}

/* The object, without the end of its line. */
static void put_status(FILE *out, const struct hf_status *status)
{
    fprintf(out, "{\"state\":\"%s\"", state_name(status->state));
    NUMBER(percent);
    NUMBER(recovery_done_bytes);
    NUMBER(recovery_total_bytes);
    NUMBER(recovered_records);
    NUMBER(first_kept_segment);
    NUMBER(active_segment);
    NUMBER(segment_bytes);
    NUMBER(kept_bytes);
    fprintf(out, ",\"write_method\":\"%s\"", method_name(status->write_method));
    NUMBER(write_latency_ns);
    NUMBER(writes_inflight);
    FLAG(storage_full);
    SIGNED(storage_error);
    NUMBER(snapshots_kept);
    NUMBER(snapshots_made);
    NUMBER(snapshot_failures);
    SIGNED(snapshot_error);
    put_snapshot_members(out, status);
    FLAG(snapshot_requested);
    FLAG(snapshot_under_way);
    NUMBER(snapshot_done_bytes);
    NUMBER(snapshot_expected_bytes);
    NUMBER(bytes_since_snapshot);
    FLAG(archive_enabled);
    NUMBER(archived_segment);
    NUMBER(archive_waiting);
    NUMBER(archived_at_ns);
    NUMBER(archive_failures);
    NUMBER(archive_exit_status);
    fputs(",\"archive_failure\":", out);
    hf_json_text(out, status->archive_failure);
    NUMBER(put_aside);
    NUMBER(overloaded);
    putc('}', out);
}

void hf_cli_json_status(FILE *out, const struct hf_status *status)
{
    put_status(out, status);
    putc('\n', out);
}

void hf_cli_json_status_member(FILE *out, const struct hf_status *status)
{
    fputs(",\"status\":", out);
    put_status(out, status);
}

void hf_cli_json_snapshot(FILE *out, const struct hf_status *status)
{
    fprintf(out, "{\"result\":\"%s\"", hf_result_name(HF_OK));
    put_snapshot_members(out, status);
    fputs("}\n", out);
}
