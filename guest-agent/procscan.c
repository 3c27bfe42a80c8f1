/*
 * Theory of operation
 *
 * A device is free to be unplugged when no process has it open or mapped. The kernel shows both in
 * /proc/PID/fd and /proc/PID/maps: device nodes below /dev/infiniband and /dev/vfio, and the
 * anonymous inodes of RDMA event channels, which outlive the node. A mapping alone is enough to
 * hold a device, so a closed descriptor proves nothing.
 */
#include "guest-agent/procscan.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "guest-agent/shortage.h"
#include "guest-agent/text.h"

#define MAX_PROCESSES 256
#define MAX_OPEN      32
#define MAX_ENVIRON   (1024 * 1024)

static const char *const bypass[] = {
    "/dev/infiniband/",
    "/dev/vfio/",
    "anon_inode:[infinibandevent]",
};

static bool is_bypass(const char *name)
{
    for (size_t i = 0; i < sizeof(bypass) / sizeof(bypass[0]); i++) {
        if (strncmp(name, bypass[i], strlen(bypass[i])) == 0) {
            return true;
        }
    }
    return false;
}

static void add_once(json_t *list, const char *name)
{
    size_t i;
    json_t *have, *string = text_json(name, strlen(name));
    json_array_foreach(list, i, have)
    {
        if (json_equal(have, string)) {
            json_decref(string);
            return;
        }
    }
    if (json_array_size(list) < MAX_OPEN) {
        json_array_append_new(list, string);
    } else {
        json_decref(string);
    }
}

static void scan_descriptors(int proc_pid, json_t *list)
{
    int fd = openat(proc_pid, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL) {
        shortage_note();
        if (fd >= 0) {
            close(fd);
        }
        return;
    }
    struct dirent *entry;
    while ((entry = readdir(dir)) != NULL) {
        char target[PATH_MAX];
        ssize_t n = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);
        if (n > 0) {
            target[n] = '\0';
            if (is_bypass(target)) {
                add_once(list, target);
            }
        }
    }
    closedir(dir);
}

/* The path is the sixth field of a line: address perms offset dev inode path. */
static const char *path_of_mapping(const char *line)
{
    for (int field = 0; field < 5; field++) {
        line += strcspn(line, " ");
        line += strspn(line, " ");
    }
    return line;
}

static void scan_mappings(int proc_pid, json_t *list)
{
    int fd = openat(proc_pid, "maps", O_RDONLY | O_CLOEXEC);
    FILE *maps = fd >= 0 ? fdopen(fd, "r") : NULL;
    if (maps == NULL) {
        shortage_note();
        if (fd >= 0) {
            close(fd);
        }
        return;
    }
    char line[PATH_MAX + 128];
    while (fgets(line, sizeof(line), maps) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        const char *path = path_of_mapping(line);
        if (is_bypass(path)) {
            add_once(list, path);
        }
    }
    fclose(maps);
}

/* Reads up to max bytes of a file; a NUL follows them. NULL when there is none. */
static char *read_all(int dir, const char *name, size_t max, size_t *len)
{
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
    char *bytes = fd >= 0 ? malloc(max + 1) : NULL;
    *len = 0;
    if (bytes == NULL) {
        shortage_note();
    }
    while (bytes != NULL && *len < max) {
        ssize_t n = read(fd, bytes + *len, max - *len);
        if (n <= 0) {
            break;
        }
        *len += (size_t)n;
    }
    if (fd >= 0) {
        close(fd);
    }
    if (bytes != NULL) {
        bytes[*len] = '\0';
    }
    return bytes;
}

static json_t *job_of(int proc_pid)
{
    static const char key[] = "PMIX_NAMESPACE=";
    size_t len;
    json_t *job = NULL;
    char *environ_bytes = read_all(proc_pid, "environ", MAX_ENVIRON, &len);
    if (environ_bytes == NULL) {
        return NULL;
    }
    for (const char *p = environ_bytes; p < environ_bytes + len; p += strlen(p) + 1) {
        if (strncmp(p, key, sizeof(key) - 1) == 0) {
            const char *value = p + sizeof(key) - 1;
            job = text_json(value, strnlen(value, 255));
            break;
        }
    }
    free(environ_bytes);
    return job;
}

static json_t *look_at(const char *proc, const char *pid)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/%s", proc, pid);
    int dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0) {
        shortage_note();
        return NULL;
    }
    json_t *list = json_array(), *found = NULL;
    scan_descriptors(dir, list);
    scan_mappings(dir, list);
    if (json_array_size(list) > 0) {
        char command[64];
        if (!text_first_line(command, sizeof(command), "%s/comm", path)) {
            strcpy(command, "?");
        }
        found = json_pack("{s:i, s:o, s:O}", "pid", atoi(pid), "command",
                          text_json(command, strlen(command)), "open", list);
        json_t *job = job_of(dir);
        if (job != NULL) {
            json_object_set_new(found, "job", job);
        }
    }
    json_decref(list);
    close(dir);
    return found;
}

json_t *procscan(const char *proc, procscan_skip *skip, void *ctx)
{
    json_t *users = json_array();
    DIR *dir = opendir(proc);
    if (dir == NULL) {
        shortage_note();
        ninja_log_error("cannot look for users of devices in %s: %m", proc);
        return users;
    }
    struct dirent *entry;
    while (json_array_size(users) < MAX_PROCESSES && (entry = readdir(dir)) != NULL) {
        char *end;
        long pid = strtol(entry->d_name, &end, 10);
        if (!isdigit((unsigned char)entry->d_name[0]) || *end != '\0' || pid > INT_MAX ||
            (skip != NULL && skip(ctx, (pid_t)pid))) {
            continue;
        }
        json_t *found = look_at(proc, entry->d_name);
        if (found != NULL) {
            json_array_append_new(users, found);
        }
    }
    closedir(dir);
    return users;
}
