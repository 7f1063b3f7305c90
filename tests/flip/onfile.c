/* On file; see onfile.h. */
#include "tests/flip/onfile.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "holdfast/client.h"
#include "tests/lib/process.h"

static void write_files(const struct hf_still *still, const char *directory)
{
    for (uint32_t i = 0; i < still->file_count; i++) {
        const struct hf_still_file *file = &still->files[i];
        char path[HF_DIRECTORY_TEXT_BYTES + HF_STILL_NAME_BYTES];
        if (file->absent)
            continue;
        snprintf(path, sizeof path, "%s/%s", directory, file->name);
        FILE *to = fopen(path, "wbe");
        HF_CHECK(to && fwrite(file->bytes, 1, file->file_bytes, to) == file->file_bytes);
        HF_CHECK(fclose(to) == 0);
    }
}

/* What a server that has started holds. */
static void ask(const struct hf_daemon *server, struct hf_attempt *attempt)
{
    const struct hf_client_options options = {.server = server->address,
                                              .request_timeout_ms = 10000};
    const struct hf_request request = {.operation = HF_OP_STATE_HASH};
    struct hf_client *client;
    struct hf_reply reply;
    HF_CHECK(hf_client_open(&options, &client) == 0);
    HF_CHECK(hf_result_group(hf_client_call_sync(client, &request, &reply)) == HF_GROUP_YES);
    hf_client_close(client);
    attempt->state_hash = reply.state_hash;
    attempt->last_lsn = reply.lsn_after;
}

const char *hf_onfile_check(const char *program, struct hf_still *still,
                            const struct hf_map_expected *expected)
{
    char directory[HF_DIRECTORY_TEXT_BYTES];
    struct hf_attempt attempt = {0};
    struct hf_daemon server = {0};
    HF_CHECK(hf_directory_make(directory) == 0);
    write_files(still, directory);
    const struct hf_daemon_options options = {.program = program, .directory = directory};
    attempt.refused = hf_daemon_start(&server, &options) != 0;
    hf_daemon_messages(&server, attempt.told, sizeof attempt.told);
    if (attempt.refused)
        snprintf(attempt.error, sizeof attempt.error, "%s", attempt.told);
    else
        ask(&server, &attempt);
    const char *wrong = hf_map_judge(expected, &attempt);
    hf_daemon_forget(&server);
    hf_directory_remove(directory);
    return wrong;
}
