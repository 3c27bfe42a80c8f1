/*
 * A VM whose memory goes through ninja-stream: the path then has other ends than the one at which
 * the receiver listens, and the stream is ready before anything is done to a QEMU.
 */
#include <stdio.h>
#include <string.h>

#include "host/vmm/driver_qmp.h"

#define RESUME_MS 10000 /* in which QEMU notices nothing but that it is slow */

bool qmp_vm_has_stream(const struct qmp_vm *v)
{
    return commands_to(v)->stream != NULL;
}

static struct stream_side side_at(const struct qmp_vm *v, int site)
{
    return (struct stream_side){.site = v->vmm.cluster->sites[site].name,
                                .command = vm_commands_at(v->vmm.cluster, site)->stream_command};
}

static void on_stream_ready(void *arg, const char *socket, const struct ninja_error *err)
{
    struct qmp_vm *v = arg;
    char uri[128];
    if (v->op != OP_PREPARE) {
        return;
    }
    if (err != NULL) {
        op_end(v, v->vmm.to, err);
        return;
    }
    snprintf(uri, sizeof(uri), "unix:%s", socket);
    path_set(&v->path, v->path.listen, uri);
    v->on_stream(v);
}

void qmp_vm_stream_begin(struct qmp_vm *v, void (*then)(struct qmp_vm *v))
{
    const char *receive = vm_sockets_at(v->vmm.cluster, v->vmm.vm, v->vmm.to)->receive;
    struct stream_ends ends = {.source = side_at(v, v->vmm.site),
                               .destination = side_at(v, v->vmm.to),
                               .address = commands_to(v)->stream,
                               .bandwidth_mib = commands_to(v)->stream_bandwidth,
                               .connect_ms = qmp_vm_timeout(v, TIMEOUT_CONNECT),
                               .resume_ms = RESUME_MS};
    qmp_vm_stream_end(v);
    v->on_stream = then;
    op_wait(v, v->vmm.to, 2 * qmp_vm_timeout(v, TIMEOUT_CONNECT),
            "the two of ninja-stream were not ready in time");
    v->stream = stream_join(v->vmm.base, &ends);
    stream_admit(v->stream, v->vmm.vm, receive + strlen("unix:"), on_stream_ready, v);
}

static int64_t number_in(json_t *memory, const char *name)
{
    json_int_t value = json_integer_value(json_object_get(memory, name));
    return value > 0 ? value : 0;
}

/* Nobody waits for it: it comes long before the report is made, or not at all. */
static void on_counted(void *arg, json_t *memory)
{
    struct qmp_vm *v = arg;
    v->vmm.savings = (struct vmm_savings){.known = memory != NULL,
                                          .raw_bytes = number_in(memory, "raw_bytes"),
                                          .sent_bytes = number_in(memory, "coded_bytes"),
                                          .pages = number_in(memory, "pages"),
                                          .same_pages = number_in(memory, "same_pages"),
                                          .copied_pages = number_in(memory, "copied_pages")};
}

void qmp_vm_stream_count(struct qmp_vm *v)
{
    if (v->stream != NULL) {
        stream_count(v->stream, v->vmm.vm, on_counted, v);
    }
}

void qmp_vm_stream_end(struct qmp_vm *v)
{
    if (v->stream != NULL) {
        stream_forget(v->stream, v);
        stream_leave(v->stream);
        v->stream = NULL;
    }
}

bool qmp_entry_check(const struct cluster_entry *entry, const void *site, const char **key,
                     struct ninja_error *err)
{
    const struct vm_commands *commands = site;
    const char *receive = ((const struct vm_sockets *)entry->own)->receive;
    if (commands->stream != NULL && strncmp(receive, "unix:/", 6) != 0) {
        *key = "receive";
        return ninja_error_set(err, ERR_CLUSTER_FILE,
                               "\"%s\" is not unix:/PATH, at which a QEMU listens for "
                               "ninja-stream, as the site has the key \"stream\"",
                               receive);
    }
    return true;
}
