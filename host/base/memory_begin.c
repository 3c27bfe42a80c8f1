/* Apart from memory.c, as ninja-libvirt has no libevent. */
#include "host/base/memory.h"

#include <event2/event.h>
#include <jansson.h>
#include <stdlib.h>

void memory_begin(void)
{
    json_set_alloc_funcs(xmalloc, free);
    event_set_mem_functions(xmalloc, xrealloc, free);
}
