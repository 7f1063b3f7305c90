/* What all peers share. See peer.h. */
#include "bench/peer/peer.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>

static const char *const outcome_names[] = {
#define X(name, number, meaning) [number] = #name,
    HF_PEER_OUTCOMES(X)
#undef X
};

#define OUTCOME_COUNT (sizeof outcome_names / sizeof outcome_names[0])

const char *hf_peer_outcome_name(unsigned outcome)
{
    return outcome < OUTCOME_COUNT ? outcome_names[outcome] : "?";
}

void hf_peer_say(const char *format, ...)
{
    va_list arguments;
    fprintf(stderr, "%s: ", program_invocation_short_name);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

int hf_peer_outcome_read(const char *peer, int64_t number, enum hf_peer_outcome *outcome)
{
    if (number < 0 || number >= (int64_t)OUTCOME_COUNT)
        return HF_PEER_FAIL("%s answered %lld, which is no outcome of a booking", peer,
                            (long long)number);
    *outcome = (enum hf_peer_outcome)number;
    return 0;
}

int hf_peer_ask_one(const struct hf_peer *peer, struct hf_peer_link *link,
                    const struct hf_peer_booking *booking, enum hf_peer_outcome *outcome)
{
    struct hf_peer_answer answer;
    if (peer->ask(link, booking) < 0)
        return -1;
    for (;;) {
        int left = peer->flush(link);
        int found = left < 0 ? -1 : peer->next(link, &answer);
        if (found < 0)
            return -1;
        if (found == 1)
            break;
        struct pollfd wanted = {.fd = peer->socket(link),
                                .events = (short)(left == 1 ? POLLIN | POLLOUT : POLLIN)};
        if (poll(&wanted, 1, HF_PEER_TIMEOUT_MS) <= 0)
            return HF_PEER_FAIL("%s gave no answer in %d s", peer->name, HF_PEER_TIMEOUT_MS / 1000);
        if (wanted.revents != POLLOUT && peer->receive(link) < 0)
            return -1;
    }
    if (!peer->in_order && answer.tag != booking->tag)
        return HF_PEER_FAIL("%s answered what was not asked", peer->name);
    *outcome = answer.outcome;
    return 0;
}
