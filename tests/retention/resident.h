/* Resident memory of a process. */
#ifndef HF_TESTS_RETENTION_RESIDENT_H
#define HF_TESTS_RETENTION_RESIDENT_H

#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

/* KiB, shared memory included; 0: it cannot be told. */
static inline unsigned long long hf_resident_kib(pid_t process)
{
    char path[64], text[128];
    char *resident = NULL;
    snprintf(path, sizeof path, "/proc/%d/statm", (int)process);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return 0;
    if (fgets(text, sizeof text, file) != NULL)
        strtoull(text, &resident, 10); /* the second number */
    fclose(file);
    unsigned long long pages = resident != NULL ? strtoull(resident, NULL, 10) : 0;
    return pages * (unsigned long long)sysconf(_SC_PAGESIZE) / 1024;
}

#endif
