/* Disks that a life begins with; see origin.h. */
#include "tests/sim/origin.h"

#include "base/check.h"
#include "base/clock.h"
#include "tests/sim/clock.h"
#include "tests/sim/server.h"

#define ORIGINS       16u
#define SEGMENT_BYTES (1u << 20)
#define START_BYTES   8192u /* a start and a clean end write two blocks */

static struct hf_sim_disk origins[ORIGINS]; /* the first: empty; the others: ever less room */

static bool nothing(void *context)
{
    (void)context;
    return false;
}

static void start_and_stop(struct hf_sim_disk *disk, const char *directory)
{
    struct hf_sim_server server;
    hf_sim_server_init(&server, &(struct hf_sim_server_options){
                                    .disk = disk,
                                    .directory = directory,
                                    .segment_bytes = SEGMENT_BYTES,
                                    .ring_slots = 512,
                                    .retain_ns = HF_NS_PER_S,
                                    .snapshot_log_bytes = UINT64_MAX,
                                    .progress = nothing,
                                });
    HF_CHECK(hf_sim_server_start(&server) == 0);
    HF_CHECK(hf_sim_server_stop(&server) == 0);
    hf_sim_server_free(&server);
}

void hf_sim_origins_make(const char *directory)
{
    struct hf_sim_disk disk;
    const uint32_t starts = (SEGMENT_BYTES - HF_SIM_PAGE_BYTES) / START_BYTES;
    hf_sim_clock_begin(0, HF_SIM_ORIGIN_NS - HF_NS_PER_S);
    hf_sim_disk_init(&disk, 0);
    hf_sim_disk_init(&origins[0], 0);
    for (uint32_t i = 0; i < starts; i++) {
        start_and_stop(&disk, directory);
        uint32_t left = starts - (i + 1);
        if (left < ORIGINS - 1) {
            hf_sim_disk_init(&origins[ORIGINS - 1 - left], 0);
            hf_sim_disk_copy(&origins[ORIGINS - 1 - left], &disk);
        }
    }
    hf_sim_disk_close(&disk);
}

void hf_sim_origins_free(void)
{
    for (uint32_t i = 0; i < ORIGINS; i++)
        hf_sim_disk_close(&origins[i]);
}

void hf_sim_origin_copy(struct hf_sim_disk *to, struct hf_random *random)
{
    bool empty = hf_random_below(random, 2) == 0;
    hf_sim_disk_copy(to, &origins[empty ? 0 : 1 + hf_random_below(random, ORIGINS - 1)]);
}
