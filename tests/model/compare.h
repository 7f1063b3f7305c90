/* Answers held against expectations, and both in words. */
#ifndef HF_TESTS_MODEL_COMPARE_H
#define HF_TESTS_MODEL_COMPARE_H

#include <stdio.h>

#include "tests/model/reference.h"

/* NULL, or the name of the first field that differs. The LSN is not looked at. */
const char *hf_compare_reservations(const struct hf_reservation *expected,
                                    const struct hf_reservation *actual);

/* NULL, or the name of the first field that differs. LSN and version are not looked at. */
const char *hf_compare_inventories(const struct hf_inventory *expected,
                                   const struct hf_inventory *actual);

/* NULL, or what about the answer is not as expected. */
const char *hf_compare_reply(const struct hf_expectation *expected, const struct hf_reply *actual);

/* "RESERVE". Static storage. */
const char *hf_operation_name(enum hf_operation operation);

/* One line each, without a newline. */
void hf_print_reservation(FILE *file, const struct hf_reservation *reservation);
void hf_print_inventory(FILE *file, const struct hf_inventory *inventory);

/* A line for a request, and one more for each line of a batch, each with a newline. */
void hf_print_request(FILE *file, const struct hf_request *request);

/* Likewise. */
void hf_print_reply(FILE *file, const struct hf_reply *reply);
void hf_print_expectation(FILE *file, const struct hf_expectation *expected);

#endif
