#include "host/base/logs.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "host/base/memory.h"
#include "host/base/plain_file.h"

#define MAX_PATH 4200

struct log_file {
    int fd;
    off_t size;
    struct ninja_log_sink sink;
};

/* What cannot be written is forgotten: nobody could be told but by this file. */
static void put(struct log_file *file, const char *text, int len)
{
    ssize_t n = write(file->fd, text, (size_t)len);
    file->size += n > 0 ? n : 0;
}

static void write_line(void *arg, const struct ninja_log_line *line)
{
    static const char full[] = "the log is full; what follows is left out\n";
    struct log_file *file = arg;
    struct timespec now;
    struct tm tm;
    char stamp[32], text[2300];
    if (file->size >= LOG_FILE_MAX) {
        return;
    }
    clock_gettime(CLOCK_REALTIME, &now);
    localtime_r(&now.tv_sec, &tm);
    strftime(stamp, sizeof(stamp), "%Y-%m-%d %H:%M:%S", &tm);
    int n = snprintf(text, sizeof(text), "%s.%03ld %s: %s\n", stamp, now.tv_nsec / 1000000,
                     ninja_log_level_name(line->level), line->text);
    put(file, text, n < (int)sizeof(text) ? n : (int)sizeof(text) - 1);
    if (file->size >= LOG_FILE_MAX) {
        put(file, full, sizeof(full) - 1);
    }
}

struct log_file *log_file_open(const char *dir, bool only)
{
    char path[MAX_PATH];
    struct stat st;
    struct ninja_error err = NINJA_ERROR_INIT;
    struct log_file *file = xcalloc(1, sizeof(*file));
    snprintf(path, sizeof(path), "%s/log", dir);
    file->fd = plain_file_open(path, O_WRONLY | O_CREAT | O_APPEND, 0644, ERR_STATE, &err);
    if (file->fd < 0) {
        ninja_log_warning("%s; there is no log of this migration", err.message);
        free(file);
        return NULL;
    }
    file->size = fstat(file->fd, &st) == 0 ? st.st_size : 0;
    file->sink = (struct ninja_log_sink){.write = write_line, .arg = file};
    ninja_log_copy(&file->sink);
    ninja_log_stderr(!only);
    return file;
}

void log_file_close(struct log_file *file)
{
    if (file == NULL) {
        return;
    }
    ninja_log_copy(NULL);
    ninja_log_stderr(true);
    close(file->fd);
    free(file);
}
