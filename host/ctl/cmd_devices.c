/*
 * devices: the bypass devices and interconnects of each VM, as its guest sees them, as its QEMU has
 * them, and as the cluster file gives them at each site.
 */
#include <stdio.h>
#include <string.h>

#include "host/base/json_text.h"
#include "host/config/host_device.h"
#include "host/ctl/ninjactl.h"
#include "host/vmm/looks.h"

/* ---- what there is, as JSON ---- */

/* The devices that its VMM has. */
static json_t *vmm_devices(const struct look *look, const char *bypass)
{
    json_t *list = json_array(), *device;
    size_t i;
    json_array_foreach(look->devices, i, device)
    {
        json_t *shown = json_copy(device);
        bool is_bypass = bypass != NULL && strcmp(json_text_in(device, "id"), bypass) == 0;
        json_object_set_new(shown, "bypass", json_boolean(is_bypass));
        json_array_append_new(list, shown);
    }
    return list;
}

static json_t *host_device(const char *sysfs, const char *device)
{
    struct host_device found;
    if (device == NULL || !host_device_look(sysfs, device, &found)) {
        return json_null();
    }
    return json_pack("{s:s, s:b, s:s, s:s}", "address", found.address, "present", found.present,
                     "driver", found.driver, "iommu_group", found.group);
}

static json_t *site_devices(const struct args *args, const struct cluster *cluster,
                            const struct vmm *vmm)
{
    json_t *list = json_array();
    for (int s = 0; s < cluster->n_sites; s++) {
        const char *device = vmm_device_text(vmm, s);
        json_array_append_new(list,
                              json_pack("{s:s, s:o, s:b, s:o}", "site", cluster->sites[s].name,
                                        "device", device ? json_text(device) : json_null(),
                                        "plugged", vmm->site == s && vmm->has_device, "host_device",
                                        host_device(args->sysfs, device)));
    }
    return list;
}

static json_t *devices_of(const struct args *args, const struct session *session, int i)
{
    const struct survey_vm *vm = &survey_vms(session->survey)[i];
    const struct cluster *cluster = session->cluster;
    int site = vm->vmm->site;
    const struct look *look = site >= 0 ? looks_at(session->looks, i, site) : NULL;
    json_t *json = json_pack("{s:s, s:o}", "name", cluster->vms[i], "sites",
                             site_devices(args, cluster, vm->vmm));
    const struct ninja_error *err = site < 0 ? &vm->vmm_err : &vm->agent_err;
    if (site >= 0) {
        json_object_set_new(json, "site", json_string(cluster->sites[site].name));
    }
    if (look != NULL) {
        json_object_set_new(
            json, "vmm", vmm_devices(look, vm->vmm->has_device ? vmm_device(vm->vmm)->id : NULL));
    }
    if (vm->interconnects != NULL) {
        json_object_set(json, "interconnects", vm->interconnects);
    }
    if (ninja_error_is_set(err)) {
        json_object_set_new(json, "error", json_text(err->message));
    }
    return json;
}

/* ---- and as text ---- */

static void print_site(json_t *site)
{
    json_t *host = json_object_get(site, "host_device");
    const char *device = json_text_in(site, "device");
    printf("    at %-8s %s%s", json_text_in(site, "site"), device[0] ? device : "no bypass device",
           json_is_true(json_object_get(site, "plugged")) ? " (plugged in)" : "");
    if (json_is_object(host) && json_is_true(json_object_get(host, "present"))) {
        const char *driver = json_text_in(host, "driver"),
                   *group = json_text_in(host, "iommu_group");
        printf("; on this host bound to %s, %s%s", driver[0] ? driver : "no driver",
               group[0] ? "IOMMU group " : "in no IOMMU group", group);
    } else if (json_is_object(host)) {
        printf("; not a device of this host");
    }
    printf("\n");
}

static void print_vm(json_t *vm)
{
    size_t i;
    json_t *entry;
    const char *site = json_text_in(vm, "site");
    printf("%s %s%s\n", json_text_in(vm, "name"), site[0] ? "runs at " : "was not found", site);
    if (json_text_in(vm, "error")[0] != '\0') {
        printf("    %s\n", json_text_in(vm, "error"));
    }
    show_interconnects(json_object_get(vm, "interconnects"));
    json_array_foreach(json_object_get(vm, "vmm"), i, entry)
    {
        printf("    QEMU %s %s%s\n", json_text_in(entry, "id"), json_text_in(entry, "driver"),
               json_is_true(json_object_get(entry, "bypass")) ? " (the bypass device)" : "");
    }
    json_array_foreach(json_object_get(vm, "sites"), i, entry)
    {
        print_site(entry);
    }
}

int cmd_devices(const struct args *args)
{
    struct session session;
    int code = session_open_to_look(&session, args);
    if (code != EXIT_DONE) {
        return code;
    }
    session_look(&session);
    session_survey(&session, NULL);
    json_t *vms = json_array(), *vm;
    size_t i;
    for (int v = 0; v < session.cluster->n_vms; v++) {
        json_array_append_new(vms, devices_of(args, &session, v));
    }
    json_array_foreach(vms, i, vm)
    {
        if (!args->json) {
            print_vm(vm);
        }
    }
    if (args->json) {
        print_object(json_pack("{s:s, s:O}", "cluster", session.cluster->name, "vms", vms));
    }
    json_decref(vms);
    code = survey_is_complete(session.survey, NULL) ? EXIT_DONE : EXIT_FAILED;
    session_close(&session);
    return code;
}
