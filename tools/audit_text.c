/* Audits for people and for programs; see audit.h. */
#include <inttypes.h>
#include <string.h>

#include "tools/audit.h"
#include "tools/json.h"
#include "tools/walk_text.h"

#define MISSING_TOLD 1000 /* of the acknowledgements that are not in the log */

/* Figures of the log: X(name, value). */
#define WALK_FIGURES(X)                                                                            \
    X("segments", hf_walk_segment_count(walk))                                                     \
    X("blocks", walk->blocks)

/* Of the ledger. */
#define LEDGER_FIGURES(X)                                                                          \
    X("records", totals.records)                                                                   \
    X("inventories", totals.inventories)                                                           \
    X("reservations", totals.reservations)                                                         \
    X("confirmed", totals.confirmed)                                                               \
    X("cancelled", totals.cancelled)                                                               \
    X("held", totals.held)                                                                         \
    X("released", totals.released)                                                                 \
    X("expired", totals.expired)                                                                   \
    X("waiting", totals.waiting)                                                                   \
    X("forgotten", totals.forgotten)                                                               \
    X("reused", totals.reused)                                                                     \
    X("offers", totals.offers)                                                                     \
    X("expiries", totals.expiries)                                                                 \
    X("chains", totals.chains)                                                                     \
    X("events", totals.events)                                                                     \
    X("above_customer_limit", totals.above_customer_limit)                                         \
    X("unproved", totals.unproved)

/* A quick audit has no ledger. */
#define QUICK_FIGURES(X) X("records", walk->records)

#define END_FIGURES(X)                                                                             \
    X("starts", walk->starts)                                                                      \
    X("clean_stops", walk->clean_stops)                                                            \
    X("first_lsn", hf_walk_first_lsn(walk))                                                        \
    X("last_lsn", audit->found ? last_sound_lsn(audit) : hf_walk_last_lsn(walk))

/* Up to which nothing was found. */
static uint64_t last_sound_lsn(const struct hf_audit *audit)
{
    return audit->fault_lsn != 0 ? audit->fault_lsn - 1 : hf_walk_last_lsn(&audit->walk);
}

static const char *verdict_name(enum hf_audit_snapshot verdict)
{
    static const char *const names[] = {
        [HF_AUDIT_SNAPSHOT_UNREAD] = "unread", [HF_AUDIT_SNAPSHOT_RIGHT] = "right",
        [HF_AUDIT_SNAPSHOT_BEGUN] = "right",   [HF_AUDIT_SNAPSHOT_AGREES] = "agrees",
        [HF_AUDIT_SNAPSHOT_FAULTY] = "faulty",
    };
    return names[verdict];
}

static bool is_unprovable(const struct hf_audit *audit, const struct hf_ack *ack)
{
    return hf_ack_is_unprovable(ack, hf_audit_known_lsn(audit));
}

/* ---- text ------------------------------------------------------------------------------- */

static void text_snapshots(FILE *out, const struct hf_audit *audit)
{
    for (uint32_t i = 0; i < audit->snapshots.count; i++) {
        bool faulty = audit->verdicts[i] == HF_AUDIT_SNAPSHOT_FAULTY;
        fprintf(out, "snapshot: %" PRIu64 " %s%s%s%s\n", audit->snapshots.entries[i].last_lsn,
                verdict_name(audit->verdicts[i]),
                audit->verdicts[i] == HF_AUDIT_SNAPSHOT_BEGUN ? " (the proof begins with it)" : "",
                faulty ? ": " : "", faulty ? audit->snapshots.entries[i].text : "");
    }
}

static void text_ack(FILE *out, const struct hf_audit *audit, const struct hf_ack *ack)
{
    char id[HF_ID_TEXT_BYTES];
    hf_id_format(&ack->id, id);
    fprintf(out, "%s: line=%" PRIu64 " reservation_id=%s",
            is_unprovable(audit, ack) ? "unprovable_ack" : "missing_ack", ack->line, id);
    if (ack->state != 0)
        fprintf(out, " status=%s", hf_state_name(ack->state));
    if (ack->qty != 0)
        fprintf(out, " qty=%" PRIu32, ack->qty);
    if (ack->lsn != 0)
        fprintf(out, " lsn=%" PRIu64, ack->lsn);
    putc('\n', out);
}

/* Those that are missing, and those of which nobody can say, in the order of their lines. */
static void text_acks(FILE *out, const struct hf_audit *audit)
{
    const struct hf_acks *acks = audit->options.acks;
    uint32_t told = 0;
    if (acks == NULL || audit->found)
        return;
    fprintf(out, "acks: %" PRIu32 "\nmissing_acks: %" PRIu32 "\nunprovable_acks: %" PRIu32 "\n",
            acks->count, audit->missing_acks, audit->unprovable_acks);
    for (uint32_t i = 0; i < acks->count && told < MISSING_TOLD; i++) {
        if (acks->acks[i].found)
            continue;
        text_ack(out, audit, &acks->acks[i]);
        told++;
    }
    if (audit->missing_acks + audit->unprovable_acks > told)
        fprintf(out, "note: only the first %" PRIu32 " of them are told\n", told);
}

static void text_state(FILE *out, const struct hf_audit *audit)
{
    uint64_t retained;
    uint64_t hash = hf_ledger_state_hash(audit->intake.ledger, audit->retain_ns, &retained);
    fprintf(out, "retained: %" PRIu64 "\nstate_hash: %016" PRIx64 "\n", retained, hash);
}

void hf_audit_text_put(FILE *out, const struct hf_audit *audit)
{
    const struct hf_walk *walk = &audit->walk;
    struct hf_ledger_totals totals;
    hf_ledger_totals(audit->intake.ledger, &totals);
#define X(name, value) fprintf(out, name ": %" PRIu64 "\n", (uint64_t)(value));
    WALK_FIGURES(X)
    if (audit->options.quick) {
        QUICK_FIGURES(X)
    } else {
        LEDGER_FIGURES(X)
    }
    END_FIGURES(X)
#undef X
    if (!audit->found)
        hf_walk_text_put_tail(out, walk);
    text_snapshots(out, audit);
    text_acks(out, audit);
    if (audit->found)
        fprintf(out, "fault: %s\n", audit->fault);
    else if (!audit->options.quick && hf_audit_passed(audit))
        text_state(out, audit);
    if (audit->options.quick)
        fputs("note: only checksums and the chain of blocks were looked at\n", out);
    fprintf(out, "verify: %s\n", hf_audit_passed(audit) ? "ok" : "FAILED");
}

/* ---- JSON ------------------------------------------------------------------------------- */

static void json_fault(FILE *out, const struct hf_audit *audit)
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
    hf_json_text(out, audit->fault);
    putc('}', out);
}

static void json_snapshots(FILE *out, const struct hf_audit *audit)
{
    putc('[', out);
    for (uint32_t i = 0; i < audit->snapshots.count; i++) {
        const struct hf_snapshot_entry *entry = &audit->snapshots.entries[i];
        fprintf(out, "%s{\"last_lsn\":%" PRIu64 ",\"verdict\":\"%s\",\"begun_with\":%s,\"text\":",
                i == 0 ? "" : ",", entry->last_lsn, verdict_name(audit->verdicts[i]),
                audit->verdicts[i] == HF_AUDIT_SNAPSHOT_BEGUN ? "true" : "false");
        if (audit->verdicts[i] == HF_AUDIT_SNAPSHOT_FAULTY)
            hf_json_text(out, entry->text);
        else
            fputs("null", out);
        putc('}', out);
    }
    putc(']', out);
}

static void json_ack(FILE *out, const struct hf_ack *ack)
{
    fprintf(out, "{\"line\":%" PRIu64 ",\"reservation_id\":", ack->line);
    hf_json_id(out, &ack->id);
    if (ack->state == 0)
        fputs(",\"status\":null", out);
    else
        fprintf(out, ",\"status\":\"%s\"", hf_state_name(ack->state));
    hf_json_limit(out, "qty", ack->qty);
    if (ack->lsn == 0)
        fputs(",\"lsn\":null}", out);
    else
        fprintf(out, ",\"lsn\":%" PRIu64 "}", ack->lsn);
}

static void json_ack_list(FILE *out, const struct hf_audit *audit, bool unprovable)
{
    const struct hf_acks *acks = audit->options.acks;
    uint32_t told = 0;
    putc('[', out);
    for (uint32_t i = 0; i < acks->count && told < MISSING_TOLD; i++) {
        if (acks->acks[i].found || is_unprovable(audit, &acks->acks[i]) != unprovable)
            continue;
        if (told++ != 0)
            putc(',', out);
        json_ack(out, &acks->acks[i]);
    }
    putc(']', out);
}

static void json_acks(FILE *out, const struct hf_audit *audit)
{
    if (audit->options.acks == NULL || audit->found) {
        fputs("null", out);
        return;
    }
    fprintf(out,
            "{\"count\":%" PRIu32 ",\"missing_count\":%" PRIu32 ",\"unprovable_count\":%" PRIu32
            ",\"missing\":",
            audit->options.acks->count, audit->missing_acks, audit->unprovable_acks);
    json_ack_list(out, audit, false);
    fputs(",\"unprovable\":", out);
    json_ack_list(out, audit, true);
    putc('}', out);
}

static void json_state(FILE *out, const struct hf_audit *audit)
{
    if (audit->options.quick || !hf_audit_passed(audit)) {
        fputs(",\"retained\":null,\"state_hash\":null", out);
        return;
    }
    uint64_t retained;
    uint64_t hash = hf_ledger_state_hash(audit->intake.ledger, audit->retain_ns, &retained);
    fprintf(out, ",\"retained\":%" PRIu64 ",\"state_hash\":\"%016" PRIx64 "\"", retained, hash);
}

void hf_audit_json_put(FILE *out, const struct hf_audit *audit)
{
    const struct hf_walk *walk = &audit->walk;
    struct hf_ledger_totals totals;
    hf_ledger_totals(audit->intake.ledger, &totals);
    char log_id[HF_ID_TEXT_BYTES];
    hf_walk_format_log_id(walk, log_id);
    fputs("{\"directory\":", out);
    hf_json_text(out, walk->directory);
    fprintf(out, ",\"log_id\":\"%s\",\"quick\":%s", log_id,
            audit->options.quick ? "true" : "false");
#define X(name, value) fprintf(out, ",\"" name "\":%" PRIu64, (uint64_t)(value));
    WALK_FIGURES(X)
    if (audit->options.quick) {
        QUICK_FIGURES(X)
    } else {
        LEDGER_FIGURES(X)
    }
    END_FIGURES(X)
#undef X
    fputs(",\"torn\":", out);
    hf_walk_json_put_tail(out, walk);
    fprintf(out, ",\"grows\":%s", walk->grows ? "true" : "false");
    json_state(out, audit);
    fputs(",\"snapshots\":", out);
    json_snapshots(out, audit);
    fputs(",\"acks\":", out);
    json_acks(out, audit);
    fputs(",\"fault\":", out);
    json_fault(out, audit);
    fprintf(out, ",\"verify\":\"%s\"}\n", hf_audit_passed(audit) ? "ok" : "failed");
}
