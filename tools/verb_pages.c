/* Answers in pages: asked for one after the other, shown as they come. See verbs.h. */
#include "tools/request.h"
#include "tools/show.h"
#include "tools/verbs.h"

/* A server that told of the same page again and again would keep us for ever. */
static enum hf_cli_exit complain_endless(const struct hf_cli_session *session)
{
    hf_cli_complain("%s tells of pages without end", session->server);
    return HF_CLI_UNKNOWN;
}

/* Asks for a page and shows it; the first yes with the heading above. */
static enum hf_cli_exit ask_for_page(struct hf_cli_session *session, void (**heading)(FILE *out))
{
    unsigned result = hf_client_call_sync(session->client, &session->request, &session->reply);
    if (hf_result_group(result) != HF_GROUP_YES) {
        hf_cli_show_no(session);
        return hf_cli_exit_of(result);
    }
    if (*heading != NULL && !session->json)
        (*heading)(session->out);
    *heading = NULL;
    hf_cli_show_yes(session);
    return HF_CLI_YES;
}

/* Pages that go on from a number that grows. */
static enum hf_cli_exit ask_from(struct hf_cli_session *session, uint32_t limit,
                                 void (*heading)(FILE *out))
{
    session->request.limit = limit;
    for (;;) {
        enum hf_cli_exit status = ask_for_page(session, &heading);
        if (status != HF_CLI_YES || session->reply.next == 0)
            return status;
        if (session->reply.next <= session->request.from || session->reply.next > UINT32_MAX)
            return complain_endless(session);
        session->request.from = (uint32_t)session->reply.next;
    }
}

enum hf_cli_exit hf_cli_run_inventory_list(struct hf_cli_session *session)
{
    return ask_from(session, HF_MAX_LIST_ENTRIES, hf_cli_text_inventory_heading);
}

enum hf_cli_exit hf_cli_run_history(struct hf_cli_session *session)
{
    return ask_from(session, HF_MAX_PAGE_ENTRIES, hf_cli_text_history_heading);
}

enum hf_cli_exit hf_cli_run_list(struct hf_cli_session *session)
{
    void (*heading)(FILE * out) = hf_cli_text_entry_heading;
    uint64_t left;
    if (!hf_cli_take_count(session, HF_CLI_LIMIT, &left))
        return HF_CLI_BAD;
    for (;;) {
        session->request.limit = left < HF_MAX_PAGE_ENTRIES ? (uint32_t)left : HF_MAX_PAGE_ENTRIES;
        enum hf_cli_exit status = ask_for_page(session, &heading);
        if (status != HF_CLI_YES || session->reply.next == 0 || session->reply.count >= left)
            return status;
        left -= session->reply.count;
        if (session->reply.next == session->request.filter.cursor)
            return complain_endless(session);
        session->request.filter.cursor = session->reply.next;
    }
}

enum hf_cli_exit hf_cli_run_availability(struct hf_cli_session *session)
{
    enum hf_cli_exit status = hf_cli_ask(session);
    if (status != HF_CLI_YES)
        return status;
    for (uint32_t i = 0; i < session->reply.count; i++) {
        if ((session->reply.availability[i].flags & HF_AVAILABILITY_UNKNOWN) != 0)
            status = HF_CLI_BAD;
    }
    return status;
}
