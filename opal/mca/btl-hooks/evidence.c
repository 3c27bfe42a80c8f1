#include "evidence.h"

#include "opal_config.h"

#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "opal/util/argv.h"

/* Device nodes, and the anonymous inodes by which verbs reports events. */
static bool is_bypass_device(const char *path)
{
    return strstr(path, "/dev/infiniband/") != NULL || strstr(path, "/dev/vfio/") != NULL ||
           strstr(path, "[infinibandevent]") != NULL || strstr(path, "[uverbs") != NULL;
}

struct text {
    char *at;
    size_t room;
};

static void add_line(struct text *text, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text->at, text->room, fmt, ap);
    va_end(ap);
    if (n > 0 && (size_t)n < text->room) {
        text->at += n;
        text->room -= (size_t)n;
    }
}

bool evidence_for_each_descriptor(void (*visit)(int fd, const char *target, void *arg), void *arg)
{
    DIR *dir = opendir("/proc/self/fd");
    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;) {
        char target[256];
        ssize_t n = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);
        if (n > 0) {
            target[n] = '\0';
            visit(atoi(entry->d_name), target, arg);
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
    return dir != NULL;
}

struct found {
    struct text *text;
    size_t n;
};

static void note_bypass(int fd, const char *target, void *arg)
{
    struct found *found = arg;
    if (is_bypass_device(target)) {
        add_line(found->text, "descriptor %d -> %s\n", fd, target);
        found->n++;
    }
}

static size_t look_at_descriptors(struct text *text)
{
    struct found found = {text, 0};
    if (!evidence_for_each_descriptor(note_bypass, &found)) {
        add_line(text, "cannot read /proc/self/fd: %m\n");
        return 1; /* no evidence is not evidence of nothing */
    }
    return found.n;
}

/* "/dev/infiniband/uverbs0" */
static void add_device(int fd, const char *path, void *arg)
{
    char ***devices = arg;
    const char *uverbs = strstr(path, "/dev/infiniband/uverbs");
    char name_file[128], name[64];
    FILE *file = NULL;
    if (uverbs != NULL) {
        snprintf(name_file, sizeof(name_file), "/sys/class/infiniband_verbs/%.60s/ibdev",
                 uverbs + strlen("/dev/infiniband/"));
        file = fopen(name_file, "re");
    }
    if (file != NULL && fgets(name, sizeof(name), file) != NULL) {
        name[strcspn(name, "\n")] = '\0';
        opal_argv_append_unique_nosize(devices, name, false);
    }
    if (file != NULL) {
        fclose(file);
    }
}

char **evidence_devices(void)
{
    char **devices = NULL;
    evidence_for_each_descriptor(add_device, &devices);
    return devices;
}

static size_t look_at_mappings(struct text *text)
{
    size_t found = 0;
    char line[512];
    FILE *maps = fopen("/proc/self/maps", "re");
    if (maps == NULL) {
        add_line(text, "cannot read /proc/self/maps: %m\n");
        return 1;
    }
    while (fgets(line, sizeof(line), maps) != NULL) {
        if (is_bypass_device(line)) {
            add_line(text, "mapping %s", line);
            found++;
        }
    }
    fclose(maps);
    return found;
}

size_t evidence_open_devices(char *text, size_t size)
{
    struct text to = {text, size};
    text[0] = '\0';
    return look_at_descriptors(&to) + look_at_mappings(&to);
}
