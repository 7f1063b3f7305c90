/* Proofs about a recovered log; see proof.h. */
#include "tests/sim/proof.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tools/ledger.h"
#include "wal/record.h"
#include "wal/segment_header.h"
#include "wal/snapshot.h"

/* ---- where a log can be read from ---- */

bool hf_sim_snapshot_header(struct hf_sim_disk *disk, uint64_t last_lsn,
                            struct hf_snapshot_header *header)
{
    struct hf_snapshot *snapshot;
    struct hf_snapshot_finding finding;
    if (hf_snapshot_open(&disk->io, "", last_lsn, true, &snapshot, &finding) != HF_SNAPSHOT_RIGHT)
        return false;
    *header = *hf_snapshot_header(snapshot);
    hf_snapshot_close(snapshot);
    return true;
}

/* True if all segments from the first on are there, without a gap. */
static bool is_whole(const struct hf_sim_disk *disk)
{
    uint64_t last = 0, count = 0, number;
    for (uint32_t i = 0; i < disk->seen.count; i++) {
        if (!hf_segment_name_parse(disk->seen.names[i].name, &number))
            continue;
        count++;
        last = number > last ? number : last;
    }
    return count == last;
}

/* The earliest place: the beginning, or where the older snapshot begins. */
static struct hf_log_start log_start(struct hf_sim_disk *disk)
{
    struct hf_log_start start = {.segment = 1, .next_lsn = 1};
    struct hf_snapshot_header header;
    uint64_t last_lsns[2];
    if (is_whole(disk))
        return start;
    int count = hf_snapshots_list(&disk->io, "", last_lsns, 2);
    for (int i = 0; i < count && i < 2; i++)
        if (hf_sim_snapshot_header(disk, last_lsns[i], &header))
            start = header.start;
    return start;
}

/* A proof under way. */
struct proof {
    struct hf_sim_server *server;
    struct hf_ledger *ledger;
    char *text;
    size_t text_bytes;
};

static const char *wrong(const struct proof *proof, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static const char *wrong(const struct proof *proof, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(proof->text, proof->text_bytes, format, arguments);
    va_end(arguments);
    return proof->text;
}

/* ---- all that was ever recorded ---- */

static const char *end_chain(struct proof *proof, uint64_t lsn)
{
    const char *reason = hf_ledger_end_block(proof->ledger);
    return reason != NULL ? wrong(proof, "behind LSN %" PRIu64 ": %s", lsn, reason) : NULL;
}

static const char *enter_records(struct proof *proof)
{
    const struct hf_sim_server *server = proof->server;
    uint32_t start = 0;
    for (uint64_t lsn = 1; lsn <= server->last_lsn; lsn++) {
        const char *error = NULL;
        if (start < server->start_count && server->starts[start] == lsn) {
            start++;
            error = end_chain(proof, lsn - 1);
            hf_ledger_start(proof->ledger);
        }
        const char *reason =
            hf_ledger_enter(proof->ledger, hf_sim_server_record(proof->server, lsn));
        if (reason != NULL)
            return wrong(proof, "LSN %" PRIu64 ": %s", lsn, reason);
        if (error != NULL)
            return error;
    }
    return end_chain(proof, server->last_lsn);
}

static const char *compare_states(struct proof *proof, uint64_t *hash)
{
    uint64_t retained;
    uint64_t expected =
        hf_ledger_state_hash(proof->ledger, proof->server->options.retain_ns, &retained);
    if (!hf_sim_server_hash(proof->server, hash))
        return wrong(proof, "the server's state is not settled (CONSERVATION)");
    if (*hash != expected)
        return wrong(
            proof, "the server's state is %016" PRIx64 ", the log's is %016" PRIx64 " (SAME-STATE)",
            *hash, expected);
    return NULL;
}

/* ---- what is on the disk ---- */

/* How many of the first `count` records are left if the last chain among them has to be whole. */
static uint32_t whole(const uint8_t *records, uint32_t count)
{
    const uint8_t *last = records + (size_t)(count - 1) * HF_RECORD_BYTES;
    uint32_t index = last[HF_RECORD_CHAIN_INDEX], length = last[HF_RECORD_CHAIN_LENGTH];
    return index + 1 < length ? count - (index + 1) : count;
}

static const char *compare_block(struct proof *proof, const struct hf_block_view *view)
{
    uint64_t lsn = view->header.first_lsn;
    for (uint32_t i = 0; i < view->header.record_count; i++, lsn++) {
        if (lsn > proof->server->recovered_lsn)
            return wrong(proof, "LSN %" PRIu64 " is in the log, and was not recovered", lsn);
        if (memcmp(view->records + (size_t)i * HF_RECORD_BYTES,
                   hf_sim_server_record(proof->server, lsn), HF_RECORD_BYTES) != 0)
            return wrong(proof, "LSN %" PRIu64 " is in the log, but not as it was recorded", lsn);
    }
    uint32_t count = view->header.record_count;
    if (count != 0 && whole(view->records, count) != count)
        return wrong(proof, "a chain goes on behind LSN %" PRIu64 ", in another block", lsn - 1);
    return NULL;
}

/* The newest block is a START block that says that all before it is durable: so that no damage to
 * what was recovered can pass for a torn tail. */
static const char *check_last(struct proof *proof, const struct hf_block *last)
{
    uint64_t last_lsn = last->first_lsn + last->record_count - 1;
    if (last_lsn != proof->server->recovered_lsn)
        return wrong(proof, "the log ends with LSN %" PRIu64 ", the server says %" PRIu64, last_lsn,
                     proof->server->recovered_lsn);
    if ((last->flags & HF_BLOCK_START) == 0 || last->commit_sequence + 1 != last->sequence)
        return wrong(proof, "no START block attests what was recovered");
    return NULL;
}

/* Where recovery began. */
static struct hf_log_start recovered_start(const struct hf_sim_server *server)
{
    const struct hf_log_snapshot *used = &server->store->log.recovery.snapshot;
    struct hf_snapshot_header header = {.start = {.segment = 1, .next_lsn = 1}};
    if (used->segment != 0)
        hf_sim_snapshot_header(server->options.disk, used->last_lsn, &header);
    return header.start;
}

static const char *compare_log(struct proof *proof, bool damaged)
{
    struct hf_sim_disk *disk = proof->server->options.disk;
    struct hf_reader *reader;
    struct hf_finding finding;
    struct hf_block_view view;
    struct hf_block last = {0};
    struct hf_log_start start = damaged ? recovered_start(proof->server) : log_start(disk);
    const char *error = NULL;
    enum hf_read read = HF_READ_BLOCK;
    if (hf_reader_open(&disk->io, "", true, &start, &reader, &finding) != 0)
        return wrong(proof, "the log cannot be opened: %s", finding.text);
    while (error == NULL && (read = hf_reader_next(reader, &view)) == HF_READ_BLOCK) {
        last = view.header;
        error = compare_block(proof, &view);
    }
    if (error == NULL && read != HF_READ_END)
        error = wrong(proof, "behind the log is something: %s", hf_reader_finding(reader)->text);
    hf_reader_close(reader);
    return error != NULL ? error : check_last(proof, &last);
}

/* ---- snapshots ---- */

/* A reservation may be there twice: as it was, and, when that was forgotten while the snapshot was
 * made and its id was used again, the new one; the newer stands. */
static const char *compare_record(struct hf_ledger_comparison *comparison, const uint8_t *record)
{
    const char *reason = hf_ledger_compare(comparison, record);
    return reason != NULL && strstr(reason, "twice") != NULL ? NULL : reason;
}

static const char *compare_groups(struct proof *proof, struct hf_snapshot *snapshot,
                                  struct hf_ledger_comparison *comparison)
{
    struct hf_snapshot_view view;
    enum hf_snapshot_read read;
    const char *reason = NULL;
    while ((read = hf_snapshot_next(snapshot, &view)) == HF_SNAPSHOT_RIGHT)
        for (uint32_t i = 0; i < view.record_count && reason == NULL; i++)
            reason = compare_record(comparison, view.records + (size_t)i * HF_RECORD_BYTES);
    if (read != HF_SNAPSHOT_END)
        return wrong(proof, "a snapshot that is kept is not right: %s",
                     hf_snapshot_finding(snapshot)->text);
    if (reason == NULL)
        reason = hf_ledger_compare_end(comparison);
    return reason != NULL ? wrong(proof, "a snapshot is not the state: %s", reason) : NULL;
}

static const char *compare_snapshot(struct proof *proof, const struct hf_log_snapshot *kept)
{
    struct hf_snapshot *snapshot;
    struct hf_snapshot_finding finding;
    if (kept->segment == 0)
        return NULL;
    if (hf_snapshot_open(&proof->server->options.disk->io, "", kept->last_lsn, true, &snapshot,
                         &finding) != HF_SNAPSHOT_RIGHT)
        return wrong(proof, "a snapshot that is kept cannot be read: %s", finding.text);
    struct hf_ledger_comparison *comparison =
        hf_ledger_compare_open(proof->ledger, hf_snapshot_header(snapshot)->start.next_lsn,
                               proof->server->options.retain_ns);
    HF_CHECK(comparison != NULL);
    const char *error = compare_groups(proof, snapshot, comparison);
    hf_ledger_compare_close(comparison);
    hf_snapshot_close(snapshot);
    return error;
}

const char *hf_sim_prove(struct hf_sim_server *server, bool damaged, uint64_t *hash, char *text,
                         size_t text_bytes)
{
    struct proof proof = {.server = server, .ledger = hf_ledger_open(UINT64_MAX)};
    proof.text = text;
    proof.text_bytes = text_bytes;
    HF_CHECK(proof.ledger != NULL);
    const char *error = compare_log(&proof, damaged);
    if (error == NULL)
        error = enter_records(&proof);
    if (error == NULL)
        error = compare_states(&proof, hash);
    if (error == NULL)
        error = compare_snapshot(&proof, &server->store->log.newest_snapshot);
    if (error == NULL && !damaged)
        error = compare_snapshot(&proof, &server->store->log.older_snapshot);
    hf_ledger_close(proof.ledger);
    return error;
}

/* ---- which blocks there are ---- */

static void note_block(struct hf_sim_chronicle *chronicle, const struct hf_block_view *view)
{
    if (chronicle->block_count == chronicle->block_room) {
        chronicle->block_room = 2 * chronicle->block_room + 64;
        chronicle->blocks =
            realloc(chronicle->blocks, chronicle->block_room * sizeof *chronicle->blocks);
        HF_CHECK(chronicle->blocks != NULL);
    }
    chronicle->blocks[chronicle->block_count++] = view->header;
}

void hf_sim_chronicle_read(struct hf_sim_chronicle *chronicle, struct hf_sim_disk *disk)
{
    struct hf_reader *reader;
    struct hf_block_view view;
    chronicle->start = log_start(disk);
    chronicle->block_count = 0;
    chronicle->end = HF_READ_ERROR;
    if (hf_reader_open(&disk->io, "", true, &chronicle->start, &reader, &chronicle->finding) != 0)
        return;
    while ((chronicle->end = hf_reader_next(reader, &view)) == HF_READ_BLOCK)
        note_block(chronicle, &view);
    chronicle->finding = *hf_reader_finding(reader);
    memcpy(chronicle->log_id, hf_reader_files(reader)->log_id, sizeof chronicle->log_id);
    hf_reader_close(reader);
}

void hf_sim_chronicle_free(struct hf_sim_chronicle *chronicle)
{
    free(chronicle->blocks);
    *chronicle = (struct hf_sim_chronicle){0};
}

/* ---- a log that ends earlier ---- */

static void seal_anew(struct hf_sim_disk *disk, const struct hf_block *old, uint8_t *bytes,
                      uint32_t count)
{
    char name[HF_SEGMENT_NAME_BYTES];
    struct hf_block block = *old;
    hf_segment_name_format(old->segment, name);
    memset(bytes + HF_BLOCK_HEADER_BYTES + (size_t)count * HF_RECORD_BYTES, 0,
           (size_t)(old->record_count - count) * HF_RECORD_BYTES);
    block.record_count = count;
    hf_block_seal(bytes, &block);
    memset(bytes + block.block_bytes, 0, old->block_bytes - block.block_bytes);
    for (uint32_t i = 0; i < old->block_bytes / HF_SIM_PAGE_BYTES; i++) {
        struct hf_sim_page *page = hf_sim_page_make(bytes + (size_t)i * HF_SIM_PAGE_BYTES);
        hf_sim_disk_replace(disk, name, old->offset / HF_SIM_PAGE_BYTES + i, page);
        hf_sim_page_drop(page);
    }
    hf_sim_disk_accept(disk);
}

bool hf_sim_end_earlier(struct hf_sim_disk *disk, uint64_t promised_lsn, struct hf_random *random)
{
    static uint8_t bytes[HF_MAX_BLOCK_BYTES];
    struct hf_sim_chronicle chronicle = {0};
    hf_sim_chronicle_read(&chronicle, disk);
    uint32_t count = 0;
    if (chronicle.end == HF_READ_END && chronicle.block_count != 0) {
        const struct hf_block *last = &chronicle.blocks[chronicle.block_count - 1];
        uint64_t kept = promised_lsn < last->first_lsn ? 1 : promised_lsn - last->first_lsn + 1;
        char name[HF_SEGMENT_NAME_BYTES];
        hf_segment_name_format(last->segment, name);
        hf_sim_content_read(hf_sim_disk_seen(disk, name), last->offset, bytes, last->block_bytes);
        if (kept < last->record_count)
            count = whole(bytes + HF_BLOCK_HEADER_BYTES,
                          (uint32_t)kept +
                              hf_random_below(random, last->record_count - (uint32_t)kept));
        if (count != 0 && last->first_lsn + count > promised_lsn)
            seal_anew(disk, last, bytes, count);
        else
            count = 0;
    }
    hf_sim_chronicle_free(&chronicle);
    return count != 0;
}
