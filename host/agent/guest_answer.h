/*
 * What an agent says about its VM and is kept: for the whole migration, in the journal and in the
 * report. The guest is not trusted, so a copy is kept of what the protocol knows, within limits.
 */
#ifndef NINJA_GUEST_ANSWER_H
#define NINJA_GUEST_ANSWER_H

#include <jansson.h>

#define GUEST_MAX_INTERFACES 256 /* RDMA ports, and as many network interfaces */
#define GUEST_MAX_ADDRESSES  16  /* of one interface */
#define GUEST_MAX_COUNTERS   64  /* of one interface */
#define GUEST_MAX_TEXT       63  /* bytes of a name, state, address */
#define GUEST_MAX_TRANSPORTS 16  /* of a rank */

/** A new object with the "rdma" and "net" of an answer to ninja-interconnects; NULL if it is none.
 */
json_t *guest_interconnects(json_t *answer);

/** A new object {NAME: PEERS, ...}, or NULL if it is none. */
json_t *guest_transports(json_t *object);

#endif
