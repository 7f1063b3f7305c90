/* Descriptors 0 to 2, which a program takes for its standard files whatever they are. */
#ifndef HF_BASE_STANDARD_FILES_H
#define HF_BASE_STANDARD_FILES_H

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

/*
 * Takes the number of each that whoever started us has closed. Otherwise the next file that is opened
 * would get it, and a message to stderr could end up in the middle of a log. What stands there cannot be
 * read (stdin) or written (stdout, stderr), so that whoever tries is told, as if it were closed. First
 * thing in main(). Ends the process if it cannot be done.
 */
static inline void hf_standard_files_open(void)
{
    for (int file = 0; file <= 2; file++)
        /* open() takes the lowest number that is free: this one. */
        if (fcntl(file, F_GETFD) < 0 && errno == EBADF &&
            open("/dev/null", file == 0 ? O_WRONLY : O_RDONLY) != file)
            abort();
}

#endif
