/*
 * The jobs of a switch, and their parts.
 *
 * There may be many of either: a thousand jobs in one VM, or one job in a thousand VMs. So what is
 * done for a part takes time with its own ranks, and not with all of the job or all parts: the
 * ranks of a job are sorted by VM once, and so are the parts.
 */
#include <stdio.h>
#include <stdlib.h>

#include "host/base/memory.h"
#include "host/switch/switch_private.h"

/* Sorts the ranks of a job by VM. Returns where those of each VM end; those of none are left out.
 */
static int *sort_by_vm(struct switched_job *it, int n_vms)
{
    const struct job *job = it->job;
    int *ends = xcalloc((size_t)n_vms + 1, sizeof(*ends)), n = 0;
    for (int r = 0; r < job->size; r++) {
        if (job->ranks[r].vm >= 0) {
            ends[job->ranks[r].vm]++;
        }
    }
    for (int vm = 0; vm < n_vms; vm++) {
        int here = ends[vm];
        ends[vm] = n;
        n += here;
    }
    it->by_vm = xcalloc((size_t)job->size, sizeof(*it->by_vm));
    for (int r = 0; r < job->size; r++) {
        if (job->ranks[r].vm >= 0) {
            it->by_vm[ends[job->ranks[r].vm]++] = r;
        }
    }
    return ends;
}

static void add_parts(struct transport_switch *sw, int j)
{
    int *ends = sort_by_vm(&sw->switched[j], sw->n);
    for (int vm = 0, begin = 0; vm < sw->n; begin = ends[vm++]) {
        if (begin == ends[vm]) {
            continue;
        }
        if ((sw->n_parts & (sw->n_parts - 1)) == 0) { /* a power of two: it is full */
            size_t room = sw->n_parts > 0 ? 2 * (size_t)sw->n_parts : 1;
            sw->parts = xrealloc(sw->parts, room * sizeof(*sw->parts));
        }
        struct part *part = &sw->parts[sw->n_parts++];
        *part = (struct part){.sw = sw,
                              .job = j,
                              .vm = vm,
                              .ranks = sw->switched[j].by_vm + begin,
                              .n_ranks = ends[vm] - begin};
        snprintf(part->instance, sizeof(part->instance), "%s", agent_instance(sw->agents[vm]));
    }
    free(ends);
}

static int by_vm_and_job(const void *a, const void *b)
{
    const struct part *x = a, *y = b;
    return x->vm != y->vm ? x->vm - y->vm : x->job - y->job;
}

static void begin_job(struct transport_switch *sw, int j)
{
    struct job *job = &sw->jobs->jobs[j];
    struct switched_job *it = &sw->switched[j];
    it->job = job;
    it->sent = counts_new(job->size);
    it->held = counts_new(job->size);
    it->addresses = xcalloc((size_t)job->size, sizeof(*it->addresses));
    it->micros = xcalloc((size_t)job->size, sizeof(*it->micros));
    it->epoch = job->epoch + sw->given_epochs;
    if (it->epoch > sw->epoch) {
        sw->epoch = it->epoch;
    }
}

void switch_make_parts(struct transport_switch *sw, enum ninja_step begin_with)
{
    const struct jobs *jobs = sw->jobs;
    sw->switched = xcalloc((size_t)jobs->n, sizeof(*sw->switched));
    /* Above what its ranks know, and what an attempt before this one may have given to some of
     * them. */
    sw->given_epochs++;
    for (int j = 0; j < jobs->n; j++) {
        begin_job(sw, j);
        if (begin_with == NINJA_STEP_STOP || !job_is_running(&jobs->jobs[j])) {
            add_parts(sw, j);
        } else {
            sw->left_out = true;
        }
    }
    if (sw->n_parts > 0) {
        qsort(sw->parts, (size_t)sw->n_parts, sizeof(*sw->parts), by_vm_and_job);
    }
    for (int i = 0; i < sw->n_parts; i++) {
        struct switched_vm *vm = &sw->vms[sw->parts[i].vm];
        vm->parts = vm->n_parts++ == 0 ? &sw->parts[i] : vm->parts;
    }
}

void switch_forget_jobs(struct transport_switch *sw)
{
    for (int i = 0; i < sw->n_parts; i++) {
        agent_forget(sw->agents[sw->parts[i].vm], &sw->parts[i]);
        timer_free(&sw->parts[i].again);
    }
    for (int i = 0; sw->switched != NULL && i < sw->jobs->n; i++) {
        counts_free(sw->switched[i].sent);
        counts_free(sw->switched[i].held);
        switch_forget_addresses(&sw->switched[i]);
        free(sw->switched[i].addresses);
        free(sw->switched[i].by_vm);
        free(sw->switched[i].micros);
    }
    free(sw->parts);
    free(sw->switched);
    jobs_free(sw->jobs);
    sw->parts = NULL;
    sw->switched = NULL;
    sw->jobs = NULL;
    sw->n_parts = sw->n_awaited = 0;
    for (int vm = 0; vm < sw->n; vm++) {
        sw->vms[vm].n_parts = 0;
    }
}
