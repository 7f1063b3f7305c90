/* Stories, loaded; see story_load.h. */
#include "tests/lib/story_load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tests/lib/log_story.h"
#include "tools/ledger.h"
#include "wal/record.h"

#define RECORDS_MAX 4096u
#define STARTS_MAX  64u
#define FOR_EVER    UINT64_MAX

static struct {
    uint8_t records[RECORDS_MAX][HF_RECORD_BYTES]; /* LSN - 1 */
    uint64_t count;
    uint64_t starts[STARTS_MAX]; /* LSNs behind which a server starts */
    uint32_t start_count;
    char text[512];
} story;

static void read_story(void)
{
    struct hf_reader *reader;
    struct hf_finding finding;
    struct hf_block_view view;
    story.count = story.start_count = 0;
    HF_CHECK(hf_reader_open(hf_io_posix(), hf_story.builder.directory, false, NULL, &reader,
                            &finding) == 0);
    while (hf_reader_next(reader, &view) == HF_READ_BLOCK) {
        HF_CHECK(story.count + view.header.record_count <= RECORDS_MAX);
        memcpy(story.records[story.count], view.records,
               (size_t)view.header.record_count * HF_RECORD_BYTES);
        if ((view.header.flags & HF_BLOCK_START) != 0) {
            HF_CHECK(story.start_count < STARTS_MAX);
            story.starts[story.start_count++] = story.count;
        }
        story.count += view.header.record_count;
    }
    hf_reader_close(reader);
}

static void start_behind(struct hf_ledger *ledger, uint64_t lsn)
{
    for (uint32_t i = 0; i < story.start_count; i++) {
        if (story.starts[i] == lsn)
            hf_ledger_start(ledger);
    }
}

static bool fail(const char *how, uint64_t place, uint64_t lsn, const char *reason)
{
    snprintf(story.text, sizeof story.text, "%s up to LSN %llu, at LSN %llu: %s", how,
             (unsigned long long)place, (unsigned long long)lsn, reason);
    return false;
}

static bool judge(struct hf_ledger *ledger, const char *how, uint64_t place)
{
    for (uint64_t lsn = place + 1; lsn <= story.count; lsn++) {
        const char *reason = hf_ledger_enter(ledger, story.records[lsn - 1]);
        if (reason != NULL)
            return fail(how, place, lsn, reason);
        start_behind(ledger, lsn);
    }
    return true;
}

static bool load_records(struct hf_ledger *ledger, uint64_t place)
{
    start_behind(ledger, 0);
    for (uint64_t lsn = 1; lsn <= place; lsn++) {
        const char *reason = hf_ledger_load(ledger, story.records[lsn - 1], HF_LEDGER_FROM_LOG);
        if (reason != NULL)
            return fail("loaded", place, lsn, reason);
        if (lsn < place)
            start_behind(ledger, lsn);
    }
    const char *reason = hf_ledger_settle(ledger, place);
    if (reason != NULL)
        return fail("settled", place, place, reason);
    if (place != 0)
        start_behind(ledger, place);
    return true;
}

/* ---- as a snapshot ---------------------------------------------------------------------- */

static bool copy_inventory(void *context, const struct hf_ledger_inventory_view *view)
{
    return hf_ledger_load(context, view->record, HF_LEDGER_FROM_SNAPSHOT) == NULL;
}

static bool copy_reservation(void *context, const struct hf_ledger_reservation_image *image,
                             uint64_t lsn)
{
    uint8_t record[HF_RECORD_BYTES];
    hf_ledger_image_write(image, lsn, record);
    return hf_ledger_load(context, record, HF_LEDGER_FROM_SNAPSHOT) == NULL;
}

static bool load_state(struct hf_ledger *ledger, uint64_t place)
{
    struct hf_ledger *before = hf_ledger_open(FOR_EVER);
    HF_CHECK(before != NULL);
    const struct hf_ledger_visitor visitor = {.visit = copy_reservation, .context = ledger};
    start_behind(before, 0);
    for (uint64_t lsn = 1; lsn <= place; lsn++) {
        HF_CHECK(hf_ledger_enter(before, story.records[lsn - 1]) == NULL);
        if (lsn < place)
            start_behind(before, lsn);
    }
    HF_CHECK(hf_ledger_each_inventory(before, copy_inventory, ledger));
    HF_CHECK(hf_ledger_each_reservation(before, FOR_EVER, &visitor));
    hf_ledger_close(before);
    const char *reason = hf_ledger_settle(ledger, place);
    start_behind(ledger, place);
    return reason == NULL || fail("settled as a snapshot", place, place, reason);
}

/* ---- all places ------------------------------------------------------------------------- */

/* True if the record with this LSN ends a change. */
static bool ends_change(uint64_t lsn)
{
    const uint8_t *record = story.records[lsn - 1];
    return lsn == 0 || record[HF_RECORD_CHAIN_INDEX] + 1 >= record[HF_RECORD_CHAIN_LENGTH];
}

static bool prove_place(uint64_t place, uint64_t hash, bool as_snapshot)
{
    uint64_t retained;
    struct hf_ledger *ledger = hf_ledger_open(FOR_EVER);
    HF_CHECK(ledger != NULL);
    bool right = (as_snapshot ? load_state : load_records)(ledger, place) &&
                 judge(ledger, as_snapshot ? "a snapshot" : "loaded", place);
    if (right && hf_ledger_state_hash(ledger, FOR_EVER, &retained) != hash)
        right =
            fail(as_snapshot ? "a snapshot" : "loaded", place, story.count, "the state is another");
    hf_ledger_close(ledger);
    return right;
}

const char *hf_story_prove_loadable(void)
{
    uint64_t retained;
    read_story();
    struct hf_ledger *all = hf_ledger_open(FOR_EVER);
    HF_CHECK(all != NULL);
    start_behind(all, 0);
    bool right = judge(all, "judged", 0);
    uint64_t hash = hf_ledger_state_hash(all, FOR_EVER, &retained);
    hf_ledger_close(all);
    for (uint64_t place = 0; right && place <= story.count; place++) {
        if (place == 0 || ends_change(place))
            right = prove_place(place, hash, false) && prove_place(place, hash, true);
    }
    return right ? NULL : story.text;
}
