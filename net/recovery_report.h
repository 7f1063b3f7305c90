/*
 * The recovery's report: a line for whoever watches a server that takes long to start,
 *
 *   holdfastd: recovering: 42% (1.2 of 2.9 GB), 5.1 M records/s, 0.4 s left
 *
 * Nothing is told of the first second. Then, on a terminal, one line is written over and over, and
 * erased in the end; anywhere else each line stands, and there is one every five seconds.
 */
#ifndef HF_NET_RECOVERY_REPORT_H
#define HF_NET_RECOVERY_REPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/progress.h"

#define HF_RECOVERY_LINE_BYTES 128

struct hf_recovery_report {
    FILE *out; /* NULL: nothing is told */
    bool terminal;
    bool told;         /* a line stands on the terminal */
    uint64_t begun_ns; /* monotonic, all */
    uint64_t next_ns;  /* when the next line is due */
};

/* `out` may be NULL. */
void hf_recovery_report_begin(struct hf_recovery_report *report, FILE *out, uint64_t now_ns);

/* Tells how far it is, if that is due. */
void hf_recovery_report_tick(struct hf_recovery_report *report, struct hf_progress *progress,
                             uint64_t now_ns);

/* It is over. */
void hf_recovery_report_end(struct hf_recovery_report *report);

/* The line, without its beginning and its end. */
void hf_recovery_line(char line[HF_RECOVERY_LINE_BYTES], struct hf_progress *progress,
                      uint64_t passed_ns);

#endif
