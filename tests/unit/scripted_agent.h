/*
 * For the tests of libninja: an agent that does what the test says, and a program that joins it,
 * both in this process. Everything fails the running test by itself when it goes wrong or takes too
 * long.
 */
#ifndef SCRIPTED_AGENT_H
#define SCRIPTED_AGENT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/rank_proto.h"
#include "lib/ninja.h"

#define PATIENCE_MS 20000

/* What the program's callback of a step does. */
enum answer { AT_ONCE, LATER, FAILS, FAILS_LATER };

struct scene {
    char dir[64], path[96];
    int listener, conn; /* of the agent; -1: none */
    struct ninja *ninja;
    uint32_t size;
    enum answer answers[NINJA_STEPS];
    char calls[512]; /* the steps for which the program was called, with blanks between */
    struct ninja_order last;
    char release[64], open[64]; /* of the last order */
    struct ninja_count sent[4];
    char said[4096];   /* what `say` was told up to level 1 */
    bool close_within; /* the next callback closes */
    bool dispatch_within;
};

/** For cmocka's setup and teardown. The scene begins without agent and program. */
int scene_setup(void **state);
int scene_teardown(void **state);

void agent_start(struct scene *s);
/** Ends as one that is killed: its connection breaks, and its socket stays behind. */
void agent_dies(struct scene *s);
/** Takes the next connection and its HELLO, which must say that; answers nothing. */
void agent_takes_hello(struct scene *s, enum ninja_rank_state state, uint32_t epoch);
/** As agent_takes_hello(), and welcomes it. */
void agent_welcomes(struct scene *s, enum ninja_rank_state state, uint32_t epoch);
void agent_sends(struct scene *s, struct ninja_rank_msg msg);
/** Gives a step with all that it usually carries, and has the program dispatch. */
void agent_gives(struct scene *s, uint16_t type, uint32_t epoch, uint16_t round);
/** The next message must be a report of that; free it with ninja_rank_msg_clear(). */
struct ninja_rank_msg agent_takes(struct scene *s, uint16_t type, uint32_t epoch, uint32_t status);
/** As agent_takes(), not caring for the rest. */
void agent_expects(struct scene *s, uint16_t type, uint32_t epoch, uint32_t status);
void agent_expects_nothing(struct scene *s);

/** The program joins as rank 0 of a job "job"; nobody need be there. */
void program_joins(struct scene *s, uint32_t size);
/** Waits for its descriptor, and dispatches. Returns what that does. */
int program_turns(struct scene *s);
/** Turns until the agent has a connection to take. */
void program_finds(struct scene *s);

/** An agent, a program of that size, and a welcome. */
void scene_begin(struct scene *s, uint32_t size);
/** Takes the program from RUNNING through the steps before this one, in that epoch. */
void scene_up_to(struct scene *s, enum ninja_step step, uint32_t epoch);
/** The callbacks since the last look must have been these. */
void expect_calls(struct scene *s, const char *calls);

#endif
