/* Summaries: what a command has done, as one name and value a line, or as one JSON object. What
 * is not there is left out of the text, and null in JSON. */
#ifndef HF_TOOLS_SUMMARY_H
#define HF_TOOLS_SUMMARY_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct hf_summary {
    FILE *out;
    bool json;
    uint32_t values; /* so far */
};

void hf_summary_begin(struct hf_summary *summary, FILE *out, bool json);
void hf_summary_end(struct hf_summary *summary);

void hf_summary_text(struct hf_summary *summary, const char *name, const char *value); /* or NULL */
void hf_summary_number(struct hf_summary *summary, const char *name, uint64_t value);
void hf_summary_date(struct hf_summary *summary, const char *name, uint64_t date_ns); /* 0: none */
void hf_summary_duration(struct hf_summary *summary, const char *name, uint64_t duration_ns);
void hf_summary_id(struct hf_summary *summary, const char *name, const uint8_t id[16]);
void hf_summary_hash(struct hf_summary *summary, const char *name, uint64_t hash);
void hf_summary_seconds(struct hf_summary *summary, const char *name, uint64_t duration_ns);

#endif
