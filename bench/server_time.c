/* The server's clock. See server_time.h. */
#include "bench/server_time.h"

#define QUESTIONS 200

unsigned hf_server_time_ask(struct hf_server_time *time, struct hf_client *client,
                            struct hf_info *info)
{
    const struct hf_request request = {.operation = HF_OP_INFO};
    struct hf_reply reply;
    time->error_ns = UINT64_MAX;
    for (int i = 0; i < QUESTIONS; i++) {
        uint64_t asked_ns = hf_monotonic_now_ns();
        unsigned result = hf_client_call_sync(client, &request, &reply);
        uint64_t half_ns = (hf_monotonic_now_ns() - asked_ns) / 2;
        if (result != HF_FOUND)
            return result;
        *info = reply.info;
        if (half_ns < time->error_ns)
            *time = (struct hf_server_time){.ahead_ns = reply.info.now_ns - (asked_ns + half_ns),
                                            .error_ns = half_ns};
    }
    return HF_FOUND;
}
