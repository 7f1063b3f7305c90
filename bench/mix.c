/* Kinds of work, and mixes of them. See mix.h. */
#include "bench/mix.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct kind {
    const char *name, *other_name;
};

static const struct kind kinds[] = {
#define X(name, text, other, first, second, meaning) [HF_KIND_##name] = {text, other},
    HF_KINDS(X)
#undef X
};

const uint8_t hf_kind_operations[HF_KIND_COUNT][HF_KIND_STEPS] = {
#define X(name, text, other, first, second, meaning)                                               \
    [HF_KIND_##name] = {HF_OP_##first, HF_OP_##second},
    HF_KINDS(X)
#undef X
};

static const char *const two_step_names[HF_KIND_COUNT][HF_KIND_STEPS] = {
    [HF_KIND_CANCEL] = {"cancel:reserve", "cancel:cancel"},
    [HF_KIND_CONFIRM] = {"confirm:hold", "confirm:confirm"},
    [HF_KIND_RELEASE] = {"release:hold", "release:release"},
};

const char *hf_kind_name(enum hf_kind kind)
{
    return kinds[kind].name;
}

const char *hf_kind_step_name(enum hf_kind kind, unsigned step)
{
    const char *name = two_step_names[kind][step];
    return name != NULL ? name : kinds[kind].name;
}

bool hf_kind_parse(const char *text, enum hf_kind *kind)
{
    for (unsigned i = 0; i < HF_KIND_COUNT; i++) {
        if (strcmp(text, kinds[i].name) == 0 || strcmp(text, kinds[i].other_name) == 0) {
            *kind = (enum hf_kind)i;
            return true;
        }
    }
    return false;
}

void hf_mix_set(struct hf_mix *mix, enum hf_kind kind)
{
    *mix = (struct hf_mix){.total = 1, .only = kind, .single = true};
    mix->weights[kind] = 1;
}

static bool parse_weight(const char *text, uint32_t *weight)
{
    char *end;
    if (text[0] < '0' || text[0] > '9' || strlen(text) > 7)
        return false;
    *weight = (uint32_t)strtoul(text, &end, 10);
    return *end == '\0' && *weight >= 1 && *weight <= HF_MIX_MAX_WEIGHT;
}

/* Adds one item, "kind" or "kind:weight". */
static bool add_item(struct hf_mix *mix, char *item, char error[HF_MIX_ERROR_BYTES])
{
    enum hf_kind kind;
    uint32_t weight = 1;
    char *colon = strchr(item, ':');
    if (colon != NULL)
        *colon = '\0';
    if (!hf_kind_parse(item, &kind)) {
        snprintf(error, HF_MIX_ERROR_BYTES, "\"%.40s\" is no kind of work", item);
        return false;
    }
    if (colon != NULL && !parse_weight(colon + 1, &weight)) {
        snprintf(error, HF_MIX_ERROR_BYTES, "%.40s wants a weight from 1 to %u, not \"%.20s\"",
                 item, HF_MIX_MAX_WEIGHT, colon + 1);
        return false;
    }
    if (mix->weights[kind] != 0) {
        snprintf(error, HF_MIX_ERROR_BYTES, "%s stands there twice", kinds[kind].name);
        return false;
    }
    mix->single = mix->total == 0;
    mix->only = kind;
    mix->weights[kind] = weight;
    mix->total += weight;
    return true;
}

bool hf_mix_parse(const char *text, struct hf_mix *mix, char error[HF_MIX_ERROR_BYTES])
{
    char copy[HF_MIX_TEXT_BYTES];
    *mix = (struct hf_mix){0};
    size_t length = strlen(text);
    if (length >= sizeof copy) {
        snprintf(error, HF_MIX_ERROR_BYTES, "that is too long");
        return false;
    }
    memcpy(copy, text, length + 1);
    for (char *item = copy, *comma; item != NULL; item = comma) {
        comma = strchr(item, ',');
        if (comma != NULL)
            *comma++ = '\0';
        if (!add_item(mix, item, error))
            return false;
    }
    return true;
}

void hf_mix_format(const struct hf_mix *mix, char text[HF_MIX_TEXT_BYTES])
{
    size_t used = 0;
    if (mix->single) {
        snprintf(text, HF_MIX_TEXT_BYTES, "%s", kinds[mix->only].name);
        return;
    }
    text[0] = '\0';
    for (unsigned kind = 0; kind < HF_KIND_COUNT; kind++)
        if (mix->weights[kind] != 0)
            used += (size_t)snprintf(text + used, HF_MIX_TEXT_BYTES - used, "%s%s:%u",
                                     used == 0 ? "" : ",", kinds[kind].name, mix->weights[kind]);
}

bool hf_mix_needs_stock(const struct hf_mix *mix)
{
    for (unsigned kind = 0; kind < HF_KIND_COUNT; kind++)
        if (mix->weights[kind] != 0 && kind != HF_KIND_REFUSE && kind != HF_KIND_PING)
            return true;
    return false;
}
