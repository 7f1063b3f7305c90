/*
 * Ordered access to shared fields, each helper named after its order.
 *
 * Shared fields are declared _Atomic and touched through these only, so that a reader of the code
 * sees the order at the place of use. Every use that is not relaxed names its partner in a comment
 * where it stands; every relaxed one says why that is enough.
 */
#ifndef HF_BASE_ATOMICS_H
#define HF_BASE_ATOMICS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define HF_CACHE_LINE_BYTES 64

#define hf_load_relaxed(field)         atomic_load_explicit((field), memory_order_relaxed)
#define hf_load_acquire(field)         atomic_load_explicit((field), memory_order_acquire)
#define hf_load_seq_cst(field)         atomic_load_explicit((field), memory_order_seq_cst)
#define hf_store_relaxed(field, value) atomic_store_explicit((field), (value), memory_order_relaxed)
#define hf_store_release(field, value) atomic_store_explicit((field), (value), memory_order_release)
#define hf_store_seq_cst(field, value) atomic_store_explicit((field), (value), memory_order_seq_cst)

#define hf_fetch_add_relaxed(field, value)                                                         \
    atomic_fetch_add_explicit((field), (value), memory_order_relaxed)
#define hf_fetch_add_acq_rel(field, value)                                                         \
    atomic_fetch_add_explicit((field), (value), memory_order_acq_rel)
#define hf_fetch_add_seq_cst(field, value)                                                         \
    atomic_fetch_add_explicit((field), (value), memory_order_seq_cst)
#define hf_fetch_sub_acq_rel(field, value)                                                         \
    atomic_fetch_sub_explicit((field), (value), memory_order_acq_rel)
#define hf_fetch_sub_relaxed(field, value)                                                         \
    atomic_fetch_sub_explicit((field), (value), memory_order_relaxed)
#define hf_exchange_acq_rel(field, value)                                                          \
    atomic_exchange_explicit((field), (value), memory_order_acq_rel)

/* Compare-and-swap: on failure *expected holds what was found (read with acquire). */
#define hf_cas_acq_rel(field, expected, desired)                                                   \
    atomic_compare_exchange_strong_explicit((field), (expected), (desired), memory_order_acq_rel,  \
                                            memory_order_acquire)
#define hf_cas_weak_acq_rel(field, expected, desired)                                              \
    atomic_compare_exchange_weak_explicit((field), (expected), (desired), memory_order_acq_rel,    \
                                          memory_order_acquire)

/* The same, seq_cst: for two threads that each write one field and read the other's. */
#define hf_exchange_seq_cst(field, value)                                                          \
    atomic_exchange_explicit((field), (value), memory_order_seq_cst)
#define hf_cas_seq_cst(field, expected, desired)                                                   \
    atomic_compare_exchange_strong_explicit((field), (expected), (desired), memory_order_seq_cst,  \
                                            memory_order_acquire)
#define hf_cas_weak_seq_cst(field, expected, desired)                                              \
    atomic_compare_exchange_weak_explicit((field), (expected), (desired), memory_order_seq_cst,    \
                                          memory_order_acquire)

/* Tells the processor that this is a spin-wait. */
static inline void hf_cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

#endif
