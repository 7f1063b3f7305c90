/*
 * The aim: kills a server at a moment that shows in its directory.
 *
 * A thread of its own watches the directory (inotify), so that it is there within microseconds of a
 * rename, while the test serves its clients. It also counts what it sees. What shows is told behind
 * the event: of two steps that follow each other at once, the kill may fall behind the second. With
 * a delay that varies, all that lies between is met in the course of some cycles.
 */
#ifndef HF_TESTS_CRASH_AIM_H
#define HF_TESTS_CRASH_AIM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* X(name, text): moments. */
#define HF_MOMENTS(X)                                                                              \
    X(NEVER, "none")                                                                               \
    X(SNAPSHOT_BEGUN, "snapshot.tmp appears")                                                      \
    X(SNAPSHOT_NAMED, "a snapshot has its name")                                                   \
    X(SEGMENT_BEGUN, "a segment's .tmp appears")                                                   \
    X(SEGMENT_RECYCLED, "a released segment becomes the .tmp of the next")                         \
    X(SEGMENT_NAMED, "a segment has its name")                                                     \
    X(FILE_REMOVED, "a snapshot or a released segment is removed")                                 \
    X(ARCHIVED, "it is noted that something is archived")

enum hf_moment {
#define X(name, text) HF_MOMENT_##name,
    HF_MOMENTS(X)
#undef X
        HF_MOMENT_COUNT,
};

const char *hf_moment_text(enum hf_moment moment);

struct hf_aim;

/* What was seen, of each moment, since the beginning. */
struct hf_sights {
    uint64_t count[HF_MOMENT_COUNT];
    uint64_t segments_removed;
};

/* Watches the directory, which exists. 0 or -errno. */
int hf_aim_open(struct hf_aim **aim, const char *directory);
void hf_aim_close(struct hf_aim *aim);

/* Kills `pid`, a child that nobody has waited for yet, `delay_ns` behind the next such moment. */
void hf_aim_at(struct hf_aim *aim, pid_t pid, enum hf_moment moment, uint64_t delay_ns);

/* True if it was killed. */
bool hf_aim_met(struct hf_aim *aim);

/* Aims at nothing; behind this, nobody is killed. True if it was killed before. To be called before
 * the child is waited for. */
bool hf_aim_rest(struct hf_aim *aim);

void hf_aim_sights(struct hf_aim *aim, struct hf_sights *sights);

#endif
