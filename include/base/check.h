/*
 * HF_CHECK: a broken invariant stops the process, in every build.
 *
 * For what must hold whatever the outside does. Bytes from a disk, a socket or a command line never
 * reach one of these: they give errors.
 */
#ifndef HF_BASE_CHECK_H
#define HF_BASE_CHECK_H

#include <stdio.h>
#include <stdlib.h>

/* Where nobody comes, and why not. */
#define HF_NEVER(why)                                                                              \
    do {                                                                                           \
        fprintf(stderr, "holdfast: %s:%d: broken invariant: %s\n", __FILE__, __LINE__, why);       \
        abort();                                                                                   \
    } while (0)

#define HF_CHECK(condition)                                                                        \
    do {                                                                                           \
        if (__builtin_expect(!(condition), 0))                                                     \
            HF_NEVER(#condition);                                                                  \
    } while (0)

#define HF_LIKELY(condition)   __builtin_expect(!!(condition), 1)
#define HF_UNLIKELY(condition) __builtin_expect(!!(condition), 0)

#endif
