/* Reports. See report.h. */
#include "bench/report.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "base/clock.h"

#define MAX_FIELDS 64

/* A field as programs get it: a number, or text between quotes. */
struct field {
    const char *name;
    char text[HF_MIX_TEXT_BYTES];
    bool quoted;
};

struct fields {
    struct field all[MAX_FIELDS];
    unsigned count;
};

static double us(double ns)
{
    return ns / (double)HF_NS_PER_US;
}

static double quantile_us(const struct hf_histogram *histogram, unsigned per_million)
{
    return us((double)hf_histogram_quantile_ns(histogram, per_million));
}

/* ---- for programs ---- */

__attribute__((format(printf, 3, 4))) static void add(struct fields *fields, const char *name,
                                                      const char *format, ...)
{
    struct field *field = &fields->all[fields->count++];
    va_list arguments;
    field->name = name;
    field->quoted = false;
    va_start(arguments, format);
    vsnprintf(field->text, sizeof field->text, format, arguments);
    va_end(arguments);
}

static void add_text(struct fields *fields, const char *name, const char *text)
{
    add(fields, name, "%s", text);
    fields->all[fields->count - 1].quoted = true;
}

static void add_count(struct fields *fields, const char *name, uint64_t count)
{
    add(fields, name, "%" PRIu64, count);
}

/* Fields of before, in the order of before: scripts know them. */
static void add_old_fields(struct fields *fields, const struct hf_report *report)
{
    const struct hf_load_plan *plan = report->plan;
    const struct hf_measurement *measurement = report->measurement;
    const struct hf_histogram *latencies = &measurement->latencies;
    const uint64_t *counts = measurement->total.counts;
    char mix[HF_MIX_TEXT_BYTES];
    hf_mix_format(&plan->mix, mix);
    bool sold_out = plan->mix.single && plan->mix.only == HF_KIND_REFUSE;
    add_text(fields, "op", mix);
    add_count(fields, "connections", plan->connections);
    add_count(fields, "depth", plan->depth);
    add(fields, "per_second", "%.1f", measurement->per_second);
    add_count(fields, "granted", counts[HF_ANSWER_GRANTED]);
    add_count(fields, "refused", counts[HF_ANSWER_REFUSED]);
    add_count(fields, "errors", measurement->total.errors);
    add(fields, "p50_us", "%.1f", quantile_us(latencies, 500000));
    add(fields, "p99_us", "%.1f", quantile_us(latencies, 990000));
    add(fields, "p999_us", "%.1f", quantile_us(latencies, 999000));
    add(fields, "max_us", "%.1f", us((double)latencies->max_ns));
    add(fields, "seconds", "%.3f", measurement->seconds);
    add_count(fields, "inventories", plan->inventories);
    add_count(fields, "capacity", sold_out ? plan->sold_out_capacity : plan->capacity);
    add_count(fields, "cancelled", counts[HF_ANSWER_CANCELLED]);
    add_count(fields, "read", counts[HF_ANSWER_READ]);
    add_count(fields, "threads", plan->threads);
    add(fields, "client_cpu_percent", "%.1f", measurement->cpu_percent);
}

static void collect(struct fields *fields, const struct hf_report *report)
{
    const struct hf_load_plan *plan = report->plan;
    const struct hf_measurement *measurement = report->measurement;
    const struct hf_histogram *latencies = &measurement->latencies;
    const struct hf_histogram *lateness = &measurement->total.lateness;
    char spread[HF_SPREAD_TEXT_BYTES];
    hf_spread_format(&plan->spread, spread);
    fields->count = 0;
    add_old_fields(fields, report);
    add(fields, "p90_us", "%.1f", quantile_us(latencies, 900000));
    add(fields, "p9999_us", "%.1f", quantile_us(latencies, 999900));
    add(fields, "mean_us", "%.1f", us(hf_histogram_mean_ns(latencies)));
    add(fields, "booked_per_second", "%.1f", measurement->booked_per_second);
    for (unsigned answer = HF_ANSWER_HELD; answer < HF_ANSWER_COUNT; answer++)
        add_count(fields, hf_answer_name((enum hf_answer)answer),
                  measurement->total.counts[answer]);
    add_count(fields, "batch", plan->batch);
    add_text(fields, "spread", spread);
    add_count(fields, "idle", report->options->idle);
    add_count(fields, "round", report->round);
    add_text(fields, "loop", plan->rate > 0 ? "open" : "closed");
    add_text(fields, "arrivals", plan->rate > 0 ? hf_arrivals_name(plan->arrivals) : "");
    add(fields, "rate", "%.10g", plan->rate);
    add(fields, "offered_per_second", "%.1f", measurement->offered_per_second);
    add_count(fields, "late", measurement->total.late);
    add_count(fields, "unsent", measurement->total.unsent);
    add(fields, "lateness_p50_us", "%.1f", quantile_us(lateness, 500000));
    add(fields, "lateness_p99_us", "%.1f", quantile_us(lateness, 990000));
    add(fields, "lateness_max_us", "%.1f", us((double)lateness->max_ns));
}

/* Calls `each` for every kind and step that was asked. */
static void for_each_step(const struct hf_report *report,
                          void (*each)(const char *name, const struct hf_histogram *latencies,
                                       void *context),
                          void *context)
{
    for (unsigned kind = 0; kind < HF_KIND_COUNT; kind++) {
        if (!hf_mix_has(&report->plan->mix, (enum hf_kind)kind))
            continue;
        for (unsigned step = 0; step < HF_KIND_STEPS; step++)
            if (hf_kind_operation((enum hf_kind)kind, step) != HF_OP_NONE)
                each(hf_kind_step_name((enum hf_kind)kind, step),
                     &report->measurement->total.latencies[kind][step], context);
    }
}

static void print_json_step(const char *name, const struct hf_histogram *latencies, void *context)
{
    const char **separator = context;
    printf("%s{\"kind\":\"%s\",\"answers\":%" PRIu64
           ",\"latency_us\":{\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f,\"p999\":%.1f,"
           "\"p9999\":%.1f,\"max\":%.1f,\"mean\":%.1f}}",
           *separator, name, hf_histogram_count(latencies), quantile_us(latencies, 500000),
           quantile_us(latencies, 900000), quantile_us(latencies, 990000),
           quantile_us(latencies, 999000), quantile_us(latencies, 999900),
           us((double)latencies->max_ns), us(hf_histogram_mean_ns(latencies)));
    *separator = ",";
}

void hf_report_json(const struct hf_report *report)
{
    static struct fields fields; /* one thread reports */
    const char *separator = "";
    collect(&fields, report);
    for (unsigned i = 0; i < fields.count; i++) {
        const char *quote = fields.all[i].quoted ? "\"" : "";
        printf("%c\"%s\":%s%s%s", i == 0 ? '{' : ',', fields.all[i].name, quote, fields.all[i].text,
               quote);
    }
    printf(",\"kinds\":[");
    for_each_step(report, print_json_step, &separator);
    printf("]}\n");
    fflush(stdout);
}

void hf_report_csv_names(const struct hf_report *report)
{
    static struct fields fields; /* one thread reports */
    collect(&fields, report);
    for (unsigned i = 0; i < fields.count; i++)
        printf("%s%s", i == 0 ? "" : ",", fields.all[i].name);
    printf("\n");
}

void hf_report_csv(const struct hf_report *report)
{
    static struct fields fields; /* one thread reports */
    collect(&fields, report);
    for (unsigned i = 0; i < fields.count; i++) {
        const char *quote = strchr(fields.all[i].text, ',') != NULL ? "\"" : "";
        printf("%s%s%s%s", i == 0 ? "" : ",", quote, fields.all[i].text, quote);
    }
    printf("\n");
    fflush(stdout);
}

/* ---- the distribution ---- */

struct distribution {
    const struct hf_report *report;
    FILE *file;
};

static void write_step(const char *name, const struct hf_histogram *latencies, void *context)
{
    const struct distribution *distribution = context;
    const struct hf_report *report = distribution->report;
    char prefix[64];
    snprintf(prefix, sizeof prefix, "%u,%u,%u,%s", report->plan->connections, report->plan->depth,
             report->round, name);
    hf_histogram_write(latencies, distribution->file, prefix);
}

void hf_report_histogram_names(FILE *file)
{
    fprintf(file, "connections,depth,round,kind,up_to_ns,count\n");
}

void hf_report_histogram(const struct hf_report *report, FILE *file)
{
    struct distribution distribution = {.report = report, .file = file};
    write_step("all", &report->measurement->latencies, &distribution);
    for_each_step(report, write_step, &distribution);
    if (report->plan->rate > 0)
        write_step("lateness", &report->measurement->total.lateness, &distribution);
}

/* ---- for people ---- */

static const char *plural(uint32_t count, const char *one, const char *many)
{
    return count == 1 ? one : many;
}

void hf_report_settings(const struct hf_report *report)
{
    const struct hf_load_plan *plan = report->plan;
    char mix[HF_MIX_TEXT_BYTES], spread[HF_SPREAD_TEXT_BYTES];
    hf_mix_format(&plan->mix, mix);
    hf_spread_format(&plan->spread, spread);
    printf("%s on %s: %u connection%s", mix, report->server, plan->connections,
           plural(plan->connections, "", "s"));
    if (plan->rate > 0)
        printf(", %g a second (%s), at most %u outstanding on each", plan->rate,
               hf_arrivals_name(plan->arrivals), plan->depth);
    else
        printf(" x %u in flight", plan->depth);
    printf(", %u thread%s\n", plan->threads, plural(plan->threads, "", "s"));
    if (report->options->idle != 0)
        printf("%u more connections that do nothing\n", report->options->idle);
    if (hf_mix_needs_stock(&plan->mix))
        printf("%u inventor%s of %u, from %" PRIu64 " on, %s; %u customers\n", plan->inventories,
               plural(plan->inventories, "y", "ies"), plan->capacity, plan->first_inventory_id,
               spread, plan->customers);
    if (hf_mix_has(&plan->mix, HF_KIND_REFUSE))
        printf("%u inventor%s sold out, from %" PRIu64 " on\n", plan->inventories,
               plural(plan->inventories, "y", "ies"), plan->first_sold_out_id);
    printf("%g s measured after %g s of warm-up\n", report->options->seconds,
           report->options->warmup_seconds);
    fflush(stdout);
}

static void print_step(const char *name, const struct hf_histogram *latencies, void *context)
{
    const struct hf_measurement *measurement = context;
    uint64_t count = hf_histogram_count(latencies);
    printf("%-17s %11.0f %9.1f %9.1f %9.1f %9.1f %9.1f %9.1f %9.1f\n", name,
           measurement->seconds > 0 ? (double)count / measurement->seconds : 0,
           us(hf_histogram_mean_ns(latencies)), quantile_us(latencies, 500000),
           quantile_us(latencies, 900000), quantile_us(latencies, 990000),
           quantile_us(latencies, 999000), quantile_us(latencies, 999900),
           us((double)latencies->max_ns));
}

static void print_open_loop(const struct hf_report *report)
{
    const struct hf_load_result *total = &report->measurement->total;
    printf("\noffered %.0f a second; sent %.1f us after they were due (p50), %.1f us (p99), "
           "%.1f us at most\n",
           report->measurement->offered_per_second, quantile_us(&total->lateness, 500000),
           quantile_us(&total->lateness, 990000), us((double)total->lateness.max_ns));
    if (total->late != 0)
        printf("%" PRIu64 " waited here, as every connection had %u outstanding\n", total->late,
               report->plan->depth);
    if (total->unsent != 0)
        printf("%" PRIu64 " could not be sent until the end: they count with the time until then, "
               "so these are lower bounds\n",
               total->unsent);
}

void hf_report_details(const struct hf_report *report)
{
    const struct hf_measurement *measurement = report->measurement;
    const struct hf_load_result *total = &measurement->total;
    printf("\n%-17s %11s %9s %9s %9s %9s %9s %9s %9s\n", "latency in us", "per second", "mean",
           "p50", "p90", "p99", "p99.9", "p99.99", "max");
    for_each_step(report, print_step, (void *)measurement);
    if (!report->plan->mix.single || hf_kind_operation(report->plan->mix.only, 1) != HF_OP_NONE)
        print_step("all", &measurement->latencies, (void *)measurement);
    printf("\n%.0f answers a second:", measurement->per_second);
    for (unsigned answer = 0; answer < HF_ANSWER_COUNT; answer++)
        if (total->counts[answer] != 0)
            printf(" %" PRIu64 " %s,", total->counts[answer],
                   hf_answer_name((enum hf_answer)answer));
    printf(" %" PRIu64 " errors; bench busy %.0f%%\n", total->errors, measurement->cpu_percent);
    if (report->plan->rate > 0)
        print_open_loop(report);
    if (measurement->seconds == 0)
        printf("\nended in the warm-up: nothing was measured\n");
    fflush(stdout);
}

void hf_report_row_names(void)
{
    printf("\n%5s %6s %6s %11s %9s %9s %9s %9s %9s %9s %7s %6s\n", "round", "conns", "depth",
           "per second", "mean us", "p50 us", "p90 us", "p99 us", "p99.9 us", "max us", "errors",
           "bench");
}

void hf_report_row(const struct hf_report *report)
{
    const struct hf_measurement *measurement = report->measurement;
    const struct hf_histogram *latencies = &measurement->latencies;
    printf("%5u %6u %6u %11.0f %9.1f %9.1f %9.1f %9.1f %9.1f %9.1f %7" PRIu64 " %5.0f%%\n",
           report->round, report->plan->connections, report->plan->depth, measurement->per_second,
           us(hf_histogram_mean_ns(latencies)), quantile_us(latencies, 500000),
           quantile_us(latencies, 900000), quantile_us(latencies, 990000),
           quantile_us(latencies, 999000), us((double)latencies->max_ns), measurement->total.errors,
           measurement->cpu_percent);
    fflush(stdout);
}
