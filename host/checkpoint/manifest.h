/*
 * A checkpoint: DIR/NAME with an image of each VM, VM.image, and manifest.json, which is written
 * last and as a whole. Without a manifest nothing of it counts: whoever wrote it was interrupted.
 */
#ifndef NINJA_MANIFEST_H
#define NINJA_MANIFEST_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "host/checkpoint/image.h"

#define CHECKPOINT_MAX_NAME 63
#define CHECKPOINT_MAX_VMS  1024

struct checkpoint_vm {
    char *name, *site;       /* where it was; names of the cluster file */
    char *device;            /* that it had and let go, for people; NULL: none */
    char *machine, *version; /* of its VMM; empty: not known */
    int64_t memory;          /* bytes of RAM; 0: not known */
    struct image_sum image;
};

struct checkpoint {
    char *path; /* its directory */
    char *name; /* the last part of that */
    char *cluster, *driver;
    char *mode;      /* of the job in the meantime: "live" or "paused" */
    char *migration; /* the ID of its journal */
    char made[40];   /* wall clock */
    struct checkpoint_vm *vms;
    int n;
    int lock;                       /* of lock.h; -1: none */
    char key_id[IMAGE_KEY_ID_SIZE]; /* of the key that images are encrypted with; empty: none */
    const struct image_key *key;    /* when it is at hand; borrowed */
    char sum[CHECKSUM_SIZE];        /* of the manifest, if it was read; and its seal, made with */
    char seal[IMAGE_SEAL_SIZE]; /* the key, which tells that the manifest is not another one's */
};

/** Letters, digits and "._-", not a dot first, and no more than CHECKPOINT_MAX_NAME. */
bool checkpoint_name_is_valid(const char *name);

/**
 * Makes the directory of a new checkpoint, and DIR if that is missing, for this user alone, and
 * locks it until it is freed.
 *
 * @param needed  bytes that it will take at most
 * @return NULL with err: class ERR_EXISTS, or ERR_IO: it cannot be written to or lacks room
 */
struct checkpoint *checkpoint_new(const char *dir, const char *name, const char *cluster,
                                  int64_t needed, int n, struct ninja_error *err);

/**
 * Whether checkpoint_new() would do that, as far as can be told; nothing is made.
 *
 * @param room  out: bytes that are free there
 * @return false with err, as above
 */
bool checkpoint_may_be_new(const char *dir, const char *name, int64_t needed, double *room,
                           struct ninja_error *err);

/** The directory of a checkpoint alone, for one who takes on what an interrupted one left. */
struct checkpoint *checkpoint_at(const char *path);

/** The same, by the name. NULL with err, class ERR_BAD_ARGUMENT: no checkpoint has such a name. */
struct checkpoint *checkpoint_in(const char *dir, const char *name, struct ninja_error *err);

/** The file of a VM's image; malloc'ed. */
char *checkpoint_image(const struct checkpoint *checkpoint, const char *vm);

/** Writes the manifest: from now on the checkpoint counts. */
bool checkpoint_write(const struct checkpoint *checkpoint, struct ninja_error *err);

/**
 * Reads the manifest.
 *
 * @return NULL with err: class ERR_NOT_FOUND, ERR_INCOMPLETE, ERR_CHANGED or ERR_IO
 */
struct checkpoint *checkpoint_read(const char *dir, const char *name, struct ninja_error *err);

/** The same for who goes on to read the images: until it is freed, nobody can remove it. ERR_BUSY:
 * somebody writes or removes it. */
struct checkpoint *checkpoint_use(const char *dir, const char *name, struct ninja_error *err);

/**
 * Sees to the key for a new one, or for one that was read.
 *
 * @param key  NULL: none; borrowed until the checkpoint is freed
 * @return false with err: class ERR_REFUSED: one is missing, or another one is needed; ERR_CHANGED
 */
void checkpoint_encrypt(struct checkpoint *checkpoint, const struct image_key *key);
bool checkpoint_unlock(struct checkpoint *checkpoint, const struct image_key *key,
                       struct ninja_error *err);

/** Sees whether all images are those that were written, which reads all of them. */
bool checkpoint_verify(const struct checkpoint *checkpoint, struct ninja_error *err);

/** Whether there is a manifest, of whatever kind. */
bool checkpoint_is_written(const struct checkpoint *checkpoint);

/**
 * Removes manifest, images and directory, and nothing else.
 *
 * @return false with err: class ERR_NOT_FOUND, ERR_IO, or ERR_BUSY: somebody else writes or reads
 * it
 */
bool checkpoint_remove(const struct checkpoint *checkpoint, struct ninja_error *err);

/** What stands in its manifest: a new object. */
json_t *checkpoint_to_json(const struct checkpoint *checkpoint);

/** NULL is allowed. */
void checkpoint_free(struct checkpoint *checkpoint);

#endif
