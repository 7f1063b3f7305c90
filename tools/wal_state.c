/* holdfast-wal state and hash: the state at a moment, and its hash. */
#include <inttypes.h>
#include <string.h>

#include "tools/past.h"
#include "tools/wal_command.h"

/* What is shown: the state's line, inventories, reservations. */
struct show {
    const struct hf_wal_task *task;
    const struct hf_past *past;
    struct hf_rows rows;
};

/* ---- rows ------------------------------------------------------------------------------- */

static const char inventory_columns[] =
    "inventory_id,product_id,capacity,sell_limit,available,held,confirmed,waiting,deficit,version,"
    "sequence,lsn,made_at,changed_at,paused,closed,close_when_sold_out,skip,sold_out_closed,"
    "customer_limit,min_qty,max_qty,waiting_limit,opens_at,closes_at,longest_hold,cancel_until,"
    "offer_ttl";

static void put_settings(struct hf_rows *rows, const struct hf_image *image)
{
    const struct hf_settings *settings = &image->settings;
    uint32_t flags = image->inventory.flags;
    hf_row_flag(rows, "paused", (flags & HF_INVENTORY_PAUSED) != 0);
    hf_row_flag(rows, "closed", (flags & HF_INVENTORY_CLOSED) != 0);
    hf_row_flag(rows, "close_when_sold_out", (flags & HF_INVENTORY_CLOSE_WHEN_SOLD_OUT) != 0);
    hf_row_flag(rows, "skip", (flags & HF_INVENTORY_SKIP) != 0);
    hf_row_flag(rows, "sold_out_closed", (flags & HF_INVENTORY_SOLD_OUT_CLOSED) != 0);
    hf_row_limit(rows, "customer_limit", settings->customer_limit);
    hf_row_limit(rows, "min_qty", settings->min_qty);
    hf_row_limit(rows, "max_qty", settings->max_qty);
    hf_row_number(rows, "waiting_limit", settings->waiting_limit);
    hf_row_date(rows, "opens_at", settings->opens_at_ns);
    hf_row_date(rows, "closes_at", settings->closes_at_ns);
    hf_row_duration(rows, "longest_hold", settings->longest_hold_ns);
    hf_row_date(rows, "cancel_until", settings->cancel_until_ns);
    hf_row_duration(rows, "offer_ttl", settings->offer_ttl_ns);
}

static bool put_inventory(void *context, const struct hf_ledger_inventory_view *view)
{
    struct show *show = context;
    struct hf_rows *rows = &show->rows;
    struct hf_image image;
    const struct hf_image_filter *filter = &show->task->filter;
    if (filter->by_inventory && view->image->inventory_id != filter->inventory_id)
        return true;
    if (hf_image_decode(view->record, &image) != NULL)
        return true; /* the ledger has judged it: all that it accepts is one */
    hf_row_begin(rows, "inventory");
    hf_row_number(rows, "inventory_id", view->image->inventory_id);
    hf_row_number(rows, "product_id", view->image->product_id);
    hf_row_number(rows, "capacity", image.inventory.capacity);
    hf_row_number(rows, "sell_limit", view->image->sell_limit);
    hf_row_signed(rows, "available", view->available);
    hf_row_number(rows, "held", view->held);
    hf_row_number(rows, "confirmed", view->confirmed);
    hf_row_number(rows, "waiting", view->waiting);
    hf_row_number(rows, "deficit", view->available < 0 ? 0 - (uint64_t)view->available : 0);
    hf_row_number(rows, "version", view->version);
    hf_row_number(rows, "sequence", view->image->sequence);
    hf_row_number(rows, "lsn", view->lsn);
    hf_row_date(rows, "made_at", view->image->made_at_ns);
    hf_row_date(rows, "changed_at", view->image->changed_at_ns);
    put_settings(rows, &image);
    hf_row_end(rows);
    return !ferror(rows->out);
}

static const char reservation_columns[] =
    "reservation_id,inventory_id,customer_id,qty,status,sequence,lsn,made_at,changed_at,deadline,"
    "made_as,linked_id,origin";

static bool wants_reservation(void *context, const struct hf_ledger_reservation_image *image,
                              uint64_t lsn)
{
    (void)lsn;
    const struct show *show = context;
    return hf_image_filter_wants_reservation(&show->task->filter, image->id, image->inventory_id,
                                             image->customer_id, image->state);
}

static bool put_reservation(void *context, const struct hf_ledger_reservation_image *image,
                            uint64_t lsn)
{
    struct show *show = context;
    struct hf_rows *rows = &show->rows;
    struct hf_id id, linked_id = {{0}};
    char origin[16];
    memcpy(id.bytes, image->id, sizeof id.bytes);
    if (image->linked_id != NULL)
        memcpy(linked_id.bytes, image->linked_id, sizeof linked_id.bytes);
    snprintf(origin, sizeof origin, "%08" PRIx32, image->origin);
    hf_row_begin(rows, "reservation");
    hf_row_id(rows, "reservation_id", &id);
    hf_row_number(rows, "inventory_id", image->inventory_id);
    hf_row_number(rows, "customer_id", image->customer_id);
    hf_row_number(rows, "qty", image->qty);
    hf_row_text(rows, "status", hf_state_name(image->state));
    hf_row_number(rows, "sequence", image->sequence);
    hf_row_number(rows, "lsn", lsn);
    hf_row_date(rows, "made_at", image->made_at_ns);
    hf_row_date(rows, "changed_at", image->changed_at_ns);
    hf_row_date(rows, "deadline", image->deadline_ns);
    hf_row_text(rows, "made_as",
                hf_state_name(image->made_as == 0 ? HF_STATE_CONFIRMED : image->made_as));
    hf_row_id(rows, "linked_id", &linked_id);
    hf_row_text(rows, "origin", image->origin == 0 ? NULL : origin);
    hf_row_end(rows);
    return !ferror(rows->out);
}

/* What all of it is; in CSV there is no place for it. */
static void put_summary(struct show *show)
{
    struct hf_rows *rows = &show->rows;
    const struct hf_past *past = show->past;
    struct hf_ledger_totals totals;
    struct hf_id log_id;
    char hash_text[17];
    uint64_t retained;
    uint64_t hash = hf_ledger_state_hash(past->intake.ledger, past->retain_ns, &retained);
    hf_ledger_totals(past->intake.ledger, &totals);
    memcpy(log_id.bytes, past->log_id, sizeof log_id.bytes);
    snprintf(hash_text, sizeof hash_text, "%016" PRIx64, hash);
    hf_row_begin(rows, "state");
    hf_row_id(rows, "log_id", &log_id);
    hf_row_number(rows, "lsn", past->lsn);
    hf_row_date(rows, "newest_date", past->newest_ns);
    hf_row_number(rows, "inventories", totals.inventories);
    hf_row_number(rows, "retained", retained);
    hf_row_duration(rows, "retain", past->retain_ns);
    hf_row_text(rows, "state_hash", hash_text);
    hf_row_end(rows);
}

/* ---- state ------------------------------------------------------------------------------ */

static enum hf_wal_exit show_state(const struct hf_wal_task *task, const struct hf_past *past)
{
    bool only_reservations = hf_image_filter_is_for_reservations(&task->filter);
    bool reservations = only_reservations || task->reservations;
    bool csv = task->format == HF_ROWS_CSV;
    struct show show = {.task = task, .past = past};
    struct hf_ledger_visitor visitor = {wants_reservation, put_reservation, &show};
    hf_rows_open(&show.rows, stdout, task->format,
                 reservations ? reservation_columns : inventory_columns);
    if (!csv)
        put_summary(&show);
    bool done = true;
    if (csv ? !reservations : !only_reservations)
        done = hf_ledger_each_inventory(past->intake.ledger, put_inventory, &show);
    if (done && reservations)
        done = hf_ledger_each_reservation(past->intake.ledger, past->retain_ns, &visitor);
    return done ? HF_WAL_OK : hf_wal_complain("out of memory");
}

enum hf_wal_exit hf_wal_state(const struct hf_wal_task *task)
{
    struct hf_past past;
    enum hf_wal_exit status = hf_past_open(&past, task->directory, &task->at, task->retain_ns)
                                  ? show_state(task, &past)
                                  : hf_wal_complain("%s", past.error);
    hf_past_close(&past);
    return status;
}

/* ---- hash ------------------------------------------------------------------------------- */

static void show_hash(const struct hf_wal_task *task, const struct hf_past *past)
{
    uint64_t retained;
    uint64_t hash = hf_ledger_state_hash(past->intake.ledger, past->retain_ns, &retained);
    char retain[HF_DURATION_TEXT_BYTES];
    hf_duration_format(past->retain_ns, retain);
    printf(task->json ? "{\"state_hash\":\"%016" PRIx64 "\",\"lsn\":%" PRIu64
                        ",\"retained\":%" PRIu64 ",\"retain\":\"%s\"}\n"
                      : "state_hash: %016" PRIx64 "\nlsn: %" PRIu64 "\nretained: %" PRIu64
                        "\nretain: %s\n",
           hash, past->lsn, retained, retain);
}

enum hf_wal_exit hf_wal_hash(const struct hf_wal_task *task)
{
    struct hf_past past;
    enum hf_wal_exit status = HF_WAL_OK;
    if (hf_past_open(&past, task->directory, &task->at, task->retain_ns))
        show_hash(task, &past);
    else
        status = hf_wal_complain("%s", past.error);
    hf_past_close(&past);
    return status;
}
