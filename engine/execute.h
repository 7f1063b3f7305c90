/* Executes a request of the public interfaces on the engine: what the server and the embedded API
 * do alike. */
#ifndef HF_ENGINE_EXECUTE_H
#define HF_ENGINE_EXECUTE_H

#include "engine/engine.h"
#include "holdfast/message.h"

/*
 * Checks the values that are impossible whatever the state: a quantity of 0 or above HF_MAX_UNITS,
 * a capacity likewise, a page limit of 0 or above HF_MAX_LIST_ENTRIES, a zero id to look up or
 * cancel. HF_OK, or HF_BAD_FIELD with the field.
 */
enum hf_result hf_request_check(const struct hf_request *request, enum hf_field *field);

/*
 * Executes RESERVE, CANCEL, RESERVATION_GET, INVENTORY_CREATE or INVENTORY_GET, whose fields the
 * caller has checked. The outcome may be put aside. False: another operation.
 */
bool hf_engine_execute(struct hf_actor *actor, const struct hf_request *request,
                       struct hf_outcome *outcome);

#endif
