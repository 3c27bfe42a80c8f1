/* A program of the host that gets no memory: it ends, says why, and by a status of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <jansson.h>
#include <cmocka.h>

#include "host/base/memory.h"

static long left = -1; /* allocations that do not fail; -1: none fails */

static bool fails(void)
{
    left -= left > 0;
    return left == 0;
}

/* What the linker has memory.c call in place of the C library. */
#define WRAP(type, failed, name, takes, gives)                                                     \
    type __real_##name takes;                                                                      \
    type __wrap_##name takes;                                                                      \
    type __wrap_##name takes                                                                       \
    {                                                                                              \
        return fails() ? failed : __real_##name gives;                                             \
    }

WRAP(void *, NULL, malloc, (size_t size), (size))
WRAP(void *, NULL, calloc, (size_t n, size_t size), (n, size))
WRAP(void *, NULL, realloc, (void *memory, size_t size), (memory, size))
WRAP(char *, NULL, strdup, (const char *text), (text))
WRAP(char *, NULL, strndup, (const char *text, size_t len), (text, len))
WRAP(int, -1, vasprintf, (char **text, const char *fmt, va_list ap), (text, fmt, ap))

static void bytes(void)
{
    free(xmalloc(8));
}

static void elements(void)
{
    free(xcalloc(2, 4));
}

static void more_bytes(void)
{
    free(xrealloc(NULL, 8));
}

static void a_copy(void)
{
    free(xstrdup("text"));
}

static void a_part(void)
{
    free(xstrndup("text", 2));
}

static void a_text(void)
{
    free(xasprintf("%d", 1));
}

static void a_stream(void)
{
    char *text;
    size_t size;
    FILE *out = xopen_stream(&text, &size);
    fputs("a text", out);
    fclose(out);
    free(text);
}

static void of_another(void)
{
    xchecked(left < 0 ? &left : NULL);
}

static void jansson(void)
{
    json_t *list = json_array();
    for (int i = 0; i < 1000; i++) {
        json_array_append_new(list, json_pack("{s:s, s:i}", "text", "a text", "number", i));
    }
    free(json_dumps(list, JSON_COMPACT));
    json_decref(list);
}

static void libevent(void)
{
    static char many[65536];
    struct event_base *base = event_base_new();
    struct evbuffer *buffer = evbuffer_new();
    evbuffer_add(buffer, many, sizeof(many));
    event_free(evtimer_new(base, NULL, NULL));
    evbuffer_free(buffer);
    event_base_free(base);
}

/* Runs it in a process that gets so many allocations; returns its exit status. */
static int run(void (*allocate)(void), long allocations, char *said, size_t size)
{
    int ends[2], status;
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(ends[1], STDERR_FILENO);
        memory_begin();
        left = allocations;
        allocate();
        _exit(0);
    }
    close(ends[1]);
    ssize_t n = read(ends[0], said, size - 1);
    said[n > 0 ? n : 0] = '\0';
    close(ends[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* Whichever allocation fails. */
static void no_memory_ends_the_program(void **state)
{
    void (*const all[])(void) = {bytes,  elements, more_bytes, a_copy,  a_part,
                                 a_text, a_stream, of_another, jansson, libevent};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        char said[256];
        long n = 1;
        int code;
        assert_int_equal(run(all[i], -1, said, sizeof(said)), 0);
        assert_string_equal(said, "");
        while ((code = run(all[i], n, said, sizeof(said))) != 0) {
            assert_int_equal(code, EXIT_MEMORY);
            assert_non_null(strstr(said, "test_memory: out of memory"));
            if (all[i] == of_another) {
                break;
            }
            n += 1 + n / 4;
        }
        assert_true(n > 1 || all[i] == of_another);
    }
}

static void a_stream_is_a_text(void **state)
{
    char *all;
    size_t size;
    fclose(xopen_stream(&all, &size));
    assert_string_equal(all, "");
    assert_int_equal(size, 0);
    free(all);
    FILE *out = xopen_stream(&all, &size);
    for (int i = 0; i < 5000; i++) {
        fprintf(out, "%04d.", i);
    }
    assert_int_equal(fclose(out), 0);
    assert_int_equal(size, 25000);
    assert_int_equal(strlen(all), 25000);
    assert_memory_equal(all + 24990, "4998.4999.", 10);
    free(all);
}

static void there_is_memory_for_nothing_and_for_texts(void **state)
{
    void *nothing[] = {xmalloc(0), xcalloc(0, 8), xcalloc(8, 0), xrealloc(xmalloc(8), 0)};
    for (size_t i = 0; i < sizeof(nothing) / sizeof(nothing[0]); i++) {
        assert_non_null(nothing[i]);
        free(nothing[i]);
    }
    char *texts[] = {xstrdup("abc"), xstrndup("abcd", 3), xasprintf("a%s", "bc")};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_string_equal(texts[i], "abc");
        free(texts[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_memory_ends_the_program),
        cmocka_unit_test(a_stream_is_a_text),
        cmocka_unit_test(there_is_memory_for_nothing_and_for_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
