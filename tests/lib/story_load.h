/* A sound story (log_story.h) is sound, too, for a ledger that did not judge its beginning. */
#ifndef HF_TESTS_LIB_STORY_LOAD_H
#define HF_TESTS_LIB_STORY_LOAD_H

/*
 * Loads the story, whose last block is sealed, up to each of its LSNs, once from its records and
 * once from what a ledger that judged them knows, as a snapshot; and judges the rest. NULL: all
 * come to the same state; else what went wrong, valid until the next call.
 */
const char *hf_story_prove_loadable(void);

#endif
