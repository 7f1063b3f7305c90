/* Spreads. See spread.h. */
#include "bench/spread.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/random.h"

/* Below this, a power series is more exact than the formula. */
#define TINY 1e-8

/* log(1 + x) / x */
static double log_share(double x)
{
    return fabs(x) > TINY ? log1p(x) / x : 1 - x * (0.5 - x / 3);
}

/* (e^x - 1) / x */
static double power_share(double x)
{
    return fabs(x) > TINY ? expm1(x) / x : 1 + x * (0.5 + x / 6);
}

/* 1 / x^theta */
static double height(double theta, double x)
{
    return exp(-theta * log(x));
}

/* The integral of height() from 1 to x. */
static double integral(double theta, double x)
{
    double logarithm = log(x);
    return power_share((1 - theta) * logarithm) * logarithm;
}

/* Where integral() is that. */
static double inverse(double theta, double area)
{
    double x = area * (1 - theta);
    return exp(log_share(x < -1 ? -1 : x) * area); /* below -1 by rounding only */
}

bool hf_spread_parse(const char *text, struct hf_spread_choice *choice)
{
    char *end;
    double theta = HF_SPREAD_THETA;
    if (strcmp(text, "round") == 0 || strcmp(text, "uniform") == 0) {
        choice->kind = text[0] == 'r' ? HF_SPREAD_ROUND : HF_SPREAD_UNIFORM;
        choice->theta = 0;
        return true;
    }
    if (strncmp(text, "zipf", 4) != 0 || (text[4] != ':' && text[4] != '\0'))
        return false;
    if (text[4] == ':') {
        if (strspn(text + 5, "0123456789.") != strlen(text + 5)) /* no sign, no exponent, no hex */
            return false;
        theta = strtod(text + 5, &end);
        if (end == text + 5 || *end != '\0' || !(theta > 0 && theta <= HF_SPREAD_THETA_MAX))
            return false;
    }
    choice->kind = HF_SPREAD_ZIPF;
    choice->theta = theta;
    return true;
}

void hf_spread_format(const struct hf_spread_choice *choice, char text[HF_SPREAD_TEXT_BYTES])
{
    if (choice->kind == HF_SPREAD_ZIPF)
        snprintf(text, HF_SPREAD_TEXT_BYTES, "zipf:%g", choice->theta);
    else
        snprintf(text, HF_SPREAD_TEXT_BYTES, "%s",
                 choice->kind == HF_SPREAD_ROUND ? "round" : "uniform");
}

void hf_spread_init(struct hf_spread *spread, const struct hf_spread_choice *choice, uint32_t count)
{
    double theta = choice->theta;
    *spread = (struct hf_spread){.choice = *choice, .count = count};
    if (choice->kind != HF_SPREAD_ZIPF)
        return;
    spread->first = integral(theta, 1.5) - 1;
    spread->last = integral(theta, count + 0.5);
    spread->certain = 2 - inverse(theta, integral(theta, 2.5) - height(theta, 2));
}

uint32_t hf_spread_draw_zipf(const struct hf_spread *spread, uint64_t random_bits)
{
    double theta = spread->choice.theta;
    struct hf_random random = {.state = random_bits};
    for (;;) {
        double area = spread->last + hf_random_unit(&random) * (spread->first - spread->last);
        double x = inverse(theta, area);
        double k = floor(x + 0.5);
        if (k < 1)
            k = 1;
        if (k > spread->count)
            k = spread->count;
        if (k - x <= spread->certain || area >= integral(theta, k + 0.5) - height(theta, k))
            return (uint32_t)k - 1;
    }
}
