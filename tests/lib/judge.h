/*
 * The judge: reads a log record by record, in the order of the LSNs, and says at the first record
 * that no correct engine can have written.
 *
 * At every record, that is, for every prefix of the log:
 *   - LSNs follow each other without a gap;
 *   - NO-OVERSELL: the units of active reservations do not exceed the inventory's sell limit. As
 *     units come back only with a cancel's record, a grant has none but those that were freed at an
 *     earlier LSN;
 *   - an inventory appears once, before all that is granted from it;
 *   - a reservation is granted once (sequence 1), cancelled at most once after it (sequence 2), and
 *     keeps its parameters; its dates do not go back;
 *   - an event speaks of an inventory that exists, and of no more units than that has.
 * At the end (hf_judge_finish()), the true order in which the units of an inventory changed hands,
 * which the versions tell, is held against the order of the log. Only plain claims and their cancels
 * are judged, through which a version is 1 more for each of them; and one life of an engine, as
 * versions jump ahead at a start:
 *   - no two grants produced the same version;
 *   - a grant's version tells how many had given units back before it. At least so many cancels
 *     have an earlier LSN than the grant (LOG-BEFORE-RELEASE, CLAIM-BEFORE-LOG). This sees a wrong
 *     order also where there were units enough, and no prefix oversells;
 *   - if all quantities of an inventory are the same, what was available at each version is known,
 *     and every refusal can be checked against it (hf_judge_refusal()).
 *
 * Reservation ids are made by hf_id_of_number(), inventory ids are 1 .. inventory_count. One thread
 * at a time.
 */
#ifndef HF_TESTS_LIB_JUDGE_H
#define HF_TESTS_LIB_JUDGE_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/image.h"
#include "wal/record.h"

struct hf_judged_reservation {
    struct hf_reservation newest;
    uint64_t grant_lsn;
};

/* A grant, as one point in the history of an inventory's versions. */
struct hf_judged_grant {
    uint64_t lsn;
    uint32_t inventory; /* number: id - 1 */
    uint32_t version;
};

struct hf_judged_inventory {
    uint32_t sell_limit; /* 0: not created */
    uint32_t active_units;
    uint32_t grants;
    uint32_t cancels;
    uint32_t common_qty; /* of all its grants; 0: none yet; UINT32_MAX: they differ */
    uint32_t first;      /* of its grants in `grants`, once finished */
};

struct hf_judge {
    uint64_t next_lsn;
    uint64_t first_lsn;
    uint32_t reservation_count; /* numbers 0 .. this - 1 may appear */
    uint32_t inventory_count;
    struct hf_judged_reservation *reservations;
    struct hf_judged_inventory *inventories;
    struct hf_judged_grant *grants; /* at hf_judge_finish() sorted by inventory and version */
    uint32_t grant_count;
    uint8_t *records; /* the whole log */
    uint64_t record_room;
    char text[256];
};

/* Room for `records` records. Ends the process if there is no memory. */
void hf_judge_open(struct hf_judge *judge, uint64_t first_lsn, uint64_t records,
                   uint32_t reservations, uint32_t inventories);
void hf_judge_close(struct hf_judge *judge);

/* The next record of the log. NULL, or what is wrong. */
const char *hf_judge_record(struct hf_judge *judge, const uint8_t *record);

/* All records were seen. NULL, or what is wrong. */
const char *hf_judge_finish(struct hf_judge *judge);

/* After finish: the reservation with this number was refused, as it was not there, and as this version of
 * the inventory showed too few units. NULL, or why it is a lie: its own grant made that version or an
 * older one (HONEST-NO). */
const char *hf_judge_denial(struct hf_judge *judge, uint32_t number, uint64_t inventory_id,
                            uint32_t version);

/* After finish: a refusal that saw this availability. NULL, or why it is a lie (HONEST-NO). */
const char *hf_judge_refusal(struct hf_judge *judge, uint64_t inventory_id, uint32_t qty,
                             int32_t available, uint32_t version);

/* The record at an LSN, decoded. False: there is none. */
bool hf_judge_image(const struct hf_judge *judge, uint64_t lsn, struct hf_image *image);

/* Records seen so far, and where they are. */
uint64_t hf_judge_count(const struct hf_judge *judge);
const uint8_t *hf_judge_records(const struct hf_judge *judge);

#endif
