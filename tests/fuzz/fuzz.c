#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"

static char directory[64];

void fuzz_fail(const char *file, int line, const char *condition)
{
    fprintf(stderr, "%s:%d: not so: %s\n", file, line, condition);
    abort();
}

static void remove_all(int dir_fd)
{
    DIR *dir = fdopendir(dir_fd);
    struct dirent *entry;
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            unlinkat(dir_fd, entry->d_name, 0) != 0) {
            remove_all(openat(dir_fd, entry->d_name, O_RDONLY | O_DIRECTORY));
            unlinkat(dir_fd, entry->d_name, AT_REMOVEDIR);
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
}

static void remove_directory(void)
{
    remove_all(open(directory, O_RDONLY | O_DIRECTORY));
    rmdir(directory);
}

char *fuzz_path(const char *name)
{
    static const char *const made[] = {"scripts", "sys", "proc", "state"};
    char path[128];
    if (directory[0] == '\0') {
        const char *top = getenv("FUZZ_DIR");
        snprintf(directory, sizeof(directory), "%.40s/f.XXXXXX", top != NULL ? top : "/tmp");
        FUZZ_CHECK(mkdtemp(directory) != NULL);
        for (size_t i = 0; i < sizeof(made) / sizeof(made[0]); i++) {
            snprintf(path, sizeof(path), "%s/%s", directory, made[i]);
            FUZZ_CHECK(mkdir(path, 0700) == 0);
        }
        atexit(remove_directory);
        ninja_log_init("fuzz", NINJA_LOG_ERROR);
    }
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    char *copy = strdup(path);
    FUZZ_CHECK(copy != NULL);
    return copy;
}

struct event_base *fuzz_event_base(void)
{
    struct event_base *base = event_base_new();
    FUZZ_CHECK(base != NULL);
    return base;
}

void fuzz_run(struct event_base *base)
{
    for (int i = 0; i < 3; i++) {
        event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    }
}

uint8_t fuzz_byte(const uint8_t **data, size_t *size)
{
    if (*size == 0) {
        return 0;
    }
    (*size)--;
    return *(*data)++;
}
