#include "guest-agent/shortage.h"

#include <errno.h>
#include <stdlib.h>

static bool was;

static void *watched_malloc(size_t size)
{
    void *memory = malloc(size);
    was |= memory == NULL;
    return memory;
}

void shortage_watch(void)
{
    json_set_alloc_funcs(watched_malloc, free);
}

void shortage_forget(void)
{
    was = false;
}

void shortage_note(void)
{
    was |= errno == ENOMEM || errno == EMFILE || errno == ENFILE;
}

bool shortage_was(void)
{
    return was;
}

json_t *shortage_checked(json_t *json)
{
    if (was) {
        json_decref(json);
        return NULL;
    }
    return json;
}
