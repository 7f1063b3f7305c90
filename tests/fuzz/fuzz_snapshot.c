/*
 * Spoiled headers, groups and whole files into all that reads a snapshot.
 *
 * A snapshot is made from the seed, on a disk in memory: four groups, the last of them not full.
 * Every round spoils a header and the header of a group, in memory of exactly their size; every
 * 20th spoils the file, reads it, and mends it again.
 *
 * What must hold:
 *   - an accepted header is encoded to the same bytes again; so is an accepted group's;
 *   - a file of which any byte was changed, or which is shorter or longer, is refused, and never as
 *     one of a newer format;
 *   - what was given before that are the groups before the first changed byte, as they were
 *     written;
 *   - with right hashes over wrong bytes it is whatever it is; but what is given obeys the header,
 *     and at the END it is all that the header says.
 */
#include <xxhash.h>

#include "base/bytes.h"
#include "tests/fuzz/fuzz.h"
#include "tests/lib/built_snapshot.h"
#include "wal/segment_header.h"

#define GROUPS     4
#define READ_EVERY 20
#define SURPLUS    8192 /* bytes that the file may be too long */
#define ENDS       (HF_SNAPSHOT_ERROR + 1)

/* The snapshot as it was written, and its file as it is now. */
struct target {
    struct hf_memory_io disk;
    struct hf_snapshot_header header;
    struct hf_memory_file *file;
    uint8_t *right;
};

static uint64_t place_of(uint64_t group)
{
    return HF_SNAPSHOT_HEADER_BYTES + group * HF_SNAPSHOT_GROUP_BYTES;
}

static void open_target(struct hf_fuzz *fuzz, struct target *target)
{
    hf_fuzz_begin(fuzz, UINT64_MAX);
    hf_memory_io_init(&target->disk);
    uint64_t records =
        (GROUPS - 1) * HF_SNAPSHOT_GROUP_RECORDS + 1 + hf_fuzz_below(fuzz, 2 * GROUPS * 31);
    target->header = hf_built_snapshot(&target->disk.io, HF_BUILT_DIRECTORY, hf_fuzz_next(fuzz),
                                       records, hf_fuzz_below(fuzz, records + 1));
    HF_FUZZ_CHECK(fuzz, target->header.groups == GROUPS);
    target->file = hf_built_file(&target->disk, target->header.last_lsn);
    target->right = malloc(target->header.file_bytes);
    HF_FUZZ_CHECK(fuzz, target->right);
    memcpy(target->right, target->file->bytes, target->header.file_bytes);
    /* Room for it to become longer: the disk frees what it has. */
    target->file->bytes = realloc(target->file->bytes, target->header.file_bytes + SURPLUS);
    HF_FUZZ_CHECK(fuzz, target->file->bytes);
    memset(target->file->bytes + target->header.file_bytes, 0, SURPLUS);
}

/* ---- headers ---------------------------------------------------------------------------- */

/* Any header that the rules allow. */
static void make_header(struct hf_fuzz *fuzz, struct hf_snapshot_header *header)
{
    memset(header, 0, sizeof *header);
    hf_fuzz_fill(fuzz, header->log_id, sizeof header->log_id);
    header->last_lsn = hf_fuzz_number(fuzz) % (HF_SNAPSHOT_LSN_MAX + 1);
    header->start = (struct hf_log_start){
        .segment = 1 + hf_fuzz_number(fuzz) % HF_SEGMENT_NUMBER_MAX,
        .epoch = hf_fuzz_number(fuzz),
        .next_lsn = 1 + hf_fuzz_number(fuzz) % (header->last_lsn + 1),
        .written_at_ns = hf_fuzz_number(fuzz),
    };
    if (header->start.epoch != 0) {
        header->start.sequence = 1 + hf_fuzz_number(fuzz) % UINT64_MAX;
        header->start.previous_hash = hf_fuzz_next(fuzz);
    }
    uint64_t later = hf_fuzz_number(fuzz);
    header->epoch = header->start.epoch > later ? header->start.epoch : later;
    header->records = hf_fuzz_number(fuzz) % (UINT64_MAX / 256);
    header->inventories = hf_fuzz_number(fuzz) % (header->records + 1);
    HF_FUZZ_CHECK(fuzz, hf_snapshot_header_measure(header));
    header->made_at_ns = hf_fuzz_number(fuzz);
    header->log_time_ns = hf_fuzz_number(fuzz);
    header->retain_ns = hf_fuzz_number(fuzz);
    header->segment_bytes =
        HF_SEGMENT_BYTES_MIN +
        4096 * hf_fuzz_below(fuzz, (HF_SEGMENT_BYTES_MAX - HF_SEGMENT_BYTES_MIN) / 4096 + 1);
    if (hf_fuzz_one_in(fuzz, 2)) {
        hf_fuzz_fill(fuzz, header->origin_log_id, sizeof header->origin_log_id);
        header->origin_last_lsn = hf_fuzz_number(fuzz) % header->start.next_lsn;
    }
    header->last_group_hash = header->groups != 0 ? hf_fuzz_next(fuzz) : 0;
}

/* Mostly where the fields are. */
static void spoil_header(struct hf_fuzz *fuzz, uint8_t *bytes, size_t header_bytes)
{
    size_t count = header_bytes - 8;
    if (count > 200 && !hf_fuzz_one_in(fuzz, 8))
        count = 200;
    hf_fuzz_spoil(fuzz, bytes, count);
}

/* What must hold of an accepted header. */
static void check_header(struct hf_fuzz *fuzz, const struct hf_snapshot_header *header)
{
    const struct hf_log_start *start = &header->start;
    HF_FUZZ_CHECK(fuzz, header->last_lsn <= 9999999999999999ull);
    HF_FUZZ_CHECK(fuzz, start->segment >= 1 && start->segment <= 9999999999999999ull);
    HF_FUZZ_CHECK(fuzz, start->next_lsn >= 1 && start->next_lsn <= header->last_lsn + 1);
    HF_FUZZ_CHECK(fuzz, start->epoch <= header->epoch);
    HF_FUZZ_CHECK(fuzz, (start->epoch == 0) == (start->sequence == 0));
    HF_FUZZ_CHECK(fuzz, start->sequence != 0 || start->previous_hash == 0);
    HF_FUZZ_CHECK(fuzz, header->inventories <= header->records);
    HF_FUZZ_CHECK(fuzz, header->groups == header->records / 2047 + (header->records % 2047 != 0));
    HF_FUZZ_CHECK(fuzz, header->file_bytes % 4096 == 0);
    HF_FUZZ_CHECK(fuzz, header->file_bytes / 4096 >= 1 + header->records / 32);
    HF_FUZZ_CHECK(fuzz, header->file_bytes / 4096 <= 1 + header->groups * 64);
    HF_FUZZ_CHECK(fuzz, header->groups != 0 || header->last_group_hash == 0);
    HF_FUZZ_CHECK(fuzz, header->origin_last_lsn < start->next_lsn);
    HF_FUZZ_CHECK(fuzz, memcmp(header->origin_log_id, header->log_id, 16) != 0);
}

/* True if the header was accepted. */
static bool fuzz_header(struct hf_fuzz *fuzz)
{
    uint8_t *bytes = malloc(HF_SNAPSHOT_HEADER_BYTES);
    uint8_t again[HF_SNAPSHOT_HEADER_BYTES];
    struct hf_snapshot_header header;
    HF_FUZZ_CHECK(fuzz, bytes);
    make_header(fuzz, &header);
    hf_snapshot_header_encode(bytes, &header); /* what is encoded is accepted */
    HF_FUZZ_CHECK(fuzz, hf_snapshot_header_decode(bytes, &header) == HF_SNAPSHOT_VALID);
    memcpy(again, bytes, sizeof again);
    spoil_header(fuzz, bytes, HF_SNAPSHOT_HEADER_BYTES);
    bool changed = memcmp(again, bytes, sizeof again) != 0;
    HF_FUZZ_CHECK(fuzz,
                  (hf_snapshot_header_decode(bytes, &header) != HF_SNAPSHOT_VALID) == changed);

    hf_built_forge_header(bytes);
    enum hf_snapshot_fault fault = hf_snapshot_header_decode(bytes, &header);
    HF_FUZZ_CHECK(fuzz, fault != HF_SNAPSHOT_BAD_HASH);
    if (fault == HF_SNAPSHOT_VALID) {
        check_header(fuzz, &header);
        memset(again, 0xaa, sizeof again);
        hf_snapshot_header_encode(again, &header);
        HF_FUZZ_CHECK(fuzz, memcmp(again, bytes, sizeof again) == 0);
    }
    free(bytes);
    return fault == HF_SNAPSHOT_VALID;
}

/* A group's header alone: the bytes behind it are not touched. True if it was accepted. */
static bool fuzz_group(struct hf_fuzz *fuzz, const struct target *target)
{
    uint8_t *bytes = malloc(HF_SNAPSHOT_GROUP_HEADER_BYTES);
    struct hf_snapshot_group group;
    HF_FUZZ_CHECK(fuzz, bytes);
    const uint8_t *right = target->right + place_of(hf_fuzz_below(fuzz, GROUPS));
    memcpy(bytes, right, HF_SNAPSHOT_GROUP_HEADER_BYTES);
    hf_fuzz_spoil(fuzz, bytes, HF_SNAPSHOT_GROUP_HEADER_BYTES - 8);
    bool changed = memcmp(right, bytes, HF_SNAPSHOT_GROUP_HEADER_BYTES) != 0;
    HF_FUZZ_CHECK(fuzz,
                  (hf_snapshot_group_read_header(bytes, &group) != HF_SNAPSHOT_VALID) == changed);

    hf_put_u64(bytes + 120, XXH3_64bits(bytes, 120));
    enum hf_snapshot_fault fault = hf_snapshot_group_read_header(bytes, &group);
    HF_FUZZ_CHECK(fuzz, fault != HF_SNAPSHOT_BAD_HASH);
    if (fault == HF_SNAPSHOT_VALID) {
        HF_FUZZ_CHECK(fuzz, group.record_count >= 1 &&
                                group.record_count <= HF_SNAPSHOT_GROUP_RECORDS &&
                                group.group_bytes == hf_snapshot_group_bytes(group.record_count));
        HF_FUZZ_CHECK(fuzz, group.header_hash == hf_get_u64(bytes + 120));
    }
    free(bytes);
    return fault == HF_SNAPSHOT_VALID;
}

/* ---- whole files ------------------------------------------------------------------------ */

static void check_group(struct hf_fuzz *fuzz, const struct hf_snapshot_header *header,
                        const struct hf_snapshot_view *view)
{
    HF_FUZZ_CHECK(fuzz, view->record_count >= 1);
    HF_FUZZ_CHECK(fuzz, view->first + view->record_count <= header->records);
    for (uint32_t i = 0; i < view->record_count; i++) {
        const uint8_t *record = view->records + (size_t)i * HF_RECORD_BYTES;
        uint64_t lsn = hf_get_u64(record);
        HF_FUZZ_CHECK(fuzz, lsn >= 1 && lsn <= header->last_lsn);
        HF_FUZZ_CHECK(fuzz, record[8] == (view->first + i < header->inventories ? 1 : 2));
        HF_FUZZ_CHECK(fuzz, record[10] == 0 && record[11] == 0);
    }
}

/* Reads the file, and holds what is given against what was written; `forged`: only against its own
 * header. */
static enum hf_snapshot_read read_file(struct hf_fuzz *fuzz, struct target *target, bool forged,
                                       uint64_t *groups)
{
    struct hf_snapshot *snapshot;
    struct hf_snapshot_finding finding;
    struct hf_snapshot_view view;
    uint64_t records = 0;
    *groups = 0;
    enum hf_snapshot_read end = hf_snapshot_open(
        &target->disk.io, HF_BUILT_DIRECTORY, target->header.last_lsn, true, &snapshot, &finding);
    if (end != HF_SNAPSHOT_RIGHT) {
        HF_FUZZ_CHECK(fuzz, snapshot == NULL && finding.text[0] != '\0' && finding.offset == 0);
        return end;
    }
    const struct hf_snapshot_header *header = hf_snapshot_header(snapshot);
    while ((end = hf_snapshot_next(snapshot, &view)) == HF_SNAPSHOT_RIGHT) {
        HF_FUZZ_CHECK(fuzz, view.first == records);
        check_group(fuzz, header, &view);
        if (!forged)
            HF_FUZZ_CHECK(fuzz, memcmp(view.records, target->right + place_of(*groups) + 128,
                                       (size_t)view.record_count * HF_RECORD_BYTES) == 0);
        records += view.record_count;
        ++*groups;
    }
    HF_FUZZ_CHECK(fuzz, hf_snapshot_next(snapshot, &view) == end);
    if (end == HF_SNAPSHOT_END)
        HF_FUZZ_CHECK(fuzz, records == header->records && *groups == header->groups);
    else
        HF_FUZZ_CHECK(fuzz, hf_snapshot_finding(snapshot)->offset == place_of(*groups));
    hf_snapshot_close(snapshot);
    return end;
}

static void expect(struct hf_fuzz *fuzz, struct target *target, enum hf_snapshot_read expected,
                   uint64_t groups)
{
    uint64_t given;
    HF_FUZZ_CHECK(fuzz, read_file(fuzz, target, false, &given) == expected);
    HF_FUZZ_CHECK(fuzz, given == groups);
}

/* Bytes anywhere, mostly in headers and in the last group. */
static void spoil_anywhere(struct hf_fuzz *fuzz, struct target *target)
{
    uint64_t file_bytes = target->header.file_bytes;
    uint64_t group = hf_fuzz_below(fuzz, GROUPS);
    uint64_t at;
    switch (hf_fuzz_below(fuzz, 5)) {
    case 0:
        at = hf_fuzz_below(fuzz, 256);
        break;
    case 1:
        at = place_of(group) + hf_fuzz_below(fuzz, 256);
        break;
    case 2:
        at = place_of(GROUPS - 1) + hf_fuzz_below(fuzz, file_bytes - place_of(GROUPS - 1));
        break;
    default:
        at = hf_fuzz_below(fuzz, file_bytes);
        break;
    }
    uint64_t room = file_bytes - at;
    hf_fuzz_spoil(fuzz, target->file->bytes + at, room < 300 ? room : 300);
}

/* Parts of the file as a disk that lost writes has them: zeros, or what stood at another place. */
static void lose_pieces(struct hf_fuzz *fuzz, struct target *target)
{
    uint64_t sectors = target->header.file_bytes / 512;
    for (uint64_t times = 1 + hf_fuzz_below(fuzz, 4); times > 0; times--) {
        uint64_t count = 1 + hf_fuzz_below(fuzz, hf_fuzz_one_in(fuzz, 2) ? 8 : 512);
        uint64_t at = hf_fuzz_below(fuzz, sectors), from = hf_fuzz_below(fuzz, sectors);
        count = count < sectors - at ? count : sectors - at;
        count = count < sectors - from ? count : sectors - from;
        if (hf_fuzz_one_in(fuzz, 2))
            memset(target->file->bytes + at * 512, 0, (size_t)count * 512);
        else
            memcpy(target->file->bytes + at * 512, target->right + from * 512, (size_t)count * 512);
    }
}

/* Two full groups change places, or one stands twice. */
static void move_group(struct hf_fuzz *fuzz, struct target *target)
{
    uint64_t from = hf_fuzz_below(fuzz, GROUPS - 1), to = hf_fuzz_below(fuzz, GROUPS - 1);
    memcpy(target->file->bytes + place_of(to), target->right + place_of(from),
           HF_SNAPSHOT_GROUP_BYTES);
    if (hf_fuzz_one_in(fuzz, 2))
        memcpy(target->file->bytes + place_of(from), target->right + place_of(to),
               HF_SNAPSHOT_GROUP_BYTES);
}

/* The policy, a second time: the groups before the first changed byte are given. */
static void expect_as_changed(struct hf_fuzz *fuzz, struct target *target)
{
    uint64_t at = 0;
    while (at < target->header.file_bytes && target->file->bytes[at] == target->right[at])
        at++;
    if (at == target->header.file_bytes)
        expect(fuzz, target, HF_SNAPSHOT_END, GROUPS);
    else if (at < HF_SNAPSHOT_HEADER_BYTES)
        expect(fuzz, target, HF_SNAPSHOT_CORRUPT, 0);
    else
        expect(fuzz, target, HF_SNAPSHOT_CORRUPT,
               (at - HF_SNAPSHOT_HEADER_BYTES) / HF_SNAPSHOT_GROUP_BYTES);
}

/* Too short or too long, also by a byte. */
static void fuzz_size(struct hf_fuzz *fuzz, struct target *target)
{
    uint64_t right = target->header.file_bytes;
    uint64_t wrong = hf_fuzz_one_in(fuzz, 2) ? hf_fuzz_below(fuzz, right)
                                             : right - 4096 + hf_fuzz_below(fuzz, 4096 + SURPLUS);
    target->file->file_bytes = wrong + (wrong == right);
    expect(fuzz, target, HF_SNAPSHOT_CORRUPT, 0);
    target->file->file_bytes = right;
}

/* Numbers that say how much there is, and where. */
static void spoil_counts(struct hf_fuzz *fuzz, struct target *target)
{
    uint8_t *group = target->file->bytes + place_of(hf_fuzz_below(fuzz, GROUPS));
    if (hf_fuzz_one_in(fuzz, 2))
        hf_fuzz_spoil(fuzz, group + 40, 32);
    else
        hf_put_u32(group + 64, hf_get_u32(group + 64) + (uint32_t)hf_fuzz_below(fuzz, 5) - 2);
    if (hf_fuzz_one_in(fuzz, 4))
        hf_fuzz_spoil(fuzz, target->file->bytes + 96, 32);
}

/* Wrong bytes under right hashes: of the header, of a group, or of all and all links. */
static enum hf_snapshot_read fuzz_forged(struct hf_fuzz *fuzz, struct target *target)
{
    uint64_t groups;
    switch (hf_fuzz_below(fuzz, 4)) {
    case 0:
        hf_fuzz_spoil(fuzz, target->file->bytes + 8, 4); /* format and header_bytes */
        break;
    case 1:
        spoil_counts(fuzz, target);
        break;
    default:
        spoil_anywhere(fuzz, target);
        break;
    }
    switch (hf_fuzz_below(fuzz, 3)) {
    case 0:
        hf_built_forge_header(target->file->bytes);
        break;
    case 1:
        hf_built_forge_group(target->file->bytes, target->header.file_bytes,
                             place_of(hf_fuzz_below(fuzz, GROUPS - 1)));
        break;
    default:
        hf_built_forge_all(target->file->bytes, target->header.file_bytes);
        break;
    }
    return read_file(fuzz, target, true, &groups);
}

/* Spoils the file in one way, reads it, mends it. `ends`: how those ended that were forged. */
static void fuzz_file(struct hf_fuzz *fuzz, struct target *target, uint64_t ends[ENDS])
{
    switch (hf_fuzz_below(fuzz, 8)) {
    case 0:
        fuzz_size(fuzz, target);
        break;
    case 1:
        move_group(fuzz, target);
        expect_as_changed(fuzz, target);
        break;
    case 2:
    case 3:
        lose_pieces(fuzz, target);
        expect_as_changed(fuzz, target);
        break;
    case 4:
    case 5:
        spoil_anywhere(fuzz, target);
        expect_as_changed(fuzz, target);
        break;
    default:
        ends[fuzz_forged(fuzz, target)]++;
        break;
    }
    memcpy(target->file->bytes, target->right, target->header.file_bytes);
}

int main(int argc, char **argv)
{
    static struct target target;
    struct hf_fuzz fuzz;
    uint64_t headers = 0, groups = 0, ends[ENDS] = {0};
    hf_fuzz_open(&fuzz, "fuzz_snapshot", argc, argv);
    open_target(&fuzz, &target);
    expect(&fuzz, &target, HF_SNAPSHOT_END, GROUPS);
    for (uint64_t i = 0; i < fuzz.rounds; i++) {
        hf_fuzz_begin(&fuzz, fuzz.first + i);
        headers += fuzz_header(&fuzz);
        groups += fuzz_group(&fuzz, &target);
        if (fuzz.round % READ_EVERY == 0)
            fuzz_file(&fuzz, &target, ends);
    }
    expect(&fuzz, &target, HF_SNAPSHOT_END, GROUPS);
    free(target.right);
    hf_memory_io_close(&target.disk);
    printf("fuzz_snapshot: ok, %llu headers and %llu groups were accepted; of the forged files "
           "%llu were whole, %llu corrupt, %llu newer\n",
           (unsigned long long)headers, (unsigned long long)groups,
           (unsigned long long)ends[HF_SNAPSHOT_END], (unsigned long long)ends[HF_SNAPSHOT_CORRUPT],
           (unsigned long long)ends[HF_SNAPSHOT_NEWER]);
    return 0;
}
