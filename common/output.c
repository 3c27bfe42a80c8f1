#include "common/output.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void output_begin(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF) {
            int taken = open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
            (void)taken; /* the lowest that is free: this one */
        }
    }
}

static bool reader_has_left(void)
{
    struct pollfd it = {.fd = STDOUT_FILENO, .events = POLLOUT};
    return poll(&it, 1, 0) > 0 && (it.revents & POLLERR) != 0;
}

bool output_end(const char *program)
{
    bool failed = ferror(stdout) != 0, left = reader_has_left();
    errno = 0;
    failed = fclose(stdout) != 0 || failed; /* tries again what could not be written */
    if (failed && !left && errno != EPIPE) {
        fprintf(stderr, "%s: standard output: %s\n", program,
                errno != 0 ? strerror(errno) : "not all of it could be written");
    }
    return !failed;
}
