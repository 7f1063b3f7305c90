/*
 * The witness: what clients of a server asked and were told about bookings of every kind, held
 * against the log that the server leaves behind.
 *
 * Where the model (model.h) knows plain reserves and cancels from outside and needs nothing else,
 * the witness knows all operations, and takes the log (annals.h) for what came true. It is fed with
 * requests (hf_witness_ask()) and their ends (hf_witness_answer()). hf_witness_judge() is called
 * when the log is settled behind a crash and everything unknown was asked again; it proves, of all
 * since the last time:
 *
 *   - nothing acknowledged is lost: for every yes, the log has at that LSN just what was told, and
 *     nothing newer that was acknowledged before the request was asked (ACK-AFTER-COMMIT). A state
 *     or sequence that a conflict told is in the log too;
 *   - a yes that is no repetition did what was asked, by one record of its own;
 *   - nothing told "no" exists: every record that a request must have caused has one that asked for
 *     just that and was told yes, or nothing. Of those that were told no, none counts;
 *   - all or nothing: a record that a batch caused has those of all other lines beside it, in one
 *     chain, but for lines that were done before it;
 *   - a no is not one that the log contradicts: NOT_FOUND of what had been acknowledged, HOLD_EXPIRED
 *     before the deadline, the repeat of a granted claim refused;
 *   - by the server's clock: no date before the asking or behind the answer, nothing confirmed,
 *     extended or changed that was asked for behind the deadline, nothing expired before it;
 *   - a customer of an inventory whose limit never changed has no more than that, in every prefix.
 *
 * hf_witness_check_inventory() compares an idle server's inventory with the sums of the log
 * (CONSERVATION), and sees that nobody waits whose units are there.
 *
 * What `holdfast-wal verify` proves of the log by itself is not proved again: transitions, sell
 * limits, order of the waiting list, settings. The first contradiction is kept as a sentence. Not
 * thread-safe.
 */
#ifndef HF_TESTS_LIB_WITNESS_H
#define HF_TESTS_LIB_WITNESS_H

#include "holdfast/message.h"
#include "tests/lib/annals.h"

#define HF_WITNESS_LINES 8

/* Inventories of the witness begin here; others are not its affair. */
#define HF_WITNESS_FIRST_INVENTORY 1000001u
#define HF_WITNESS_INVENTORIES     16 /* at most */

/* The first of them have a customer limit that never changes, and customers 1 .. */
#define HF_WITNESS_LIMITED        2
#define HF_WITNESS_CUSTOMER_LIMIT 4
#define HF_WITNESS_CUSTOMERS      64

enum hf_witness_end {
    HF_WITNESS_OPEN,    /* not answered yet */
    HF_WITNESS_YES,     /* done, now or before */
    HF_WITNESS_NO,      /* definitely not done */
    HF_WITNESS_UNKNOWN, /* may or may not have been done */
};

/* One request since the last judgement. */
struct hf_asking {
    struct hf_witness *witness;
    struct hf_request wire;                 /* to be submitted; points to `lines` */
    struct hf_line lines[HF_WITNESS_LINES]; /* of a single request about a reservation: one */
    uint32_t line_count;                    /* 0: about an inventory */
    uint64_t asked_ns, answered_ns;         /* monotonic */
    uint64_t floor_lsn;                     /* acknowledged to anybody when it was asked */
    unsigned run_asked, run_answered;       /* of the server */
    enum hf_witness_end end;
    bool resent;
    uint64_t clock_low_ns, clock_high_ns; /* of the server, if one run saw all of it; else 0 */
    uint64_t retain_ns;                   /* of the server, the least since it was asked */
    struct hf_reply told;                 /* its pointers are of no use */
    uint32_t entry_count;                 /* of a yes about reservations */
    struct hf_reservation_entry entries[HF_WITNESS_LINES];
    void *context; /* the caller's */
};

struct hf_witness_figures {
    uint64_t requests, yes, no, unknown, repeated, resent;
    uint64_t records;                /* of the log that were explained */
    uint64_t batches, batch_records; /* told done; records explained by batches */
    uint64_t expired, offers, reacquired, settings, forgotten;
    uint64_t by_operation[64]; /* yes that were no repetition */
    uint64_t lsn;              /* the highest acknowledged */
};

/* Sums of one inventory at the end of the annals. */
struct hf_witness_sums {
    uint64_t held, confirmed, waiting;
    uint64_t head_lsn; /* of the first in the waiting list; 0: it is empty */
    uint32_t head_qty;
};

struct hf_witness {
    struct hf_annals annals;
    struct hf_asking **askings; /* since the last judgement */
    uint32_t asking_count, asking_room;
    uint64_t judged_lsn;         /* records up to here were explained */
    uint64_t retain_ns;          /* the server's */
    uint64_t least_retain_ns;    /* of all servers */
    uint64_t forgotten_until_ns; /* what finished at this date or before is gone, perhaps */
    unsigned run;                /* of the server; odd: none runs */
    uint64_t clock_low_ns, clock_high_ns; /* this run: its date - our monotonic clock */
    struct hf_witness_sums sums[HF_WITNESS_INVENTORIES];
    uint64_t first_deadline_ns; /* of all that are HELD at the end of the annals */
    /* What customers have of the inventories with a limit for ever. */
    uint32_t customer_units[HF_WITNESS_LIMITED][HF_WITNESS_CUSTOMERS];
    struct hf_witness_figures figures;
    char violation[800];
};

void hf_witness_close(struct hf_witness *witness);

/* The server is gone; the next one will retain finished reservations for so long. */
void hf_witness_end_run(struct hf_witness *witness, uint64_t next_retain_ns);

/* The next one runs. INFO, asked and answered at these monotonic times, told its clock. */
void hf_witness_begin_run(struct hf_witness *witness, uint64_t now_ns, uint64_t asked_ns,
                          uint64_t answered_ns);

/* A request is about to be submitted: BATCH of `lines`, or with `line_count` 0 `request` (which is
 * about an inventory), or the one line, or RESERVATION_GET. Belongs to the witness. */
struct hf_asking *hf_witness_ask(struct hf_witness *witness, const struct hf_line *lines,
                                 uint32_t line_count, bool batch);
struct hf_asking *hf_witness_ask_inventory(struct hf_witness *witness,
                                           const struct hf_request *request);

/* The request ended. Answers that no server can give to it are noted at once. */
void hf_witness_answer(struct hf_asking *asking, const struct hf_reply *reply);

/* Judges all since the last time; nothing is in flight. The askings are gone afterwards. */
void hf_witness_judge(struct hf_witness *witness, const char *directory);

/* Compares what an idle server says of an inventory with the annals. Call after the judgement. */
void hf_witness_check_inventory(struct hf_witness *witness, const struct hf_inventory *said);

/* True if the annals know holds that lapsed this long ago and are not EXPIRED, or somebody at the
 * head of a waiting list whose units are there: the server has not done what it must yet. */
bool hf_witness_is_overdue(const struct hf_witness *witness, uint64_t date_ns, char *text,
                           size_t text_bytes);

/* Notes a contradiction, in the words of printf. */
void hf_witness_contradict(struct hf_witness *witness, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* NULL, or the first contradiction. */
const char *hf_witness_violation(const struct hf_witness *witness);

#endif
