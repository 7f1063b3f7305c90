/* Plans. See plan.h. */
#include "bench/plan.h"

#include <sys/random.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "holdfast/types.h"

void hf_load_make_ids(struct hf_load_plan *plan)
{
    struct hf_id id;
    uint64_t random[2];
    hf_id_make(&id);
    plan->id_high = hf_get_u64(id.bytes);
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random) {
        random[0] = hf_date_now_ns();
        random[1] = (uint64_t)getpid() << 32 ^ random[0];
    }
    plan->id_start = random[0];
    plan->first_inventory_id = random[1] >> 1 | 1; /* so that none is zero or wraps round */
    plan->first_sold_out_id = plan->first_inventory_id + HF_LOAD_MAX_INVENTORIES;
}
