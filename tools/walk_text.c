/* Walks as text and as JSON; see walk_text.h. */
#include "tools/walk_text.h"

#include <inttypes.h>
#include <string.h>

void hf_walk_json_put_text(FILE *out, const char *text)
{
    putc('"', out);
    for (; *text != '\0'; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte == '"' || byte == '\\')
            fprintf(out, "\\%c", byte);
        else if (byte < 0x20)
            fprintf(out, "\\u%04x", byte);
        else
            putc(byte, out);
    }
    putc('"', out);
}

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
    return (walk->last.flags & HF_BLOCK_STOP) != 0 ? "clean stop"
                                                   : "no stop (a server runs, or was killed)";
}

void hf_walk_text_put(FILE *out, const struct hf_walk *walk)
{
    const struct hf_log_files *files = hf_reader_files(walk->reader);
    char log_id[HF_ID_TEXT_BYTES], created[HF_DATE_TEXT_BYTES], written[HF_DATE_TEXT_BYTES];
    hf_walk_format_log_id(walk, log_id);
    hf_date_format(files->created_at_ns, created);
    hf_date_format(walk->last.written_at_ns, written);
    fprintf(out, "directory: %s\nlog_id: %s\nformat: %d\ncreated_at: %s\n", walk->directory, log_id,
            HF_LOG_FORMAT, created);
    fprintf(out, "segments: %" PRIu64 "\nsegment_bytes: %" PRIu64 "\n", hf_walk_segment_count(walk),
            files->segment_bytes);
    fprintf(out,
            "blocks: %" PRIu64 "\nrecords: %" PRIu64 "\nlast_lsn: %" PRIu64 "\nepoch: %" PRIu64
            "\nstarts: %" PRIu64 "\nclean_stops: %" PRIu64 "\nlast_written_at: %s\nend: %s\n",
            walk->blocks, walk->records, hf_walk_last_lsn(walk), walk->last.epoch, walk->starts,
            walk->clean_stops, walk->blocks == 0 ? "never" : written, end_name(walk));
}

void hf_walk_json_put(FILE *out, const struct hf_walk *walk)
{
    const struct hf_log_files *files = hf_reader_files(walk->reader);
    char log_id[HF_ID_TEXT_BYTES], created[HF_DATE_TEXT_BYTES], written[HF_DATE_TEXT_BYTES];
    hf_walk_format_log_id(walk, log_id);
    hf_date_format(files->created_at_ns, created);
    hf_date_format(walk->last.written_at_ns, written);
    fputs("{\"directory\":", out);
    hf_walk_json_put_text(out, walk->directory);
    fprintf(out,
            ",\"log_id\":\"%s\",\"format\":%d,\"created_at\":\"%s\",\"segments\":%" PRIu64
            ",\"segment_bytes\":%" PRIu64 ",\"blocks\":%" PRIu64 ",\"records\":%" PRIu64
            ",\"last_lsn\":%" PRIu64 ",\"epoch\":%" PRIu64 ",\"starts\":%" PRIu64
            ",\"clean_stops\":%" PRIu64 ",\"last_written_at\":",
            log_id, HF_LOG_FORMAT, created, hf_walk_segment_count(walk), files->segment_bytes,
            walk->blocks, walk->records, hf_walk_last_lsn(walk), walk->last.epoch, walk->starts,
            walk->clean_stops);
    if (walk->blocks == 0)
        fputs("null", out);
    else
        fprintf(out, "\"%s\"", written);
    fprintf(out, ",\"end\":\"%s\",\"torn\":", end_name(walk));
    hf_walk_json_put_tail(out, walk);
    fputs("}\n", out);
}
