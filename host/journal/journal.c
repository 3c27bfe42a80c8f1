#include "host/journal/journal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "host/base/memory.h"
#include "host/base/plain_file.h"
#include "host/base/timer.h"
#include "host/base/whole_file.h"

#define STAMP    15 /* characters of an ID before the number that counts within a second */
#define MAX_PATH 4096

struct journal {
    char dir[MAX_PATH];
    char id[JOURNAL_ID_SIZE];
    int fd;
    bool cut_off; /* the last line is not whole */
    struct ninja_error err;
};

/* Makes a directory and those above it. */
static bool make_dirs(const char *path, struct ninja_error *err)
{
    char part[MAX_PATH];
    if (strlen(path) >= sizeof(part)) {
        return ninja_error_set(err, ERR_STATE, "%.80s...: the path is too long", path);
    }
    for (const char *c = path + 1;; c++) {
        if (*c != '/' && *c != '\0') {
            continue;
        }
        memcpy(part, path, (size_t)(c - path));
        part[c - path] = '\0';
        if (mkdir(part, 0755) < 0 && errno != EEXIST) {
            return ninja_error_set(err, ERR_STATE, "%s: %m (--state-dir DIR names another)", part);
        }
        if (*c == '\0') {
            return true;
        }
    }
}

/* So that what was made in it is there after a power failure. */
static bool sync_dir(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0) {
        close(fd);
    }
    return ok;
}

/*
 * The order of IDs is the order in which migrations began, as the last one may have been
 * interrupted. So where the clock was set back, the stamp of the ID before is used again. 0: made.
 */
static int make_own_dir(struct journal *journal, const char *state_dir)
{
    char stamp[16], (*ids)[JOURNAL_ID_SIZE];
    time_t now = time(NULL);
    struct tm tm;
    gmtime_r(&now, &tm);
    strftime(stamp, sizeof(stamp), "%Y%m%d-%H%M%S", &tm);
    int n = journal_list(state_dir, &ids), first = 1, made = -1;
    if (n > 0 && strncmp(ids[n - 1], stamp, STAMP) >= 0) {
        snprintf(stamp, sizeof(stamp), "%.*s", STAMP, ids[n - 1]);
        first = atoi(ids[n - 1] + STAMP + 1) + 1;
    }
    free(ids);
    for (int i = first; made < 0 && i < first + 1000; i++) {
        snprintf(journal->id, sizeof(journal->id), "%s-%d", stamp, i);
        snprintf(journal->dir, sizeof(journal->dir), "%s/%s", state_dir, journal->id);
        made = mkdir(journal->dir, 0755);
        if (made < 0 && errno != EEXIST) {
            break;
        }
    }
    return made;
}

bool journal_key_is_valid(const char *key)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:/@+-";
    size_t len = strspn(key, allowed);
    return len > 0 && len <= JOURNAL_MAX_KEY && key[len] == '\0';
}

struct journal *journal_new(const char *state_dir, struct ninja_error *err)
{
    char path[MAX_PATH + 64];
    struct journal *journal = xcalloc(1, sizeof(*journal));
    if (!make_dirs(state_dir, err)) {
        free(journal);
        return NULL;
    }
    int made = make_own_dir(journal, state_dir);
    snprintf(path, sizeof(path), "%s/journal", journal->dir);
    journal->fd =
        made < 0 ? -1 : plain_file_open(path, O_WRONLY | O_CREAT | O_APPEND, 0644, ERR_STATE, err);
    if (journal->fd < 0 || !sync_dir(journal->dir) || !sync_dir(state_dir)) {
        ninja_error_set(err, ERR_STATE, "%s: %m (--state-dir DIR names another)",
                        made < 0 ? journal->dir : path);
        if (journal->fd >= 0) {
            close(journal->fd);
        }
        free(journal);
        return NULL;
    }
    return journal;
}

struct journal *journal_open(const char *state_dir, const char *id, struct ninja_error *err)
{
    char path[MAX_PATH + 64];
    struct journal *journal = xcalloc(1, sizeof(*journal));
    snprintf(journal->id, sizeof(journal->id), "%s", id);
    snprintf(journal->dir, sizeof(journal->dir), "%s/%s", state_dir, id);
    snprintf(path, sizeof(path), "%s/journal", journal->dir);
    journal->fd = plain_file_open(path, O_RDWR | O_APPEND, 0, ERR_STATE, err);
    char last;
    off_t size = journal->fd < 0 ? -1 : lseek(journal->fd, 0, SEEK_END);
    bool ok = size >= 0;
    if (ok && size > 0 && pread(journal->fd, &last, 1, size - 1) == 1 && last != '\n') {
        ok = write(journal->fd, "\n", 1) == 1; /* the last line was cut off */
    }
    if (!ok) {
        ninja_error_set(err, ERR_STATE, "%s: %m", path);
        if (journal->fd >= 0) {
            close(journal->fd);
        }
        free(journal);
        return NULL;
    }
    return journal;
}

const char *journal_id(const struct journal *journal)
{
    return journal->id;
}

const char *journal_dir(const struct journal *journal)
{
    return journal->dir;
}

void journal_write(struct journal *journal, json_t *entry)
{
    char time_text[40];
    wall_clock_text(time_text, sizeof(time_text));
    json_object_set_new(entry, "time", json_string(time_text));
    char *text = json_dumps(entry, JSON_COMPACT);
    json_decref(entry);
    int len = dprintf(journal->fd, "%s%s\n", journal->cut_off ? "\n" : "", text ? text : "{}");
    journal->cut_off = len < 0;
    if (len < 0 || fdatasync(journal->fd) < 0) {
        ninja_log_warning("%s/journal: %m", journal->dir);
        ninja_error_set(&journal->err, ERR_STATE, "%s/journal: %m", journal->dir);
    }
    free(text);
}

const struct ninja_error *journal_error(const struct journal *journal)
{
    return ninja_error_is_set(&journal->err) ? &journal->err : NULL;
}

bool journal_write_report(struct journal *journal, const json_t *report, struct ninja_error *err)
{
    char path[MAX_PATH + 64];
    snprintf(path, sizeof(path), "%s/report.json", journal->dir);
    char *text = NULL;
    size_t size;
    FILE *out = xopen_stream(&text, &size);
    json_dumpf(report, out, JSON_INDENT(2));
    fputc('\n', out);
    fclose(out);
    bool ok = whole_file_write(path, WHOLE_FILE_UMASK, text, size, err);
    free(text);
    return ok;
}

void journal_free(struct journal *journal)
{
    if (journal != NULL) {
        close(journal->fd);
        free(journal);
    }
}

/* ---- the lock ---- */

/*
 * A record lock of fcntl: the kernel knows who has it, and asking does not take it. It belongs to
 * the process, and goes when the process closes any descriptor of the file. So a file is opened
 * once, and what this process holds is kept here.
 */
struct held {
    struct held *next;
    int fd;
    char path[MAX_PATH];
};

static struct held *all_held;

static const struct held *find_held(const char *path)
{
    const struct held *held = all_held;
    while (held != NULL && strcmp(held->path, path) != 0) {
        held = held->next;
    }
    return held;
}

static bool lock_path(char *path, const char *state_dir, const char *cluster)
{
    int n = snprintf(path, MAX_PATH, "%s/%s.lock", state_dir, cluster);
    errno = ENAMETOOLONG;
    return n >= 0 && n < MAX_PATH;
}

/* 0: nobody has it. */
static pid_t holder_of(int fd)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(fd, F_GETLK, &lock) < 0 || lock.l_type == F_UNLCK) {
        return 0;
    }
    return lock.l_pid;
}

static int lock_failed(int fd, const char *path, struct ninja_error *err)
{
    ninja_error_set(err, ERR_STATE, "%s: %m", path);
    if (fd >= 0) {
        close(fd);
    }
    return -1;
}

static int lock_busy(const char *cluster, pid_t pid, struct ninja_error *err)
{
    ninja_error_set(err, ERR_BUSY,
                    "a migration or switch of \"%s\" is running already (process %d); wait for it, "
                    "or end it with ninjactl abort",
                    cluster, (int)pid);
    return -1;
}

int lock_take(const char *state_dir, const char *cluster, struct ninja_error *err)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char path[MAX_PATH];
    if (!make_dirs(state_dir, err)) {
        return -1;
    }
    if (!lock_path(path, state_dir, cluster)) {
        return lock_failed(-1, state_dir, err);
    }
    if (find_held(path) != NULL) {
        return lock_busy(cluster, getpid(), err);
    }
    /* A user who can read it can lock it, and so keep us from it. */
    int fd = plain_file_open(path, O_RDWR | O_CREAT, 0600, ERR_STATE, err);
    if (fd < 0 || fchmod(fd, 0600) != 0) {
        return lock_failed(fd, path, err);
    }
    if (fcntl(fd, F_SETLK, &lock) < 0) {
        if (errno != EACCES && errno != EAGAIN) {
            return lock_failed(fd, path, err);
        }
        pid_t pid = holder_of(fd);
        close(fd);
        return lock_busy(cluster, pid, err);
    }
    struct held *held = xmalloc(sizeof(*held));
    *held = (struct held){.next = all_held, .fd = fd};
    strcpy(held->path, path); /* both are MAX_PATH */
    all_held = held;
    return fd;
}

void lock_release(int fd)
{
    for (struct held **at = &all_held; *at != NULL; at = &(*at)->next) {
        struct held *held = *at;
        if (held->fd == fd) {
            *at = held->next;
            free(held);
            break;
        }
    }
    close(fd);
}

pid_t lock_holder(const char *state_dir, const char *cluster)
{
    char path[MAX_PATH];
    if (!lock_path(path, state_dir, cluster)) {
        return 0;
    }
    if (find_held(path) != NULL) {
        return getpid();
    }
    int fd = plain_file_open(path, O_RDONLY, 0, ERR_STATE, NULL); /* enough to ask */
    if (fd < 0) {
        return errno == EACCES ? -1 : 0;
    }
    pid_t pid = holder_of(fd);
    close(fd);
    return pid;
}

/* ---- reports ---- */

/* IDs are of one length up to their last number, which counts within a second. */
static int by_id(const struct dirent **a, const struct dirent **b)
{
    int order = strncmp((*a)->d_name, (*b)->d_name, STAMP + 1);
    return order ? order : atoi((*a)->d_name + STAMP + 1) - atoi((*b)->d_name + STAMP + 1);
}

bool journal_is_id(const char *name)
{
    return strlen(name) > 16 && strlen(name) < JOURNAL_ID_SIZE && name[8] == '-' &&
           name[15] == '-' && strspn(name, "0123456789-") == strlen(name);
}

static int is_id(const struct dirent *entry)
{
    return journal_is_id(entry->d_name);
}

int journal_list(const char *state_dir, char (**ids)[JOURNAL_ID_SIZE])
{
    struct dirent **entries = NULL;
    int n = scandir(state_dir, &entries, is_id, by_id), kept = 0;
    *ids = n > 0 ? xcalloc((size_t)n, sizeof(**ids)) : NULL;
    if (n < 0) {
        return -1;
    }
    for (int i = 0; i < n; i++) {
        if (*ids != NULL) {
            strcpy((*ids)[kept++], entries[i]->d_name); /* is_id() looked at its length */
        }
        free(entries[i]);
    }
    free(entries);
    return kept;
}

/* What is left to read of a file. */
struct part {
    int fd;
    size_t left;
};

static size_t read_part(void *buffer, size_t size, void *arg)
{
    struct part *part = arg;
    ssize_t n;
    do {
        n = read(part->fd, buffer, size < part->left ? size : part->left);
    } while (n < 0 && errno == EINTR);
    part->left -= n > 0 ? (size_t)n : 0;
    return n < 0 ? (size_t)-1 : (size_t)n;
}

static json_t *report_load(const char *state_dir, const char *id, struct ninja_error *err)
{
    char path[MAX_PATH];
    json_error_t error;
    struct stat file;
    snprintf(path, sizeof(path), "%s/%s/report.json", state_dir, id);
    int fd = plain_file_open(path, O_RDONLY, 0, ERR_STATE, err);
    if (fd < 0) {
        return NULL;
    }
    bool fits = fstat(fd, &file) == 0 && file.st_size <= REPORT_MAX_SIZE;
    json_t *report =
        fits ? json_load_callback(read_part, &(struct part){fd, REPORT_MAX_SIZE}, 0, &error) : NULL;
    close(fd);
    if (report == NULL) {
        ninja_error_set(err, ERR_STATE, "%s: %s", path,
                        fits ? error.text
                             : "it is larger than 64 MiB, so it is no report; remove it");
    }
    return report;
}

json_t *report_read(const char *state_dir, const char *id, struct ninja_error *err)
{
    struct dirent **entries = NULL;
    if (id != NULL) {
        if (strchr(id, '/') != NULL) {
            ninja_error_set(err, ERR_STATE, "\"%s\" is not the ID of a migration", id);
            return NULL;
        }
        return report_load(state_dir, id, err);
    }
    int n = scandir(state_dir, &entries, is_id, by_id);
    json_t *report = NULL;
    for (int i = n - 1; i >= 0; i--) {
        if (report == NULL) {
            report = report_load(state_dir, entries[i]->d_name, NULL);
        }
        free(entries[i]);
    }
    free(entries);
    if (report == NULL) {
        ninja_error_set(err, ERR_STATE, "%s: there is no report of a migration here", state_dir);
    }
    return report;
}
