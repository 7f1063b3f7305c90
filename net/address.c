/* Addresses: see address.h. */
#include "net/address.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool hf_address_split(const char *text, char host[HF_HOST_BYTES], char port[6])
{
    const char *colon = strrchr(text, ':');
    if (colon == NULL)
        return false;
    const char *begin = text;
    size_t length = (size_t)(colon - text);
    if (text[0] == '[') {
        if (length < 2 || colon[-1] != ']')
            return false;
        begin++;
        length -= 2;
    } else if (memchr(text, ':', length) != NULL) {
        return false; /* an IPv6 address needs its brackets */
    }
    size_t digits = strspn(colon + 1, "0123456789");
    if (length == 0 || length >= HF_HOST_BYTES || digits == 0 || digits > 5 ||
        colon[1 + digits] != '\0' || strtoul(colon + 1, NULL, 10) > 65535)
        return false;
    memcpy(host, begin, length);
    host[length] = '\0';
    memcpy(port, colon + 1, digits + 1);
    return true;
}

void hf_address_format(const struct sockaddr *address, socklen_t address_bytes, char *text,
                       size_t text_bytes)
{
    char host[HF_HOST_BYTES], port[8];
    if (getnameinfo(address, address_bytes, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        snprintf(text, text_bytes, "unknown address");
    else
        snprintf(text, text_bytes, strchr(host, ':') != NULL ? "[%s]:%s" : "%s:%s", host, port);
}
