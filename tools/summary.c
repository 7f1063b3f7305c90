/* Summaries; see summary.h. */
#include "tools/summary.h"

#include <inttypes.h>
#include <string.h>

#include "holdfast/types.h"
#include "tools/json.h"

#define NS_PER_S 1e9

void hf_summary_begin(struct hf_summary *summary, FILE *out, bool json)
{
    *summary = (struct hf_summary){.out = out, .json = json};
    if (json)
        putc('{', out);
}

void hf_summary_end(struct hf_summary *summary)
{
    if (summary->json)
        fputs("}\n", summary->out);
}

static void name_value(struct hf_summary *summary, const char *name)
{
    if (summary->json)
        fprintf(summary->out, "%s\"%s\":", summary->values == 0 ? "" : ",", name);
    else
        fprintf(summary->out, "%s: ", name);
    summary->values++;
}

/* In text behind a value. */
static void end_value(struct hf_summary *summary)
{
    if (!summary->json)
        putc('\n', summary->out);
}

void hf_summary_text(struct hf_summary *summary, const char *name, const char *value)
{
    if (value == NULL && !summary->json)
        return;
    name_value(summary, name);
    if (value == NULL)
        fputs("null", summary->out);
    else if (summary->json)
        hf_json_text(summary->out, value);
    else
        fputs(value, summary->out);
    end_value(summary);
}

void hf_summary_number(struct hf_summary *summary, const char *name, uint64_t value)
{
    name_value(summary, name);
    fprintf(summary->out, "%" PRIu64, value);
    end_value(summary);
}

void hf_summary_date(struct hf_summary *summary, const char *name, uint64_t date_ns)
{
    char text[HF_DATE_TEXT_BYTES];
    hf_date_format(date_ns, text);
    hf_summary_text(summary, name, date_ns == 0 ? NULL : text);
}

void hf_summary_duration(struct hf_summary *summary, const char *name, uint64_t duration_ns)
{
    char text[HF_DURATION_TEXT_BYTES];
    hf_duration_format(duration_ns, text);
    hf_summary_text(summary, name, text);
}

void hf_summary_id(struct hf_summary *summary, const char *name, const uint8_t id[16])
{
    char text[HF_ID_TEXT_BYTES];
    struct hf_id value;
    memcpy(value.bytes, id, sizeof value.bytes);
    hf_id_format(&value, text);
    hf_summary_text(summary, name, hf_id_is_zero(&value) ? NULL : text);
}

void hf_summary_hash(struct hf_summary *summary, const char *name, uint64_t hash)
{
    char text[17];
    snprintf(text, sizeof text, "%016" PRIx64, hash);
    hf_summary_text(summary, name, text);
}

void hf_summary_seconds(struct hf_summary *summary, const char *name, uint64_t duration_ns)
{
    name_value(summary, name);
    fprintf(summary->out, "%.3f", (double)duration_ns / NS_PER_S);
    end_value(summary);
}
