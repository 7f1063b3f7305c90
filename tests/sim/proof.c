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

/* A proof under way. */
struct proof {
    struct hf_sim_server *server;
    struct hf_ledger *ledger;
    uint64_t next_lsn;
    struct hf_block last; /* block */
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

/* ---- the log ---- */

static const char *enter_record(struct proof *proof, const uint8_t *record)
{
    uint64_t lsn = proof->next_lsn++;
    if (lsn > proof->server->last_lsn)
        return wrong(proof, "LSN %" PRIu64 " is in the log, and was never recorded", lsn);
    if (memcmp(record, hf_sim_server_record(proof->server, lsn), HF_RECORD_BYTES) != 0)
        return wrong(proof, "LSN %" PRIu64 " is in the log, but not as it was recorded", lsn);
    const char *reason = hf_ledger_enter(proof->ledger, record);
    return reason != NULL ? wrong(proof, "LSN %" PRIu64 ": %s", lsn, reason) : NULL;
}

static const char *enter_block(struct proof *proof, const struct hf_block_view *view)
{
    const char *error = NULL;
    proof->last = view->header;
    if ((view->header.flags & HF_BLOCK_START) != 0)
        hf_ledger_start(proof->ledger);
    if (view->header.first_lsn != proof->next_lsn)
        return wrong(proof, "a block begins with LSN %" PRIu64 " instead of %" PRIu64,
                     view->header.first_lsn, proof->next_lsn);
    for (uint32_t i = 0; i < view->header.record_count && error == NULL; i++)
        error = enter_record(proof, view->records + (size_t)i * HF_RECORD_BYTES);
    if (error != NULL)
        return error;
    const char *reason = hf_ledger_end_block(proof->ledger);
    return reason != NULL ? wrong(proof, "at the end of a block: %s", reason) : NULL;
}

static const char *read_log(struct proof *proof)
{
    const struct hf_sim_server *server = proof->server;
    struct hf_reader *reader;
    struct hf_finding finding;
    struct hf_block_view view;
    const char *error = NULL;
    enum hf_read read = HF_READ_BLOCK;
    if (hf_reader_open(&server->options.disk->io, server->options.directory, true, NULL, &reader,
                       &finding) != 0)
        return wrong(proof, "the log cannot be opened: %s", finding.text);
    while (error == NULL && (read = hf_reader_next(reader, &view)) == HF_READ_BLOCK)
        error = enter_block(proof, &view);
    if (error == NULL && read != HF_READ_END)
        error = wrong(proof, "behind the log is something: %s", hf_reader_finding(reader)->text);
    hf_reader_close(reader);
    if (error == NULL && proof->next_lsn - 1 != server->recovered_lsn)
        error = wrong(proof, "the log ends with LSN %" PRIu64 ", the server says %" PRIu64,
                      proof->next_lsn - 1, server->recovered_lsn);
    /* So that no damage to what was recovered can pass for a torn tail. */
    bool attests = (proof->last.flags & HF_BLOCK_START) != 0 &&
                   proof->last.commit_sequence + 1 == proof->last.sequence;
    if (error == NULL && !attests)
        error = wrong(proof, "no START block attests what was recovered");
    return error;
}

/* What the server recorded while it started, and has not written yet. */
static const char *read_new_records(struct proof *proof)
{
    const char *error = NULL;
    while (error == NULL && proof->next_lsn <= proof->server->last_lsn)
        error = enter_record(proof, hf_sim_server_record(proof->server, proof->next_lsn));
    return error;
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

const char *hf_sim_prove(struct hf_sim_server *server, uint64_t *hash, char *text,
                         size_t text_bytes)
{
    struct proof proof = {.server = server,
                          .ledger = hf_ledger_open(),
                          .next_lsn = 1,
                          .text = text,
                          .text_bytes = text_bytes};
    HF_CHECK(proof.ledger != NULL);
    const char *error = read_log(&proof);
    if (error == NULL)
        error = read_new_records(&proof);
    if (error == NULL)
        error = compare_states(&proof, hash);
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
    chronicle->last_lsn = view->header.first_lsn + view->header.record_count - 1;
}

void hf_sim_chronicle_read(struct hf_sim_chronicle *chronicle, struct hf_sim_disk *disk)
{
    struct hf_reader *reader;
    struct hf_block_view view;
    chronicle->block_count = 0;
    chronicle->last_lsn = 0;
    chronicle->end = HF_READ_ERROR;
    if (hf_reader_open(&disk->io, "", true, NULL, &reader, &chronicle->finding) != 0)
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

/* How many of the first `count` records are left if the last chain among them has to be whole. */
static uint32_t whole(const uint8_t *records, uint32_t count)
{
    const uint8_t *last = records + (size_t)(count - 1) * HF_RECORD_BYTES;
    uint32_t index = last[HF_RECORD_CHAIN_INDEX], length = last[HF_RECORD_CHAIN_LENGTH];
    return index + 1 < length ? count - (index + 1) : count;
}

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
