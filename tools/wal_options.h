/* The command line of holdfast-wal, read; and help. */
#ifndef HF_TOOLS_WAL_OPTIONS_H
#define HF_TOOLS_WAL_OPTIONS_H

#include "tools/wal_command.h"

/*
 * Reads a command line. True: *task is to be run. False: all is said and done, and *status is the
 * exit status: it was bad, or asked for help or the version.
 */
bool hf_wal_options_read(int argc, char **argv, struct hf_wal_task *task, enum hf_wal_exit *status);

#endif
