/*
 * The host's worker opens the stream and the socket; from then on everything happens in the thread
 * of libvirt's event loop, so there are no locks: bytes go from either end into a buffer of limited
 * size, and from there to the other end, and an end is read only while its buffer has room. Closing
 * a stream waits for the host, so the worker does it.
 */
#include "host/libvirt/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/unixsock.h"
#include "host/base/memory.h"
#include "host/libvirt/failure.h"
#include "host/libvirt/host.h"
#include "host/base/json_output.h"

#define BUFFER_BYTES 65536
#define PORT         "org.ninja.agent.0"

struct buffer {
    char bytes[BUFFER_BYTES];
    size_t len;
};

struct channel {
    struct host *host;
    char vm[REQUEST_MAX_NAME + 1];
    virStreamPtr stream;
    struct unixsock sock;
    int client, watch; /* the client's descriptor; what the loop knows that or the socket's by */
    struct buffer to_guest, to_client;
};

static void consume(struct buffer *buffer, size_t n)
{
    buffer->len -= n;
    memmove(buffer->bytes, buffer->bytes + n, buffer->len);
}

/* In the worker: nothing in the loop knows of it any more. */
static void dispose(void *arg)
{
    struct channel *channel = arg;
    virStreamAbort(channel->stream);
    virStreamFree(channel->stream);
    free(channel);
}

static void end(struct channel *channel)
{
    virEventRemoveHandle(channel->watch);
    virStreamEventRemoveCallback(channel->stream);
    if (channel->client >= 0)
        close(channel->client);
    output_event("CHANNEL_ENDED", json_pack("{s:s, s:s, s:s}", "host", channel->host->name, "vm",
                                            channel->vm, "socket", channel->sock.path));
    unixsock_close(&channel->sock);
    worker_post(channel->host->worker, dispose, channel);
}

/* What either end is to be asked for now. */
static void update(struct channel *channel)
{
    int client = 0, stream = VIR_STREAM_EVENT_ERROR | VIR_STREAM_EVENT_HANGUP;
    if (channel->to_guest.len < BUFFER_BYTES)
        client |= VIR_EVENT_HANDLE_READABLE;
    if (channel->to_client.len > 0)
        client |= VIR_EVENT_HANDLE_WRITABLE;
    if (channel->to_client.len < BUFFER_BYTES)
        stream |= VIR_STREAM_EVENT_READABLE;
    if (channel->to_guest.len > 0)
        stream |= VIR_STREAM_EVENT_WRITABLE;
    virEventUpdateHandle(channel->watch, client);
    virStreamEventUpdateCallback(channel->stream, stream);
}

/* From the stream and to it. False: it is at its end. */
static bool move_stream(struct channel *channel, int events)
{
    struct buffer *in = &channel->to_client, *out = &channel->to_guest;
    int n = -2;
    if ((events & VIR_STREAM_EVENT_READABLE) && in->len < BUFFER_BYTES)
        n = virStreamRecv(channel->stream, in->bytes + in->len, BUFFER_BYTES - in->len);
    if (n == 0 || n == -1)
        return false;
    if (n > 0)
        in->len += (size_t)n;
    n = -2;
    if ((events & VIR_STREAM_EVENT_WRITABLE) && out->len > 0)
        n = virStreamSend(channel->stream, out->bytes, out->len);
    if (n == -1)
        return false;
    if (n > 0)
        consume(out, (size_t)n);
    return (events & (VIR_STREAM_EVENT_ERROR | VIR_STREAM_EVENT_HANGUP)) == 0;
}

static void on_stream(virStreamPtr stream, int events, void *arg)
{
    struct channel *channel = arg;
    if (!move_stream(channel, events))
        end(channel);
    else if (channel->client >= 0)
        update(channel);
}

/* True: it could not be done now, which is no error. */
static bool is_later(ssize_t n)
{
    return n < 0 && (errno == EAGAIN || errno == EINTR);
}

static bool move_client(struct channel *channel, int events)
{
    struct buffer *in = &channel->to_guest, *out = &channel->to_client;
    ssize_t n;
    if ((events & (VIR_EVENT_HANDLE_READABLE | VIR_EVENT_HANDLE_HANGUP)) &&
        in->len < BUFFER_BYTES) {
        n = recv(channel->client, in->bytes + in->len, BUFFER_BYTES - in->len, 0);
        if (n == 0 || (n < 0 && !is_later(n)))
            return false;
        if (n > 0)
            in->len += (size_t)n;
    }
    if ((events & VIR_EVENT_HANDLE_HANGUP) && in->len == BUFFER_BYTES)
        return false; /* the guest does not read, and nobody is left to wait for it */
    if ((events & VIR_EVENT_HANDLE_WRITABLE) && out->len > 0) {
        n = send(channel->client, out->bytes, out->len, MSG_NOSIGNAL);
        if (n < 0 && !is_later(n))
            return false;
        if (n > 0)
            consume(out, (size_t)n);
    }
    return (events & VIR_EVENT_HANDLE_ERROR) == 0;
}

static void on_client(int watch, int fd, int events, void *arg)
{
    struct channel *channel = arg;
    if (move_client(channel, events))
        update(channel);
    else
        end(channel);
}

static void on_connect(int watch, int fd, int events, void *arg)
{
    struct channel *channel = arg;
    int client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (client < 0)
        return;
    virEventRemoveHandle(watch);
    channel->client = client;
    channel->watch = virEventAddHandle(client, 0, on_client, channel, NULL);
    if (channel->watch < 0)
        end(channel);
    else
        update(channel);
}

/* The loop takes it over. */
static void begin(int timer, void *arg)
{
    struct channel *channel = arg;
    virEventRemoveTimeout(timer);
    channel->watch =
        virEventAddHandle(channel->sock.fd, VIR_EVENT_HANDLE_READABLE, on_connect, channel, NULL);
    if (virStreamEventAddCallback(channel->stream, VIR_STREAM_EVENT_ERROR | VIR_STREAM_EVENT_HANGUP,
                                  on_stream, channel, NULL) < 0)
        end(channel);
}

static bool open_stream(struct channel *channel, struct request *request, struct ninja_error *err)
{
    virDomainPtr domain = host_domain(request, err);
    if (domain == NULL)
        return false;
    strcpy(channel->vm,
           virDomainGetName(domain)); /* as long as "vm" of the request, which is limited */
    channel->stream = virStreamNew(request->host->conn, VIR_STREAM_NONBLOCK);
    bool well = channel->stream != NULL &&
                virDomainOpenChannel(domain, PORT, channel->stream, VIR_DOMAIN_CHANNEL_FORCE) == 0;
    if (!well)
        failure_take(err, "the domain is to run, and to have a channel of the name " PORT);
    virDomainFree(domain);
    return well;
}

static bool set_up(struct channel *channel, struct request *request, struct ninja_error *err)
{
    const char *path = request_text(request, "socket", sizeof(channel->sock.path) - 1, err);
    if (path == NULL || !open_stream(channel, request, err) ||
        !unixsock_listen(&channel->sock, path, SOCK_STREAM, 0600, err))
        return false;
    if (virEventAddTimeout(0, begin, channel, NULL) < 0)
        return failure_take(err, "try again");
    return true;
}

void channel_open(struct request *request)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    struct channel *channel = xcalloc(1, sizeof(*channel));
    channel->host = request->host;
    channel->client = channel->sock.fd = channel->watch = -1;
    if (set_up(channel, request, &err)) {
        request_answer(request, NULL);
        return;
    }
    unixsock_close(&channel->sock);
    if (channel->stream != NULL)
        virStreamFree(channel->stream);
    free(channel);
    request_fail(request, &err);
}
