/* Memory for large tables: zeroed, in huge pages where the kernel has some, and paid for only where
 * it is touched. */
#ifndef HF_TOOLS_LEDGER_PAGES_H
#define HF_TOOLS_LEDGER_PAGES_H

#include <stddef.h>

/* NULL: out of memory. The caller keeps in mind how much it was. */
void *hf_ledger_pages_alloc(size_t bytes);

/* `pages` may be NULL. */
void hf_ledger_pages_free(void *pages, size_t bytes);

#endif
