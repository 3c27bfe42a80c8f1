#include <stdio.h>

#include "common/printable.h"
#include "host/ctl/ninjactl.h"

static const char *clean(json_t *value, char *text, size_t size)
{
    const char *from = json_string_value(value);
    ninja_printable_copy(text, size, from != NULL ? from : "?");
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
