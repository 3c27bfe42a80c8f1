/*
 * What a host's libvirt says of a VM. Where the VM is not, it could come to: then it is looked for
 * at the other sites, and both hosts are asked what would be in the way.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/printable.h"
#include "host/base/json_text.h"
#include "host/base/memory.h"
#include "host/vmm/driver_libvirt.h"

struct libvirt_looker {
    struct looker looker;
    struct libvirt_client *client;
    const struct cluster *cluster;
    int vm, site;
    int elsewhere; /* the next site at which it is looked for */
    struct look *look;
    void (*done)(void *arg);
    void *arg;
};

static void ask(struct libvirt_looker *looker, int site, const char *command, json_t *arguments,
                enum timeout timeout, libvirt_reply reply)
{
    const struct cluster *cluster = looker->cluster;
    json_object_set_new(arguments, "vm", json_string(libvirt_domain(cluster, looker->vm, site)));
    libvirt_execute(looker->client, libvirt_uri(cluster, looker->vm, site), command, arguments,
                    cluster->timeouts[TIMEOUT_CONNECT], cluster->timeouts[timeout], reply, looker);
}

static void over(struct libvirt_looker *looker)
{
    looker->done(looker->arg);
}

/* ---- what would be in the way ---- */

static void refuse(struct look *look, const char *why)
{
    json_array_append_new(look->refusals, json_text(why));
}

static void on_checked(void *arg, json_t *result, const struct ninja_error *err)
{
    struct libvirt_looker *looker = arg;
    size_t i;
    json_t *problem;
    if (err != NULL) {
        refuse(looker->look, err->message);
    }
    json_array_foreach(json_object_get(result, "problems"), i, problem)
    {
        const char *text = json_string_value(problem);
        refuse(looker->look, text != NULL ? text : "?");
    }
    over(looker);
}

static void look_elsewhere(struct libvirt_looker *looker);

static void on_seen_elsewhere(void *arg, json_t *result, const struct ninja_error *err)
{
    struct libvirt_looker *looker = arg;
    const char *state = json_string_value(json_object_get(result, "state"));
    int from = looker->elsewhere++;
    if (state == NULL || strcmp(state, "running") != 0) {
        look_elsewhere(looker);
        return;
    }
    const char *to = libvirt_uri(looker->cluster, looker->vm, looker->site);
    ask(looker, from, "migrate-check", json_pack("{s:s}", "to", to), TIMEOUT_PREPARE, on_checked);
}

static void look_elsewhere(struct libvirt_looker *looker)
{
    if (looker->elsewhere == looker->site) {
        looker->elsewhere++;
    }
    if (looker->elsewhere < looker->cluster->n_sites) {
        ask(looker, looker->elsewhere, "domain-look", json_object(), TIMEOUT_COMMAND,
            on_seen_elsewhere);
    } else {
        over(looker);
    }
}

/* ---- what is there ---- */

static void take_devices(struct look *look, json_t *devices)
{
    size_t i;
    json_t *device;
    look->devices = json_array();
    json_array_foreach(devices, i, device)
    {
        json_array_append_new(look->devices,
                              json_pack("{s:o, s:s}", "id", json_text(json_string_value(device)),
                                        "driver", "libvirt"));
    }
}

static void on_seen(void *arg, json_t *result, const struct ninja_error *err)
{
    struct libvirt_looker *looker = arg;
    struct look *look = looker->look;
    struct ninja_error refusal = NINJA_ERROR_INIT;
    const char *state = json_string_value(json_object_get(result, "state"));
    if (err != NULL) {
        look->err = *err;
        look->mend = "see whether virsh -c with the host's URI connects, and correct the key "
                     "\"uri\" in the cluster file";
        over(looker);
        return;
    }
    ninja_printable_copy(look->state, sizeof(look->state), state != NULL ? state : "?");
    look->memory = json_integer_value(json_object_get(result, "memory_kib")) * 1024;
    take_devices(look, json_object_get(result, "devices"));
    if (strcmp(look->state, "running") == 0) {
        over(looker);
        return;
    }
    look->refusals = json_array();
    if (!libvirt_may_move(looker->cluster, &looker->cluster->transfer, looker->vm, looker->site,
                          &refusal)) {
        refuse(look, refusal.message);
    }
    look_elsewhere(looker);
}

static void close_looker(struct looker *arg)
{
    struct libvirt_looker *looker = (struct libvirt_looker *)arg;
    libvirt_forget(looker->client, looker);
    libvirt_client_leave(looker->client);
    free(looker);
}

struct looker *libvirt_look(struct event_base *base, const struct cluster *cluster, int vm,
                            int site, struct look *look, void (*done)(void *arg), void *arg)
{
    struct libvirt_looker *looker = xcalloc(1, sizeof(*looker));
    *looker = (struct libvirt_looker){.looker = {close_looker},
                                      .client = libvirt_client_join(base),
                                      .cluster = cluster,
                                      .vm = vm,
                                      .site = site,
                                      .look = look,
                                      .done = done,
                                      .arg = arg};
    ask(looker, site, "domain-look", json_object(), TIMEOUT_COMMAND, on_seen);
    return &looker->looker;
}
