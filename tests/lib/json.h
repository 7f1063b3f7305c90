/* What programs print with --json, as far as tests look into it. */
#ifndef HF_TESTS_LIB_JSON_H
#define HF_TESTS_LIB_JSON_H

/* The number behind "name": in a JSON object; -1 if there is none. */
double hf_json_number(const char *json, const char *name);

#endif
