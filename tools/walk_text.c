/* Walks as text and as JSON; see walk_text.h. */
#include "tools/walk_text.h"

#include <inttypes.h>
#include <string.h>

#include "tools/json.h"
#include "wal/segment_header.h"

void hf_walk_format_log_id(const struct hf_walk *walk, char text[HF_ID_TEXT_BYTES])
{
    struct hf_id id;
    memcpy(id.bytes, hf_reader_files(walk->reader)->log_id, sizeof id.bytes);
    hf_id_format(&id, text);
}

uint64_t hf_walk_segment_count(const struct hf_walk *walk)
{
    const struct hf_log_files *files = hf_reader_files(walk->reader);
    return files->last_segment - files->first_segment + 1;
}

void hf_walk_json_put_tail(FILE *out, const struct hf_walk *walk)
{
    if (walk->end != HF_READ_TORN) {
        fputs("null", out);
        return;
    }
    fprintf(out,
            "{\"segment\":%" PRIu64 ",\"offset\":%" PRIu64 ",\"bytes\":%" PRIu64
            ",\"blocks\":%" PRIu64 ",\"in_flight\":%s}",
            walk->finding.segment, walk->finding.offset, walk->finding.cut_bytes,
            walk->finding.cut_blocks, walk->in_flight ? "true" : "false");
}

void hf_walk_text_put_tail(FILE *out, const struct hf_walk *walk)
{
    if (walk->end != HF_READ_TORN)
        fputs("torn_tail: none\n", out);
    else
        fprintf(out, "torn_tail: %s (%s)\n", walk->finding.text,
                walk->in_flight ? "a server is running: these are writes in flight"
                                : "none of it was acknowledged; the next start of the server cuts "
                                  "it");
    if (walk->grows)
        fprintf(out, "note: a server is writing; this is the log up to LSN %" PRIu64 "\n",
                hf_walk_last_lsn(walk));
}

static const char *end_name(const struct hf_walk *walk)
{
    switch (walk->end) {
    case HF_READ_TORN:
        return walk->in_flight ? "writes in flight" : "torn tail";
    case HF_READ_CORRUPT:
        return "damaged";
    case HF_READ_ERROR:
        return "unreadable";
    default:
        break;
    }
    if (walk->grows)
        return "being written";
    if (walk->blocks == 0)
        return "empty";
    return (walk->last.flags & HF_BLOCK_STOP) != 0 ? "clean stop"
                                                   : "no stop (a server runs, or was killed)";
}

/* Bytes of blocks, up to the end of the log; and what is left of the segments that there are.
 * Headers of segments belong to neither. */
static void measure(const struct hf_walk *walk, uint64_t *used_bytes, uint64_t *free_bytes)
{
    const struct hf_log_files *files = hf_reader_files(walk->reader);
    uint64_t of_segment = files->segment_bytes - HF_SEGMENT_HEADER_BYTES;
    *used_bytes = 0;
    *free_bytes = 0;
    if (files->segment_bytes == 0) /* not even the first could be opened */
        return;
    if (walk->blocks != 0)
        *used_bytes = (walk->last.segment - files->first_segment) * of_segment + walk->last.offset +
                      walk->last.block_bytes - HF_SEGMENT_HEADER_BYTES;
    *free_bytes = hf_walk_segment_count(walk) * of_segment - *used_bytes;
}

/* Figures of a walk: X(name, value). */
#define FIGURES(X)                                                                                 \
    X("segments", hf_walk_segment_count(walk))                                                     \
    X("first_segment", files->first_segment)                                                       \
    X("last_segment", files->last_segment)                                                         \
    X("segment_bytes", files->segment_bytes)                                                       \
    X("used_bytes", used_bytes)                                                                    \
    X("free_bytes", free_bytes)                                                                    \
    X("blocks", walk->blocks)                                                                      \
    X("records", walk->records)                                                                    \
    X("first_lsn", hf_walk_first_lsn(walk))                                                        \
    X("last_lsn", hf_walk_last_lsn(walk))                                                          \
    X("epoch", walk->last.epoch)                                                                   \
    X("starts", walk->starts)                                                                      \
    X("clean_stops", walk->clean_stops)

static void put_date_line(FILE *out, const char *name, uint64_t date_ns)
{
    char text[HF_DATE_TEXT_BYTES];
    hf_date_format(date_ns, text);
    fprintf(out, "%s: %s\n", name, date_ns == 0 ? "never" : text);
}

void hf_walk_text_put(FILE *out, const struct hf_walk *walk)
{
    const struct hf_log_files *files = hf_reader_files(walk->reader);
    char log_id[HF_ID_TEXT_BYTES];
    uint64_t used_bytes, free_bytes;
    hf_walk_format_log_id(walk, log_id);
    measure(walk, &used_bytes, &free_bytes);
    fprintf(out, "directory: %s\nlog_id: %s\nformat: %d\n", walk->directory, log_id, HF_LOG_FORMAT);
    put_date_line(out, "created_at", files->created_at_ns);
#define X(name, value) fprintf(out, name ": %" PRIu64 "\n", value);
    FIGURES(X)
#undef X
    put_date_line(out, "first_written_at", walk->first.written_at_ns);
    put_date_line(out, "last_written_at", walk->last.written_at_ns);
    fprintf(out, "end: %s\n", end_name(walk));
    hf_walk_text_put_tail(out, walk);
}

void hf_walk_json_put(FILE *out, const struct hf_walk *walk)
{
    const struct hf_log_files *files = hf_reader_files(walk->reader);
    char log_id[HF_ID_TEXT_BYTES];
    uint64_t used_bytes, free_bytes;
    hf_walk_format_log_id(walk, log_id);
    measure(walk, &used_bytes, &free_bytes);
    fputs("{\"directory\":", out);
    hf_json_text(out, walk->directory);
    fprintf(out, ",\"log_id\":\"%s\",\"format\":%d,\"created_at\":", log_id, HF_LOG_FORMAT);
    hf_json_date(out, files->created_at_ns);
#define X(name, value) fprintf(out, ",\"" name "\":%" PRIu64, value);
    FIGURES(X)
#undef X
    fputs(",\"first_written_at\":", out);
    hf_json_date(out, walk->first.written_at_ns);
    fputs(",\"last_written_at\":", out);
    hf_json_date(out, walk->last.written_at_ns);
    fprintf(out, ",\"end\":\"%s\",\"torn\":", end_name(walk));
    hf_walk_json_put_tail(out, walk);
}
