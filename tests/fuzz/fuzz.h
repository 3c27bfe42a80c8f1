/*
 * What the libFuzzer targets share.
 *
 * A target reads its whole input through the entry point that the real program has, and checks
 * what comes out where that can be told. Nothing of it waits: event loops are run without
 * blocking, so timers do not fire but those of 0 ms, and the short ones of the host (hurry.c).
 */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include <event2/event.h>
#include <stddef.h>
#include <stdint.h>

/* As assert(), in every build. */
#define FUZZ_CHECK(condition)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fuzz_fail(__FILE__, __LINE__, #condition);                                             \
        }                                                                                          \
    } while (0)

void fuzz_fail(const char *file, int line, const char *condition) __attribute__((noreturn));

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/** NAME in a directory of this process, which is removed when it exits; malloc'ed. */
char *fuzz_path(const char *name);

/** An event base without a log or a time of its own. */
struct event_base *fuzz_event_base(void);

/** Runs what can run now: what is read, what that has to be answered, and what that begins. */
void fuzz_run(struct event_base *base);

/** Takes the first byte of the input; 0 when there is none. */
uint8_t fuzz_byte(const uint8_t **data, size_t *size);

#endif
