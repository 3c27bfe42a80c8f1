/* The cluster file; the same text as a device, and as a time-out on the command line. */
#include "host/config/cluster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "host/config/device.h"
#include "host/vmm/driver.h"
#include "tests/fuzz/fuzz.h"

/* libconfig forgets the string that a syntax error ends. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:strbuf_append\nleak:libconfig_yylex\n";
}

static void check_cluster(struct cluster *cluster)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    FUZZ_CHECK(cluster->name != NULL && driver_find(cluster->driver) != NULL);
    FUZZ_CHECK(cluster->n_vms > 0 && cluster->n_vms <= CLUSTER_MAX_VMS);
    FUZZ_CHECK(cluster->n_sites > 0 && cluster->n_sites <= CLUSTER_MAX_HOSTS);
    for (int s = 0; s < cluster->n_sites; s++) {
        FUZZ_CHECK(cluster_find_site(cluster, cluster->sites[s].name, &err) == s);
        for (int vm = 0; vm < cluster->n_vms; vm++) {
            const struct cluster_entry *entry = &cluster->sites[s].vms[vm];
            FUZZ_CHECK(entry->own != NULL && entry->line > 0);
            FUZZ_CHECK((entry->device.text != NULL) == (entry->device.id != NULL));
        }
    }
    for (int i = 0; i < TIMEOUTS; i++) {
        FUZZ_CHECK(cluster->timeouts[i] > 0);
    }
}

static void read_file(const char *text, size_t size)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    char path[64];
    int fd = memfd_create("cluster", MFD_CLOEXEC);
    FUZZ_CHECK(fd >= 0 && write(fd, text, size) == (ssize_t)size);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    struct cluster *cluster = cluster_read(path, driver_in_file, &err);
    FUZZ_CHECK((cluster == NULL) == ninja_error_is_set(&err));
    if (cluster != NULL) {
        check_cluster(cluster);
        struct ninja_error unused = NINJA_ERROR_INIT;
        cluster_set_timeout(cluster, text, &unused);
    }
    cluster_free(cluster);
    close(fd);
}

static void read_device(const char *text)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    json_t *device = device_parse(text, &err);
    FUZZ_CHECK((device == NULL) == ninja_error_is_set(&err));
    if (device != NULL) {
        FUZZ_CHECK(json_string_length(json_object_get(device, "driver")) > 0);
        FUZZ_CHECK(json_string_length(json_object_get(device, "id")) > 0);
    }
    json_decref(device);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* libconfig would read other files of this machine. */
    if (memmem(data, size, "@include", 8) != NULL) {
        return 0;
    }
    char *text = malloc(size + 1);
    FUZZ_CHECK(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    read_file(text, size);
    read_device(text);
    free(text);
    return 0;
}
