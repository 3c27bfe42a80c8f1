/*
 * Speaking with ninja-libvirt, the program that does for us what is asked of libvirt
 * (docs/protocol.md).
 *
 * It is started when something is asked for the first time, one for each event loop, and again when
 * it has ended and something more is asked. A host is known by its URI, and is connected before it
 * is asked for anything else. Nothing here blocks.
 */
#ifndef NINJA_LIBVIRT_CLIENT_H
#define NINJA_LIBVIRT_CLIENT_H

#include <event2/event.h>
#include <jansson.h>

#include "common/error.h"
#include "host/vmm/room.h"

#define LIBVIRT_MAX_URI    255              /* a host's name there is its URI */
#define LIBVIRT_MAX_WAIT   (24 * 3600000)   /* ms, of one request */
#define LIBVIRT_MAX_DEVICE (256 * 1024 - 1) /* bytes of XML */

struct libvirt_client;

/**
 * The answer; called from the event loop, never before the request was made, and always.
 *
 * @param result  borrowed; NULL with err. Class ERR_TIMEOUT or ERR_LOST: it may have been done
 */
typedef void (*libvirt_reply)(void *arg, json_t *result, const struct ninja_error *err);

/**
 * What libvirt tells unasked.
 *
 * @param host  its URI
 * @param vm    the domain; "": it is about the host
 * @param data  borrowed
 */
typedef void (*libvirt_event)(void *arg, const char *name, const char *host, const char *vm,
                              json_t *data);

/** The client of an event loop; each call is paired with one of libvirt_client_leave(). */
struct libvirt_client *libvirt_client_join(struct event_base *base);

/** The last one ends ninja-libvirt, and waits for that. */
void libvirt_client_leave(struct libvirt_client *client);

/**
 * Has something done.
 *
 * @param uri        of the host
 * @param arguments  beside "host" and "timeout_ms"; taken over. NULL: none
 * @param connect_ms how long connecting the host may take, if it is not connected
 * @param timeout_ms how long what follows may take; longer than a day is a day
 */
void libvirt_execute(struct libvirt_client *client, const char *uri, const char *command,
                     json_t *arguments, int connect_ms, int timeout_ms, libvirt_reply reply,
                     void *arg);

/** The UUID of a host that was connected, as libvirt there says it; empty: it is not known. */
const char *libvirt_host_uuid(const struct libvirt_client *client, const char *uri);

/** What a host had when it was connected. */
struct vmm_room libvirt_host_room(const struct libvirt_client *client, const char *uri);

/** No request with that argument is answered any more. */
void libvirt_forget(struct libvirt_client *client, void *arg);

/** Calls for each event from now on, until libvirt_unlisten(), which both are told the same. */
void libvirt_listen(struct libvirt_client *client, libvirt_event callback, void *arg);
void libvirt_unlisten(struct libvirt_client *client, libvirt_event callback, void *arg);

#endif
