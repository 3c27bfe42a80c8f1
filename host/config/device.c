#include "host/config/device.h"

#include <stdlib.h>
#include <string.h>

#include "host/base/memory.h"

/* Copies up to the next single comma; returns where to go on, NULL at the end. */
static const char *next_part(const char *text, char *part)
{
    while (*text != '\0') {
        if (text[0] == ',') {
            if (text[1] != ',') {
                *part = '\0';
                return text + 1;
            }
            text++;
        }
        *part++ = *text++;
    }
    *part = '\0';
    return NULL;
}

static bool add_property(json_t *device, char *part, struct ninja_error *err)
{
    char *equals = strchr(part, '=');
    if (equals == NULL || equals == part) {
        return ninja_error_set(err, ERR_DEVICE, "expected key=value, found \"%s\"", part);
    }
    *equals = '\0';
    if (strcmp(part, "driver") == 0 || json_object_get(device, part) != NULL) {
        return ninja_error_set(err, ERR_DEVICE, "\"%s\" is given twice", part);
    }
    if (json_object_set_new(device, part, json_string(equals + 1)) != 0) {
        return ninja_error_set(err, ERR_DEVICE, "the value of \"%s\" is not UTF-8", part);
    }
    return true;
}

static bool fill(json_t *device, const char *text, char *part, struct ninja_error *err)
{
    const char *rest = next_part(text, part);
    if (part[0] == '\0' || strchr(part, '=') != NULL) {
        return ninja_error_set(err, ERR_DEVICE,
                               "expected the name of a QEMU device first, as in "
                               "\"vfio-pci,host=0000:3b:00.1,id=hca0,bus=rp1\"");
    }
    if (json_object_set_new(device, "driver", json_string(part)) != 0) {
        return ninja_error_set(err, ERR_DEVICE, "the driver's name is not UTF-8");
    }
    while (rest != NULL) {
        rest = next_part(rest, part);
        if (!add_property(device, part, err)) {
            return false;
        }
    }
    const char *id = json_string_value(json_object_get(device, "id"));
    if (id == NULL || id[0] == '\0') {
        return ninja_error_set(err, ERR_DEVICE,
                               "expected an id (id=NAME), by which it is unplugged again");
    }
    return true;
}

json_t *device_parse(const char *text, struct ninja_error *err)
{
    char *part = xmalloc(strlen(text) + 1);
    json_t *device = json_object();
    if (fill(device, text, part, err)) {
        free(part);
        return device;
    }
    free(part);
    json_decref(device);
    return NULL;
}
