#include "host/config/host_device.h"

#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/config/device.h"

/* The last part of what a link in the device's directory points to; empty: there is none. */
static void read_link(const char *dir, const char *name, char *to, size_t size)
{
    char path[PATH_MAX], target[PATH_MAX];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    ssize_t len = readlink(path, target, sizeof(target) - 1);
    target[len > 0 ? len : 0] = '\0';
    snprintf(to, size, "%s", len > 0 ? basename(target) : "");
}

static bool is_address(const char *text)
{
    size_t len = strlen(text);
    return len > 0 && len < 24 && strspn(text, "0123456789abcdefABCDEF:.") == len;
}

bool host_device_look(const char *sysfs, const char *device, struct host_device *found)
{
    json_t *json = device_parse(device, NULL);
    const char *driver = json_string_value(json_object_get(json, "driver"));
    const char *host = json_string_value(json_object_get(json, "host"));
    bool passed =
        driver != NULL && strncmp(driver, "vfio-pci", 8) == 0 && host != NULL && is_address(host);
    *found = (struct host_device){0};
    if (passed) {
        char dir[PATH_MAX / 2];
        struct stat info;
        bool has_domain = strchr(host, ':') != strrchr(host, ':');
        snprintf(found->address, sizeof(found->address), "%s%s", has_domain ? "" : "0000:", host);
        snprintf(dir, sizeof(dir), "%.1000s/bus/pci/devices/%s", sysfs, found->address);
        found->present = stat(dir, &info) == 0;
        read_link(dir, "driver", found->driver, sizeof(found->driver));
        read_link(dir, "iommu_group", found->group, sizeof(found->group));
    }
    json_decref(json);
    return passed;
}
