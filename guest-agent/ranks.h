/*
 * The server that the MPI processes of this VM connect to (common/rank_proto.h).
 */
#ifndef AGENT_RANKS_H
#define AGENT_RANKS_H

#include <event2/event.h>

#include "common/error.h"
#include "common/rank_proto.h"
#include "guest-agent/jobs.h"

struct ranks;
struct rank_conn;

/**
 * Listens on a SEQPACKET socket (mode 0666).
 *
 * @return NULL with an error
 */
struct ranks *ranks_new(struct event_base *base, struct jobs *jobs, const char *path,
                        struct ninja_error *err);

/** Whether an agent before this one was lost so lately that its ranks may not be back yet. */
bool ranks_may_return(const struct ranks *server);

/** Ends all connections, without a word to the jobs, and removes the socket's file. */
void ranks_free(struct ranks *server);

/**
 * Queues a message. Never blocks and never frees the connection: a rank that does not take its
 * messages is dropped a little later, from the event loop.
 *
 * @param passed  a descriptor that goes with it, which is copied; -1: none
 */
void rank_conn_send(struct rank_conn *conn, const struct ninja_rank_msg *msg, int passed);

/** The rank of this connection is no longer its rank; the connection will be ended. */
void rank_conn_forget(struct rank_conn *conn);

#endif
