/*
 * Memory that is short, for a program that is to survive that. The linker has its calls, and those
 * of the libraries that take functions for it, come here (--wrap). From SIGUSR1 to SIGUSR2 one of
 * NINJA_SHORT_RATE fails, at random from NINJA_SHORT_SEED; of all of them that of number
 * NINJA_SHORT_NTH.
 */
#include <dirent.h>
#include <errno.h>
#include <event2/event.h>
#include <ifaddrs.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static volatile sig_atomic_t is_short;
static uint64_t seed, rate, nth, count;

static bool fails(void)
{
    bool fail = ++count == nth;
    if (is_short && rate > 0) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        fail |= (seed >> 33) % rate == 0;
    }
    if (fail) {
        errno = ENOMEM;
    }
    return fail;
}

#define WRAP(type, failed, name, takes, gives)                                                     \
    type __real_##name takes;                                                                      \
    type __wrap_##name takes;                                                                      \
    type __wrap_##name takes                                                                       \
    {                                                                                              \
        return fails() ? failed : __real_##name gives;                                             \
    }

typedef int filter(const struct dirent *entry);
typedef int compare(const struct dirent **a, const struct dirent **b);

WRAP(void *, NULL, malloc, (size_t size), (size))
WRAP(void *, NULL, calloc, (size_t n, size_t size), (n, size))
WRAP(void *, NULL, realloc, (void *memory, size_t size), (memory, size))
WRAP(char *, NULL, strdup, (const char *text), (text))
WRAP(char *, NULL, realpath, (const char *path, char *found), (path, found))
WRAP(DIR *, NULL, opendir, (const char *path), (path))
WRAP(DIR *, NULL, fdopendir, (int fd), (fd))
WRAP(FILE *, NULL, fdopen, (int fd, const char *mode), (fd, mode))
WRAP(int, -1, getifaddrs, (struct ifaddrs * *all), (all))
WRAP(int, -1, scandir, (const char *path, struct dirent ***names, filter *f, compare *c),
     (path, names, f, c))

static void on_signal(int number)
{
    is_short = number == SIGUSR1;
}

static uint64_t number_of(const char *name)
{
    const char *text = getenv(name);
    return text != NULL ? strtoull(text, NULL, 10) : 0;
}

__attribute__((constructor)) static void begin(void)
{
    seed = number_of("NINJA_SHORT_SEED");
    rate = number_of("NINJA_SHORT_RATE");
    nth = number_of("NINJA_SHORT_NTH");
    event_set_mem_functions(__wrap_malloc, __wrap_realloc, free);
    signal(SIGUSR1, on_signal);
    signal(SIGUSR2, on_signal);
}
