/* What a simulation went through, counted: so that it is seen, and demanded, that it happened. */
#ifndef HF_TESTS_SIM_COVERAGE_H
#define HF_TESTS_SIM_COVERAGE_H

#include <stdio.h>

#include <stdint.h>

/* name, text; DEMANDED: a run of some thousand crashes in which it never happened has failed. */
#define HF_SIM_COUNTERS(DEMANDED, OTHER)                                                           \
    DEMANDED(crashes, "crashes")                                                                   \
    DEMANDED(power_failures, "of the machine")                                                     \
    DEMANDED(kills, "of the process")                                                              \
    DEMANDED(crashes_in_creation, "while a log was created")                                       \
    DEMANDED(crashes_in_recovery, "inside recovery")                                               \
    DEMANDED(crashes_in_cut, "while a torn tail was made zero")                                    \
    DEMANDED(crashes_in_preparing, "while a segment was prepared")                                 \
    DEMANDED(crashes_in_snapshot, "while a snapshot was made")                                     \
    DEMANDED(crashes_in_release, "while segments or snapshots were removed")                       \
    DEMANDED(crashes_in_recycling, "while a segment was prepared anew from a released one")        \
    DEMANDED(crashes_in_archiving, "while a file was archived, or that was noted")                 \
    DEMANDED(crashes_before_name_sync, "between a rename and the sync of the directory")           \
    DEMANDED(crashes_in_flight, "with writes in flight")                                           \
    DEMANDED(crashes_in_several, "with several of them")                                           \
    DEMANDED(starts, "starts")                                                                     \
    DEMANDED(second_recoveries, "done again, with the same end")                                   \
    DEMANDED(torn_tails, "torn tails cut")                                                         \
    DEMANDED(torn_blocks, "with whole blocks among what was cut")                                  \
    DEMANDED(torn_over_segments, "over the end of a segment")                                      \
    DEMANDED(survived, "crashes that kept what nobody was told yet")                               \
    DEMANDED(lost, "crashes that lost what nobody was told yet")                                   \
    DEMANDED(ended_earlier, "logs that ended within what one operation recorded")                  \
    DEMANDED(steps, "operations of clients")                                                       \
    DEMANDED(acknowledged, "answers that told of an LSN")                                          \
    DEMANDED(blocks, "blocks")                                                                     \
    DEMANDED(attests, "that attest")                                                               \
    DEMANDED(rotations, "segments filled")                                                         \
    DEMANDED(snapshots, "snapshots made")                                                          \
    DEMANDED(snapshot_starts, "starts from one")                                                   \
    DEMANDED(snapshot_failures, "snapshots given up for an I/O error, or for want of room")        \
    DEMANDED(released, "segments removed")                                                         \
    DEMANDED(recycled, "segments prepared anew")                                                   \
    DEMANDED(kept, "times that somebody read beside the server, and nothing was removed")          \
    DEMANDED(archived, "files archived")                                                           \
    DEMANDED(archive_failures, "archive commands that failed")                                     \
    DEMANDED(followed, "records read beside the writer")                                           \
    DEMANDED(clean_stops, "clean ends")                                                            \
    DEMANDED(not_tried, "writes not tried, and done again")                                        \
    DEMANDED(fail_stops, "fail-stops")                                                             \
    DEMANDED(short_writes, "for a short write")                                                    \
    DEMANDED(cancelled_writes, "for a cancelled one")                                              \
    DEMANDED(refused_writes, "for EIO")                                                            \
    DEMANDED(unplaced_writes, "for ENOSPC")                                                        \
    DEMANDED(start_errors, "starts that failed for an I/O error, and then did not")                \
    DEMANDED(preparing_errors, "I/O errors while a segment was prepared")                          \
    DEMANDED(full_disks, "full disks")                                                             \
    DEMANDED(full_starts, "at a start")                                                            \
    DEMANDED(turned_away, "requests turned away for a log without room")                           \
    DEMANDED(resumed, "times it went on by itself when there was room")                            \
    DEMANDED(stalls, "disks that stood still for seconds")                                         \
    DEMANDED(rotten, "bytes rotten")                                                               \
    DEMANDED(lost_writes, "writes lost")                                                           \
    DEMANDED(misdirected_writes, "writes misdirected")                                             \
    DEMANDED(zeroed, "sectors and blocks zeroed")                                                  \
    DEMANDED(stale, "places with a block of another place")                                        \
    DEMANDED(forked, "places with a block of a fork of the log")                                   \
    DEMANDED(harmless, "of these found harmless")                                                  \
    DEMANDED(passed_over, "damaged snapshots passed over")                                         \
    DEMANDED(refused, "refused at the start, with segment and offset")                             \
    DEMANDED(unattested, "at the end of the log, which nothing attested")                          \
    OTHER(replays, "runs done twice, with the same trace")

struct hf_sim_coverage {
#define HF_SIM_COUNTER(name, text) uint64_t name;
    HF_SIM_COUNTERS(HF_SIM_COUNTER, HF_SIM_COUNTER)
#undef HF_SIM_COUNTER
};

/* Each counter on a line. */
void hf_sim_coverage_print(const struct hf_sim_coverage *coverage, FILE *file);

/* How many demanded ones are zero; says which. */
unsigned hf_sim_coverage_missing(const struct hf_sim_coverage *coverage, FILE *file);

#endif
