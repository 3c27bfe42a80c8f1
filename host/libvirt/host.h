/*
 * A host: its control connection, which its worker alone uses, and what libvirt tells of its
 * domains unasked.
 *
 * All calls to libvirt for a host are made by its worker, so a host that does not answer holds up
 * nothing but what it was asked for itself. What takes long, a migration, has a thread and a
 * connection of its own. When the connection is lost, the worker makes a new one as soon as the
 * host lets it.
 */
#ifndef NINJA_LIBVIRT_HOST_H
#define NINJA_LIBVIRT_HOST_H

#include <libvirt/libvirt.h>

#include "host/base/worker.h"
#include "host/libvirt/request.h"

#define HOST_MAX 4096

struct host {
    char name[REQUEST_MAX_NAME + 1];
    char uri[REQUEST_MAX_URI + 1]; /* "": it was never reached */
    struct worker *worker;
    virConnectPtr conn; /* NULL: there is none */
    bool lost;          /* the connection broke; atomic */
};

/** The host of that name. For the main thread only, as is host_make(). NULL: there is none. */
struct host *host_find(const char *name);

/** Makes it, without a connection. NULL with err. */
struct host *host_make(const char *name, struct ninja_error *err);

/** Connects: "uri". The request "host-open". */
void host_open(struct request *request);

/** A further connection to a host. NULL with err. */
virConnectPtr host_connect(const char *uri, struct ninja_error *err);

/** The domain that the request is about, "vm"; the caller frees it. NULL with err. */
virDomainPtr host_domain(struct request *request, struct ninja_error *err);

/** Makes sure of the connection. False with err. */
bool host_ready(struct host *host, struct ninja_error *err);

#endif
