/*
 * The view: availability read from the shared memory of a server on the same machine, without a
 * system call and without disturbing it.
 *
 * What it shows may be ahead of commit, as every availability read. It never shows a state that was
 * not there. Reading is thread-safe.
 */
#ifndef HOLDFAST_VIEW_H
#define HOLDFAST_VIEW_H

#include "holdfast/types.h"

#ifdef __cplusplus
extern "C" {
#endif

struct hf_view;

/*
 * Attaches to the server that runs on `directory`, read-only. 0; -ENOENT: none runs there; -EACCES:
 * it belongs to another user; -EPROTO: its memory has a layout that this version does not know; or
 * another -errno.
 */
int hf_view_open(const char *directory, struct hf_view **view);
void hf_view_close(struct hf_view *view);

/* False: there is no such inventory. */
bool hf_view_read(const struct hf_view *view, uint64_t inventory_id,
                  struct hf_inventory *inventory);

/* The same of the available units alone, negative if the sell limit was lowered below what is sold: a
 * few nanoseconds. */
bool hf_view_available(const struct hf_view *view, uint64_t inventory_id, int32_t *available);

/* False: that server has ended, and what is read does not change any more: open again. A system
 * call, so not for every read. */
bool hf_view_alive(const struct hf_view *view);

#ifdef __cplusplus
}
#endif

#endif
