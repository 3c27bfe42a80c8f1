#include <stdio.h>

#include "host-hook/ninjactl.h"

/* A guest's text, without what would steer a terminal. */
static const char *clean(json_t *value, char *text, size_t size)
{
    const char *from = json_string_value(value);
    snprintf(text, size, "%s", from ? from : "?");
    for (char *c = text; *c != '\0'; c++) {
        if ((unsigned char)*c < ' ' || *c == 0x7f) {
            *c = '?';
        }
    }
    return text;
}

void show_interconnects(json_t *interconnects)
{
    size_t i, k;
    json_t *entry, *address;
    char a[64], b[64], c[64];
    json_array_foreach(json_object_get(interconnects, "rdma"), i, entry)
    {
        printf("    rdma %s/%lld %s (%s)\n", clean(json_object_get(entry, "name"), a, sizeof(a)),
               (long long)json_integer_value(json_object_get(entry, "port")),
               clean(json_object_get(entry, "state"), b, sizeof(b)),
               clean(json_object_get(entry, "link_layer"), c, sizeof(c)));
    }
    json_array_foreach(json_object_get(interconnects, "net"), i, entry)
    {
        printf("    net  %s %s", clean(json_object_get(entry, "name"), a, sizeof(a)),
               clean(json_object_get(entry, "state"), b, sizeof(b)));
        json_array_foreach(json_object_get(entry, "addresses"), k, address)
        {
            printf(" %s", clean(address, a, sizeof(a)));
        }
        printf("\n");
    }
}
