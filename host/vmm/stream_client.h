/*
 * Speaking with ninja-stream, the program that carries the memory of VMs between two hosts
 * (docs/protocol.md). Two of it run for all VMs that go from one site to another one, started by
 * commands of the cluster file. They get a fresh key, and have agreed before anything is done to a
 * QEMU. Nothing here blocks.
 */
#ifndef NINJA_STREAM_CLIENT_H
#define NINJA_STREAM_CLIENT_H

#include <event2/event.h>
#include <jansson.h>

#include "common/error.h"
#include "host/config/cluster.h"

struct stream_client;

/* How one of the two is reached. The texts are borrowed for the life of the stream. */
struct stream_side {
    const char *site;    /* for messages */
    const char *command; /* shell command that is ninja-stream; NULL: the installed one */
};

struct stream_ends {
    struct stream_side source, destination;
    const char *address; /* HOST:PORT, where the destination listens and the source connects */
    int bandwidth_mib;   /* of all VMs, a second; 0: no limit */
    int connect_ms, resume_ms;
};

/**
 * A VM may go through.
 *
 * @param socket  where its QEMU at the source is to connect; NULL with err
 */
typedef void (*stream_ready)(void *arg, const char *socket, const struct ninja_error *err);

/**
 * The stream between two sites; each call is paired with one of stream_leave().
 *
 * @param ends  copied, but for its texts
 */
struct stream_client *stream_join(struct event_base *base, const struct stream_ends *ends);

/** The last one lets the programs end, as soon as no QEMU is connected to them. */
void stream_leave(struct stream_client *client);

/**
 * Has a VM go through. `ready` follows from the event loop, once.
 *
 * @param vm      its index in the cluster
 * @param socket  the path of the UNIX socket at which its QEMU at the destination will listen
 */
void stream_admit(struct stream_client *client, int vm, const char *socket, stream_ready ready,
                  void *arg);

/**
 * What was sent of a VM.
 *
 * @param memory  borrowed, as docs/protocol.md has it at "count"; NULL: it is not known
 */
typedef void (*stream_counted)(void *arg, json_t *memory);

/** Asks for that; `counted` follows from the event loop, once. */
void stream_count(struct stream_client *client, int vm, stream_counted counted, void *arg);

/** Nobody with that argument is called any more. */
void stream_forget(struct stream_client *client, void *arg);

#endif
