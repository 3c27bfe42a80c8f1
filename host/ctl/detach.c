#include "host/ctl/detach.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/base/plain_file.h"
#include "host/ctl/complaints.h"

/* Reads what the child writes before it closes the pipe, or ends. */
static void read_text(int fd, char *text, int size)
{
    ssize_t n = 0;
    int len = 0;
    do {
        n = read(fd, text + len, (size_t)(size - 1 - len));
        len += n > 0 ? (int)n : 0;
    } while ((n > 0 && len < size - 1) || (n < 0 && errno == EINTR));
    text[len] = '\0';
}

static int wait_for(pid_t pid)
{
    int status;
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR) {
            return EXIT_FAILURE;
        }
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE;
}

static void close_between(int before, int behind)
{
    if (before + 1 < behind) {
        close_range((unsigned)before + 1, (unsigned)behind - 1, 0);
    }
}

/* A program that waits until such a descriptor is closed does not wait for the migration. */
static void keep_only(int pipe, int complaints)
{
    int low = pipe < complaints ? pipe : complaints;
    int high = pipe < complaints ? complaints : pipe;
    low = low > STDERR_FILENO ? low : STDERR_FILENO;
    close_between(STDERR_FILENO, low);
    close_between(low, high);
    close_between(high, INT_MAX);
}

bool detach_fork(struct detach *detach, char *text, int size, int *code)
{
    int ends[2];
    text[0] = '\0';
    *code = EXIT_FAILURE;
    fflush(NULL);
    pid_t pid = pipe2(ends, O_CLOEXEC) < 0 ? -1 : fork();
    if (pid < 0) {
        complain_of("cannot detach: %s", strerror(errno));
        return false;
    }
    if (pid == 0) {
        close(ends[0]);
        detach->pipe = ends[1];
        keep_only(detach->pipe, complaints_fd());
        return true;
    }
    close(ends[1]);
    read_text(ends[0], text, size);
    close(ends[0]);
    *code = text[0] != '\0' ? 0 : wait_for(pid);
    return false;
}

bool detach_to_log(const char *log_path, struct ninja_error *err)
{
    int log = plain_file_open(log_path, O_WRONLY | O_CREAT | O_APPEND, 0644, ERR_STATE, err);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    bool ok = log >= 0 && null >= 0;
    if (!ok) {
        ninja_error_set(err, ERR_STATE, "/dev/null: %m");
    } else {
        setsid(); /* fails only where there is no terminal's session to leave */
        fflush(NULL);
        dup2(null, STDIN_FILENO);
        dup2(log, STDOUT_FILENO);
        dup2(log, STDERR_FILENO);
    }
    if (log >= 0) {
        close(log);
    }
    if (null >= 0) {
        close(null);
    }
    return ok;
}

void detach_accept(struct detach *detach, const char *text)
{
    /* Nobody may wait for it any more; it goes on all the same, and is found by its ID. */
    ssize_t written = write(detach->pipe, text, strlen(text));
    (void)written;
    close(detach->pipe);
    detach->pipe = -1;
    complaints_stop(); /* what comes now is not of how it began */
}
