/*
 * TLS 1.3 between the two sides of a stream, with a key that both were given: each proves to the
 * other one that it has it. One thread may read while another one writes.
 */
#ifndef NINJA_STREAM_TLS_H
#define NINJA_STREAM_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

#define TLS_KEY_BYTES 32

struct tls;

/**
 * Shakes hands.
 *
 * @param fd          a connected socket that blocks; taken over, also when it fails
 * @param server      the side that was connected to
 * @param timeout_ms  for the handshake
 * @return NULL with err: class ERR_FORBIDDEN: the other side does not have the key; else
 * ERR_CONNECT
 */
struct tls *tls_new(int fd, bool server, const uint8_t key[TLS_KEY_BYTES], int timeout_ms,
                    struct ninja_error *err);

/** All of it; false: the connection is gone. */
bool tls_read(struct tls *tls, void *bytes, size_t len);
bool tls_write(struct tls *tls, const void *bytes, size_t len);

/** How long a read may wait for the next bytes; 0: for ever, as it begins. */
void tls_limit(struct tls *tls, int timeout_ms);

/** Has reads and writes that wait fail. */
void tls_shut(struct tls *tls);

/** When nobody reads or writes any more; NULL is allowed. */
void tls_free(struct tls *tls);

#endif
