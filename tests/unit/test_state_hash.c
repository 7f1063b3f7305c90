/*
 * The state hash of a region: what replaying the vectors of docs/vectors/log-format.txt leads to has
 * their hashes, which another program computed; and a region in which something is changing has none.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "base/bytes.h"
#include "engine/replay.h"
#include "engine/state_hash.h"
#include "tests/lib/vectors.h"
#include "wal/record.h"

#define VECTORS_PATH "docs/vectors/log-format.txt"
#define INVENTORY    42 /* of the vectors */
#define SLICE        3  /* reservations */
#define LIST_VECTOR  "state_of_holds_and_a_waiting_list"

static struct hf_region region;
static uint64_t log_time_ns;

/* The region after the records of a vector. To be closed by the caller. */
static void replay_vector(const struct hf_vector *vector, uint64_t retain_ns)
{
    struct hf_replay replay;
    cr_assert_eq(hf_region_create(&region, 8, 1000), 0);
    cr_assert_eq(hf_replay_init(&replay, &region, retain_ns), 0);
    for (size_t at = 0; at < vector->byte_count; at += HF_RECORD_BYTES) {
        const char *reason = hf_replay_apply(&replay, vector->bytes + at);
        cr_assert_null(reason, "%s: %s", hf_vector_text(vector, "name"), reason);
    }
    const char *reason = hf_replay_finish(&replay);
    cr_assert_null(reason, "%s: %s", hf_vector_text(vector, "name"), reason);
    log_time_ns = replay.log_time_ns;
    hf_replay_close(&replay);
}

/* In small slices. UNSETTLED or DONE; MORE: it met a mark. */
static enum hf_hashing hash_region(uint64_t forget_before_ns, struct hf_state_hash *hash)
{
    enum hf_hashing hashing = HF_HASHING_MORE;
    cr_assert_eq(hf_state_hash_begin(hash, &region, forget_before_ns), 0);
    for (unsigned i = 0; hashing == HF_HASHING_MORE && i < 2000; i++)
        hashing = hf_state_hash_step(hash, &region, SLICE);
    hf_state_hash_end(hash);
    return hashing;
}

static uint64_t before(uint64_t date_ns, uint64_t duration_ns)
{
    return date_ns > duration_ns ? date_ns - duration_ns : 0;
}

static void check_state_vector(const struct hf_vector *vector)
{
    const char *name = hf_vector_text(vector, "name");
    uint64_t retain_ns = hf_vector_number(vector, "retain_ns");
    struct hf_state_hash hash;
    replay_vector(vector, UINT64_MAX); /* nothing is forgotten: the hash skips it */
    cr_expect_eq(hash_region(before(log_time_ns, retain_ns), &hash), HF_HASHING_DONE, "%s", name);
    cr_expect_eq(hash.sum, hf_vector_hash(vector, "state_hash"), "%s: %016llx", name,
                 (unsigned long long)hash.sum);
    cr_expect_eq(hash.reservations, hf_vector_number(vector, "retained"), "%s", name);
    hf_region_close(&region);

    replay_vector(vector, retain_ns); /* it is forgotten */
    cr_expect_eq(hash_region(0, &hash), HF_HASHING_DONE, "%s", name);
    cr_expect_eq(hash.sum, hf_vector_hash(vector, "state_hash"), "%s, forgotten", name);
    hf_region_close(&region);
}

Test(state_hash, what_is_replayed_has_the_hash_of_the_vectors)
{
    /* All kinds of states; finished reservations skipped by the hash, and forgotten by replay. */
    cr_assert_geq(hf_vectors_each(VECTORS_PATH, "state_hash", check_state_vector), 13);
}

static void check_closed_vector(const struct hf_vector *vector)
{
    struct hf_inventory inventory;
    replay_vector(vector, UINT64_MAX);
    hf_inventory_describe(hf_region_find_inventory(&region, INVENTORY), &region.mcas, &inventory);
    cr_expect_eq((inventory.flags & HF_INVENTORY_SOLD_OUT_CLOSED) != 0,
                 hf_vector_number(vector, "closed") != 0, "%s", hf_vector_text(vector, "name"));
    hf_region_close(&region);
}

Test(state_hash, what_is_replayed_is_closed_as_the_vectors_say)
{
    /* Closed by selling out, or not, by flags and versions. */
    cr_assert_geq(hf_vectors_each(VECTORS_PATH, "closed", check_closed_vector), 8);
}

/* ---- what is changing ------------------------------------------------------------------- */

/* Two of 3 units are confirmed, for two customers; a third waits. */
static void open_if_list(const struct hf_vector *vector)
{
    if (strcmp(hf_vector_text(vector, "name"), LIST_VECTOR) == 0)
        replay_vector(vector, UINT64_MAX);
}

static struct hf_inventory_cell *open_settled(void)
{
    struct hf_state_hash hash;
    hf_vectors_each(VECTORS_PATH, "state_hash", open_if_list);
    struct hf_inventory_cell *cell = hf_region_find_inventory(&region, INVENTORY);
    cr_assert_not_null(cell);
    cr_assert_eq(hash_region(0, &hash), HF_HASHING_DONE);
    cr_assert_eq(hash.reservations, 3);
    return cell;
}

/* A reservation in that state. */
static struct hf_reservation_cell *find_in(enum hf_state state)
{
    for (uint32_t number = 1; number <= hf_cells_allotted(&region); number++) {
        struct hf_reservation_cell *cell = &region.reservations[number];
        if (hf_reservation_word_state(hf_load_relaxed(&cell->word)) == state)
            return cell;
    }
    cr_assert_fail("there is none");
    return NULL;
}

static void expect(enum hf_hashing expected, const char *what)
{
    struct hf_state_hash hash;
    cr_expect_eq(hash_region(0, &hash), expected, "%s", what);
}

Test(state_hash, a_marked_reservation_is_waited_for)
{
    /* Its newest change has no LSN yet; then it has. */
    open_settled();
    struct hf_reservation_cell *cell = find_in(HF_STATE_CONFIRMED);
    uint64_t word = hf_load_relaxed(&cell->word);
    hf_store_relaxed(&cell->word, word | HF_WORD_MARKED);
    expect(HF_HASHING_MORE, "marked");
    hf_store_relaxed(&cell->word, word);
    expect(HF_HASHING_DONE, "as it was");
    hf_region_close(&region);
}

Test(state_hash, units_that_were_taken_and_are_nowhere_yet_are_missed)
{
    /* A claim has taken a unit, and there is no reservation; one has a unit more than was taken. */
    struct hf_inventory_cell *cell = open_settled();
    uint64_t word = hf_load_relaxed(&cell->word);
    hf_store_relaxed(&cell->word, hf_word_moved(word, hf_word_available(word) - 1));
    expect(HF_HASHING_UNSETTLED, "taken");
    hf_store_relaxed(&cell->word, hf_word_moved(word, hf_word_available(word) + 1));
    expect(HF_HASHING_UNSETTLED, "given back");
    hf_store_relaxed(&cell->word, hf_word_bumped(word));
    expect(HF_HASHING_DONE, "a version is no state");
    hf_region_close(&region);
}

Test(state_hash, units_that_are_not_given_back_yet_are_missed)
{
    /* A reservation is cancelled, its units are not in the word; then they are. */
    struct hf_inventory_cell *cell = open_settled();
    struct hf_reservation_cell *confirmed = find_in(HF_STATE_CONFIRMED);
    uint64_t word = hf_load_relaxed(&confirmed->word);
    uint32_t qty = hf_reservation_word_qty(word);
    uint64_t terms = word & HF_WORD_TERMS;
    hf_store_relaxed(
        &confirmed->word,
        hf_reservation_word(HF_STATE_CANCELLED, hf_reservation_word_sequence(word) + 1, qty) |
            terms);
    expect(HF_HASHING_UNSETTLED, "not given back");
    uint64_t counter = hf_load_relaxed(&cell->word);
    hf_store_relaxed(&cell->word,
                     hf_word_moved(counter, hf_word_available(counter) + (int32_t)qty));
    expect(HF_HASHING_DONE, "given back");
    hf_region_close(&region);
}

Test(state_hash, rights_that_somebody_has_are_waited_for)
{
    /* To the settings, to the list; and a list that has one more than were met. */
    struct hf_inventory_cell *cell = open_settled();
    hf_store_relaxed(&cell->setting, 1);
    expect(HF_HASHING_UNSETTLED, "setting");
    hf_store_relaxed(&cell->setting, 0);
    hf_store_relaxed(&cell->list, 1);
    expect(HF_HASHING_UNSETTLED, "list");
    hf_store_relaxed(&cell->list, 0);
    hf_store_relaxed(&cell->waiting_count, 2);
    expect(HF_HASHING_UNSETTLED, "one more waits");
    hf_store_relaxed(&cell->waiting_count, 1);
    expect(HF_HASHING_DONE, "as it was");
    hf_region_close(&region);
}

Test(state_hash, another_state_has_another_hash)
{
    /* One field at a time that is part of it, and those that are not. */
    open_settled();
    struct hf_state_hash first, other;
    cr_assert_eq(hash_region(0, &first), HF_HASHING_DONE);
    struct hf_reservation_cell *confirmed = find_in(HF_STATE_CONFIRMED);
    struct hf_terms *terms = &region.terms[confirmed - region.reservations];
    _Atomic uint64_t *const fields[] = {&confirmed->customer_id, &confirmed->lsn,
                                        &confirmed->made_at_ns, &confirmed->changed_at_ns,
                                        &confirmed->id[1]};
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        uint64_t value = hf_load_relaxed(fields[i]);
        hf_store_relaxed(fields[i], value + 1);
        cr_expect_eq(hash_region(0, &other), HF_HASHING_DONE);
        cr_expect_neq(other.sum, first.sum, "field %zu", i);
        hf_store_relaxed(fields[i], value);
    }
    struct hf_reservation_cell *waiting = find_in(HF_STATE_WAITING);
    struct hf_terms *list = &region.terms[waiting - region.reservations];
    hf_store_relaxed(&list->link, 77); /* its place in the list follows from the LSNs */
    hf_store_relaxed(&terms->due_ns, 77);
    cr_expect_eq(hash_region(0, &other), HF_HASHING_DONE);
    cr_expect_eq(other.sum, first.sum);
    hf_region_close(&region);
}
