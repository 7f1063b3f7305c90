/* The view: see include/holdfast/view.h. */
#include "holdfast/view.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "engine/region.h"

struct hf_view {
    struct hf_region region;
};

int hf_view_open(const char *directory, struct hf_view **opened)
{
    struct hf_view *view = malloc(sizeof *view);
    if (view == NULL)
        return -ENOMEM;
    int result = hf_region_attach(&view->region, directory);
    if (result != 0) {
        free(view);
        return result;
    }
    *opened = view;
    return 0;
}

void hf_view_close(struct hf_view *view)
{
    hf_region_detach(&view->region);
    free(view);
}

bool hf_view_read(const struct hf_view *view, uint64_t inventory_id, struct hf_inventory *inventory)
{
    const struct hf_inventory_cell *cell = hf_region_find_inventory(&view->region, inventory_id);
    if (cell == NULL)
        return false;
    hf_inventory_describe(cell, &view->region.mcas, inventory);
    return true;
}

bool hf_view_available(const struct hf_view *view, uint64_t inventory_id, int32_t *available)
{
    const struct hf_inventory_cell *cell = hf_region_find_inventory(&view->region, inventory_id);
    if (cell == NULL)
        return false;
    *available = hf_word_available(hf_mcas_peek(&view->region.mcas, &cell->word));
    return true;
}

bool hf_view_alive(const struct hf_view *view)
{
    /* Acquire, pairs with hf_region_close(). A killed server could not store it, hence the probe.
     */
    if (hf_load_acquire(&view->region.header->state) != HF_REGION_READY)
        return false;
    return kill((pid_t)view->region.header->process_id, 0) == 0 || errno == EPERM;
}
