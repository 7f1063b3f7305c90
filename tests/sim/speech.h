/*
 * What the server says on stderr, kept: so that a test can ask whether it said what it must.
 *
 * From hf_speech_begin() on stderr is this; hf_speech_real() is the one of before. A program that
 * is about to die of a broken invariant shows what was said last.
 *
 * One thread.
 */
#ifndef HF_TESTS_SIM_SPEECH_H
#define HF_TESTS_SIM_SPEECH_H

#include <stdbool.h>
#include <stdio.h>

void hf_speech_begin(void);

/* Forgets what was said. */
void hf_speech_clear(void);

/* What was said since. Valid until more is said. */
const char *hf_speech_text(void);

bool hf_speech_has(const char *part);

/* Where the program itself writes. */
FILE *hf_speech_real(void);

#endif
