/* What a load is made of: mixes, arrivals, spreads, requests, and how answers are judged. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "bench/answer.h"
#include "bench/arrivals.h"
#include "bench/mix.h"
#include "bench/spread.h"

/* ---- mixes ---- */

Test(mix, kinds_and_weights_are_read_by_either_name)
{
    struct hf_mix mix;
    char error[HF_MIX_ERROR_BYTES];
    cr_assert(
        hf_mix_parse("reserve:60,hold+confirm:20,cancel:10,refuse:5,batch:4,read", &mix, error));
    cr_expect_eq(mix.weights[HF_KIND_RESERVE], 60);
    cr_expect_eq(mix.weights[HF_KIND_CONFIRM], 20);
    cr_expect_eq(mix.weights[HF_KIND_CANCEL], 10);
    cr_expect_eq(mix.weights[HF_KIND_REFUSE], 5);
    cr_expect_eq(mix.weights[HF_KIND_BATCH], 4);
    cr_expect_eq(mix.weights[HF_KIND_GET], 1);
    cr_expect_eq(mix.total, 100);
    cr_expect_not(mix.single);
}

Test(mix, what_is_written_is_read_again)
{
    struct hf_mix mix, again;
    char error[HF_MIX_ERROR_BYTES], text[HF_MIX_TEXT_BYTES];
    cr_assert(hf_mix_parse("reserve:1000000,refuse:1000000,cancel:1000000,hold:1000000,"
                           "confirm:1000000,release:1000000,expire:1000000,batch:1000000,"
                           "get:1000000,ping:1000000",
                           &mix, error));
    hf_mix_format(&mix, text);
    cr_assert(hf_mix_parse(text, &again, error), "%s: %s", text, error);
    cr_expect_arr_eq(mix.weights, again.weights, sizeof mix.weights);
    hf_mix_set(&mix, HF_KIND_GET);
    hf_mix_format(&mix, text);
    cr_expect_str_eq(text, "get");
    cr_assert(hf_mix_parse("get:7", &again, error));
    cr_expect(again.single && again.only == HF_KIND_GET);
}

Test(mix, what_is_no_mix_is_refused_and_the_reason_named)
{
    static const char *const wrong[][2] = {
        {"", "no kind"},
        {",", "no kind"},
        {"reserve,", "no kind"},
        {",reserve", "no kind"},
        {"buy", "\"buy\""},
        {"buy:5", "\"buy\""},
        {"Reserve", "no kind"},
        {" reserve", "no kind"},
        {"reserve:", "weight"},
        {"reserve:0", "weight"},
        {"reserve:-1", "weight"},
        {"reserve:+1", "weight"},
        {"reserve: 1", "weight"},
        {"reserve:1x", "weight"},
        {"reserve:1.5", "weight"},
        {"reserve:1000001", "weight"},
        {"reserve:99999999999999999999", "weight"},
        {"reserve:1:2", "weight"},
        {"reserve:1,reserve:2", "twice"},
        {"get,read", "twice"},
        {"confirm,hold+confirm", "twice"},
    };
    char error[HF_MIX_ERROR_BYTES], long_text[HF_MIX_TEXT_BYTES + 1];
    struct hf_mix mix;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        error[0] = '\0';
        cr_expect_not(hf_mix_parse(wrong[i][0], &mix, error), "%s", wrong[i][0]);
        cr_expect(strstr(error, wrong[i][1]), "%s: %s", wrong[i][0], error);
    }
    memset(long_text, 'r', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    cr_expect_not(hf_mix_parse(long_text, &mix, error));
}

/* 100,000 drawings: each kind as often as its weight says, to within five standard deviations. */
Test(mix, kinds_are_drawn_as_often_as_their_weights_say)
{
    struct hf_mix mix;
    char error[HF_MIX_ERROR_BYTES];
    unsigned counts[HF_KIND_COUNT] = {0};
    struct hf_random random = {.state = 1};
    cr_assert(hf_mix_parse("reserve:60,confirm:20,cancel:10,refuse:5,batch:4,get:1", &mix, error));
    for (int i = 0; i < 100000; i++)
        counts[hf_mix_draw(&mix, &random)]++;
    for (unsigned kind = 0; kind < HF_KIND_COUNT; kind++) {
        double share = mix.weights[kind] / 100.0, expected = 100000 * share;
        cr_expect(fabs(counts[kind] - expected) <= 5 * sqrt(expected * (1 - share)), "%s: %u",
                  hf_kind_name((enum hf_kind)kind), counts[kind]);
    }
}

/* ---- arrivals ---- */

Test(arrivals, fixed_ones_come_at_equal_times_and_parts_interleave)
{
    struct hf_arrivals whole, parts[4];
    hf_arrivals_init(&whole, HF_ARRIVALS_FIXED, 1000000, 5000, 0, 1, 1);
    for (uint32_t part = 0; part < 4; part++)
        hf_arrivals_init(&parts[part], HF_ARRIVALS_FIXED, 1000000, 5000, part, 4, 1);
    for (uint64_t i = 0; i < 1000; i++) {
        cr_assert_eq(whole.next_ns, 5000 + i * 1000);
        cr_assert_eq(parts[i % 4].next_ns, whole.next_ns);
        hf_arrivals_pass(&whole);
        hf_arrivals_pass(&parts[i % 4]);
    }
}

/* 3 million a second are one each 333.33 ns: after a million of them nothing has been lost by
 * rounding. */
Test(arrivals, the_rate_holds_though_times_are_whole_nanoseconds)
{
    struct hf_arrivals arrivals;
    hf_arrivals_init(&arrivals, HF_ARRIVALS_FIXED, 3000000, 0, 0, 1, 1);
    for (int i = 0; i < 3000000; i++)
        hf_arrivals_pass(&arrivals);
    cr_expect(llabs((long long)(arrivals.next_ns - HF_NS_PER_S)) <= 2, "%llu",
              (unsigned long long)arrivals.next_ns);
}

/* A million gaps of 10 us on average: mean, variance, and the share of gaps beyond one, two and four
 * means are those of the exponential distribution. */
Test(arrivals, poisson_ones_have_exponential_gaps)
{
    enum { COUNT = 1000000 };
    struct hf_arrivals arrivals;
    double sum = 0, squares = 0;
    unsigned beyond[5] = {0};
    hf_arrivals_init(&arrivals, HF_ARRIVALS_POISSON, 100000, 0, 0, 1, 42);
    for (int i = 0; i < COUNT; i++) {
        uint64_t before_ns = arrivals.next_ns;
        hf_arrivals_pass(&arrivals);
        double gap = (double)(arrivals.next_ns - before_ns) / 10000;
        sum += gap;
        squares += gap * gap;
        for (unsigned means = 1; means <= 4; means++)
            beyond[means] += gap > means;
    }
    double mean = sum / COUNT, variance = squares / COUNT - mean * mean;
    cr_expect(fabs(mean - 1) < 0.005, "mean %f", mean);
    cr_expect(fabs(variance - 1) < 0.015, "variance %f", variance);
    for (unsigned means = 1; means <= 4; means++)
        cr_expect(fabs((double)beyond[means] / COUNT - exp(-(double)means)) < 0.003, "%u: %u",
                  means, beyond[means]);
}

Test(arrivals, streams_that_share_a_rate_have_it_together_and_are_not_the_same)
{
    uint64_t first_ns[4];
    for (uint32_t part = 0; part < 4; part++) {
        struct hf_arrivals arrivals;
        hf_arrivals_init(&arrivals, HF_ARRIVALS_POISSON, 1000000, 0, part, 4, 100 + part);
        first_ns[part] = arrivals.next_ns;
        for (int i = 0; i < 250000; i++)
            hf_arrivals_pass(&arrivals);
        cr_expect(fabs((double)arrivals.next_ns / HF_NS_PER_S - 1) < 0.01, "part %u: %llu", part,
                  (unsigned long long)arrivals.next_ns);
        for (uint32_t other = 0; other < part; other++)
            cr_expect_neq(first_ns[other], first_ns[part]);
    }
}

Test(arrivals, are_named_and_nothing_else_is)
{
    enum hf_arrival_kind kind = HF_ARRIVALS_POISSON;
    cr_expect(hf_arrivals_parse("fixed", &kind) && kind == HF_ARRIVALS_FIXED);
    cr_expect(hf_arrivals_parse("poisson", &kind) && kind == HF_ARRIVALS_POISSON);
    cr_expect_not(hf_arrivals_parse("", &kind) || hf_arrivals_parse("fixe", &kind) ||
                  hf_arrivals_parse("fixed ", &kind));
}

/* ---- spreads ---- */

/* Half a million drawings over 50, from random bits as requests have them, against what they should
 * be: chi-square with 49 degrees of freedom, which is beyond 100 once in 20,000 times. */
static double chi_square(const struct hf_spread_choice *choice,
                         double (*share)(double k, double theta))
{
    enum { COUNT = 500000, PLACES = 50 };
    struct hf_spread spread;
    unsigned counts[PLACES] = {0};
    double total = 0, chi = 0;
    hf_spread_init(&spread, choice, PLACES);
    for (uint64_t number = 0; number < COUNT; number++) {
        uint64_t id_low = hf_asker_id_low(number);
        counts[hf_spread_draw(&spread, number, id_low << 28 | id_low >> 36)]++;
    }
    for (unsigned k = 1; k <= PLACES; k++)
        total += share(k, choice->theta);
    for (unsigned k = 1; k <= PLACES; k++) {
        double expected = COUNT * share(k, choice->theta) / total;
        chi += (counts[k - 1] - expected) * (counts[k - 1] - expected) / expected;
    }
    return chi;
}

static double even_share(double k, double theta)
{
    (void)k;
    (void)theta;
    return 1;
}

static double zipf_share(double k, double theta)
{
    return pow(k, -theta);
}

Test(spread, uniform_is_even)
{
    const struct hf_spread_choice choice = {.kind = HF_SPREAD_UNIFORM};
    double chi = chi_square(&choice, even_share);
    cr_expect_lt(chi, 100, "%f", chi);
}

Test(spread, zipf_is_what_it_should_be_for_small_and_large_theta_and_for_one)
{
    static const double thetas[] = {0.01, 0.5, 0.99, 1, 1.000001, 1.5, 2};
    for (size_t i = 0; i < sizeof thetas / sizeof thetas[0]; i++) {
        const struct hf_spread_choice choice = {.kind = HF_SPREAD_ZIPF, .theta = thetas[i]};
        double chi = chi_square(&choice, zipf_share);
        cr_expect_lt(chi, 100, "theta %g: %f", thetas[i], chi);
    }
}

Test(spread, round_takes_one_after_the_other)
{
    struct hf_spread spread;
    hf_spread_init(&spread, &(struct hf_spread_choice){.kind = HF_SPREAD_ROUND}, 7);
    for (uint64_t number = 0; number < 100; number++)
        cr_assert_eq(hf_spread_draw(&spread, number, ~number), number % 7);
}

Test(spread, draws_from_one_and_from_as_many_as_there_can_be)
{
    static const enum hf_spread_kind kinds[] = {HF_SPREAD_ROUND, HF_SPREAD_UNIFORM, HF_SPREAD_ZIPF};
    static const double thetas[] = {0.01, 0.99, HF_SPREAD_THETA_MAX};
    struct hf_random random = {.state = 9};
    for (int i = 0; i < 9; i++) {
        const struct hf_spread_choice choice = {.kind = kinds[i / 3], .theta = thetas[i % 3]};
        struct hf_spread one, many;
        hf_spread_init(&one, &choice, 1);
        hf_spread_init(&many, &choice, HF_LOAD_MAX_INVENTORIES);
        for (uint64_t number = 0; number < 10000; number++) {
            uint64_t bits = hf_random_next(&random);
            cr_assert_eq(hf_spread_draw(&one, number, bits), 0);
            cr_assert_lt(hf_spread_draw(&many, number, bits), HF_LOAD_MAX_INVENTORIES);
        }
    }
}

Test(spread, is_read_and_written_and_nothing_else_is_one)
{
    static const char *const right[] = {"round", "uniform", "zipf:0.99", "zipf:1", "zipf:10"};
    static const char *const wrong[] = {"",          "zip",       "zipf:",    "zipf:0",
                                        "zipf:-1",   "zipf:10.1", "zipf:nan", "zipf:inf",
                                        "zipf:1x",   "zipf:1e0",  "zipf: 1",  "zipfs",
                                        "uniform:1", "round ",    "zipf:0x1", "zipf:1.2.3"};
    char text[HF_SPREAD_TEXT_BYTES];
    struct hf_spread_choice choice = {.kind = HF_SPREAD_ROUND, .theta = 7};
    for (size_t i = 0; i < sizeof right / sizeof right[0]; i++) {
        cr_assert(hf_spread_parse(right[i], &choice), "%s", right[i]);
        hf_spread_format(&choice, text);
        cr_expect_str_eq(text, right[i]);
    }
    cr_assert(hf_spread_parse("zipf", &choice));
    cr_expect(choice.kind == HF_SPREAD_ZIPF && choice.theta == HF_SPREAD_THETA);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        cr_expect_not(hf_spread_parse(wrong[i], &choice), "%s", wrong[i]);
    cr_expect(choice.kind == HF_SPREAD_ZIPF && choice.theta == HF_SPREAD_THETA);
}

/* ---- requests ---- */

static struct hf_load_plan plan;
static struct hf_asker asker;

static void plan_for(enum hf_kind kind)
{
    plan = (struct hf_load_plan){
        .threads = 3,
        .inventories = 20,
        .customers = 50,
        .capacity = 1000,
        .batch = 5,
        .ttl_ns = 60 * HF_NS_PER_S,
        .lapse_ns = HF_NS_PER_S,
        .first_inventory_id = 7000,
        .first_sold_out_id = 9000,
        .id_high = 0x0102030405060708,
        .id_start = UINT64_MAX - 20, /* it wraps round meanwhile */
    };
    hf_mix_set(&plan.mix, kind);
    hf_asker_init(&asker, &plan, 1);
}

/* Decodes a frame as the server does. */
static void read_request(const uint8_t *bytes, size_t count, struct hf_request *request)
{
    static struct hf_request_scratch scratch;
    struct hf_frame frame;
    enum hf_field field = HF_FIELD_NONE;
    unsigned line = 0;
    *request = (struct hf_request){0};
    cr_assert_eq(hf_request_frame(bytes, count, &frame), HF_OK);
    cr_assert_eq(frame.frame_bytes, count);
    cr_assert_eq(hf_request_decode(bytes, &frame, request, &scratch, &field, &line), HF_OK, "%s",
                 hf_field_name(field));
}

/* Every kind, a hundred times: the server would take the request, and it is what the work says. */
Test(asker, every_request_is_a_right_one_and_says_what_its_work_says)
{
    for (unsigned kind = 0; kind < HF_KIND_COUNT; kind++) {
        plan_for((enum hf_kind)kind);
        for (int i = 0; i < 100; i++) {
            uint8_t bytes[HF_MAX_REQUEST_BYTES] = {0};
            struct hf_work work = {0};
            struct hf_request request;
            size_t count = hf_asker_begin(&asker, &work, bytes);
            cr_assert_leq(count, asker.max_request_bytes);
            read_request(bytes, count, &request);
            cr_assert_eq(request.operation, hf_kind_operation((enum hf_kind)kind, 0));
            cr_assert_eq(work.operation, request.operation);
            if (kind == HF_KIND_PING)
                continue;
            if (kind == HF_KIND_BATCH) {
                cr_assert_eq(request.count, 5);
                for (uint32_t line = 0; line < request.count; line++)
                    cr_assert(request.lines[line].inventory_id >= 7000 &&
                              request.lines[line].inventory_id < 7020 &&
                              request.lines[line].customer_id == request.lines[0].customer_id);
                continue;
            }
            cr_assert_eq(request.inventory_id, hf_asker_inventory_id(&asker, &work));
            uint64_t first = kind == HF_KIND_REFUSE ? 9000 : 7000;
            cr_assert(request.inventory_id >= first && request.inventory_id < first + 20);
            if (kind == HF_KIND_GET)
                continue;
            cr_assert(request.customer_id >= 1 && request.customer_id <= 50);
            cr_assert_eq(request.qty, 1);
            uint64_t ttl_ns = kind == HF_KIND_EXPIRE ? plan.lapse_ns : plan.ttl_ns;
            cr_assert_eq(request.ttl_ns, request.operation == HF_OP_HOLD ? ttl_ns : 0);
            if (hf_kind_operation((enum hf_kind)kind, 1) == HF_OP_NONE)
                continue;
            struct hf_request second;
            count = hf_asker_go_on(&asker, &work, bytes);
            read_request(bytes, count, &second);
            cr_assert_eq(second.operation, hf_kind_operation((enum hf_kind)kind, 1));
            cr_assert_arr_eq(second.id.bytes, request.id.bytes, sizeof second.id.bytes);
        }
    }
}

static int compare_ids(const void *left, const void *right)
{
    const uint64_t *a = left, *b = right;
    return *a < *b ? -1 : *a > *b;
}

/* Three threads, each with single claims and batches: no id comes twice. */
Test(asker, no_two_requests_of_a_run_have_the_same_id)
{
    enum { COUNT = 1000 };
    static uint64_t ids[3 * COUNT * 6];
    size_t found = 0;
    char error[HF_MIX_ERROR_BYTES];
    plan_for(HF_KIND_RESERVE);
    cr_assert(hf_mix_parse("reserve,batch", &plan.mix, error));
    for (uint32_t thread = 0; thread < 3; thread++) {
        hf_asker_init(&asker, &plan, thread);
        for (int i = 0; i < COUNT; i++) {
            uint8_t bytes[HF_MAX_REQUEST_BYTES] = {0};
            struct hf_work work = {0};
            struct hf_request request;
            read_request(bytes, hf_asker_begin(&asker, &work, bytes), &request);
            if (request.operation == HF_OP_RESERVE)
                memcpy(&ids[found++], request.id.bytes + 8, 8);
            for (uint32_t line = 0; line < request.count; line++)
                memcpy(&ids[found++], request.lines[line].id.bytes + 8, 8);
        }
    }
    qsort(ids, found, sizeof ids[0], compare_ids);
    for (size_t i = 1; i < found; i++)
        cr_assert_neq(ids[i], ids[i - 1]);
    cr_expect_gt(found, 3 * COUNT);
}

/* ---- answers ---- */

#define MADE_NS  (1000 * HF_NS_PER_S)
#define BEGUN_NS (50 * HF_NS_PER_S) /* monotonic */

/* The right answer to what `work` asked last. Returns its size. */
static size_t answer(const struct hf_work *work, const struct hf_request *request, uint8_t *out)
{
    struct hf_reservation made = {
        .id = request->id,
        .inventory_id = hf_asker_inventory_id(&asker, work),
        .customer_id = hf_asker_customer_id(&asker, work->id_low),
        .lsn = 10 + work->step,
        .made_at_ns = MADE_NS,
        .changed_at_ns = MADE_NS + work->step,
        .qty = 1,
        .sequence = 1 + work->step,
        .state = HF_STATE_CONFIRMED,
    };
    struct hf_inventory inventory = {.inventory_id = made.inventory_id,
                                     .lsn = 1,
                                     .made_at_ns = MADE_NS,
                                     .capacity = 1000,
                                     .sell_limit = 1000,
                                     .available = 900,
                                     .held = 40,
                                     .confirmed = 60,
                                     .version = 5};
    struct hf_reservation_entry entries[5];
    unsigned result = HF_GRANTED;
    switch (request->operation) {
    case HF_OP_INVENTORY_GET:
        return hf_reply_encode_inventory(out, HF_OP_INVENTORY_GET, 1, HF_FOUND, &inventory);
    case HF_OP_PING:
        return hf_reply_encode_short(out, HF_OP_PING, 1, HF_OK, 0, 0, 0);
    case HF_OP_BATCH:
        for (uint32_t line = 0; line < 5; line++) {
            made.id = request->lines[line].id;
            made.inventory_id = request->lines[line].inventory_id;
            made.lsn = 10 + line;
            entries[line] =
                (struct hf_reservation_entry){.result = HF_GRANTED, .reservation = made};
        }
        return hf_reply_encode_reservations(out, HF_OP_BATCH, 1, HF_BATCH_DONE, 0, entries, 5);
    case HF_OP_HOLD:
        made.state = HF_STATE_HELD;
        made.deadline_ns = MADE_NS + request->ttl_ns;
        break;
    case HF_OP_CONFIRM:
        result = HF_CONFIRMED;
        break;
    case HF_OP_CANCEL:
        result = HF_CANCELLED;
        made.state = HF_STATE_CANCELLED;
        break;
    case HF_OP_RELEASE:
        result = HF_RELEASED;
        made.state = HF_STATE_RELEASED;
        break;
    default:
        break;
    }
    return hf_reply_encode_reservation(out, request->operation, 1, result, &made, false);
}

static enum hf_verdict judge(const struct hf_work *work, const uint8_t *reply,
                             enum hf_answer *answer)
{
    struct hf_work copy = *work;
    const char *fault = NULL;
    enum hf_verdict verdict =
        hf_answer_judge(&asker, &copy, reply, BEGUN_NS + HF_NS_PER_MS, answer, &fault);
    cr_assert_eq(verdict == HF_VERDICT_WRONG, fault != NULL);
    return verdict;
}

/* True for bytes of which a bit may be another without anybody knowing better: the tag, which is the
 * load's business, LSNs and dates, numbers of an inventory that may have any value. */
static bool is_free(const struct hf_work *work, size_t at)
{
    if (at >= 8 && at < 16)
        return true;
    switch (work->operation) {
    case HF_OP_RESERVE:
    case HF_OP_HOLD:
        return at >= 48 && at < 56;
    case HF_OP_CONFIRM:
    case HF_OP_CANCEL:
    case HF_OP_RELEASE:
        return (at >= 48 && at < 56) || (at >= 64 && at < 72);
    case HF_OP_INVENTORY_GET: /* product, LSN, date, version, waiting, flags */
        return (at >= 24 && at < 48) || at >= 68;
    case HF_OP_BATCH:
        return at >= 32 && (at - 32) % 96 >= 40 && (at - 32) % 96 < 48;
    default: /* of a short one: available, version, field */
        return at >= 16 && at < 26;
    }
}

/* Flips every bit of a right answer, one at a time: each is found out, but for those that cannot be. */
static void flip_all(const struct hf_work *work, uint8_t *reply, size_t count)
{
    for (size_t at = 0; at < count; at++) {
        for (unsigned bit = 0; bit < 8 && !is_free(work, at); bit++) {
            enum hf_answer got;
            reply[at] ^= (uint8_t)(1u << bit);
            cr_expect_neq(judge(work, reply, &got), HF_VERDICT_RIGHT,
                          "operation %u, byte %zu, bit %u", work->operation, at, bit);
            reply[at] ^= (uint8_t)(1u << bit);
        }
    }
}

static struct hf_work work;
static struct hf_request request;
static uint8_t reply[HF_MAX_REPLY_BYTES];

/* Begins a piece of work of that kind, and writes the right answer to it. */
static size_t begin(enum hf_kind kind)
{
    uint8_t bytes[HF_MAX_REQUEST_BYTES] = {0};
    plan_for(kind);
    work = (struct hf_work){0};
    read_request(bytes, hf_asker_begin(&asker, &work, bytes), &request);
    work.begun_ns = BEGUN_NS;
    return answer(&work, &request, reply);
}

/* Its first answer is taken, and the right one to its second request written. */
static size_t go_on(void)
{
    uint8_t bytes[HF_MAX_REQUEST_BYTES] = {0};
    enum hf_answer got;
    const char *fault;
    cr_assert_eq(hf_answer_judge(&asker, &work, reply, BEGUN_NS, &got, &fault), HF_VERDICT_RIGHT);
    cr_assert(hf_answer_goes_on(&work, got));
    read_request(bytes, hf_asker_go_on(&asker, &work, bytes), &request);
    return answer(&work, &request, reply);
}

Test(answer, a_right_yes_is_taken_and_any_bit_that_is_wrong_found_out)
{
    static const struct {
        enum hf_kind kind;
        enum hf_answer first, second;
    } kinds[] = {
        {HF_KIND_RESERVE, HF_ANSWER_GRANTED, HF_ANSWER_COUNT},
        {HF_KIND_CANCEL, HF_ANSWER_GRANTED, HF_ANSWER_CANCELLED},
        {HF_KIND_HOLD, HF_ANSWER_HELD, HF_ANSWER_COUNT},
        {HF_KIND_CONFIRM, HF_ANSWER_HELD, HF_ANSWER_CONFIRMED},
        {HF_KIND_RELEASE, HF_ANSWER_HELD, HF_ANSWER_RELEASED},
        {HF_KIND_EXPIRE, HF_ANSWER_HELD, HF_ANSWER_COUNT},
        {HF_KIND_BATCH, HF_ANSWER_BATCHED, HF_ANSWER_COUNT},
        {HF_KIND_GET, HF_ANSWER_READ, HF_ANSWER_COUNT},
        {HF_KIND_PING, HF_ANSWER_READ, HF_ANSWER_COUNT},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        enum hf_answer got = HF_ANSWER_COUNT;
        size_t count = begin(kinds[i].kind);
        cr_assert_leq(count, asker.max_reply_bytes);
        cr_assert_eq(judge(&work, reply, &got), HF_VERDICT_RIGHT, "kind %zu", i);
        cr_expect_eq(got, kinds[i].first);
        flip_all(&work, reply, count);
        cr_expect_eq(hf_answer_goes_on(&work, got), kinds[i].second != HF_ANSWER_COUNT);
        if (kinds[i].second == HF_ANSWER_COUNT)
            continue;
        count = go_on();
        cr_assert_eq(judge(&work, reply, &got), HF_VERDICT_RIGHT, "kind %zu", i);
        cr_expect_eq(got, kinds[i].second);
        cr_expect_not(hf_answer_goes_on(&work, got));
        flip_all(&work, reply, count);
    }
}

Test(answer, a_grant_of_what_is_sold_out_is_wrong_and_its_refusal_right)
{
    enum hf_answer got;
    begin(HF_KIND_REFUSE);
    cr_expect_eq(judge(&work, reply, &got), HF_VERDICT_WRONG);
    hf_reply_encode_short(reply, HF_OP_RESERVE, 1, HF_SOLD_OUT, 0, 0, 3);
    cr_assert_eq(judge(&work, reply, &got), HF_VERDICT_RIGHT);
    cr_expect_eq(got, HF_ANSWER_REFUSED);
    flip_all(&work, reply, 0);
    hf_reply_encode_short(reply, HF_OP_RESERVE, 1, HF_SOLD_OUT, 0, 1, 3);
    cr_expect_eq(judge(&work, reply, &got), HF_VERDICT_WRONG, "1 is available");
    hf_reply_encode_short(reply, HF_OP_RESERVE, 1, HF_NOT_FOUND, 0, 0, 0);
    cr_expect_eq(judge(&work, reply, &got), HF_VERDICT_OTHER);
}

Test(answer, a_batch_is_refused_by_one_of_its_lines)
{
    enum hf_answer got;
    struct hf_short no = {.result = HF_SOLD_OUT, .available = 0, .line = 5};
    begin(HF_KIND_BATCH);
    hf_reply_encode_answer(reply, HF_OP_BATCH, 1, &no);
    cr_assert_eq(judge(&work, reply, &got), HF_VERDICT_RIGHT);
    cr_expect_eq(got, HF_ANSWER_REFUSED);
    no.line = 6;
    hf_reply_encode_answer(reply, HF_OP_BATCH, 1, &no);
    cr_expect_eq(judge(&work, reply, &got), HF_VERDICT_WRONG, "it has 5 lines");
    no.line = 0;
    hf_reply_encode_answer(reply, HF_OP_BATCH, 1, &no);
    cr_expect_eq(judge(&work, reply, &got), HF_VERDICT_WRONG, "none of its lines");
    no = (struct hf_short){.result = HF_SOLD_OUT, .available = 5, .line = 1};
    hf_reply_encode_answer(reply, HF_OP_BATCH, 1, &no);
    cr_expect_eq(judge(&work, reply, &got), HF_VERDICT_WRONG, "all of it is available");
}

/* What a second answer tells must follow on the first. */
Test(answer, a_change_comes_behind_the_making_and_a_confirmation_before_the_deadline)
{
    enum hf_answer got;
    begin(HF_KIND_CONFIRM);
    go_on();
    work.lsn = 11; /* that of the answer */
    cr_expect_eq(judge(&work, reply, &got), HF_VERDICT_WRONG, "the same LSN");
    work.lsn = 10;
    work.made_at_ns = MADE_NS - 1;
    cr_expect_eq(judge(&work, reply, &got), HF_VERDICT_WRONG, "another date");
    work.made_at_ns = MADE_NS;
    plan.ttl_ns = 2;
    cr_expect_eq(judge(&work, reply, &got), HF_VERDICT_RIGHT, "the last moment");
    plan.ttl_ns = 1;
    cr_expect_eq(judge(&work, reply, &got), HF_VERDICT_WRONG, "at the deadline");
}

/* It is one millisecond since the hold was asked for. */
Test(answer, a_hold_has_not_lapsed_before_its_time)
{
    enum hf_answer got;
    begin(HF_KIND_CONFIRM);
    go_on();
    const struct hf_short no = {.result = HF_HOLD_EXPIRED, .version = 2, .state = HF_STATE_EXPIRED};
    hf_reply_encode_answer(reply, HF_OP_CONFIRM, 1, &no);
    plan.ttl_ns = HF_NS_PER_MS + 1;
    cr_expect_eq(judge(&work, reply, &got), HF_VERDICT_WRONG);
    plan.ttl_ns = HF_NS_PER_MS;
    cr_assert_eq(judge(&work, reply, &got), HF_VERDICT_RIGHT);
    cr_expect_eq(got, HF_ANSWER_LAPSED);
    reply[28] = 1;
    cr_expect_eq(judge(&work, reply, &got), HF_VERDICT_WRONG, "a line");
}

/* Each batch entry's LSN is behind the one before. */
Test(answer, the_lines_of_a_batch_have_lsns_that_grow)
{
    enum hf_answer got;
    begin(HF_KIND_BATCH);
    uint8_t *third = reply + HF_PAGE_HEADER_BYTES + 2 * HF_RESERVATION_ENTRY_BYTES;
    third[40] = 11; /* that of the second */
    cr_expect_eq(judge(&work, reply, &got), HF_VERDICT_WRONG);
    third[40] = 12;
    cr_expect_eq(judge(&work, reply, &got), HF_VERDICT_RIGHT);
    reply[HF_PAGE_HEADER_BYTES + 40] = 0;
    cr_expect_eq(judge(&work, reply, &got), HF_VERDICT_WRONG, "no LSN");
}
