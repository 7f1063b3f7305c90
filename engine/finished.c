/* Finished reservations in their order: see finished.h. */
#include "engine/finished.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

#define FIRST_CAPACITY 4096

void hf_finished_close(struct hf_finished *finished)
{
    free(finished->entries);
    *finished = (struct hf_finished){0};
}

/* Makes room for one more: in front, if half of it is free there; else twice as much. */
static bool make_room(struct hf_finished *finished)
{
    uint64_t count = finished->end - finished->head;
    if (finished->head >= count && finished->head != 0) {
        memcpy(finished->entries, finished->entries + finished->head,
               count * sizeof *finished->entries);
        finished->head = 0;
        finished->end = count;
        return true;
    }
    uint64_t capacity = finished->capacity == 0 ? FIRST_CAPACITY : 2 * finished->capacity;
    struct hf_finished_entry *entries =
        realloc(finished->entries, capacity * sizeof *finished->entries);
    if (entries == NULL)
        return false;
    finished->entries = entries;
    finished->capacity = capacity;
    return true;
}

bool hf_finished_add(struct hf_finished *finished, uint32_t number, uint64_t changed_at_ns)
{
    if (finished->end == finished->capacity && !make_room(finished))
        return false;
    finished->entries[finished->end++] =
        (struct hf_finished_entry){.changed_at_ns = changed_at_ns, .number = number};
    return true;
}

static int by_date(const void *left, const void *right)
{
    const struct hf_finished_entry *one = left, *other = right;
    if (one->changed_at_ns != other->changed_at_ns)
        return one->changed_at_ns < other->changed_at_ns ? -1 : 1;
    return one->number < other->number ? -1 : one->number > other->number;
}

void hf_finished_sort(struct hf_finished *finished)
{
    if (finished->end != finished->head)
        qsort(finished->entries + finished->head, finished->end - finished->head,
              sizeof *finished->entries, by_date);
}

const struct hf_finished_entry *hf_finished_first(const struct hf_finished *finished)
{
    return finished->head != finished->end ? &finished->entries[finished->head] : NULL;
}

void hf_finished_drop_first(struct hf_finished *finished)
{
    HF_CHECK(finished->head != finished->end);
    finished->head++;
}
