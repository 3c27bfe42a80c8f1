/*
 * For the agent's tests: a directory, the real ninja-agent in it, fake hosts and fake ranks.
 *
 * Everything fails the running test by itself when it goes wrong or takes too long.
 */
#ifndef AGENT_FIXTURE_H
#define AGENT_FIXTURE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/rank_proto.h"

#define PATIENCE_MS 20000 /* how long something that will happen may take on a busy machine */

struct fixture {
    char dir[64]; /* with sys/, proc/ and scripts.d/ */
    char host_path[96], rank_path[96], scripts[96], sys[96], proc[96];
    pid_t agent; /* 0: not running */
};

/** Makes the directory; fixture_start() starts the agent. For cmocka's setup and teardown. */
int fixture_setup(void **state);
/** Also expects the agent, if it runs, to end with status 0 and without its sockets. */
int fixture_teardown(void **state);

void fixture_start(struct fixture *f);
/** Ends the agent by a signal and expects a clean end. */
void fixture_stop(struct fixture *f, int signal_number);

/** Starts the program with these arguments (NULL-terminated, without argv[0]). */
pid_t spawn_agent(const char *const *args, int stdout_fd, int stderr_fd);
/** The exit status of a child within the patience; fails when it was ended by a signal. */
int wait_exit(pid_t pid);

/** Makes a file with its directories below the fixture's. */
void make_file(const struct fixture *f, const char *name, mode_t mode, const char *text);
void make_link(const struct fixture *f, const char *name, const char *target);

/* A fake host. */
struct host {
    int fd;
    char *buf;
    size_t len, room;
    json_t *events; /* that came while an answer was waited for */
};

void host_open(struct host *host, const char *path);
void host_close(struct host *host);
void host_send(struct host *host, const char *bytes, size_t len);
/** Whether the line that was read last began with 0xFF is told by @p delimited (may be NULL). */
json_t *host_line(struct host *host, int timeout_ms, bool *delimited);
/** Sends a printf-formatted request line, gives the answer to it. */
json_t *host_ask(struct host *host, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/** As host_ask(), and expects {"return": {}}. */
void host_do(struct host *host, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/** As host_ask(), and expects an error of that class; its text must hold @p words. */
void host_refused(struct host *host, const char *class, const char *words, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/** Opens and says ninja-hello. */
void host_hello(struct host *host, const char *path);
/** The data of the next event of that name; others are forgotten. A new reference. */
json_t *host_event(struct host *host, const char *name);
/** Expects that no event of that name comes for a while. */
void host_no_event(struct host *host, const char *name, int ms);

/* A fake rank. */
int rank_open(const struct fixture *f);
void rank_send(int fd, struct ninja_rank_msg msg);
/** Sends a HELLO and takes no answer. */
void rank_say_hello(int fd, const char *job, uint32_t rank, uint32_t size);
/** Connects, says HELLO and expects WELCOME. */
int rank_join(const struct fixture *f, const char *job, uint32_t rank, uint32_t size);
/** As rank_join(), in a state. */
int rank_rejoin(const struct fixture *f, const char *job, uint32_t rank, uint32_t size,
                enum ninja_rank_state rank_state, uint32_t epoch);
/** Takes the next message and expects its type; free it with ninja_rank_msg_clear(). */
struct ninja_rank_msg rank_take(int fd, uint16_t type);
/** As rank_take(), not caring for the rest. */
void rank_expect(int fd, uint16_t type);
void rank_expect_nothing(int fd, int ms);
void rank_expect_end(int fd);
/** Reports a step with no tables. */
void rank_report(int fd, uint16_t step, uint32_t epoch, uint16_t round, uint32_t status,
                 const char *text);

const char *text_of(json_t *object, const char *key);
json_int_t int_of(json_t *object, const char *key);
/** The entry of an array of objects in which key is that number; fails when there is none. */
json_t *entry_of(json_t *array, const char *key, json_int_t value);

#endif
