/* The recovery's report: see recovery_report.h. */
#include "net/recovery_report.h"

#include <unistd.h>

#include "base/clock.h"

#define FIRST_NS    (1 * HF_NS_PER_S)
#define TERMINAL_NS (HF_NS_PER_S / 4)
#define LINES_NS    (5 * HF_NS_PER_S)

void hf_recovery_report_begin(struct hf_recovery_report *report, FILE *out, uint64_t now_ns)
{
    *report = (struct hf_recovery_report){
        .out = out,
        .terminal = out != NULL && isatty(fileno(out)),
        .begun_ns = now_ns,
        .next_ns = now_ns + FIRST_NS,
    };
}

/* Appends to a line what has room. */
static size_t append(char *line, size_t length, const char *format, double first, double second)
{
    int more = snprintf(line + length, HF_RECOVERY_LINE_BYTES - length, format, first, second);
    size_t end = length + (more > 0 ? (size_t)more : 0);
    return end < HF_RECOVERY_LINE_BYTES ? end : HF_RECOVERY_LINE_BYTES - 1;
}

void hf_recovery_line(char line[HF_RECOVERY_LINE_BYTES], struct hf_progress *progress,
                      uint64_t passed_ns)
{
    /* Relaxed, all: figures for a person. */
    double done = (double)hf_load_relaxed(&progress->done_bytes);
    double total = (double)hf_load_relaxed(&progress->total_bytes);
    double records = (double)hf_load_relaxed(&progress->records);
    double passed_s = (double)passed_ns / (double)HF_NS_PER_S;
    size_t length = append(line, 0, "recovering: %.0f%%", hf_progress_percent(progress), 0);
    if (total >= 1e9)
        length = append(line, length, " (%.1f of %.1f GB)", done / 1e9, total / 1e9);
    else if (total > 0)
        length = append(line, length, " (%.1f of %.1f MB)", done / 1e6, total / 1e6);
    if (passed_s <= 0 || done <= 0)
        return;
    double rate = records / passed_s;
    length = rate >= 1e6 ? append(line, length, ", %.1f M records/s", rate / 1e6, 0)
                         : append(line, length, ", %.1f k records/s", rate / 1e3, 0);
    if (done < total)
        append(line, length, ", %.1f s left", (total - done) / (done / passed_s), 0);
}

void hf_recovery_report_tick(struct hf_recovery_report *report, struct hf_progress *progress,
                             uint64_t now_ns)
{
    char line[HF_RECOVERY_LINE_BYTES];
    if (report->out == NULL || now_ns < report->next_ns)
        return;
    report->next_ns = now_ns + (report->terminal ? TERMINAL_NS : LINES_NS);
    hf_recovery_line(line, progress, now_ns - report->begun_ns);
    fprintf(report->out, report->terminal ? "\rholdfastd: %s\033[K" : "holdfastd: %s\n", line);
    fflush(report->out);
    report->told = true;
}

void hf_recovery_report_end(struct hf_recovery_report *report)
{
    if (report->out == NULL || !report->told || !report->terminal)
        return;
    fputs("\r\033[K", report->out);
    fflush(report->out);
}
