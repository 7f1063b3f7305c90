/* Audits; see audit.h. */
#include "tools/audit.h"

#include <inttypes.h>

#include "tools/walk_text.h"
#include "wal/record.h"

static void note_record_fault(struct hf_audit *audit, const struct hf_block *block, uint32_t record,
                              const char *reason)
{
    char name[HF_SEGMENT_NAME_BYTES];
    hf_segment_name_format(block->segment, name);
    audit->found = true;
    audit->fault_lsn = block->first_lsn + record;
    audit->fault_segment = block->segment;
    audit->fault_offset =
        block->offset + HF_BLOCK_HEADER_BYTES + (uint64_t)record * HF_RECORD_BYTES;
    snprintf(audit->fault, sizeof audit->fault, "LSN %" PRIu64 ", %s at %" PRIu64 ": %s",
             audit->fault_lsn, name, audit->fault_offset, reason);
}

static bool enter_block(struct hf_audit *audit, const struct hf_block_view *view)
{
    if ((view->header.flags & HF_BLOCK_START) != 0)
        hf_ledger_start(audit->ledger);
    uint32_t count = view->header.record_count, entered;
    const char *reason = hf_ledger_enter_all(audit->ledger, view->records, count, &entered);
    if (reason == NULL && (reason = hf_ledger_end_block(audit->ledger)) != NULL)
        entered = count - 1;
    if (reason != NULL)
        note_record_fault(audit, &view->header, entered, reason);
    return reason == NULL;
}

bool hf_audit_open(struct hf_audit *audit, struct hf_walk *walk, uint64_t retain_ns)
{
    *audit = (struct hf_audit){.walk = walk, .retain_ns = retain_ns};
    audit->ledger = hf_ledger_open(UINT64_MAX);
    if (audit->ledger == NULL)
        return false;
    struct hf_block_view view;
    while (hf_walk_next(walk, &view)) {
        if (!enter_block(audit, &view)) {
            hf_walk_clear_progress(walk);
            return true;
        }
    }
    if (hf_walk_ended_well(walk))
        return true;
    audit->found = true;
    audit->fault_segment = walk->finding.segment;
    audit->fault_offset = walk->finding.offset;
    snprintf(audit->fault, sizeof audit->fault, "%s", walk->finding.text);
    return true;
}

void hf_audit_close(struct hf_audit *audit)
{
    hf_ledger_close(audit->ledger);
}

/* Figures of a verdict: X(name, value). */
#define FIGURES(X)                                                                                 \
    X("segments", hf_walk_segment_count(audit->walk))                                              \
    X("blocks", audit->walk->blocks)                                                               \
    X("records", totals.records)                                                                   \
    X("inventories", totals.inventories)                                                           \
    X("reservations", totals.reservations)                                                         \
    X("confirmed", totals.confirmed)                                                               \
    X("cancelled", totals.cancelled)                                                               \
    X("held", totals.held)                                                                         \
    X("released", totals.released)                                                                 \
    X("expired", totals.expired)                                                                   \
    X("waiting", totals.waiting)                                                                   \
    X("reused", totals.reused)                                                                     \
    X("offers", totals.offers)                                                                     \
    X("expiries", totals.expiries)                                                                 \
    X("chains", totals.chains)                                                                     \
    X("events", totals.events)                                                                     \
    X("above_customer_limit", totals.above_customer_limit)                                         \
    X("starts", audit->walk->starts)                                                               \
    X("clean_stops", audit->walk->clean_stops)                                                     \
    X("last_lsn", totals.last_lsn)

void hf_audit_text_put(FILE *out, const struct hf_audit *audit)
{
    struct hf_ledger_totals totals;
    hf_ledger_totals(audit->ledger, &totals);
#define X(name, value) fprintf(out, name ": %" PRIu64 "\n", value);
    FIGURES(X)
#undef X
    if (audit->found) {
        fprintf(out, "fault: %s\nverify: FAILED\n", audit->fault);
        return;
    }
    hf_walk_text_put_tail(out, audit->walk);
    uint64_t retained, hash = hf_ledger_state_hash(audit->ledger, audit->retain_ns, &retained);
    fprintf(out, "retained: %" PRIu64 "\nstate_hash: %016" PRIx64 "\nverify: ok\n", retained, hash);
}

static void put_json_fault(FILE *out, const struct hf_audit *audit)
{
    if (!audit->found) {
        fputs("null", out);
        return;
    }
    fputs("{\"lsn\":", out);
    if (audit->fault_lsn == 0)
        fputs("null", out);
    else
        fprintf(out, "%" PRIu64, audit->fault_lsn);
    fprintf(out, ",\"segment\":%" PRIu64 ",\"offset\":%" PRIu64 ",\"text\":", audit->fault_segment,
            audit->fault_offset);
    hf_walk_json_put_text(out, audit->fault);
    putc('}', out);
}

void hf_audit_json_put(FILE *out, const struct hf_audit *audit)
{
    struct hf_ledger_totals totals;
    hf_ledger_totals(audit->ledger, &totals);
    char log_id[HF_ID_TEXT_BYTES];
    hf_walk_format_log_id(audit->walk, log_id);
    fputs("{\"directory\":", out);
    hf_walk_json_put_text(out, audit->walk->directory);
    fprintf(out, ",\"log_id\":\"%s\"", log_id);
#define X(name, value) fprintf(out, ",\"" name "\":%" PRIu64, value);
    FIGURES(X)
#undef X
    fputs(",\"torn\":", out);
    hf_walk_json_put_tail(out, audit->walk);
    fprintf(out, ",\"grows\":%s", audit->walk->grows ? "true" : "false");
    if (audit->found) {
        fputs(",\"retained\":null,\"state_hash\":null", out);
    } else {
        uint64_t retained, hash = hf_ledger_state_hash(audit->ledger, audit->retain_ns, &retained);
        fprintf(out, ",\"retained\":%" PRIu64 ",\"state_hash\":\"%016" PRIx64 "\"", retained, hash);
    }
    fputs(",\"fault\":", out);
    put_json_fault(out, audit);
    fprintf(out, ",\"verify\":\"%s\"}\n", audit->found ? "failed" : "ok");
}
