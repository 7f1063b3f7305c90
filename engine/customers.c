/* Customers; the life of a cell and the argument are told in customers.h. */
#include "engine/customers.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "engine/hash.h"

#define HEAD_TAKEN   (1u << 31)
#define HEAD_DROPPED (1u << 30)
#define HEAD_NUMBER  (HEAD_DROPPED - 1)

/* Retired cells are moved on when there are so many, ... */
#define COLLECT_FROM 32
/* ... and so many at a time: more than come, and no long stop for the one who does it. */
#define COLLECT_CELLS 64

/* ---- opening and closing ---- */

static size_t heads_bytes(uint32_t head_count)
{
    size_t bytes = head_count * sizeof(_Atomic uint32_t);
    return (bytes + HF_CACHE_LINE_BYTES - 1) / HF_CACHE_LINE_BYTES * HF_CACHE_LINE_BYTES;
}

int hf_customers_init(struct hf_customers *customers, uint32_t max_counters,
                      struct hf_epochs *epochs)
{
    if (max_counters == 0 || max_counters > HF_CUSTOMERS_MAX)
        return -EINVAL;
    uint64_t hash_seed;
    if (getrandom(&hash_seed, sizeof hash_seed, 0) != (ssize_t)sizeof hash_seed)
        return -errno;
    uint32_t head_count = 1;
    while (head_count < max_counters)
        head_count *= 2;
    size_t bytes =
        heads_bytes(head_count) + ((size_t)max_counters + 1) * sizeof(struct hf_customer_cell);
    /* NORESERVE: paid for as it is touched. Zero: no chain, and all words plain, of version 0. */
    uint8_t *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return -errno;
    *customers = (struct hf_customers){
        .heads = (_Atomic uint32_t *)(void *)memory,
        .cells = (struct hf_customer_cell *)(void *)(memory + heads_bytes(head_count)),
        .epochs = epochs,
        .hash_seed = hash_seed,
        .map_bytes = bytes,
        .head_mask = head_count - 1,
        .max_counters = max_counters,
    };
    return 0;
}

void hf_customers_close(struct hf_customers *customers)
{
    munmap((void *)customers->heads, customers->map_bytes);
    *customers = (struct hf_customers){0};
}

/* ---- stacks of cells ---- */

static uint64_t make_stack(uint32_t first, uint32_t count)
{
    return (uint64_t)count << 32 | first;
}

static uint32_t stack_first(uint64_t stack)
{
    return (uint32_t)stack;
}

static uint32_t stack_count(uint64_t stack)
{
    return (uint32_t)(stack >> 32);
}

static struct hf_customer_cell *cell_of(const struct hf_customers *customers, uint32_t number)
{
    HF_CHECK(number <= customers->max_counters);
    return &customers->cells[number];
}

static void push_retired(struct hf_customers *customers, uint32_t number)
{
    struct hf_customer_cell *cell = cell_of(customers, number);
    uint64_t stack = hf_load_relaxed(&customers->retired); /* the CAS decides */
    uint64_t pushed;
    do {
        hf_store_relaxed(&cell->link, stack_first(stack)); /* released below */
        pushed = make_stack(number, stack_count(stack) + 1);
        /* acq_rel, pairs with collect(): that the cell is unlinked comes before the stamp. */
    } while (!hf_cas_weak_acq_rel(&customers->retired, &stack, pushed));
}

/* Makes up to COLLECT_CELLS cells free, from this one on. The first that is left. */
static uint32_t free_some(struct hf_customers *customers, uint32_t first)
{
    uint32_t last = first;
    /* Relaxed, also below: links of cells behind `waiting` belong to who collects. */
    uint32_t rest = hf_load_relaxed(&cell_of(customers, last)->link);
    for (uint32_t count = 1; count < COLLECT_CELLS && rest != 0; count++) {
        last = rest;
        rest = hf_load_relaxed(&cell_of(customers, last)->link);
    }
    uint32_t top = hf_load_relaxed(&customers->free); /* the CAS decides */
    do {
        hf_store_relaxed(&cell_of(customers, last)->link, top);
        /* acq_rel, pairs with pop_free(): nobody is at these cells any more. */
    } while (!hf_cas_weak_acq_rel(&customers->free, &top, first));
    return rest;
}

/*
 * Moves retired cells on: those whose grace period is over become free; when there are none left of
 * them, the next lot gets its stamp. One thread at a time; others do not wait. False: no cell is on
 * its way to become free. (If who collects stops in the middle, nothing becomes free until it goes
 * on: as with anybody who stops inside.)
 */
static bool collect(struct hf_customers *customers)
{
    /* acq_rel, pairs with the store below: `waiting` and its stamp are ours. */
    if (hf_exchange_acq_rel(&customers->collecting, 1) != 0)
        return true;
    if (customers->waiting != 0 && hf_epochs_passed(customers->epochs, customers->waiting_stamp))
        customers->waiting = free_some(customers, customers->waiting);
    if (customers->waiting == 0) {
        /* acq_rel, pairs with push_retired(). Taking all of it, nothing can be mistaken. */
        customers->waiting = stack_first(hf_exchange_acq_rel(&customers->retired, 0));
        if (customers->waiting != 0)
            customers->waiting_stamp = hf_epochs_retire(customers->epochs);
    }
    bool more = customers->waiting != 0;
    hf_store_release(&customers->collecting, 0); /* pairs with the exchange above */
    return more;
}

/* 0: there is none. The CAS cannot mistake a stack that was changed for the one whose second cell
 * was read: what others take out of it is not back before the caller has exited. */
static uint32_t pop_free(struct hf_customers *customers)
{
    uint32_t number = hf_load_acquire(&customers->free); /* pairs with free_some() */
    while (number != 0) {
        /* Relaxed: if the CAS succeeds, it is as the acquired push left it. */
        uint32_t next = hf_load_relaxed(&cell_of(customers, number)->link);
        /* acq_rel, pairs with free_some(). */
        if (hf_cas_weak_acq_rel(&customers->free, &number, next))
            return number;
    }
    return 0;
}

/* 0: all have been used. */
static uint32_t take_unused(struct hf_customers *customers)
{
    uint32_t used = hf_load_relaxed(&customers->used); /* the CAS decides */
    while (used < customers->max_counters) {
        /* acq_rel, but nothing pairs with it: the cells are zero from the start. */
        if (hf_cas_weak_acq_rel(&customers->used, &used, used + 1))
            return used + 1;
    }
    return 0;
}

/* A free cell. 0: there is none; *busy if there will be. */
static uint32_t allot(struct hf_customers *customers, bool *busy)
{
    uint32_t number = pop_free(customers);
    if (number == 0)
        number = take_unused(customers);
    if (number == 0) {
        *busy = collect(customers);
        number = pop_free(customers);
    }
    if (number != 0)
        *busy = false;
    return number;
}

/* ---- chains ---- */

static _Atomic uint32_t *head_of(const struct hf_customers *customers, uint32_t inventory,
                                 uint64_t customer_id)
{
    uint64_t hash = hf_hash_u64(customer_id ^ hf_hash_u64(inventory ^ customers->hash_seed));
    return &customers->heads[hash & customers->head_mask];
}

static bool is_dead(const struct hf_customer_cell *cell)
{
    /* Acquire, pairs with kill(): the customer has no units, and what comes of that comes after
     * they were given back. */
    uint64_t word = hf_load_acquire(&cell->word);
    return !hf_word_is_descriptor(word) && (word & HF_WORD_SEALED) != 0;
}

static struct hf_customer_cell *search(const struct hf_customers *customers, uint32_t number,
                                       uint32_t inventory, uint64_t customer_id)
{
    while (number != 0) {
        struct hf_customer_cell *cell = cell_of(customers, number);
        if (cell->inventory == inventory && cell->customer_id == customer_id && !is_dead(cell))
            return cell;
        /* Relaxed: whatever cell it is, it is older in this chain than the one we came from, so the
         * acquire of the head has it filled. */
        number = hf_load_relaxed(&cell->next);
    }
    return NULL;
}

/* Unlinks the dead cells of a chain that the caller has taken. */
static void unlink_dead(struct hf_customers *customers, struct hf_customer_chain *chain)
{
    struct hf_customer_cell *before = NULL;
    uint32_t number = chain->first;
    while (number != 0) {
        struct hf_customer_cell *cell = cell_of(customers, number);
        uint32_t next = hf_load_relaxed(&cell->next); /* only who has the chain changes it */
        if (!is_dead(cell)) {
            before = cell;
        } else {
            if (before == NULL)
                chain->first = next; /* the head is taken until then */
            else
                hf_store_relaxed(&before->next, next); /* as in search(), released below */
            push_retired(customers, number);
        }
        number = next;
    }
}

static bool take_head(_Atomic uint32_t *head, struct hf_customer_chain *chain)
{
    uint32_t found = hf_load_acquire(head); /* pairs with hf_customers_leave() */
    do {
        if (found & HEAD_TAKEN)
            return false;
        /* acq_rel. Acquire pairs with hf_customers_leave(): the chain is as the last one left it.
         * */
    } while (!hf_cas_acq_rel(head, &found, found | HEAD_TAKEN));
    *chain = (struct hf_customer_chain){.head = head, .taken = found | HEAD_TAKEN, .first = found};
    return true;
}

bool hf_customers_take(struct hf_customers *customers, uint32_t inventory, uint64_t customer_id,
                       struct hf_customer_chain *chain)
{
    return take_head(head_of(customers, inventory, customer_id), chain);
}

bool hf_customers_try_leave(struct hf_customers *customers, struct hf_customer_chain *chain)
{
    uint32_t found = chain->taken;
    /* acq_rel. Release pairs with the loads of the head: cells in the chain are filled. */
    if (hf_cas_acq_rel(chain->head, &found, chain->first))
        return true;
    HF_CHECK(found == (chain->taken | HEAD_DROPPED));
    /* acq_rel. Acquire pairs with take_or_tell(): all whose bit this takes off are dead to us.
     * Those who come later set it again. */
    hf_exchange_acq_rel(chain->head, chain->taken);
    unlink_dead(customers, chain);
    return false;
}

void hf_customers_leave(struct hf_customers *customers, struct hf_customer_chain *chain)
{
    while (!hf_customers_try_leave(customers, chain))
        ; /* as often as there are drops meanwhile */
}

/* ---- finding, making, dropping ---- */

struct hf_customer_cell *hf_customers_find(const struct hf_customers *customers, uint32_t inventory,
                                           uint64_t customer_id, bool *busy)
{
    /* Acquire, pairs with hf_customers_leave(): the cells are filled. */
    uint32_t head = hf_load_acquire(head_of(customers, inventory, customer_id));
    *busy = (head & HEAD_TAKEN) != 0;
    return *busy ? NULL : search(customers, head, inventory, customer_id);
}

void hf_customers_prefetch_head(const struct hf_customers *customers, uint32_t inventory,
                                uint64_t customer_id)
{
    __builtin_prefetch((const void *)head_of(customers, inventory, customer_id), 1);
}

void hf_customers_prefetch_cell(const struct hf_customers *customers, uint32_t inventory,
                                uint64_t customer_id)
{
    /* Relaxed: a guess at what the lookup will find. */
    uint32_t head = hf_load_relaxed(head_of(customers, inventory, customer_id));
    __builtin_prefetch(&customers->cells[head & HEAD_NUMBER], 1);
}

/* Makes a counter in a chain that the caller has taken, and that has none for it. */
static struct hf_customer_cell *make(struct hf_customers *customers,
                                     struct hf_customer_chain *chain, uint32_t inventory,
                                     uint64_t customer_id, bool *busy)
{
    uint32_t number = allot(customers, busy);
    if (number == 0)
        return NULL;
    struct hf_customer_cell *cell = cell_of(customers, number);
    cell->inventory = inventory;
    cell->customer_id = customer_id;
    /* Relaxed: it rests since it died, which happened before it became free. */
    uint64_t word = hf_load_relaxed(&cell->word);
    HF_CHECK(!hf_word_is_descriptor(word) && hf_word_available(word) == 0);
    /* acq_rel; the leave below is what others meet. An exchange and not a store, so that the word's
     * history stays one of read-modify-writes: a. in mcas.h. */
    hf_exchange_acq_rel(&cell->word, hf_word_make(0, hf_word_version(word) + 1));
    hf_store_relaxed(&cell->next, chain->first); /* released by the leave */
    chain->first = number;
    return cell;
}

struct hf_customer_cell *hf_customers_get(struct hf_customers *customers, uint32_t inventory,
                                          uint64_t customer_id, bool *busy)
{
    struct hf_customer_cell *cell = hf_customers_find(customers, inventory, customer_id, busy);
    if (cell != NULL || *busy)
        return cell;
    struct hf_customer_chain chain;
    if (!hf_customers_take(customers, inventory, customer_id, &chain)) {
        *busy = true;
        return NULL;
    }
    /* Again: the chain may have changed before it was ours. */
    cell = search(customers, chain.first, inventory, customer_id);
    if (cell == NULL)
        cell = make(customers, &chain, inventory, customer_id, busy);
    hf_customers_leave(customers, &chain);
    return cell;
}

/* Seals a counter of amount 0. False: it is not 0, or it is dead already. */
static bool kill(const struct hf_mcas *mcas, struct hf_customer_cell *cell)
{
    for (;;) {
        uint64_t word = hf_mcas_load(mcas, &cell->word);
        if (hf_word_available(word) != 0 || (word & HF_WORD_SEALED) != 0)
            return false;
        /* acq_rel, pairs with is_dead(): it passes on that the units were given back. */
        if (hf_cas_acq_rel(&cell->word, &word, hf_word_moved(word, 0) | HF_WORD_SEALED))
            return true;
    }
}

/* Takes the chain; or, if somebody else has it, tells that one of a dead cell. */
static bool take_or_tell(_Atomic uint32_t *head, struct hf_customer_chain *chain)
{
    while (!take_head(head, chain)) {
        uint32_t found = hf_load_relaxed(head); /* the CAS decides */
        /* acq_rel, also if the bit is set already. Release pairs with the exchange in
         * hf_customers_leave(). */
        if ((found & HEAD_TAKEN) != 0 && hf_cas_acq_rel(head, &found, found | HEAD_DROPPED))
            return false;
    }
    return true;
}

void hf_customers_drop(struct hf_customers *customers, const struct hf_mcas *mcas,
                       struct hf_customer_cell *cell)
{
    if (!kill(mcas, cell))
        return;
    struct hf_customer_chain chain;
    if (take_or_tell(head_of(customers, cell->inventory, cell->customer_id), &chain)) {
        unlink_dead(customers, &chain);
        hf_customers_leave(customers, &chain);
    }
    /* Relaxed: a hint. */
    if (stack_count(hf_load_relaxed(&customers->retired)) >= COLLECT_FROM)
        collect(customers);
}
