/* The basis; see basis.h. Offsets of fields are those of docs/log-format.md. */
#include "tests/crash/basis.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/bytes.h"
#include "base/check.h"
#include "wal/io.h"
#include "wal/record.h"
#include "wal/snapshot.h"

#define SOLD_OUT_CLOSED 16u /* a flag of an inventory */

enum {
    AT_CHAIN = 10,
    AT_CHANGED_AT = 56,
    AT_VERSION = 76,
    /* Of a reservation. */
    AT_QTY = 12,
    AT_INVENTORY_ID = 32,
    AT_SEQUENCE = 72,
    AT_LINKED_ID = 80,
    AT_TURN_FLAGS = 101,
    AT_REASON = 102,
    /* Of an inventory. */
    AT_SELL_LIMIT = 36,
    AT_FLAGS = 40,
};

void hf_basis_open(struct hf_basis *basis, const struct hf_annals *annals)
{
    *basis = (struct hf_basis){.annals = annals, .next_lsn = 1};
}

void hf_basis_close(struct hf_basis *basis)
{
    free(basis->in_snapshot);
    free(basis->left_out);
}

/* Room for all LSNs of the annals. */
static void make_room(struct hf_basis *basis)
{
    uint64_t room = basis->annals->last_lsn + 1;
    free(basis->in_snapshot);
    basis->in_snapshot = calloc(room, 1);
    if (room > basis->room) {
        basis->left_out = realloc(basis->left_out, 2 * room);
        HF_CHECK(basis->left_out);
        memset(basis->left_out + basis->room, 0, 2 * room - basis->room);
        basis->room = 2 * room;
    }
    HF_CHECK(basis->in_snapshot && basis->left_out);
}

void hf_basis_take_log(struct hf_basis *basis)
{
    basis->next_lsn = 1;
}

__attribute__((format(printf, 2, 3))) static const char *say(struct hf_basis *basis,
                                                             const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(basis->text, sizeof basis->text, format, arguments);
    va_end(arguments);
    return basis->text;
}

static const uint8_t *record_at(const struct hf_basis *basis, uint64_t lsn)
{
    return basis->annals->records + (lsn - 1) * HF_RECORD_BYTES;
}

/* ---- what the state hash takes of a record ---- */

static void put_state_of(uint8_t state[HF_RECORD_BYTES], const uint8_t *record)
{
    memcpy(state, record, HF_RECORD_BYTES);
    memset(state + AT_VERSION, 0, 4);
    if (record[8] == HF_IMAGE_INVENTORY) {
        hf_put_u32(state + AT_FLAGS, hf_get_u32(record + AT_FLAGS) & ~SOLD_OUT_CLOSED);
        return;
    }
    memset(state + AT_CHAIN, 0, 2);
    memset(state + AT_LINKED_ID, 0, 16);
    memset(state + AT_TURN_FLAGS, 0, 2);
}

/* ---- a snapshot against the log ---- */

/* A record of a snapshot: is it the one that the log has at that LSN, changed as it has to be? */
static const char *compare(struct hf_basis *basis, const uint8_t *record)
{
    uint8_t ours[HF_RECORD_BYTES], logged[HF_RECORD_BYTES];
    unsigned long long lsn = hf_get_u64(record);
    if (lsn == 0 || lsn > basis->annals->last_lsn)
        return say(basis, "it has a record of LSN %llu, the log ends with %llu", lsn,
                   (unsigned long long)basis->annals->last_lsn);
    const uint8_t *known = record_at(basis, lsn);
    put_state_of(ours, record);
    put_state_of(logged, known);
    if (memcmp(ours, logged, sizeof ours) != 0)
        return say(basis, "its record of LSN %llu is not that of the log", lsn);
    if (record[8] == HF_IMAGE_INVENTORY)
        return NULL;
    bool expired = known[9] == HF_STATE_EXPIRED;
    static const uint8_t zeros[16];
    if (hf_get_u32(record + AT_VERSION) != 0 || record[AT_TURN_FLAGS] != 0 ||
        record[AT_REASON] != (expired ? HF_REASON_DEADLINE : HF_REASON_REQUEST) ||
        (memcmp(record + AT_LINKED_ID, known + AT_LINKED_ID, 16) != 0 &&
         memcmp(record + AT_LINKED_ID, zeros, 16) != 0))
        return say(basis, "its record of LSN %llu is not as a snapshot has it", lsn);
    return NULL;
}

static const char *compare_all(struct hf_basis *basis, struct hf_snapshot *snapshot)
{
    struct hf_snapshot_view view;
    const char *wrong = NULL;
    enum hf_snapshot_read read = HF_SNAPSHOT_RIGHT;
    while (!wrong && (read = hf_snapshot_next(snapshot, &view)) == HF_SNAPSHOT_RIGHT)
        for (uint32_t i = 0; i < view.record_count && !wrong; i++) {
            const uint8_t *record = view.records + (size_t)i * HF_RECORD_BYTES;
            wrong = compare(basis, record);
            if (!wrong)
                basis->in_snapshot[hf_get_u64(record)] = 1;
        }
    if (!wrong && read != HF_SNAPSHOT_END)
        return say(basis, "%s", hf_snapshot_finding(snapshot)->text);
    return wrong;
}

/* The date of the newest change up to an LSN. */
static uint64_t log_time_ns(const struct hf_basis *basis, uint64_t last_lsn)
{
    uint64_t newest_ns = 0;
    for (uint64_t lsn = 1; lsn <= last_lsn; lsn++) {
        uint64_t at_ns = hf_get_u64(record_at(basis, lsn) + AT_CHANGED_AT);
        newest_ns = at_ns > newest_ns ? at_ns : newest_ns;
    }
    return newest_ns;
}

/* Is the one that stands at `lsn`, the newest before the snapshot's start, in it, or a newer one? If
 * not, it must no longer be retained; or have been left out before, by a server that retained for
 * less. */
static const char *find(struct hf_basis *basis, const struct hf_snapshot_header *header,
                        uint64_t time_ns, uint64_t lsn)
{
    uint64_t newest = lsn;
    for (uint64_t at = lsn; at != 0 && at <= header->last_lsn;
         at = hf_annals_later(basis->annals, at)) {
        bool again = at != lsn && record_at(basis, at)[8] == HF_IMAGE_RESERVATION &&
                     hf_get_u32(record_at(basis, at) + AT_SEQUENCE) == 1;
        if (basis->in_snapshot[at] || again)
            return NULL; /* again: its id was used anew, so that this one is forgotten */
        newest = at;
    }
    struct hf_image image;
    if (hf_annals_image(basis->annals, newest, &image) && image.kind == HF_IMAGE_RESERVATION &&
        hf_state_is_final(image.reservation.state) &&
        image.reservation.changed_at_ns + header->retain_ns <= time_ns)
        basis->left_out[newest] = 1;
    if (basis->left_out[newest])
        return NULL;
    return say(basis, "it has nothing of what stands at LSN %llu, and must",
               (unsigned long long)lsn);
}

static const char *find_all(struct hf_basis *basis, const struct hf_snapshot_header *header)
{
    const char *wrong = NULL;
    uint64_t time_ns = log_time_ns(basis, header->last_lsn);
    for (uint64_t lsn = 1; lsn < header->start.next_lsn && !wrong; lsn++) {
        uint64_t later = hf_annals_later(basis->annals, lsn);
        bool stands = later == 0 || later >= header->start.next_lsn;
        if (stands && record_at(basis, lsn)[8] != HF_IMAGE_EVENT)
            wrong = find(basis, header, time_ns, lsn);
    }
    return wrong;
}

const char *hf_basis_take_snapshot(struct hf_basis *basis, const char *directory, uint64_t last_lsn)
{
    struct hf_snapshot *snapshot;
    struct hf_snapshot_finding finding;
    char wrong[sizeof basis->text];
    if (hf_snapshot_open(hf_io_posix(), directory, last_lsn, true, &snapshot, &finding) !=
        HF_SNAPSHOT_RIGHT)
        return say(basis, "%s", finding.text);
    const struct hf_snapshot_header *header = hf_snapshot_header(snapshot);
    const char *reason = NULL;
    if (last_lsn > basis->annals->last_lsn)
        reason = say(basis, "it attests a log up to there, which ends with LSN %llu",
                     (unsigned long long)basis->annals->last_lsn);
    make_room(basis);
    basis->next_lsn = header->start.next_lsn;
    if (!reason)
        reason = compare_all(basis, snapshot);
    if (!reason)
        reason = find_all(basis, header);
    hf_snapshot_close(snapshot);
    if (!reason)
        return NULL;
    snprintf(wrong, sizeof wrong, "%s", reason);
    return say(basis, "the snapshot up to LSN %llu: %.300s", (unsigned long long)last_lsn, wrong);
}

/* ---- the state ---- */

static bool is_there(const struct hf_basis *basis, uint64_t lsn)
{
    return lsn >= basis->next_lsn || basis->in_snapshot[lsn];
}

/* Units that are taken of each inventory, by the LSN of its newest record. */
static int64_t *sum_up(const struct hf_basis *basis)
{
    const struct hf_annals *annals = basis->annals;
    int64_t *taken = calloc(annals->last_lsn + 1, sizeof *taken);
    HF_CHECK(taken);
    for (uint64_t lsn = 1; lsn <= annals->last_lsn; lsn++) {
        const uint8_t *record = record_at(basis, lsn);
        if (hf_annals_later(annals, lsn) == 0 && record[8] == HF_IMAGE_RESERVATION &&
            (record[9] == HF_STATE_HELD || record[9] == HF_STATE_CONFIRMED))
            taken[hf_annals_of_inventory(annals, hf_get_u64(record + AT_INVENTORY_ID))] +=
                hf_get_u32(record + AT_QTY);
    }
    return taken;
}

static uint64_t hash_of(const uint8_t *record, int64_t taken)
{
    uint8_t state[HF_RECORD_BYTES + 8];
    put_state_of(state, record);
    if (record[8] == HF_IMAGE_RESERVATION)
        return XXH3_64bits(state, HF_RECORD_BYTES);
    int64_t available = (int64_t)hf_get_u32(record + AT_SELL_LIMIT) - taken;
    hf_put_u64(state + HF_RECORD_BYTES, (uint64_t)available);
    return XXH3_64bits(state, sizeof state);
}

uint64_t hf_basis_hash(struct hf_basis *basis, uint64_t retain_ns)
{
    const struct hf_annals *annals = basis->annals;
    int64_t *taken = sum_up(basis);
    uint64_t hash = 0;
    basis->gone = 0;
    for (uint64_t lsn = 1; lsn <= annals->last_lsn; lsn++) {
        const uint8_t *record = record_at(basis, lsn);
        if (hf_annals_later(annals, lsn) != 0 || record[8] == HF_IMAGE_EVENT)
            continue;
        bool retained = record[8] == HF_IMAGE_INVENTORY || !hf_state_is_final(record[9]) ||
                        hf_get_u64(record + AT_CHANGED_AT) + retain_ns > annals->time_ns;
        if (retained && is_there(basis, lsn))
            hash += hash_of(record, taken[lsn]);
        else if (retained)
            basis->gone++;
    }
    free(taken);
    return hash;
}
