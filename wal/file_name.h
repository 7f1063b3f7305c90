/* Names of the log's files: a number as 16 decimal digits, and a suffix that says what it is. */
#ifndef HF_WAL_FILE_NAME_H
#define HF_WAL_FILE_NAME_H

#include <stdbool.h>
#include <stdint.h>

#define HF_FILE_NUMBER_DIGITS 16
#define HF_FILE_NUMBER_MAX    9999999999999999ull /* what they can say */

/* Writes the name of file 0 .. HF_FILE_NUMBER_MAX, HF_FILE_NUMBER_DIGITS, the suffix and a zero. */
void hf_file_name_format(uint64_t number, const char *suffix, char *name);

/* The number of a file with that suffix. False: `name` is not such a name. */
bool hf_file_name_parse(const char *name, const char *suffix, uint64_t *number);

#endif
