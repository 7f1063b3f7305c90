/*
 * PostgreSQL: a booking is one prepared statement and one transaction, through libpq in pipeline
 * mode, with a Sync behind each, so that each commits and is answered by itself.
 *
 * Two ways to decide, both in use:
 *   postgres             one conditional statement: UPDATE ... WHERE available >= qty, and the row
 *                        of the reservation from what that returned
 *   postgres-for-update  SELECT ... FOR UPDATE in a stored procedure, then both changes
 *
 * Both are right at READ COMMITTED. The update waits for the row's lock and looks at `available`
 * again; the function's later statements see what was committed before it got the lock. Two
 * transactions at once with one id: the second violates the primary key and is undone whole, its
 * units too; asked again, it answers what the first did. ON CONFLICT DO NOTHING would keep the
 * units and lose the reservation. No foreign key: it would only cost.
 *
 * The row of an inventory changes all the time, so its page is left mostly empty (fillfactor): new
 * versions stay on it, the index stays as it is, and dead ones are pruned at once.
 */
#include <poll.h>
#include <postgresql/libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/peer/peer.h"
#include "net/address.h"

#define PARAMETERS 4
#define STATEMENT  "book"
#define SQL_BYTES  512
#define OID_INT8   20u
#define OID_INT4   23u
#define OID_UUID   2950u
#define BINARY     1

static const char schema[] =
    "set client_min_messages = error;"
    "create schema if not exists booking;"
    "create table if not exists booking.inventory ("
    "  id bigint primary key, available int not null check (available >= 0))"
    "  with (fillfactor = 10);"
    "create table if not exists booking.reservation ("
    "  id uuid primary key, inventory bigint not null, customer bigint not null, qty int not null,"
    "  made_at timestamptz not null, state text not null);"
    "create or replace function booking.book(wanted uuid, stock bigint, who bigint, many int)"
    " returns int language plpgsql as $$"
    " declare left_over int; outcome int;"
    " begin"
    "  select available into left_over from booking.inventory where id = stock for update;"
    "  if not found then return 4; end if;"
    "  select case when inventory = stock and customer = who and qty = many then 2 else 3 end"
    "    into outcome from booking.reservation where id = wanted;"
    "  if found then return outcome; end if;"
    "  if left_over < many then return 0; end if;"
    "  update booking.inventory set available = available - many where id = stock;"
    "  insert into booking.reservation values (wanted, stock, who, many, now(), 'confirmed');"
    "  return 1;"
    " end $$;";

static const char conditional[] =
    "with taken as ("
    "  update booking.inventory set available = available - $4"
    "  where id = $2 and available >= $4"
    "    and not exists (select from booking.reservation where id = $1)"
    "  returning id),"
    " made as ("
    "  insert into booking.reservation select $1, id, $3, $4, now(), 'confirmed' from taken"
    "  returning id)"
    " select case when exists (select from made) then 1 else coalesce("
    "  (select case when inventory = $2 and customer = $3 and qty = $4 then 2 else 3 end"
    "   from booking.reservation where id = $1),"
    "  (select 0 from booking.inventory where id = $2), 4) end";

static const char for_update[] = "select booking.book($1, $2, $3, $4)";

struct hf_peer_link {
    PGconn *connection;
    uint32_t in_flight;
    int64_t outcome; /* of the booking whose Sync has not come; -1: not known yet */
};

/* What libpq says ends with a newline. */
static int complain(const char *what, const char *said)
{
    return HF_PEER_FAIL("postgres: %s: %.*s", what, (int)strcspn(said, "\n"), said);
}

static PGconn *connect_to(const char *server)
{
    char host[HF_HOST_BYTES], port[6];
    const char *user = getenv("PGUSER"), *database = getenv("PGDATABASE");
    if (!hf_address_split(server, host, port)) {
        hf_peer_say("\"%s\" is not HOST:PORT", server);
        return NULL;
    }
    const char *const keywords[] = {
        "host", "port", "user", "dbname", "sslmode", "gssencmode", "connect_timeout", NULL};
    const char *const values[] = {host,
                                  port,
                                  user ? user : "postgres",
                                  database ? database : "postgres",
                                  "disable",
                                  "disable",
                                  "30",
                                  NULL};
    PGconn *connection = PQconnectdbParams(keywords, values, 0);
    if (PQstatus(connection) == CONNECTION_OK)
        return connection;
    complain("cannot connect", PQerrorMessage(connection));
    PQfinish(connection);
    return NULL;
}

/* Runs SQL; the result is the caller's. NULL: it failed, and was reported. */
static PGresult *run(PGconn *connection, const char *sql)
{
    PGresult *result = PQexec(connection, sql);
    ExecStatusType status = PQresultStatus(result);
    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK)
        return result;
    complain("a statement failed", PQerrorMessage(connection));
    PQclear(result);
    return NULL;
}

static int make_stock(const char *server, const struct hf_peer_stock *stock)
{
    /* The planner should know the tables, and nothing from before be left for a checkpoint. */
    const char *const after[] = {"vacuum analyze booking.inventory",
                                 "vacuum analyze booking.reservation", "checkpoint"};
    char insert[SQL_BYTES];
    PGconn *connection = connect_to(server);
    if (!connection)
        return -1;
    snprintf(insert, sizeof insert,
             "insert into booking.inventory select generate_series(%llu, %llu), %u",
             (unsigned long long)stock->first_id,
             (unsigned long long)(stock->first_id + stock->count - 1), stock->available);
    PGresult *result = run(connection, schema);
    PQclear(result);
    if (result) {
        result = run(connection, insert);
        PQclear(result);
    }
    for (size_t i = 0; result && i < sizeof after / sizeof after[0]; i++) {
        result = run(connection, after[i]);
        PQclear(result);
    }
    PQfinish(connection);
    return result ? 0 : -1;
}

static int count(const char *server, const struct hf_peer_stock *stock,
                 struct hf_peer_counts *counts)
{
    char query[SQL_BYTES];
    PGconn *connection = connect_to(server);
    if (!connection)
        return -1;
    snprintf(query, sizeof query,
             "select (select sum(available) from booking.inventory where id between %llu and %llu),"
             " (select count(*) from booking.reservation)",
             (unsigned long long)stock->first_id,
             (unsigned long long)(stock->first_id + stock->count - 1));
    PGresult *result = run(connection, query);
    if (result) {
        counts->available = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
        counts->reservations = strtoull(PQgetvalue(result, 0, 1), NULL, 10);
    }
    PQclear(result);
    PQfinish(connection);
    return result ? 0 : -1;
}

static void close_link(struct hf_peer_link *link)
{
    PQfinish(link->connection);
    free(link);
}

static struct hf_peer_link *open_link(const char *server, const char *sql)
{
    static const Oid types[PARAMETERS] = {OID_UUID, OID_INT8, OID_INT8, OID_INT4};
    struct hf_peer_link *link = calloc(1, sizeof *link);
    if (!link)
        return NULL;
    link->outcome = -1;
    link->connection = connect_to(server);
    if (!link->connection) {
        free(link);
        return NULL;
    }
    PGresult *result = PQprepare(link->connection, STATEMENT, sql, PARAMETERS, types);
    bool prepared = PQresultStatus(result) == PGRES_COMMAND_OK;
    PQclear(result);
    if (prepared && PQsetnonblocking(link->connection, 1) == 0 &&
        PQenterPipelineMode(link->connection) == 1)
        return link;
    complain("cannot prepare a booking", PQerrorMessage(link->connection));
    close_link(link);
    return NULL;
}

static struct hf_peer_link *open_conditional(const char *server, uint32_t depth)
{
    (void)depth; /* libpq has buffers that grow */
    return open_link(server, conditional);
}

static struct hf_peer_link *open_for_update(const char *server, uint32_t depth)
{
    (void)depth;
    return open_link(server, for_update);
}

static int link_socket(const struct hf_peer_link *link)
{
    return PQsocket(link->connection);
}

/* The highest byte first, as PostgreSQL has numbers. */
static void put_number(char *bytes, uint64_t number, unsigned byte_count)
{
    for (unsigned i = 0; i < byte_count; i++)
        bytes[i] = (char)(number >> (8 * (byte_count - 1 - i)));
}

static int ask(struct hf_peer_link *link, const struct hf_peer_booking *booking)
{
    static const int lengths[PARAMETERS] = {HF_PEER_ID_BYTES, 8, 8, 4};
    static const int formats[PARAMETERS] = {BINARY, BINARY, BINARY, BINARY};
    char inventory[8], customer[8], qty[4];
    put_number(inventory, booking->inventory_id, sizeof inventory);
    put_number(customer, booking->customer_id, sizeof customer);
    put_number(qty, booking->qty, sizeof qty);
    const char *const values[PARAMETERS] = {(const char *)booking->id, inventory, customer, qty};
    if (PQsendQueryPrepared(link->connection, STATEMENT, PARAMETERS, values, lengths, formats,
                            BINARY) == 0 ||
        PQpipelineSync(link->connection) == 0)
        return complain("cannot ask", PQerrorMessage(link->connection));
    link->in_flight++;
    return 0;
}

static int flush(struct hf_peer_link *link)
{
    int left = PQflush(link->connection);
    return left < 0 ? complain("connection lost", PQerrorMessage(link->connection)) : left;
}

static int receive(struct hf_peer_link *link)
{
    if (PQconsumeInput(link->connection) == 1)
        return 0;
    return complain("connection lost", PQerrorMessage(link->connection));
}

/* The number that a booking returned: one row, one column. False: anything else; reported. */
static bool read_outcome(const PGresult *result, int64_t *outcome)
{
    if (PQresultStatus(result) != PGRES_TUPLES_OK) {
        complain("a booking failed", PQresultErrorMessage(result));
        return false;
    }
    if (PQntuples(result) != 1 || PQnfields(result) != 1 || PQgetlength(result, 0, 0) != 4) {
        hf_peer_say("postgres answered a booking with something that is no number");
        return false;
    }
    const char *bytes = PQgetvalue(result, 0, 0);
    uint32_t number = 0;
    for (unsigned i = 0; i < 4; i++)
        number = number << 8 | (unsigned char)bytes[i];
    *outcome = number;
    return true;
}

/* Each booking gives its result, NULL behind it, and the Sync, which tells that it is committed. */
static int next(struct hf_peer_link *link, struct hf_peer_answer *answer)
{
    bool ended = false; /* the result before was the NULL */
    while (link->in_flight > 0 && PQisBusy(link->connection) == 0) {
        PGresult *result = PQgetResult(link->connection);
        if (!result && ended)
            return complain("an answer is missing", PQerrorMessage(link->connection));
        ended = !result;
        if (!result)
            continue;
        bool synced = PQresultStatus(result) == PGRES_PIPELINE_SYNC;
        bool right = synced || read_outcome(result, &link->outcome);
        PQclear(result);
        if (!right)
            return -1;
        if (!synced)
            continue;
        int64_t outcome = link->outcome;
        link->outcome = -1;
        link->in_flight--;
        return hf_peer_outcome_read("postgres", outcome, &answer->outcome) < 0 ? -1 : 1;
    }
    return 0;
}

#define PEER(name_, meaning_, open_)                                                               \
    {                                                                                              \
        .name = (name_), .meaning = (meaning_), .in_order = true, .make_stock = make_stock,        \
        .count = count, .open = (open_), .close = close_link, .socket = link_socket, .ask = ask,   \
        .flush = flush, .receive = receive, .next = next,                                          \
    }

const struct hf_peer hf_peer_postgres =
    PEER("postgres", "one conditional statement, prepared", open_conditional);
const struct hf_peer hf_peer_postgres_for_update =
    PEER("postgres-for-update", "SELECT ... FOR UPDATE in a stored procedure", open_for_update);
