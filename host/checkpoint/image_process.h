/*
 * ninja-image beside the event loop: it has one end of a socket, and a VMM gets the other one.
 */
#ifndef NINJA_IMAGE_PROCESS_H
#define NINJA_IMAGE_PROCESS_H

#include <event2/event.h>

#include "common/error.h"
#include "host/checkpoint/image.h"

struct image_process;

/**
 * @param sum  of what was saved or loaded; NULL with err: class ERR_IO, ERR_CHANGED or ERR_COMMAND
 */
typedef void (*image_done)(void *arg, const struct image_sum *sum, const struct ninja_error *err);

/**
 * Begins to write a new file, or to give one back.
 *
 * @param load        NULL: a new file is written; or what the file is to be
 * @param key         NULL: it is not encrypted. The program is told its file and its ID, and reads
 * it
 * @param timeout_ms  after that it is ended
 * @param fd          out: the VMM's end, for the caller to close
 * @return NULL with err, class ERR_COMMAND
 */
struct image_process *image_process_start(struct event_base *base, const char *path,
                                          const struct image_sum *load, const struct image_key *key,
                                          int timeout_ms, int *fd, image_done done, void *arg,
                                          struct ninja_error *err);

/** Ends it; `done` follows. */
void image_process_stop(struct image_process *process);

/** Ends it if it still runs; `done` is not called any more. NULL is allowed. */
void image_process_free(struct image_process *process);

#endif
