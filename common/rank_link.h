/*
 * A rank's end of the connection to the agent of its VM (common/rank_proto.h): connecting, HELLO,
 * and connecting again when the agent was lost. It has no thread and no timer: its owner waits for
 * the descriptor, and looks when rank_link_wait_ms() says so.
 */
#ifndef NINJA_RANK_LINK_H
#define NINJA_RANK_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "common/member.h"

#define NINJA_EACH_LINK_STATE(X)                                                                   \
    X(DOWN)     /* there is no connection; it is tried again */                                    \
    X(GREETING) /* HELLO was sent, and not answered yet */                                         \
    X(UP)                                                                                          \
    X(REFUSED) /* by the agent, for good */

#define NINJA_LINK_NUMBER(state) RANK_LINK_##state,
enum rank_link_state { NINJA_EACH_LINK_STATE(NINJA_LINK_NUMBER) RANK_LINK_STATES };

/* Who greets. All is borrowed. */
struct rank_identity {
    const char *path; /* of the agent's socket */
    const char *job, *version;
    uint32_t rank, size;
    const struct member *member;
};

struct rank_link {
    struct rank_identity who;
    enum rank_link_state state;
    int fd;               /* -1: DOWN or REFUSED */
    int passed;           /* the descriptor that came with the last message, or -1; it is closed
                             before the next is read */
    unsigned connections; /* made so far: tells a new descriptor from an old one of that number */
    int64_t next_ms;      /* DOWN: when it is tried again; GREETING: when it is given up */
    char why[256];        /* why it was lost, or refused */
    rank_say *say;
    void *arg;
};

void rank_link_init(struct rank_link *link, const struct rank_identity *who, rank_say *say,
                    void *arg);
/** Ends the connection; it may be made again. */
void rank_link_close(struct rank_link *link);

/** DOWN: connects and says hello. False with `why`: it is DOWN still, and tried again later. */
bool rank_link_connect(struct rank_link *link);

/** GREETING: waits for the answer, and gives up the agent if none comes in that time. */
void rank_link_await(struct rank_link *link, int milliseconds);

/** Does what is due: connects, or gives up an agent that does not answer to hello. */
void rank_link_look(struct rank_link *link);
/** How long until there is something to look for, in ms; -1: nothing but messages. */
int rank_link_wait_ms(const struct rank_link *link);

/**
 * Reads one message if there is one. The answer to hello is for the link itself.
 *
 * @return false: none is there, or the connection was lost, which this also sees to
 */
bool rank_link_receive(struct rank_link *link, struct ninja_rank_msg *msg);

/** Sends; a failure is treated as loss of the connection. Without one nothing happens. */
void rank_link_send(struct rank_link *link, const struct ninja_rank_msg *msg);

#endif
