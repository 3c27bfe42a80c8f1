#include "host/config/path.h"

#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/base/memory.h"

/* HOST:PORT[,OPTION]..., where HOST may be an IPv6 address in brackets. */
static bool split(const char *text, char *host, size_t size, char *port, size_t port_size)
{
    size_t len = strcspn(text, ",");
    const char *colon = memrchr(text, ':', len);
    if (colon == NULL || (size_t)(colon - text) >= size ||
        len - (size_t)(colon - text) > port_size) {
        return false;
    }
    size_t host_len = (size_t)(colon - text), port_len = len - host_len - 1;
    if (host_len >= 2 && text[0] == '[' && text[host_len - 1] == ']') {
        text++;
        host_len -= 2;
    }
    memcpy(host, text, host_len);
    host[host_len] = '\0';
    memcpy(port, colon + 1, port_len);
    port[port_len] = '\0';
    return true;
}

static bool is_any_host(const char *host)
{
    return host[0] == '\0' || strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
}

static bool check_tcp(const char *text, const char *uri, bool listens, struct ninja_error *err)
{
    char host[256], port[16], *end;
    if (!split(text, host, sizeof(host), port, sizeof(port))) {
        return ninja_error_set(err, ERR_ADDRESS, "\"%s\" is not tcp:HOST:PORT", uri);
    }
    long number = strtol(port, &end, 10);
    if (end == port || *end != '\0' || number < 1 || number > 65535) {
        return ninja_error_set(err, ERR_ADDRESS, "\"%s\": \"%s\" is not a port from 1 to 65535",
                               uri, port);
    }
    if (is_any_host(host)) {
        return listens ||
               ninja_error_set(err, ERR_ADDRESS,
                               "\"%s\" names no host that the source could connect to", uri);
    }
    struct addrinfo *found = NULL, hints = {.ai_socktype = SOCK_STREAM};
    int code = getaddrinfo(host, port, &hints, &found);
    if (code != 0) {
        return ninja_error_set(err, ERR_ADDRESS, "\"%s\": the host \"%s\" is not known here: %s",
                               uri, host, gai_strerror(code));
    }
    freeaddrinfo(found);
    return true;
}

static bool check_unix(const char *path, const char *uri, struct ninja_error *err)
{
    char dir[256];
    const char *slash = strrchr(path, '/');
    if (slash == NULL || (size_t)(slash - path) >= sizeof(dir) - 1) {
        return ninja_error_set(err, ERR_ADDRESS, "\"%s\" is not unix:/PATH", uri);
    }
    memcpy(dir, path, (size_t)(slash - path));
    dir[slash - path] = '\0';
    if (access(slash == path ? "/" : dir, F_OK) < 0) {
        return ninja_error_set(err, ERR_ADDRESS, "\"%s\": %s: %m", uri, dir);
    }
    return true;
}

static bool check_end(const char *uri, bool listens, struct ninja_error *err)
{
    if (strncmp(uri, "tcp:", 4) == 0) {
        return check_tcp(uri + 4, uri, listens, err);
    }
    if (strncmp(uri, "unix:", 5) == 0) {
        return check_unix(uri + 5, uri, err);
    }
    return ninja_error_set(err, ERR_UNKNOWN, "\"%s\" is neither tcp:HOST:PORT nor unix:/PATH", uri);
}

bool path_check(const struct path *path, struct ninja_error *err)
{
    return check_end(path->connect, false, err) &&
           (strcmp(path->listen, path->connect) == 0 || check_end(path->listen, true, err));
}

void path_clear(struct path *path)
{
    free(path->listen);
    free(path->connect);
    *path = (struct path){NULL, NULL};
}

void path_set(struct path *path, const char *listen, const char *connect)
{
    struct path old = *path; /* an end may be one of those that it had */
    path->listen = xstrdup(listen);
    path->connect = xstrdup(connect);
    path_clear(&old);
}
