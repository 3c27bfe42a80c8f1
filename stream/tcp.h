/*
 * TCP sockets that block, for the connection between the two sides of a stream. A peer that is gone
 * without a word is noticed within half a minute.
 */
#ifndef NINJA_STREAM_TCP_H
#define NINJA_STREAM_TCP_H

#include "common/error.h"

/** A listening socket, or -1 with err. */
int tcp_listen(const char *host, const char *port, struct ninja_error *err);

/** The next one who connects, or -1 with err: class ERR_TIMEOUT: nobody did in time. */
int tcp_accept(int listener, int timeout_ms, struct ninja_error *err);

/** A connected socket, or -1 with err: class ERR_ADDRESS: there is no such host; ERR_CONNECT */
int tcp_connect(const char *host, const char *port, int timeout_ms, struct ninja_error *err);

#endif
