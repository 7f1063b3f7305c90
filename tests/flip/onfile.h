/* The same on file: a still, as it stands, becomes a directory again, and a real server is started on
 * it. */
#ifndef HF_TESTS_FLIP_ONFILE_H
#define HF_TESTS_FLIP_ONFILE_H

#include "tests/flip/map.h"

/* NULL: the server does what must be done. Else what it does instead; valid until the next call. */
const char *hf_onfile_check(const char *program, struct hf_still *still,
                            const struct hf_map_expected *expected);

#endif
