/*
 * Reports: what a measurement found, for people and for programs.
 *
 * For programs there is one list of fields, which JSON and CSV both print: a field that one has, the
 * other has.
 */
#ifndef HF_BENCH_REPORT_H
#define HF_BENCH_REPORT_H

#include <stdio.h>

#include "bench/measurement.h"

/* One run: what was asked for, and what came of it. */
struct hf_report {
    const struct hf_load_plan *plan;
    const struct hf_measure_options *options;
    const struct hf_measurement *measurement;
    const char *server;
    uint32_t round; /* from 1 */
};

/* One JSON object, with its newline. */
void hf_report_json(const struct hf_report *report);

/* A line of CSV; before the first, the one with the names. */
void hf_report_csv_names(const struct hf_report *report);
void hf_report_csv(const struct hf_report *report);

/* For people: what will be run, then one run in full, or many as rows of one table. */
void hf_report_settings(const struct hf_report *report);
void hf_report_details(const struct hf_report *report);
void hf_report_row_names(void);
void hf_report_row(const struct hf_report *report);

/* The whole distribution as CSV, a line a bucket: of all, and of each kind and step of a mix. */
void hf_report_histogram_names(FILE *file);
void hf_report_histogram(const struct hf_report *report, FILE *file);

#endif
