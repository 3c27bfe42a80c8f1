/*
 * By which addresses the ranks of a job are reached: each says its own after `open`, and `connect`
 * takes those of all to all agents, as one text.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/address_list.h"
#include "common/addresses.h"
#include "common/base64.h"
#include "host/base/json_lines.h"
#include "host/base/memory.h"
#include "host/switch/switch_private.h"

/* Bytes that a line with the addresses of a job has beside them. */
#define LINE_SLACK 1024

/* What a rank may take of that line, many times what it does: base64 of 120 bytes. */
#define ROOM_OF_A_RANK 160
_Static_assert(JOBS_MAX_RANKS <= (JSON_MAX_REQUEST - LINE_SLACK) / ROOM_OF_A_RANK,
               "the addresses of all ranks of a job can be carried");

/* The agents of all ranks will get it, so what a guest says is checked here, where it is known
 * whose. */
bool switch_take_addresses(struct part *part, int rank, json_t *report, struct ninja_error *err)
{
    struct switched_job *job = &part->sw->switched[part->job];
    const char *text = json_string_value(json_object_get(report, "addresses"));
    if ((switch_step(part->sw)->reports & NINJA_REPORTS_ADDRESSES) == 0) {
        return true;
    }
    ssize_t n = text != NULL ? ninja_base64_decode(text, NULL, NINJA_ADDRESSES_MAX_RANK) : -1;
    if (n <= 0) {
        return ninja_error_set(err, ERR_PROTOCOL, "rank %d of job %s in %s reported no addresses",
                               rank, job->job->name, agent_vm(part->sw->agents[part->vm]));
    }
    struct addresses *addresses = &job->addresses[rank];
    free(addresses->bytes);
    addresses->bytes = xmalloc((size_t)n);
    addresses->size = (uint32_t)ninja_base64_decode(text, addresses->bytes, (size_t)n);
    return true;
}

void switch_forget_addresses(struct switched_job *job)
{
    for (int r = 0; job->addresses != NULL && r < job->job->size; r++) {
        free(job->addresses[r].bytes);
        job->addresses[r] = (struct addresses){0};
    }
    json_decref(job->address_list);
    job->address_list = NULL;
}

/* The text of a job; NULL with errno. */
static char *make_text(const struct switched_job *job)
{
    uint32_t *ends = xcalloc((size_t)job->job->size, sizeof(*ends));
    size_t size = 0;
    for (int r = 0; r < job->job->size; r++) {
        size += job->addresses[r].size;
        ends[r] = (uint32_t)size;
    }
    char *text = NULL;
    errno = EFBIG;
    if (size <= NINJA_ADDRESSES_MAX) {
        uint8_t *all = xmalloc(size + 1);
        for (int r = 0; r < job->job->size; r++) {
            if (job->addresses[r].size > 0) {
                memcpy(all + ends[r] - job->addresses[r].size, job->addresses[r].bytes,
                       job->addresses[r].size);
            }
        }
        text = ninja_address_list_encode(ends, (uint32_t)job->job->size, all);
        free(all);
    }
    free(ends);
    return text;
}

bool switch_make_address_lists(struct transport_switch *sw, struct ninja_error *err)
{
    for (int i = 0; i < sw->jobs->n; i++) {
        struct switched_job *job = &sw->switched[i];
        char *text = make_text(job);
        bool fits = text != NULL && strlen(text) <= JSON_MAX_REQUEST - LINE_SLACK;
        if (fits) {
            json_decref(job->address_list);
            job->address_list = json_string_nocheck(text);
        }
        free(text);
        if (!fits) {
            return ninja_error_set(err, ERR_REFUSED,
                                   "the addresses of the %d ranks of job %s are more than can be "
                                   "carried: choose fewer transports",
                                   job->job->size, job->job->name);
        }
    }
    return true;
}
