/*
 * A real server whose disk stalls for some seconds while clients keep sending: queues are bounded,
 * nothing is acknowledged, beyond the bound the answer is OVERLOADED, whatever needs no log is answered
 * all the time, and afterwards everything goes on. The disk: tests/lib/slow_disk.h.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/atomics.h"
#include "base/clock.h"
#include "net/codec.h"
#include "tests/lib/process.h"
#include "tests/lib/slow_disk.h"
#include "tests/lib/stress.h"
#include "tests/lib/wire.h"
#include "wal/standstill.h"

#define SENDERS      8
#define STALL_NS     (4 * HF_NS_PER_S)
#define SOLD_OUT     2u  /* an inventory of one unit, which is taken */
#define OLD          0u  /* a reservation of long ago */
#define TAKEN        1u  /* the one that has the unit */
#define FIRST        16u /* ids of the load */
#define CHUNK        64u /* reserves sent at once */
#define OUTPUT_BYTES 2048
#define LOOKED_UP    10000u
#define REST_NS      (2 * HF_NS_PER_MS)
#define LOOK_NS      (1500 * HF_NS_PER_MS) /* of a machine that is busy; a stall is longer */

/* Of what may be asked and not refused, in a table small enough that its pages are no figure. */
#define ROOM      "--max-reservations", "2000000"
#define MOST_MADE 1800000u

static char directory[HF_DIRECTORY_TEXT_BYTES], data[HF_DIRECTORY_TEXT_BYTES + 8];
static char disk_path[HF_DIRECTORY_TEXT_BYTES + 8];
static struct hf_daemon server;
static struct hf_slow_disk *disk;

/* What was told of each reserve, by number. */
static uint16_t *told;
static uint32_t asked, refused, told_room;

/* ---- one at a time ---- */

static int dial(void)
{
    int peer = hf_wire_dial(server.address);
    cr_assert_geq(peer, 0);
    return peer;
}

static struct hf_reply ask(int peer, const struct hf_request *request)
{
    static struct hf_reply_scratch lists;
    uint8_t bytes[HF_STATUS_REPLY_BYTES];
    struct hf_frame frame;
    struct hf_reply reply;
    cr_assert(hf_wire_send(peer, bytes, hf_request_encode(bytes, request, 1)));
    cr_assert(hf_wire_receive(peer, bytes, HF_FRAME_HEADER_BYTES));
    hf_frame_read(bytes, &frame);
    cr_assert_leq(frame.frame_bytes, sizeof bytes);
    cr_assert(hf_wire_receive(peer, bytes + HF_FRAME_HEADER_BYTES,
                              frame.frame_bytes - HF_FRAME_HEADER_BYTES));
    cr_assert(hf_reply_decode(bytes, &frame, &reply, &lists));
    return reply;
}

static unsigned ask_about(int peer, enum hf_operation operation, uint64_t number)
{
    struct hf_request request = {.operation = operation,
                                 .inventory_id = number,
                                 .id = hf_id_of_number((uint32_t)number),
                                 .capacity = number == SOLD_OUT ? 1 : HF_MAX_UNITS};
    return ask(peer, &request).result;
}

static struct hf_request reserve(uint32_t number, uint64_t inventory_id)
{
    return (struct hf_request){.operation = HF_OP_RESERVE,
                               .id = hf_id_of_number(number),
                               .inventory_id = inventory_id,
                               .customer_id = 1,
                               .qty = 1};
}

static unsigned ask_reserve(int peer, uint32_t number, uint64_t inventory_id)
{
    struct hf_request request = reserve(number, inventory_id);
    return ask(peer, &request).result;
}

/* ---- servers ---- */

static void start(const char *const extra[])
{
    cr_assert_eq(hf_directory_make(directory), 0);
    snprintf(data, sizeof data, "%s/data", directory);
    snprintf(disk_path, sizeof disk_path, "%s/disk", directory);
    disk = hf_slow_disk_map(disk_path);
    cr_assert_not_null(disk);
    struct hf_daemon_options options = {.directory = data, .extra = extra};
    cr_assert_eq(hf_slow_disk_launch(disk_path, &server, &options), 0, "%s", server.error);
    cr_assert_eq(hf_daemon_await(&server), 0, "%s", server.error);
    int peer = dial();
    cr_assert_eq(ask_about(peer, HF_OP_INVENTORY_CREATE, 1), HF_CREATED);
    cr_assert_eq(ask_about(peer, HF_OP_INVENTORY_CREATE, SOLD_OUT), HF_CREATED);
    cr_assert_eq(ask_reserve(peer, OLD, 1), HF_GRANTED);
    cr_assert_eq(ask_reserve(peer, TAKEN, SOLD_OUT), HF_GRANTED);
    close(peer);
}

static void stop(void)
{
    hf_daemon_forget(&server);
    hf_slow_disk_unmap(disk);
    hf_directory_remove(directory);
    free(told);
}

TestSuite(overload, .fini = stop, .timeout = 120);

static struct hf_status status_of(int peer)
{
    const struct hf_request request = {.operation = HF_OP_STATUS};
    struct hf_reply reply = ask(peer, &request);
    cr_assert_eq(reply.result, HF_FOUND);
    return reply.status;
}

static uint64_t resident_kib(void)
{
    char path[64], line[128];
    unsigned long kib = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)server.pid);
    FILE *file = fopen(path, "r");
    while (fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "VmRSS: %lu kB", &kib) == 1)
            break;
    fclose(file);
    return kib;
}

/* ---- the load ---- */

/* Sends reserves as fast as they are taken, and notes all answers. */
struct sender {
    int wire;
    uint8_t output[CHUNK * HF_RESERVE_BYTES], input[65536];
    size_t output_begin, output_end, input_bytes;
    uint32_t open;          /* not answered */
    uint64_t rest_until_ns; /* who is told OVERLOADED sends nothing new for a moment */
};

static struct {
    uint32_t granted, overloaded;
    uint64_t first_overloaded_ns, last_granted_ns; /* monotonic */
} seen;

static void note_reply(struct sender *sender, const struct hf_frame *frame)
{
    cr_assert_lt(frame->tag, asked);
    cr_assert_eq(told[frame->tag], 0, "answered twice");
    told[frame->tag] = frame->result;
    sender->open--;
    if (frame->result == HF_OVERLOADED) {
        sender->rest_until_ns = hf_monotonic_now_ns() + REST_NS;
        refused++;
        if (seen.overloaded++ == 0)
            seen.first_overloaded_ns = hf_monotonic_now_ns();
        return;
    }
    cr_assert_eq(frame->result, HF_GRANTED, "%s", hf_result_name(frame->result));
    seen.granted++;
    seen.last_granted_ns = hf_monotonic_now_ns();
}

static void receive(struct sender *sender)
{
    ssize_t got = recv(sender->wire, sender->input + sender->input_bytes,
                       sizeof sender->input - sender->input_bytes, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    cr_assert_gt(got, 0);
    sender->input_bytes += (size_t)got;
    size_t done = 0;
    while (sender->input_bytes - done >= HF_FRAME_HEADER_BYTES) {
        struct hf_frame frame;
        hf_frame_read(sender->input + done, &frame);
        if (sender->input_bytes - done < frame.frame_bytes)
            break;
        note_reply(sender, &frame);
        done += frame.frame_bytes;
    }
    sender->input_bytes -= done;
    memmove(sender->input, sender->input + done, sender->input_bytes);
}

static void make_requests(struct sender *sender)
{
    if (asked + CHUNK > told_room) {
        told_room = told_room == 0 ? 1u << 16 : 2 * told_room;
        uint16_t *grown = realloc(told, told_room * sizeof *told);
        cr_assert_not_null(grown);
        told = grown;
    }
    sender->output_begin = sender->output_end = 0;
    for (uint32_t i = 0; i < CHUNK; i++) {
        struct hf_request request = reserve(FIRST + asked, 1);
        told[asked] = 0;
        sender->output_end +=
            hf_request_encode(sender->output + sender->output_end, &request, asked++);
        sender->open++;
    }
}

static void send_some(struct sender *sender)
{
    if (sender->output_begin == sender->output_end)
        make_requests(sender);
    ssize_t sent = send(sender->wire, sender->output + sender->output_begin,
                        sender->output_end - sender->output_begin, MSG_DONTWAIT | MSG_NOSIGNAL);
    cr_assert(sent > 0 || errno == EAGAIN || errno == EINTR);
    sender->output_begin += sent > 0 ? (size_t)sent : 0;
}

/* Moves all senders on for a while; if not `sending`, they finish what they have begun. */
static void move(struct sender *senders, unsigned count, bool sending, int timeout_ms)
{
    struct pollfd polled[SENDERS];
    uint64_t now_ns = hf_monotonic_now_ns();
    for (unsigned i = 0; i < count; i++) {
        bool asks = sending && asked - refused < MOST_MADE && now_ns > senders[i].rest_until_ns;
        bool output = asks || senders[i].output_begin != senders[i].output_end;
        polled[i] = (struct pollfd){.fd = senders[i].wire,
                                    .events = (short)(POLLIN | (output ? POLLOUT : 0))};
    }
    if (poll(polled, count, timeout_ms) <= 0)
        return;
    for (unsigned i = 0; i < count; i++) {
        if ((polled[i].revents & POLLIN) != 0)
            receive(&senders[i]);
        if ((polled[i].revents & POLLOUT) != 0)
            send_some(&senders[i]);
    }
}

static uint32_t open_requests(const struct sender *senders, unsigned count)
{
    uint32_t open = 0;
    for (unsigned i = 0; i < count; i++)
        open += senders[i].open;
    return open;
}

/* ---- a stall, from its beginning to its end ---- */

/* What needs no log, on a connection of its own. How long it took, ns. */
static uint64_t look(int peer)
{
    uint64_t began_ns = hf_monotonic_now_ns();
    struct hf_request list = {.operation = HF_OP_RESERVATION_LIST, .limit = 1};
    cr_assert_eq(ask_about(peer, HF_OP_PING, 0), HF_OK);
    cr_assert_eq(ask_about(peer, HF_OP_INVENTORY_GET, 1), HF_FOUND);
    cr_assert_eq(ask_about(peer, HF_OP_INVENTORY_SETTINGS, 1), HF_FOUND);
    cr_assert_eq(ask_about(peer, HF_OP_RESERVATION_GET, OLD), HF_FOUND, "it is committed");
    cr_assert_eq(ask_about(peer, HF_OP_RESERVATION_GET, 7), HF_NOT_FOUND);
    cr_assert_eq(ask(peer, &list).result, HF_FOUND);
    cr_assert_eq(ask_reserve(peer, 8, SOLD_OUT), HF_SOLD_OUT);
    cr_assert_eq(ask_reserve(peer, OLD, 1), HF_GRANTED, "repeated");
    cr_assert_eq(ask_about(peer, HF_OP_CANCEL, 7), HF_NOT_FOUND);
    return hf_monotonic_now_ns() - began_ns;
}

/* Until the disk moves again and all that was asked is answered. */
static void live_through(struct sender *senders, unsigned count, uint64_t stall_ns)
{
    int looks = dial();
    uint64_t before_kib = resident_kib(), longest_ns = 0;
    uint64_t held_ns = hf_monotonic_now_ns(), until_ns = held_ns + stall_ns, next_ns = held_ns;
    hf_store_relaxed(&disk->writes_held_until_ns, until_ns);
    for (uint64_t now_ns = held_ns; now_ns < until_ns; now_ns = hf_monotonic_now_ns()) {
        move(senders, count, true, 10);
        if (now_ns < next_ns)
            continue;
        uint64_t took_ns = look(looks);
        longest_ns = took_ns > longest_ns ? took_ns : longest_ns;
        next_ns = now_ns + 50 * HF_NS_PER_MS;
        if (now_ns > held_ns + 200 * HF_NS_PER_MS && now_ns + 100 * HF_NS_PER_MS < until_ns)
            cr_assert_lt(seen.last_granted_ns, held_ns + 200 * HF_NS_PER_MS,
                         "what was in flight is there by now; then nothing is acknowledged");
    }
    cr_expect_lt(longest_ns, LOOK_NS, "%llu ms for nine questions",
                 (unsigned long long)(longest_ns / HF_NS_PER_MS));
    uint64_t after_kib = resident_kib();
    cr_log_info("%u asked, %u granted, %u overloaded, %llu KiB more, looks of at most %llu ms",
                asked, seen.granted, seen.overloaded, (unsigned long long)(after_kib - before_kib),
                (unsigned long long)(longest_ns / HF_NS_PER_MS));
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    cr_expect_lt(after_kib, before_kib + 96 * 1024, "%llu KiB more",
                 (unsigned long long)(after_kib - before_kib));
#endif
    if (seen.overloaded != 0)
        cr_expect_geq(seen.first_overloaded_ns - held_ns, HF_STANDSTILL_NS);
    for (uint64_t late_ns = hf_monotonic_now_ns() + 30 * HF_NS_PER_S;
         open_requests(senders, count) != 0 && hf_monotonic_now_ns() < late_ns;)
        move(senders, count, false, 100);
    cr_assert_eq(open_requests(senders, count), 0, "%u are not answered",
                 open_requests(senders, count));
    close(looks);
}

static void connect_senders(struct sender *senders, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        senders[i] = (struct sender){.wire = dial()};
}

/* Every request that was told "yes" exists, and none of those that were told OVERLOADED does, by the
 * sum and by some thousands of them; new work is done; the counters tell what was told; the log is
 * right. */
static void expect_true(void)
{
    char program[HF_PROGRAM_TEXT_BYTES], output[OUTPUT_BYTES];
    int peer = dial();
    struct hf_request get = {.operation = HF_OP_INVENTORY_GET, .inventory_id = 1};
    cr_expect_eq(ask(peer, &get).inventory.confirmed, seen.granted + 1);
    for (uint32_t i = 0; i < asked; i += 1 + asked / LOOKED_UP)
        cr_assert_eq(ask_about(peer, HF_OP_RESERVATION_GET, FIRST + i),
                     told[i] == HF_GRANTED ? HF_FOUND : HF_NOT_FOUND, "%u was told %s", i,
                     hf_result_name(told[i]));
    cr_expect_eq(ask_reserve(peer, FIRST + asked, 1), HF_GRANTED);
    struct hf_status status = status_of(peer);
    cr_expect_eq(status.overloaded, seen.overloaded);
    close(peer);
    cr_assert_eq(hf_daemon_stop(&server), 0);
    hf_program_path("holdfast-wal", program);
    const char *const argv[] = {program, "verify", data, NULL};
    cr_expect_eq(hf_process_run_within(60, argv, output, sizeof output), 0, "%s", output);
}

/* Eight clients send without end while the disk stalls for four seconds: the ring is full. */
Test(overload, a_stalled_disk_is_survived)
{
    static struct sender senders[SENDERS];
    start((const char *const[]){"--workers", "2", ROOM, NULL});
    connect_senders(senders, SENDERS);
    live_through(senders, SENDERS, STALL_NS);
    cr_expect_gt(seen.overloaded, 0);
    int peer = dial();
    cr_expect_gt(status_of(peer).put_aside, 0);
    close(peer);
    expect_true();
}

/* One client alone: the ring has room, but no more replies of one connection may wait. */
Test(overload, one_client_alone_is_bounded_and_told_so)
{
    static struct sender sender;
    start((const char *const[]){"--workers", "1", ROOM, NULL});
    connect_senders(&sender, 1);
    live_through(&sender, 1, STALL_NS);
    cr_expect_gt(seen.overloaded, 0);
    expect_true();
}

/* Twice in a row: the second stall is a stall of its own. */
Test(overload, a_second_stall_begins_anew)
{
    static struct sender senders[SENDERS];
    start((const char *const[]){ROOM, NULL});
    connect_senders(senders, SENDERS);
    live_through(senders, SENDERS, 2 * HF_NS_PER_S);
    cr_expect_gt(seen.overloaded, 0);
    uint32_t before = seen.overloaded;
    seen.overloaded = 0;
    live_through(senders, SENDERS, 2 * HF_NS_PER_S);
    cr_expect_gt(seen.overloaded, 0);
    seen.overloaded += before;
    expect_true();
}

/* The disk stalls for less than what is a standstill: everybody waits, and nobody is refused. */
Test(overload, a_short_stall_is_only_waited_for)
{
    static struct sender senders[SENDERS];
    start((const char *const[]){ROOM, NULL});
    connect_senders(senders, SENDERS);
    live_through(senders, SENDERS, 400 * HF_NS_PER_MS);
    cr_expect_eq(seen.overloaded, 0);
    cr_expect_eq(seen.granted, asked);
    expect_true();
}
