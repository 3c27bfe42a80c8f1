/*
 * Listening UNIX sockets that replace a stale file and respect a live owner.
 */
#ifndef NINJA_UNIXSOCK_H
#define NINJA_UNIXSOCK_H

#include <sys/stat.h>
#include <sys/types.h>

#include "common/error.h"

struct unixsock {
    int fd;
    bool replaced; /* the file of one who ended without removing it */
    char path[108];
    dev_t dev; /* of the file that we made, so that only that one is removed */
    ino_t ino;
};

/**
 * Makes a non-blocking listening socket; the directory is made (0755) when it is missing.
 *
 * @param type  SOCK_STREAM or SOCK_SEQPACKET
 * @param mode  of the socket file
 * @return false with an error: class ERR_IN_USE when somebody answers on the socket already
 */
bool unixsock_listen(struct unixsock *sock, const char *path, int type, mode_t mode,
                     struct ninja_error *err);

/** Closes a socket and leaves its file, for the next owner to find. */
void unixsock_abandon(struct unixsock *sock);

/** Closes a socket and removes its file, unless another took its place. fd < 0: does nothing. */
void unixsock_close(struct unixsock *sock);

#endif
