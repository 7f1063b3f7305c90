/*
 * holdfast-wal: the log's tool. Looks at the log of a directory, shows its records, proves it.
 *
 * It only reads, and works beside a running server: its reader bypasses the page cache and looks
 * again wherever the log seems to end (wal/reader.h). What can still differ beside a running server
 * is the meaning of a torn tail: it is a write in flight. So when a log does not end cleanly the
 * tool asks whether the directory's lock is held, for as short as that takes; and it reads a log
 * that seems damaged a few times before it believes that.
 *
 * `verify` enters every record into a ledger that shares no code with the engine (tools/ledger.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "engine/image.h"
#include "holdfast/protocol.h"
#include "tools/ledger.h"
#include "wal/io.h"
#include "wal/reader.h"
#include "wal/segment_header.h"

#define MAX_GROWTHS          3 /* how long a log that is being written is followed */
#define MAX_ATTEMPTS         4 /* to read a log that seems damaged beside a running server */
#define PAUSE_NS             (100 * HF_NS_PER_MS)
#define PROGRESS_AFTER_NS    HF_NS_PER_S
#define PROGRESS_INTERVAL_NS (200 * HF_NS_PER_MS)
#define PREFETCH_RECORDS     8
#define OUTPUT_BUFFER_BYTES  (1u << 20)

enum exit_status {
    EXIT_OK = 0,
    EXIT_BAD = 1,
    EXIT_USAGE = 2,
};

__attribute__((format(printf, 1, 2))) static enum exit_status complain(const char *format, ...)
{
    va_list arguments;
    fprintf(stderr, "holdfast-wal: ");
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "\n");
    return EXIT_BAD;
}

/* ---- walking ---------------------------------------------------------------------------- */

/* A walk over a log, and what was met on it. */
struct walk {
    const char *directory;
    struct hf_reader *reader;
    enum hf_read end;          /* of the walk; HF_READ_END too if it stopped following a writer */
    struct hf_finding finding; /* unless it stopped following */
    bool grows;                /* it stopped following: the log goes on */
    bool in_flight;            /* TORN, beside a running server */
    uint64_t blocks, records, starts, clean_stops;
    struct hf_block last; /* block; all zero if there is none */
    uint64_t progress_due_ns;
    bool progress_shown;
};

/* True while a server runs on the directory: it holds the lock. Taken and released at once. */
static bool server_runs(const char *directory)
{
    char path[PATH_MAX];
    int length = snprintf(path, sizeof(path), "%s/lock", directory);
    if (length < 0 || (size_t)length >= sizeof(path))
        return false;
    int lock = open(path, O_RDONLY | O_CLOEXEC);
    if (lock < 0)
        return false;
    bool held = flock(lock, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
    close(lock);
    return held;
}

static enum exit_status open_walk(struct walk *walk, const char *directory)
{
    *walk = (struct walk){.directory = directory};
    if (isatty(STDERR_FILENO))
        walk->progress_due_ns = hf_monotonic_now_ns() + PROGRESS_AFTER_NS;
    struct hf_finding finding;
    if (hf_reader_open(hf_io_posix(), directory, true, &walk->reader, &finding) < 0)
        return complain("%s", finding.text);
    if (hf_reader_files(walk->reader)->last_segment != 0)
        return EXIT_OK;
    hf_reader_close(walk->reader);
    return complain("%s holds no log", directory);
}

static void close_walk(struct walk *walk)
{
    hf_reader_close(walk->reader);
}

static void clear_progress(struct walk *walk)
{
    if (walk->progress_shown)
        fprintf(stderr, "\r\033[K");
    walk->progress_shown = false;
}

static void show_progress(struct walk *walk)
{
    if (walk->progress_due_ns == 0)
        return;
    uint64_t now_ns = hf_monotonic_now_ns();
    if (now_ns < walk->progress_due_ns)
        return;
    walk->progress_due_ns = now_ns + PROGRESS_INTERVAL_NS;
    walk->progress_shown = true;
    double done = (double)hf_reader_bytes_done(walk->reader);
    fprintf(stderr, "\rread %.0f of %.0f MiB, %" PRIu64 " records", done / (1 << 20),
            (double)hf_reader_bytes_total(walk->reader) / (1 << 20), walk->records);
}

/* The next block. False: the walk has ended. */
static bool next_block(struct walk *walk, struct hf_block_view *view)
{
    if (hf_reader_growths(walk->reader) >= MAX_GROWTHS) {
        walk->grows = true;
        walk->end = HF_READ_END;
    } else {
        walk->end = hf_reader_next(walk->reader, view);
    }
    if (walk->end != HF_READ_BLOCK) {
        clear_progress(walk);
        walk->finding = *hf_reader_finding(walk->reader);
        walk->in_flight = walk->end == HF_READ_TORN && server_runs(walk->directory);
        return false;
    }
    walk->last = view->header;
    walk->blocks++;
    walk->records += view->header.record_count;
    walk->starts += (view->header.flags & HF_BLOCK_START) != 0;
    walk->clean_stops += (view->header.flags & HF_BLOCK_STOP) != 0;
    show_progress(walk);
    return true;
}

static uint64_t last_lsn(const struct walk *walk)
{
    return walk->blocks == 0 ? 0 : walk->last.first_lsn + walk->last.record_count - 1;
}

static uint64_t segment_count(const struct hf_log_files *files)
{
    return files->last_segment - files->first_segment + 1;
}

/* True if the log was read to its end. */
static bool ended_well(const struct walk *walk)
{
    return walk->end == HF_READ_END || walk->end == HF_READ_TORN;
}

/* ---- writing ---------------------------------------------------------------------------- */

/* As a JSON string. */
static void put_json_text(const char *text)
{
    putchar('"');
    for (; *text != '\0'; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte == '"' || byte == '\\')
            printf("\\%c", byte);
        else if (byte < 0x20)
            printf("\\u%04x", byte);
        else
            putchar(byte);
    }
    putchar('"');
}

/* The log id, written as a UUID. */
static void format_log_id(const struct hf_log_files *files, char text[HF_ID_TEXT_BYTES])
{
    struct hf_id id;
    memcpy(id.bytes, files->log_id, sizeof(id.bytes));
    hf_id_format(&id, text);
}

/* The torn tail as a JSON object, or null. */
static void put_json_torn(const struct walk *walk)
{
    if (walk->end != HF_READ_TORN) {
        printf("null");
        return;
    }
    printf("{\"segment\":%" PRIu64 ",\"offset\":%" PRIu64 ",\"bytes\":%" PRIu64
           ",\"blocks\":%" PRIu64 ",\"in_flight\":%s}",
           walk->finding.segment, walk->finding.offset, walk->finding.cut_bytes,
           walk->finding.cut_blocks, walk->in_flight ? "true" : "false");
}

static void put_torn(const struct walk *walk)
{
    if (walk->end != HF_READ_TORN)
        printf("torn_tail: none\n");
    else
        printf("torn_tail: %s (%s)\n", walk->finding.text,
               walk->in_flight ? "a server is running: these are writes in flight"
                               : "none of it was acknowledged; the next start of the server cuts "
                                 "it");
    if (walk->grows)
        printf("note: a server is writing; this is the log up to LSN %" PRIu64 "\n",
               last_lsn(walk));
}

/* ---- info ------------------------------------------------------------------------------- */

static const char *end_name(const struct walk *walk)
{
    switch (walk->end) {
    case HF_READ_TORN:
        return walk->in_flight ? "writes in flight" : "torn tail";
    case HF_READ_CORRUPT:
        return "damaged";
    case HF_READ_ERROR:
        return "unreadable";
    default:
        break;
    }
    if (walk->grows)
        return "being written";
    return (walk->last.flags & HF_BLOCK_STOP) != 0 ? "clean stop"
                                                   : "no stop (a server runs, or was killed)";
}

static void put_info(const struct walk *walk)
{
    const struct hf_log_files *files = hf_reader_files(walk->reader);
    char log_id[HF_ID_TEXT_BYTES], created[HF_DATE_TEXT_BYTES], written[HF_DATE_TEXT_BYTES];
    format_log_id(files, log_id);
    hf_date_format(files->created_at_ns, created);
    hf_date_format(walk->last.written_at_ns, written);
    printf("directory: %s\nlog_id: %s\nformat: %d\ncreated_at: %s\n", walk->directory, log_id,
           HF_LOG_FORMAT, created);
    printf("segments: %" PRIu64 "\nsegment_bytes: %" PRIu64 "\n", segment_count(files),
           files->segment_bytes);
    printf("blocks: %" PRIu64 "\nrecords: %" PRIu64 "\nlast_lsn: %" PRIu64 "\nepoch: %" PRIu64
           "\nstarts: %" PRIu64 "\nclean_stops: %" PRIu64 "\nlast_written_at: %s\nend: %s\n",
           walk->blocks, walk->records, last_lsn(walk), walk->last.epoch, walk->starts,
           walk->clean_stops, walk->blocks == 0 ? "never" : written, end_name(walk));
}

static void put_json_info(const struct walk *walk)
{
    const struct hf_log_files *files = hf_reader_files(walk->reader);
    char log_id[HF_ID_TEXT_BYTES], created[HF_DATE_TEXT_BYTES], written[HF_DATE_TEXT_BYTES];
    format_log_id(files, log_id);
    hf_date_format(files->created_at_ns, created);
    hf_date_format(walk->last.written_at_ns, written);
    printf("{\"directory\":");
    put_json_text(walk->directory);
    printf(",\"log_id\":\"%s\",\"format\":%d,\"created_at\":\"%s\",\"segments\":%" PRIu64
           ",\"segment_bytes\":%" PRIu64 ",\"blocks\":%" PRIu64 ",\"records\":%" PRIu64
           ",\"last_lsn\":%" PRIu64 ",\"epoch\":%" PRIu64 ",\"starts\":%" PRIu64
           ",\"clean_stops\":%" PRIu64 ",\"last_written_at\":",
           log_id, HF_LOG_FORMAT, created, segment_count(files), files->segment_bytes, walk->blocks,
           walk->records, last_lsn(walk), walk->last.epoch, walk->starts, walk->clean_stops);
    if (walk->blocks == 0)
        printf("null");
    else
        printf("\"%s\"", written);
    printf(",\"end\":\"%s\",\"torn\":", end_name(walk));
    put_json_torn(walk);
    printf("}\n");
}

static enum exit_status run_info(const char *directory, bool json)
{
    struct walk walk;
    enum exit_status status = open_walk(&walk, directory);
    if (status != EXIT_OK)
        return status;
    struct hf_block_view view;
    while (next_block(&walk, &view))
        ;
    (json ? put_json_info : put_info)(&walk);
    if (!ended_well(&walk))
        status = complain("%s", walk.finding.text);
    close_walk(&walk);
    return status;
}

/* ---- dump ------------------------------------------------------------------------------- */

static void put_reservation(const struct hf_image *image, bool json)
{
    const struct hf_reservation *reservation = &image->reservation;
    char id[HF_ID_TEXT_BYTES], made[HF_DATE_TEXT_BYTES], changed[HF_DATE_TEXT_BYTES];
    hf_id_format(&reservation->id, id);
    hf_date_format(reservation->made_at_ns, made);
    hf_date_format(reservation->changed_at_ns, changed);
    printf(json ? "{\"lsn\":%" PRIu64 ",\"kind\":\"reservation\",\"reservation_id\":\"%s\","
                  "\"inventory_id\":%" PRIu64 ",\"customer_id\":%" PRIu64 ",\"qty\":%" PRIu32
                  ",\"status\":\"%s\",\"sequence\":%" PRIu32 ",\"inventory_version\":%" PRIu32
                  ",\"made_at\":\"%s\",\"changed_at\":\"%s\"}\n"
                : "lsn=%" PRIu64 " reservation id=%s inventory=%" PRIu64 " customer=%" PRIu64
                  " qty=%" PRIu32 " status=%s sequence=%" PRIu32 " inventory_version=%" PRIu32
                  " made_at=%s changed_at=%s\n",
           image->lsn, id, reservation->inventory_id, reservation->customer_id, reservation->qty,
           hf_state_name(reservation->state), reservation->sequence, image->inventory_version, made,
           changed);
}

static void put_inventory(const struct hf_image *image, bool json)
{
    const struct hf_inventory *inventory = &image->inventory;
    char made[HF_DATE_TEXT_BYTES], changed[HF_DATE_TEXT_BYTES];
    hf_date_format(inventory->made_at_ns, made);
    hf_date_format(image->inventory_changed_at_ns, changed);
    printf(json ? "{\"lsn\":%" PRIu64 ",\"kind\":\"inventory\",\"inventory_id\":%" PRIu64
                  ",\"product_id\":%" PRIu64 ",\"capacity\":%" PRIu32 ",\"sell_limit\":%" PRIu32
                  ",\"sequence\":%" PRIu32 ",\"made_at\":\"%s\",\"changed_at\":\"%s\"}\n"
                : "lsn=%" PRIu64 " inventory id=%" PRIu64 " product=%" PRIu64 " capacity=%" PRIu32
                  " sell_limit=%" PRIu32 " sequence=%" PRIu32 " made_at=%s changed_at=%s\n",
           image->lsn, inventory->inventory_id, inventory->product_id, inventory->capacity,
           inventory->sell_limit, image->inventory_sequence, made, changed);
}

/* A record that is no image is shown as its bytes. False: it is none. */
static bool put_record(const uint8_t *record, bool json)
{
    struct hf_image image;
    const char *reason = hf_image_decode(record, &image);
    if (reason == NULL) {
        (image.kind == HF_IMAGE_RESERVATION ? put_reservation : put_inventory)(&image, json);
        return true;
    }
    printf(json ? "{\"lsn\":%" PRIu64 ",\"kind\":\"unknown\",\"reason\":\"%s\",\"hex\":\""
                : "lsn=%" PRIu64 " unknown reason=\"%s\" hex=",
           hf_get_u64(record), reason);
    for (int i = 0; i < HF_RECORD_BYTES; i++)
        printf("%02x", record[i]);
    printf(json ? "\"}\n" : "\n");
    return false;
}

static enum exit_status run_dump(const char *directory, bool json)
{
    struct walk walk;
    enum exit_status status = open_walk(&walk, directory);
    if (status != EXIT_OK)
        return status;
    walk.progress_due_ns = 0; /* the records themselves are progress */
    uint64_t unknown = 0;
    struct hf_block_view view;
    while (!ferror(stdout) && next_block(&walk, &view)) {
        for (uint32_t i = 0; i < view.header.record_count; i++)
            unknown += !put_record(view.records + (size_t)i * HF_RECORD_BYTES, json);
    }
    fflush(stdout);
    if (walk.end == HF_READ_TORN && !walk.in_flight)
        complain("the log has a torn tail: %s", walk.finding.text);
    if (unknown != 0)
        status = complain("%" PRIu64 " records are not known images", unknown);
    if (walk.end != HF_READ_BLOCK && !ended_well(&walk))
        status = complain("%s", walk.finding.text);
    close_walk(&walk);
    return status;
}

/* ---- verify ----------------------------------------------------------------------------- */

/* What is wrong, if anything is. */
struct fault {
    bool found;
    uint64_t lsn; /* 0: it is not about a record */
    uint64_t segment, offset;
    char text[HF_SEGMENT_NAME_BYTES + sizeof(((struct hf_finding *)0)->text)];
};

static void note_record_fault(struct fault *fault, const struct hf_block *block, uint32_t record,
                              const char *reason)
{
    char name[HF_SEGMENT_NAME_BYTES];
    hf_segment_name_format(block->segment, name);
    fault->found = true;
    fault->lsn = block->first_lsn + record;
    fault->segment = block->segment;
    fault->offset = block->offset + HF_BLOCK_HEADER_BYTES + (uint64_t)record * HF_RECORD_BYTES;
    snprintf(fault->text, sizeof(fault->text), "LSN %" PRIu64 ", %s at %" PRIu64 ": %s", fault->lsn,
             name, fault->offset, reason);
}

static bool enter_block(struct hf_ledger *ledger, const struct hf_block_view *view,
                        struct fault *fault)
{
    if ((view->header.flags & HF_BLOCK_START) != 0)
        hf_ledger_start(ledger);
    uint32_t count = view->header.record_count;
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *record = view->records + (size_t)i * HF_RECORD_BYTES;
        if (i + PREFETCH_RECORDS < count)
            hf_ledger_prefetch(ledger, record + (size_t)PREFETCH_RECORDS * HF_RECORD_BYTES);
        const char *reason = hf_ledger_enter(ledger, record);
        if (reason != NULL) {
            note_record_fault(fault, &view->header, i, reason);
            return false;
        }
    }
    return true;
}

/* Reads the whole log into the ledger, to its end or the first fault. */
static void read_ledger(struct walk *walk, struct hf_ledger *ledger, struct fault *fault)
{
    *fault = (struct fault){.found = false};
    struct hf_block_view view;
    while (next_block(walk, &view)) {
        if (!enter_block(ledger, &view, fault)) {
            clear_progress(walk);
            return;
        }
    }
    if (ended_well(walk))
        return;
    fault->found = true;
    fault->segment = walk->finding.segment;
    fault->offset = walk->finding.offset;
    snprintf(fault->text, sizeof(fault->text), "%s", walk->finding.text);
}

static void put_verdict(const struct walk *walk, const struct hf_ledger *ledger,
                        const struct fault *fault)
{
    struct hf_ledger_totals totals;
    hf_ledger_totals(ledger, &totals);
    printf("segments: %" PRIu64 "\nblocks: %" PRIu64 "\nrecords: %" PRIu64 "\ninventories: %" PRIu64
           "\nreservations: %" PRIu64 "\nconfirmed: %" PRIu64 "\ncancelled: %" PRIu64
           "\nstarts: %" PRIu64 "\nclean_stops: %" PRIu64 "\nlast_lsn: %" PRIu64 "\n",
           segment_count(hf_reader_files(walk->reader)), walk->blocks, totals.records,
           totals.inventories, totals.reservations, totals.confirmed, totals.cancelled,
           walk->starts, walk->clean_stops, totals.last_lsn);
    if (fault->found) {
        printf("fault: %s\nverify: FAILED\n", fault->text);
        return;
    }
    put_torn(walk);
    printf("state_hash: %016" PRIx64 "\nverify: ok\n", hf_ledger_state_hash(ledger));
}

static void put_json_fault(const struct fault *fault)
{
    if (!fault->found) {
        printf("null");
        return;
    }
    printf("{\"lsn\":");
    if (fault->lsn == 0)
        printf("null");
    else
        printf("%" PRIu64, fault->lsn);
    printf(",\"segment\":%" PRIu64 ",\"offset\":%" PRIu64 ",\"text\":", fault->segment,
           fault->offset);
    put_json_text(fault->text);
    printf("}");
}

static void put_json_verdict(const struct walk *walk, const struct hf_ledger *ledger,
                             const struct fault *fault)
{
    const struct hf_log_files *files = hf_reader_files(walk->reader);
    struct hf_ledger_totals totals;
    hf_ledger_totals(ledger, &totals);
    char log_id[HF_ID_TEXT_BYTES];
    format_log_id(files, log_id);
    printf("{\"directory\":");
    put_json_text(walk->directory);
    printf(",\"log_id\":\"%s\",\"segments\":%" PRIu64 ",\"blocks\":%" PRIu64 ",\"records\":%" PRIu64
           ",\"inventories\":%" PRIu64 ",\"reservations\":%" PRIu64 ",\"confirmed\":%" PRIu64
           ",\"cancelled\":%" PRIu64 ",\"starts\":%" PRIu64 ",\"clean_stops\":%" PRIu64
           ",\"last_lsn\":%" PRIu64 ",\"torn\":",
           log_id, segment_count(files), walk->blocks, totals.records, totals.inventories,
           totals.reservations, totals.confirmed, totals.cancelled, walk->starts, walk->clean_stops,
           totals.last_lsn);
    put_json_torn(walk);
    printf(",\"grows\":%s,\"state_hash\":", walk->grows ? "true" : "false");
    if (fault->found)
        printf("null");
    else
        printf("\"%016" PRIx64 "\"", hf_ledger_state_hash(ledger));
    printf(",\"fault\":");
    put_json_fault(fault);
    printf(",\"verify\":\"%s\"}\n", fault->found ? "failed" : "ok");
}

/* One attempt. *again: it found damage, but a server is running, so it may be worth another look.
 */
static enum exit_status verify_once(const char *directory, bool json, bool last_attempt,
                                    bool *again)
{
    *again = false;
    struct walk walk;
    enum exit_status status = open_walk(&walk, directory);
    if (status != EXIT_OK)
        return status;
    struct hf_ledger *ledger = hf_ledger_open();
    if (ledger == NULL) {
        status = complain("out of memory");
        goto close_walk;
    }
    struct fault fault;
    read_ledger(&walk, ledger, &fault);
    *again = fault.found && fault.lsn == 0 && !last_attempt && server_runs(directory);
    if (!*again)
        (json ? put_json_verdict : put_verdict)(&walk, ledger, &fault);
    if (fault.found)
        status = EXIT_BAD;
    hf_ledger_close(ledger);
close_walk:
    close_walk(&walk);
    return status;
}

static enum exit_status run_verify(const char *directory, bool json)
{
    for (int attempt = 1;; attempt++) {
        bool again;
        enum exit_status status = verify_once(directory, json, attempt == MAX_ATTEMPTS, &again);
        if (!again)
            return status;
        nanosleep(&(struct timespec){.tv_nsec = (long)PAUSE_NS}, NULL);
    }
}

/* ---- main ------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    enum exit_status (*run)(const char *directory, bool json);
} commands[] = {
    {"info", run_info},
    {"dump", run_dump},
    {"verify", run_verify},
};

static const char help[] =
    "usage: holdfast-wal COMMAND DIR [--json]\n"
    "\n"
    "  info DIR    what the log in DIR consists of, and how it ends\n"
    "  dump DIR    every record, one a line\n"
    "  verify DIR  reads every block and record, checks every checksum and the chain, rebuilds "
    "the\n"
    "              state, and proves at each grant that nothing was oversold; ends with\n"
    "              \"verify: ok\" or \"verify: FAILED\"\n"
    "\n"
    "  --json      one JSON object a line\n"
    "  --help, --version\n"
    "\n"
    "Works beside a running server, and never changes anything in DIR.\n"
    "Exit status: 0 the log is sound, 1 it is not or cannot be read, 2 bad usage.\n";

static enum exit_status bad_usage(const char *what, const char *word)
{
    complain("%s%s; see holdfast-wal --help", what, word);
    return EXIT_USAGE;
}

static enum exit_status run(int argc, char **argv)
{
    const char *words[2] = {NULL, NULL};
    int word_count = 0;
    bool json = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            fputs(help, stdout);
            return EXIT_OK;
        }
        if (strcmp(argv[i], "--version") == 0) {
            printf("holdfast-wal " HF_VERSION "\n");
            return EXIT_OK;
        }
        if (strcmp(argv[i], "--json") == 0)
            json = true;
        else if (argv[i][0] == '-')
            return bad_usage("unknown option ", argv[i]);
        else if (word_count == 2)
            return bad_usage("one argument too many: ", argv[i]);
        else
            words[word_count++] = argv[i];
    }
    if (word_count == 0)
        return bad_usage("a command is missing", "");
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(words[0], commands[i].name) != 0)
            continue;
        if (word_count == 1)
            return bad_usage("the directory is missing", "");
        return commands[i].run(words[1], json);
    }
    return bad_usage("unknown command ", words[0]);
}

int main(int argc, char **argv)
{
    static char buffer[OUTPUT_BUFFER_BYTES];
    setvbuf(stdout, buffer, _IOFBF, sizeof(buffer));
    enum exit_status status = run(argc, argv);
    if (fflush(stdout) != 0 || ferror(stdout))
        return (int)complain("cannot write the output: %s", strerror(errno));
    return (int)status;
}
