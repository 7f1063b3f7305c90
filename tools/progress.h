/* Progress: one line on the terminal that says how far something is, once it takes longer than a
 * second. Nothing is said where stderr is no terminal. */
#ifndef HF_TOOLS_PROGRESS_H
#define HF_TOOLS_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

/* All zero: never says anything. */
struct hf_progress {
    uint64_t due_ns; /* monotonic: when to say it next; 0: never */
    bool shown;
};

void hf_progress_begin(struct hf_progress *progress);

/* Says it, if it is time to. Cheap enough to be called for every block. */
__attribute__((format(printf, 2, 3))) void hf_progress_show(struct hf_progress *progress,
                                                            const char *format, ...);

/* Takes it off the terminal: before anything else is written there. */
void hf_progress_clear(struct hf_progress *progress);

#endif
