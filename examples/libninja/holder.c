/*
 * The least that a program does with libninja: it holds a device, lets go of it before its VM is
 * migrated, and opens it again, or what is there in its place, afterwards.
 *
 *     cc -o holder holder.c $(pkg-config --cflags --libs libninja)
 *     ./holder DEVICE [AGENT-SOCKET]
 *
 * It ends with SIGTERM or SIGINT.
 */
#include <errno.h>
#include <fcntl.h>
#include <ninja.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *path;
static int device = -1;
static volatile sig_atomic_t ended;

static void on_signal(int number)
{
    ended = 1;
}

static void on_release(struct ninja *ninja, const struct ninja_order *order, void *arg)
{
    close(device);
    device = -1;
    printf("released %s\n", order->release);
    ninja_done(ninja, order->number);
}

/* A VM that has no such device, or is about to lose it, is a place to live in as well. */
static void on_open(struct ninja *ninja, const struct ninja_order *order, void *arg)
{
    device = order->bypass ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (order->bypass && device < 0 && errno != ENOENT) {
        ninja_fail(ninja, order->number, strerror(errno));
        return;
    }
    printf("opened %s: %s\n", order->open, device >= 0 ? path : "no device");
    ninja_done(ninja, order->number);
}

static void on_resume(struct ninja *ninja, const struct ninja_order *order, void *arg)
{
    printf("runs\n");
    ninja_done(ninja, order->number);
}

static void on_say(int level, const char *text, void *arg)
{
    if (level <= 1) {
        fprintf(stderr, "holder: %s\n", text);
    }
}

int main(int argc, char **argv)
{
    const struct ninja_callbacks callbacks = {.size = sizeof(callbacks),
                                              .release = on_release,
                                              .open = on_open,
                                              .resume = on_resume,
                                              .say = on_say};
    if (argc < 2 || argc > 3) {
        fprintf(stderr, "usage: %s DEVICE [AGENT-SOCKET]\n", argv[0]);
        return 2;
    }
    path = argv[1];
    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    device = open(path, O_RDONLY | O_CLOEXEC);
    struct ninja *ninja = ninja_join(argc == 3 ? argv[2] : NULL, NULL, 0, 1, &callbacks, NULL);
    if (ninja == NULL) {
        perror("ninja_join");
        return 1;
    }
    /* A real program works with its device here, and polls the descriptor beside its own. */
    bool left = false;
    while (!left) {
        struct pollfd p = {ninja_descriptor(ninja), POLLIN, 0};
        poll(&p, 1, 100);
        if (ended) {
            ended = 0;
            ninja_leave(ninja);
        }
        left = ninja_dispatch(ninja) == 1;
    }
    ninja_close(ninja);
    return 0;
}
