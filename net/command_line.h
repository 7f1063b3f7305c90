/* The command line of holdfastd: what its options mean to a server. */
#ifndef HF_NET_COMMAND_LINE_H
#define HF_NET_COMMAND_LINE_H

#include "net/server.h"

/*
 * Overwrites in *options what the arguments say; texts go on living in argv. --help and --version end
 * the process with status 0; bad usage does with status 2, once a line on stderr has said why.
 */
void hf_command_line_parse(int argc, char **argv, struct hf_server_options *options);

#endif
