/*
 * What a VM writes, by libvirt: a sample of its pages is compared with what they were a while
 * before. That is done for a time and for three times that, one after the other. libvirt tells
 * whole MiB a second only.
 */
#include "host/vmm/driver_libvirt.h"

#define LOOK_MS 100 /* between two looks whether it is done */

static void begin(struct libvirt_vm *v, int times);

static void look(evutil_socket_t fd, short what, void *arg);

static void on_look(void *arg, json_t *result, const struct ninja_error *err)
{
    struct libvirt_vm *v = arg;
    json_t *rate = json_object_get(result, "mib_per_s");
    struct ninja_error nonsense = NINJA_ERROR_INIT;
    if (err == NULL && !json_is_true(json_object_get(result, "done"))) {
        libvirt_poll(v, LOOK_MS, look);
        return;
    }
    int next = err != NULL
                   ? 0
                   : vmm_take_writes(&v->vmm, v->measuring, json_integer_value(rate), &nonsense);
    if (next > 0) {
        begin(v, next);
    } else {
        libvirt_end(v, v->vmm.site, next < 0 ? &nonsense : err);
    }
}

static void look(evutil_socket_t fd, short what, void *arg)
{
    struct libvirt_vm *v = arg;
    timer_free(&v->poll);
    libvirt_ask(v, v->vmm.site, "writes-look", NULL, libvirt_timeout(v, TIMEOUT_COMMAND), on_look);
}

static void on_begun(void *arg, json_t *result, const struct ninja_error *err)
{
    struct libvirt_vm *v = arg;
    if (err != NULL) {
        libvirt_end(v, v->vmm.site, err);
    } else {
        libvirt_poll(v, v->measuring * VMM_WRITES_MS, look);
    }
}

static void begin(struct libvirt_vm *v, int times)
{
    v->measuring = times;
    libvirt_ask(v, v->vmm.site, "writes-begin",
                json_pack("{s:i}", "seconds", times * VMM_WRITES_MS / 1000),
                libvirt_timeout(v, TIMEOUT_COMMAND), on_begun);
}

void libvirt_measure(struct vmm *vmm, vmm_done done, void *arg)
{
    struct libvirt_vm *v = (struct libvirt_vm *)vmm;
    libvirt_begin(v, LV_MEASURE, done, arg);
    libvirt_wait(v, vmm->site,
                 4 * VMM_WRITES_MS + 2 * (libvirt_timeout(v, TIMEOUT_CONNECT) +
                                          libvirt_timeout(v, TIMEOUT_COMMAND)),
                 "libvirt did not say in time what the VM writes");
    vmm->writes = (struct vmm_writes){.known = false};
    begin(v, 1);
}
