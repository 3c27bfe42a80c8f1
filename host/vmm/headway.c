#include "host/vmm/headway.h"

#define HARDLY_LESS 0.9

void headway_begin(struct headway *headway)
{
    *headway = (struct headway){.pass = 0};
}

void headway_look(struct headway *headway, int64_t pass, int64_t remaining)
{
    if (pass <= headway->pass) {
        return;
    }
    bool comparable = headway->pass > 1; /* the first one has all of the memory to send */
    bool less = (double)remaining < HARDLY_LESS * (double)headway->to_send;
    headway->stuck = comparable && !less ? headway->stuck + 1 : 0;
    headway->pass = pass;
    headway->to_send = remaining;
}
