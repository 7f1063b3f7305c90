/* Tables; see tables.h. */
#include "tools/tables.h"

#include <inttypes.h>
#include <string.h>

#include "holdfast/types.h"
#include "tools/row.h"

#define NARROW_MAX INT64_MAX

/* ---- measuring -------------------------------------------------------------------------- */

static bool measure_inventory(void *context, const struct hf_ledger_inventory_view *view)
{
    struct hf_tables_state *state = context;
    state->inventories++;
    state->wide_inventories |= view->image->inventory_id > NARROW_MAX;
    state->wide_products |= view->image->product_id > NARROW_MAX;
    return true;
}

/* None is visited: it is enough to be asked about each. */
static bool measure_reservation(void *context, const struct hf_ledger_reservation_image *image,
                                uint64_t lsn)
{
    (void)lsn;
    struct hf_tables_state *state = context;
    state->wide_customers |= image->customer_id > NARROW_MAX;
    return false;
}

bool hf_tables_measure(struct hf_tables_state *state)
{
    struct hf_ledger_visitor visitor = {.wants = measure_reservation, .context = state};
    state->state_hash = hf_ledger_state_hash(state->ledger, state->retain_ns, &state->reservations);
    return hf_ledger_each_inventory(state->ledger, measure_inventory, state) &&
           hf_ledger_each_reservation(state->ledger, state->retain_ns, &visitor);
}

/* ---- what rows say ---------------------------------------------------------------------- */

struct reservation_row {
    struct hf_id id;
    uint64_t inventory_id, customer_id;
    uint64_t made_at_ns, cancelled_at_ns; /* 0: it is not CANCELLED */
    const char *status;
};

static struct reservation_row row_of(const struct hf_ledger_reservation_image *image)
{
    struct reservation_row row = {
        .inventory_id = image->inventory_id,
        .customer_id = image->customer_id,
        .made_at_ns = image->made_at_ns,
        .cancelled_at_ns = image->state == LEDGER_CANCELLED ? image->changed_at_ns : 0,
        .status = hf_ledger_state_name(image->state),
    };
    memcpy(row.id.bytes, image->id, sizeof row.id.bytes);
    return row;
}

static struct hf_id id_of_log(const struct hf_tables_state *state)
{
    struct hf_id id;
    memcpy(id.bytes, state->log_id, sizeof id.bytes);
    return id;
}

struct hash_text {
    char text[17];
};

static struct hash_text hash_text(const struct hf_tables_state *state)
{
    struct hash_text hash;
    snprintf(hash.text, sizeof hash.text, "%016" PRIx64, state->state_hash);
    return hash;
}

/* ---- CSV and JSON ----------------------------------------------------------------------- */

static const char inventory_columns[] = "inventory_id,product_id,available_qty,version";
static const char reservation_columns[] =
    "reservation_id,inventory_id,customer_id,reservation_date,status,cancellation_date";
static const char export_columns[] = "log_id,lsn,state_hash,exported_at";

static bool put_inventory(void *context, const struct hf_ledger_inventory_view *view)
{
    struct hf_rows *rows = context;
    hf_row_begin(rows, "inventory");
    hf_row_number(rows, "inventory_id", view->image->inventory_id);
    hf_row_number(rows, "product_id", view->image->product_id);
    hf_row_signed(rows, "available_qty", view->available);
    hf_row_number(rows, "version", view->version);
    hf_row_end(rows);
    return !ferror(rows->out);
}

static bool put_reservation(void *context, const struct hf_ledger_reservation_image *image,
                            uint64_t lsn)
{
    (void)lsn;
    struct hf_rows *rows = context;
    struct reservation_row row = row_of(image);
    hf_row_begin(rows, "reservation");
    hf_row_id(rows, "reservation_id", &row.id);
    hf_row_number(rows, "inventory_id", row.inventory_id);
    hf_row_number(rows, "customer_id", row.customer_id);
    hf_row_date(rows, "reservation_date", row.made_at_ns);
    hf_row_text(rows, "status", row.status);
    hf_row_date(rows, "cancellation_date", row.cancelled_at_ns);
    hf_row_end(rows);
    return !ferror(rows->out);
}

static bool put_rows(struct hf_rows *rows, const struct hf_tables_state *state,
                     enum hf_tables tables)
{
    struct hf_ledger_visitor visitor = {.visit = put_reservation, .context = rows};
    return ((tables & HF_TABLES_INVENTORY) == 0 ||
            hf_ledger_each_inventory(state->ledger, put_inventory, rows)) &&
           ((tables & HF_TABLES_RESERVATION) == 0 ||
            hf_ledger_each_reservation(state->ledger, state->retain_ns, &visitor));
}

static void put_export(struct hf_rows *rows, const struct hf_tables_state *state)
{
    struct hf_id log_id = id_of_log(state);
    hf_row_begin(rows, "export");
    hf_row_id(rows, "log_id", &log_id);
    hf_row_number(rows, "lsn", state->lsn);
    hf_row_text(rows, "state_hash", hash_text(state).text);
    hf_row_date(rows, "exported_at", state->exported_at_ns);
    hf_row_end(rows);
}

bool hf_tables_put_csv(FILE *out, const struct hf_tables_state *state, enum hf_tables table)
{
    struct hf_rows rows;
    hf_rows_open(&rows, out, HF_ROWS_CSV,
                 table == HF_TABLES_INVENTORY ? inventory_columns : reservation_columns);
    return put_rows(&rows, state, table);
}

void hf_tables_put_export_csv(FILE *out, const struct hf_tables_state *state)
{
    struct hf_rows rows;
    hf_rows_open(&rows, out, HF_ROWS_CSV, export_columns);
    put_export(&rows, state);
}

bool hf_tables_put_jsonl(FILE *out, const struct hf_tables_state *state)
{
    struct hf_rows rows;
    hf_rows_open(&rows, out, HF_ROWS_JSONL, "");
    put_export(&rows, state);
    return put_rows(&rows, state, state->tables);
}

/* ---- SQL -------------------------------------------------------------------------------- */

#define ROWS_PER_INSERT 500

/* One INSERT after the other, of so many rows each. */
struct inserts {
    FILE *out;
    const struct hf_tables_state *state;
    const char *into; /* "inventory (inventory_id, ...)" */
    uint64_t rows;    /* so far */
};

static void begin_row(struct inserts *inserts)
{
    if (inserts->rows % ROWS_PER_INSERT == 0)
        fprintf(inserts->out, "INSERT INTO %s VALUES\n(", inserts->into);
    else
        fputs_unlocked(",\n(", inserts->out);
    inserts->rows++;
}

static void end_row(struct inserts *inserts)
{
    putc_unlocked(')', inserts->out);
    if (inserts->rows % ROWS_PER_INSERT == 0)
        fputs_unlocked(";\n", inserts->out);
}

static void end_inserts(struct inserts *inserts)
{
    if (inserts->rows % ROWS_PER_INSERT != 0)
        fputs_unlocked(";\n", inserts->out);
}

/* An id as its column takes it. */
static void put_sql_id(FILE *out, uint64_t id, bool wide)
{
    if (wide)
        putc_unlocked('\'', out);
    hf_put_number(out, id);
    if (wide)
        putc_unlocked('\'', out);
}

static void put_sql_date(FILE *out, uint64_t date_ns)
{
    char text[HF_DATE_TEXT_BYTES];
    if (date_ns == 0) {
        fputs_unlocked("NULL", out);
        return;
    }
    hf_date_format(date_ns, text);
    putc_unlocked('\'', out);
    fputs_unlocked(text, out);
    putc_unlocked('\'', out);
}

static bool insert_inventory(void *context, const struct hf_ledger_inventory_view *view)
{
    struct inserts *inserts = context;
    FILE *out = inserts->out;
    begin_row(inserts);
    put_sql_id(out, view->image->inventory_id, inserts->state->wide_inventories);
    putc_unlocked(',', out);
    put_sql_id(out, view->image->product_id, inserts->state->wide_products);
    fprintf(out, ",%" PRId64 ",%" PRIu32, view->available, view->version);
    end_row(inserts);
    return !ferror(out);
}

static bool insert_reservation(void *context, const struct hf_ledger_reservation_image *image,
                               uint64_t lsn)
{
    (void)lsn;
    struct inserts *inserts = context;
    FILE *out = inserts->out;
    struct reservation_row row = row_of(image);
    char id[HF_ID_TEXT_BYTES];
    hf_id_format(&row.id, id);
    begin_row(inserts);
    putc_unlocked('\'', out);
    fputs_unlocked(id, out);
    fputs_unlocked("',", out);
    put_sql_id(out, row.inventory_id, inserts->state->wide_inventories);
    putc_unlocked(',', out);
    put_sql_id(out, row.customer_id, inserts->state->wide_customers);
    putc_unlocked(',', out);
    put_sql_date(out, row.made_at_ns);
    fputs_unlocked(",'", out);
    fputs_unlocked(row.status, out);
    fputs_unlocked("',", out);
    put_sql_date(out, row.cancelled_at_ns);
    end_row(inserts);
    return !ferror(out);
}

/* SQLite keeps numbers from 2^63 on as floating point: ids that are as large are text for both. */
static const char *id_type(bool wide)
{
    return wide ? "TEXT" : "NUMERIC(20)";
}

static void put_schema(FILE *out, const struct hf_tables_state *state)
{
    if ((state->tables & HF_TABLES_INVENTORY) != 0)
        fprintf(out,
                "CREATE TABLE IF NOT EXISTS inventory (\n"
                "  inventory_id %s NOT NULL PRIMARY KEY,\n"
                "  product_id %s NOT NULL,\n"
                "  available_qty BIGINT NOT NULL,\n"
                "  version BIGINT NOT NULL\n);\n",
                id_type(state->wide_inventories), id_type(state->wide_products));
    if ((state->tables & HF_TABLES_RESERVATION) != 0)
        fprintf(out,
                "CREATE TABLE IF NOT EXISTS reservation (\n"
                "  reservation_id TEXT NOT NULL PRIMARY KEY,\n"
                "  inventory_id %s NOT NULL,\n"
                "  customer_id %s NOT NULL,\n"
                "  reservation_date TEXT NOT NULL,\n"
                "  status TEXT NOT NULL,\n"
                "  cancellation_date TEXT\n);\n",
                id_type(state->wide_inventories), id_type(state->wide_customers));
    fputs("CREATE TABLE IF NOT EXISTS holdfast_export (\n"
          "  log_id TEXT NOT NULL,\n"
          "  lsn BIGINT NOT NULL,\n"
          "  state_hash TEXT NOT NULL,\n"
          "  exported_at TEXT NOT NULL\n);\n",
          out);
}

/* The row is there if, and only if, all others are: not if a program went on after an error, nor if
 * the tables held something before. */
static void put_sql_export(FILE *out, const struct hf_tables_state *state)
{
    struct hf_id id = id_of_log(state);
    char log_id[HF_ID_TEXT_BYTES], exported_at[HF_DATE_TEXT_BYTES];
    hf_id_format(&id, log_id);
    hf_date_format(state->exported_at_ns, exported_at);
    fprintf(out,
            "INSERT INTO holdfast_export (log_id, lsn, state_hash, exported_at)\n"
            "SELECT '%s', %" PRIu64 ", '%s', '%s' WHERE 1 = 1",
            log_id, state->lsn, hash_text(state).text, exported_at);
    if ((state->tables & HF_TABLES_INVENTORY) != 0)
        fprintf(out, "\n  AND (SELECT COUNT(*) FROM inventory) = %" PRIu64, state->inventories);
    if ((state->tables & HF_TABLES_RESERVATION) != 0)
        fprintf(out, "\n  AND (SELECT COUNT(*) FROM reservation) = %" PRIu64, state->reservations);
    fputs(";\n", out);
}

bool hf_tables_put_sql(FILE *out, const struct hf_tables_state *state)
{
    struct inserts inventories = {
        out, state, "inventory (inventory_id, product_id, available_qty, version)", 0};
    struct inserts reservations = {out, state,
                                   "reservation (reservation_id, inventory_id, customer_id, "
                                   "reservation_date, status, cancellation_date)",
                                   0};
    struct hf_ledger_visitor visitor = {.visit = insert_reservation, .context = &reservations};
    fprintf(out, "-- Holdfast: the state after LSN %" PRIu64 "\nBEGIN;\n", state->lsn);
    put_schema(out, state);
    bool done = true;
    if ((state->tables & HF_TABLES_INVENTORY) != 0)
        done = hf_ledger_each_inventory(state->ledger, insert_inventory, &inventories);
    end_inserts(&inventories);
    if (done && (state->tables & HF_TABLES_RESERVATION) != 0)
        done = hf_ledger_each_reservation(state->ledger, state->retain_ns, &visitor);
    end_inserts(&reservations);
    put_sql_export(out, state);
    fputs("COMMIT;\n", out);
    return done;
}
