/*
 * All that goes through one process: the VMs that it knows, and a channel for each connection that
 * one of their QEMUs has. At the source QEMU connects, and at the destination we do.
 */
#ifndef NINJA_STREAM_SESSION_H
#define NINJA_STREAM_SESSION_H

#include "stream/link.h"

#define SESSION_MAX_VMS      1024
#define SESSION_MAX_CHANNELS 512

struct session;
struct channel;
struct sender;

#define SESSION_STORE_PAGES (64 * 1024) /* that are remembered, where nothing else is said */

/**
 * Makes the session, of which there is one, and begins to connect the two sides.
 *
 * @param pages   as many as are remembered of those that were sent; the same at both sides
 * @param on_end  from some thread, once: nothing goes through any more
 * @return NULL with err
 */
struct session *session_new(const struct link_config *config, uint32_t pages,
                            void (*on_end)(const struct ninja_error *err), struct ninja_error *err);

struct link *session_link(struct session *session);

/** What sends memory; NULL at the destination, where memory comes. */
struct sender *session_sender(struct session *session);

/**
 * Has a VM go through: at the source, whoever connects to that socket is its QEMU; at the
 * destination, its QEMU listens there.
 *
 * @param number  by which both sides know it, below SESSION_MAX_VMS
 * @param path    of a UNIX socket
 */
bool session_add_vm(struct session *session, int number, const char *path, struct ninja_error *err);

/** Waits until no QEMU is connected any more. */
void session_wait_idle(struct session *session);

/* ---- for channels ---- */

/** Sends a frame, which is taken over; false: it is over. */
bool session_send(struct session *session, struct frame *frame);

/** It has ended; its number is free, and it is the caller's. */
void session_remove(struct session *session, struct channel *channel);

#endif
