/*
 * What unit tests expect holdfast-wal verify to say of a story (log_story.h). It stands here, as
 * the library itself does without Criterion.
 */
#ifndef HF_TESTS_LIB_STORY_EXPECT_H
#define HF_TESTS_LIB_STORY_EXPECT_H

#include <criterion/criterion.h>
#include <string.h>

#include "tests/lib/log_story.h"
#include "tests/lib/story_load.h"

static inline void hf_story_expect_output(const char *text, const char *what)
{
    cr_expect_not_null(strstr(hf_story.output, text), "%s: '%s' is not in:\n%s", what, text,
                       hf_story.output);
}

static inline void hf_story_expect_sound(const char *what)
{
    const char *told = hf_story_prove_sound();
    cr_expect_null(told, "%s: %s", what, told);
    if (told == NULL)
        told = hf_story_prove_loadable();
    cr_expect_null(told, "%s: %s", what, told);
}

static inline void hf_story_expect_fault(uint64_t lsn, const char *words)
{
    const char *told = hf_story_prove_fault(lsn, words);
    cr_expect_null(told, "%s: %s", words, told);
}

#endif
