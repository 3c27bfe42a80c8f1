/*
 * ninja-libvirt: does what is asked of libvirt for the coordinator, which reads and writes JSON
 * lines.
 *
 * Calls to libvirt block, some of them for minutes, so they are made here: the coordinator stays
 * one thread, and can kill this process without harm, as migrations are the hosts' own. The main
 * thread reads requests and answers those whose time is over; libvirt's event loop has a thread;
 * each host has one (host.h), and each migration (job.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <libvirt/libvirt.h>
#include <libxml/parser.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/jsonline.h"
#include "host/base/memory.h"
#include "host/libvirt/channel.h"
#include "host/libvirt/check.h"
#include "host/libvirt/domain.h"
#include "host/libvirt/failure.h"
#include "host/libvirt/host.h"
#include "host/libvirt/job.h"
#include "host/libvirt/writes.h"
#include "host/base/json_output.h"

#define MAX_LINE (1024 * 1024)

static const struct {
    const char *name;
    request_fn *work;
    bool makes_host;
} commands[] = {
    {"host-open", host_open, true},
    {"domain-look", domain_look, false},
    {"domain-resume", domain_resume, false},
    {"domain-remove", domain_remove, false},
    {"device-detach", domain_detach, false},
    {"device-attach", domain_attach, false},
    {"migrate-check", check_migration, false},
    {"migrate", job_migrate, false},
    {"migrate-abort", job_abort, false},
    {"migrate-post-copy", job_change_sides, false},
    {"channel-open", channel_open, false},
    {"writes-begin", writes_begin, false},
    {"writes-look", writes_look, false},
};

/* The worker's part: one who has waited for too long behind others is not begun. */
static void work(void *arg)
{
    struct request *request = arg;
    if (request_is_over(request))
        request_answer(request, NULL);
    else
        request->work(request);
}

static bool begin(struct request *request, bool makes_host, struct ninja_error *err)
{
    const char *name = request_text(request, "host", REQUEST_MAX_NAME, err);
    if (name == NULL)
        return false;
    request->host = host_find(name);
    if (request->host == NULL && makes_host)
        request->host = host_make(name, err);
    if (request->host == NULL)
        return ninja_error_set(err, ERR_NOT_FOUND, "%s: no such host is open: send host-open first",
                               name);
    return worker_post(request->host->worker, work, request) ||
           ninja_error_set(err, ERR_BUSY, "%s: too much waits for this host already", name);
}

static void dispatch(json_t *object, struct ninja_error *err)
{
    const char *name = json_string_value(json_object_get(object, "execute"));
    struct request *request;
    size_t i = 0;
    while (i < sizeof(commands) / sizeof(commands[0]) &&
           (name == NULL || strcmp(commands[i].name, name) != 0))
        i++;
    if (i == sizeof(commands) / sizeof(commands[0])) {
        ninja_error_set(err, ERR_COMMAND_NOT_FOUND,
                        "there is no such command: docs/protocol.md has all of them");
        return;
    }
    request = request_new(json_object_get(object, "id"), json_object_get(object, "arguments"), err);
    if (request == NULL)
        return;
    request->work = commands[i].work;
    struct ninja_error wrong = NINJA_ERROR_INIT;
    if (!begin(request, commands[i].makes_host, &wrong))
        request_fail(request, &wrong);
}

static void on_line(void *ctx, json_t *object, const char *wrong)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    if (object == NULL)
        ninja_error_set(&err, ERR_BAD_REQUEST, "the line is no request: %s", wrong);
    else
        dispatch(object, &err);
    if (ninja_error_is_set(&err))
        request_refuse(json_object_get(object, "id"), &err);
}

static void loop(void *arg)
{
    while (virEventRunDefaultImpl() == 0)
        ;
    fprintf(stderr, "ninja-libvirt: libvirt's event loop failed\n");
    _exit(EXIT_FAILURE);
}

/* Wakes the event loop, which does not look for new timers by itself when it has none. */
static void tick(int timer, void *arg)
{
}

/* ssh would ask for a password at the terminal, while ninjactl uses it. */
static void leave_terminal(void)
{
    int tty;
    setenv("SSH_ASKPASS_REQUIRE", "never", 1);
    if (setsid() >= 0)
        return;
    tty = open("/dev/tty", O_RDWR | O_CLOEXEC);
    if (tty >= 0) {
        ioctl(tty, TIOCNOTTY);
        close(tty);
    }
}

/* Until nobody asks any more. */
static void serve(struct jsonline *lines)
{
    char bytes[65536];
    while (true) {
        struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
        ssize_t n;
        if (poll(&in, 1, request_expire()) <= 0)
            continue;
        n = read(STDIN_FILENO, bytes, sizeof(bytes));
        if (n == 0 || (n < 0 && errno != EINTR))
            return;
        if (n > 0)
            jsonline_feed(lines, bytes, (size_t)n);
    }
}

int main(void)
{
    json_set_alloc_funcs(xmalloc, free);
    struct jsonline *lines = jsonline_new(MAX_LINE, on_line, NULL);
    signal(SIGPIPE, SIG_IGN);
    leave_terminal();
    failure_keep_quiet();
    xmlInitParser();
    if (lines == NULL || virInitialize() < 0 || virEventRegisterDefaultImpl() < 0 ||
        virEventAddTimeout(1000, tick, NULL, NULL) < 0 || !worker_once(loop, NULL)) {
        fprintf(stderr, "ninja-libvirt: libvirt cannot be started\n");
        return EXIT_FAILURE;
    }
    serve(lines);
    _exit(EXIT_SUCCESS); /* threads may hang in libvirt */
}
