/* What the server says; see speech.h. */
#include "tests/sim/speech.h"

#include <string.h>

#include "base/check.h"

static char said[16384];
static size_t said_bytes;
static FILE *real;

/* What is too much is dropped: nobody says that much between two looks. */
static ssize_t hear(void *context, const char *text, size_t bytes)
{
    (void)context;
    size_t room = sizeof said - 1 - said_bytes;
    size_t kept = bytes < room ? bytes : room;
    memcpy(said + said_bytes, text, kept);
    said_bytes += kept;
    said[said_bytes] = '\0';
    return (ssize_t)bytes;
}

void hf_speech_begin(void)
{
    real = stderr;
    stderr = fopencookie(NULL, "w", (cookie_io_functions_t){.write = hear});
    HF_CHECK(stderr != NULL);
    setvbuf(stderr, NULL, _IONBF, 0);
}

void hf_speech_clear(void)
{
    said_bytes = 0;
    said[0] = '\0';
}

const char *hf_speech_text(void)
{
    return said;
}

bool hf_speech_has(const char *part)
{
    return strstr(said, part) != NULL;
}

FILE *hf_speech_real(void)
{
    return real != NULL ? real : stderr;
}
