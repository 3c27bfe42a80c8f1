#include "config.h"

#include "host/checkpoint/manifest.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "host/base/json_text.h"
#include "host/base/memory.h"
#include "host/base/plain_file.h"
#include "host/base/text_file.h"
#include "host/base/timer.h"
#include "host/base/units.h"
#include "host/base/whole_file.h"
#include "host/checkpoint/lock.h"

#define FORMAT       1 /* grows when an older ninjactl would take it for something else */
#define ENCRYPTED    2 /* the format of encrypted ones */
#define CIPHER       "xchacha20-poly1305"
#define MANIFEST     "manifest.json"
#define IMAGE        ".image"
#define MAX_MANIFEST (4 * 1024 * 1024)

/* ---- names ---- */

bool checkpoint_name_is_valid(const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; i < n; i++) {
        if (!isalnum((unsigned char)name[i]) && strchr("._-", name[i]) == NULL) {
            return false;
        }
    }
    return n > 0 && n <= CHECKPOINT_MAX_NAME && name[0] != '.';
}

static char *manifest_of(const struct checkpoint *checkpoint)
{
    return xasprintf("%s/" MANIFEST, checkpoint->path);
}

char *checkpoint_image(const struct checkpoint *checkpoint, const char *vm)
{
    return xasprintf("%s/%s" IMAGE, checkpoint->path, vm);
}

struct checkpoint *checkpoint_at(const char *path)
{
    struct checkpoint *checkpoint = xcalloc(1, sizeof(*checkpoint));
    const char *slash = strrchr(path, '/');
    checkpoint->path = xstrdup(path);
    checkpoint->name = xstrdup(slash != NULL ? slash + 1 : path);
    checkpoint->lock = -1;
    return checkpoint;
}

struct checkpoint *checkpoint_in(const char *dir, const char *name, struct ninja_error *err)
{
    if (!checkpoint_name_is_valid(name)) {
        ninja_error_set(err, ERR_BAD_ARGUMENT,
                        "\"%.80s\" is not the name of a checkpoint: expected 1 to %d letters, "
                        "digits and \"._-\", with no dot first",
                        name, CHECKPOINT_MAX_NAME);
        return NULL;
    }
    char *path = xasprintf("%s/%s", dir, name);
    struct checkpoint *checkpoint = checkpoint_at(path);
    free(path);
    return checkpoint;
}

void checkpoint_free(struct checkpoint *checkpoint)
{
    if (checkpoint == NULL) {
        return;
    }
    for (int i = 0; i < checkpoint->n; i++) {
        struct checkpoint_vm *vm = &checkpoint->vms[i];
        char *texts[] = {vm->name, vm->site, vm->device, vm->machine, vm->version};
        for (size_t t = 0; t < sizeof(texts) / sizeof(texts[0]); t++) {
            free(texts[t]);
        }
    }
    free(checkpoint->vms);
    free(checkpoint->path);
    free(checkpoint->name);
    free(checkpoint->cluster);
    free(checkpoint->driver);
    free(checkpoint->mode);
    free(checkpoint->migration);
    if (checkpoint->lock >= 0) {
        close(checkpoint->lock);
    }
    free(checkpoint);
}

/* ---- a new one ---- */

static bool make_parents(const char *dir)
{
    char *path = xstrdup(dir);
    for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0755); /* whether all is there shows in the last one */
        *slash = '/';
    }
    bool ok = mkdir(path, 0700) == 0 || errno == EEXIST;
    free(path);
    return ok;
}

static bool has_room(const char *dir, int64_t needed, double *room, struct ninja_error *err)
{
    struct statvfs fs;
    char want[32], have[32];
    if (statvfs(dir, &fs) < 0) {
        return ninja_error_set(err, ERR_IO, "%s: %m", dir);
    }
    *room = (double)fs.f_bavail * (double)fs.f_frsize;
    return *room >= (double)needed ||
           ninja_error_set(err, ERR_IO,
                           "%s: the VMs have %s of memory, and %s are free there; make room, or "
                           "name another directory by --checkpoint-dir",
                           dir, units_bytes(want, sizeof(want), (double)needed),
                           units_bytes(have, sizeof(have), *room));
}

static bool is_there(const struct checkpoint *checkpoint, struct ninja_error *err)
{
    return ninja_error_set(err, ERR_EXISTS,
                           "there is a checkpoint \"%s\" already%s; take another name, or give "
                           "ninjactl checkpoints remove %s",
                           checkpoint->name,
                           checkpoint_is_written(checkpoint) ? "" : ", which is incomplete",
                           checkpoint->name);
}

/* Links are refused: what we make is private, and what we remove is ours. */
static bool make_directory(const struct checkpoint *checkpoint, struct ninja_error *err)
{
    if (mkdir(checkpoint->path, 0700) == 0) {
        return true;
    }
    return errno == EEXIST ? is_there(checkpoint, err)
                           : ninja_error_set(err, ERR_IO, "%s: %m", checkpoint->path);
}

/* DIR, or what is there of it: the last directory of its path. */
static char *deepest_of(const char *dir)
{
    char *path = xstrdup(dir), *slash;
    while (access(path, F_OK) < 0 && errno == ENOENT && (slash = strrchr(path, '/')) != NULL &&
           slash != path) {
        *slash = '\0';
    }
    if (access(path, F_OK) < 0 && errno == ENOENT) {
        strcpy(path, dir[0] == '/' ? "/" : "."); /* not longer than what there is of it */
    }
    return path;
}

bool checkpoint_may_be_new(const char *dir, const char *name, int64_t needed, double *room,
                           struct ninja_error *err)
{
    struct stat status;
    struct checkpoint *checkpoint = checkpoint_in(dir, name, err);
    if (checkpoint == NULL) {
        return false;
    }
    char *deepest = deepest_of(dir), *inside = xasprintf("%s/.", deepest);
    bool ok =
        (lstat(checkpoint->path, &status) < 0 || is_there(checkpoint, err)) &&
        (access(inside, W_OK | X_OK) == 0 || ninja_error_set(err, ERR_IO, "%s: %m", deepest)) &&
        has_room(deepest, needed, room, err);
    free(inside);
    free(deepest);
    checkpoint_free(checkpoint);
    return ok;
}

static bool make_locked(struct checkpoint *checkpoint, struct ninja_error *err)
{
    if (!make_directory(checkpoint, err)) {
        return false;
    }
    checkpoint->lock = lock_make(checkpoint->path, checkpoint->cluster, err);
    if (checkpoint->lock < 0) {
        char *lock = xasprintf("%s/" LOCK_FILE, checkpoint->path);
        unlink(lock);
        free(lock);
        rmdir(checkpoint->path);
    }
    return checkpoint->lock >= 0;
}

struct checkpoint *checkpoint_new(const char *dir, const char *name, const char *cluster,
                                  int64_t needed, int n, struct ninja_error *err)
{
    struct checkpoint *checkpoint = checkpoint_in(dir, name, err);
    if (checkpoint == NULL) {
        return NULL;
    }
    double room;
    checkpoint->cluster = xstrdup(cluster);
    bool ok = make_parents(dir) || ninja_error_set(err, ERR_IO, "%s: %m", dir);
    if (!ok || !has_room(dir, needed, &room, err) || !make_locked(checkpoint, err)) {
        checkpoint_free(checkpoint);
        return NULL;
    }
    wall_clock_text(checkpoint->made, sizeof(checkpoint->made));
    checkpoint->vms = xcalloc((size_t)n, sizeof(*checkpoint->vms));
    checkpoint->n = n;
    return checkpoint;
}

/* ---- the manifest as JSON ---- */

static json_t *vm_to_json(const struct checkpoint_vm *vm)
{
    return json_pack("{s:s, s:s, s:s*, s:s, s:s, s:I, s:{s:I, s:I, s:s}}", "name", vm->name, "site",
                     vm->site, "device", vm->device, "machine", vm->machine, "version", vm->version,
                     "memory", (json_int_t)vm->memory, "image", "bytes",
                     (json_int_t)vm->image.bytes, "stored", (json_int_t)vm->image.stored, "blake2b",
                     vm->image.blake2b);
}

json_t *checkpoint_to_json(const struct checkpoint *checkpoint)
{
    json_t *vms = json_array();
    for (int i = 0; i < checkpoint->n; i++) {
        json_array_append_new(vms, vm_to_json(&checkpoint->vms[i]));
    }
    bool encrypted = checkpoint->key_id[0] != '\0';
    json_t *encryption =
        encrypted ? json_pack("{s:s, s:s}", "cipher", CIPHER, "key", checkpoint->key_id) : NULL;
    return json_pack("{s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:o*, s:o}", "format",
                     encrypted ? ENCRYPTED : FORMAT, "made", checkpoint->made, "by",
                     PACKAGE_VERSION, "cluster", checkpoint->cluster, "driver", checkpoint->driver,
                     "mode", checkpoint->mode, "migration", checkpoint->migration, "encryption",
                     encryption, "vms", vms);
}

/* What stands in the manifest itself, of all that stands there beside it. */
static void sum_of(json_t *manifest, char text[CHECKSUM_SIZE])
{
    struct checksum checksum;
    checksum_begin(&checksum);
    char *dump = xchecked(json_dumps(manifest, JSON_COMPACT | JSON_SORT_KEYS));
    checksum_add(&checksum, dump, strlen(dump));
    checksum_end(&checksum, text);
    free(dump);
}

bool checkpoint_write(const struct checkpoint *checkpoint, struct ninja_error *err)
{
    char sum[CHECKSUM_SIZE] = "";
    json_t *manifest = checkpoint_to_json(checkpoint);
    sum_of(manifest, sum);
    json_object_set_new(manifest, "blake2b", json_string(sum));
    if (checkpoint->key != NULL) {
        char seal[IMAGE_SEAL_SIZE];
        image_key_seal(checkpoint->key, sum, seal);
        json_object_set_new(manifest, "seal", json_string(seal));
    }
    char *text = xchecked(json_dumps(manifest, JSON_INDENT(2)));
    char *path = manifest_of(checkpoint);
    bool ok = whole_file_write(path, 0600, text, strlen(text), err);
    free(path);
    free(text);
    json_decref(manifest);
    return ok;
}

/* ---- and back; it comes from a file, which may say anything ---- */

static bool is_wrong(const struct checkpoint *checkpoint, struct ninja_error *err)
{
    return ninja_error_set(err, ERR_CHANGED,
                           "%s/" MANIFEST " is not what was written; the checkpoint cannot be used",
                           checkpoint->path);
}

static bool take_vm(struct checkpoint_vm *vm, json_t *json)
{
    const char *name, *site, *device = NULL, *machine, *version, *blake2b;
    json_int_t memory, bytes, stored;
    if (json_unpack(json, "{s:s, s:s, s?:s, s:s, s:s, s:I, s:{s:I, s:I, s:s}}", "name", &name,
                    "site", &site, "device", &device, "machine", &machine, "version", &version,
                    "memory", &memory, "image", "bytes", &bytes, "stored", &stored, "blake2b",
                    &blake2b) != 0 ||
        strchr(name, '/') != NULL || name[0] == '.' || memory < 0 || bytes <= 0 || stored <= 0 ||
        strlen(blake2b) != CHECKSUM_SIZE - 1) {
        return false;
    }
    *vm = (struct checkpoint_vm){.name = xstrdup(name),
                                 .site = xstrdup(site),
                                 .device = device != NULL ? xstrdup(device) : NULL,
                                 .machine = xstrdup(machine),
                                 .version = xstrdup(version),
                                 .memory = memory,
                                 .image = {.bytes = bytes, .stored = stored}};
    snprintf(vm->image.blake2b, sizeof(vm->image.blake2b), "%s", blake2b);
    return true;
}

static bool take_vms(struct checkpoint *checkpoint, json_t *vms)
{
    size_t n = json_array_size(vms);
    if (n == 0 || n > CHECKPOINT_MAX_VMS) {
        return false;
    }
    checkpoint->vms = xcalloc(n, sizeof(*checkpoint->vms));
    for (size_t i = 0; i < n; i++) {
        if (!take_vm(&checkpoint->vms[i], json_array_get(vms, i))) {
            return false;
        }
        checkpoint->n++;
    }
    return true;
}

static bool take_encryption(struct checkpoint *checkpoint, json_t *manifest, json_int_t format)
{
    const json_t *encryption = json_object_get(manifest, "encryption");
    const char *id = json_text_in(encryption, "key");
    if (format != ENCRYPTED) {
        return encryption == NULL;
    }
    snprintf(checkpoint->key_id, sizeof(checkpoint->key_id), "%s", id);
    return strlen(id) == IMAGE_KEY_ID_SIZE - 1 &&
           strcmp(json_text_in(encryption, "cipher"), CIPHER) == 0;
}

static bool from_json(struct checkpoint *checkpoint, json_t *manifest, struct ninja_error *err)
{
    char had[CHECKSUM_SIZE];
    json_int_t format = json_integer_value(json_object_get(manifest, "format"));
    if (format > ENCRYPTED) {
        return ninja_error_set(err, ERR_UNKNOWN,
                               "%s was written by version %.40s, in a form that this one does not "
                               "know; use that version",
                               checkpoint->path, json_text_in(manifest, "by"));
    }
    snprintf(had, sizeof(had), "%s", json_text_in(manifest, "blake2b"));
    snprintf(checkpoint->seal, sizeof(checkpoint->seal), "%s", json_text_in(manifest, "seal"));
    json_object_del(manifest, "blake2b");
    json_object_del(manifest, "seal");
    sum_of(manifest, checkpoint->sum);
    if (strcmp(checkpoint->sum, had) != 0 || !take_encryption(checkpoint, manifest, format)) {
        return is_wrong(checkpoint, err);
    }
    checkpoint->cluster = xstrdup(json_text_in(manifest, "cluster"));
    checkpoint->driver = xstrdup(json_text_in(manifest, "driver"));
    checkpoint->mode = xstrdup(json_text_in(manifest, "mode"));
    checkpoint->migration = xstrdup(json_text_in(manifest, "migration"));
    snprintf(checkpoint->made, sizeof(checkpoint->made), "%s", json_text_in(manifest, "made"));
    return take_vms(checkpoint, json_object_get(manifest, "vms")) || is_wrong(checkpoint, err);
}

static bool is_missing(const struct checkpoint *checkpoint, struct ninja_error *err)
{
    return ninja_error_set(err, ERR_NOT_FOUND,
                           "there is no checkpoint \"%s\"; see ninjactl checkpoints",
                           checkpoint->name);
}

static json_t *read_manifest(const struct checkpoint *checkpoint, struct ninja_error *err)
{
    struct ninja_error why = NINJA_ERROR_INIT;
    char *path = manifest_of(checkpoint);
    json_t *manifest = NULL;
    int fd = plain_file_open(path, O_RDONLY, 0, ERR_IO, &why);
    if (fd < 0 && errno == ENOENT && access(checkpoint->path, F_OK) < 0) {
        is_missing(checkpoint, err);
    } else if (fd < 0 && errno == ENOENT) {
        ninja_error_set(err, ERR_INCOMPLETE,
                        "checkpoint \"%s\" has no manifest, as it was interrupted: it cannot be "
                        "used, only removed",
                        checkpoint->name);
    } else if (fd < 0) {
        *err = why;
    } else {
        char *text = text_file_read(fd, path, MAX_MANIFEST, ERR_IO, err);
        manifest = text != NULL ? json_loads(text, 0, NULL) : NULL;
        if (text != NULL && !json_is_object(manifest)) {
            json_decref(manifest);
            manifest = NULL;
            is_wrong(checkpoint, err);
        }
        free(text);
        close(fd);
    }
    free(path);
    return manifest;
}

static bool read_into(struct checkpoint *checkpoint, struct ninja_error *err)
{
    json_t *manifest = read_manifest(checkpoint, err);
    bool ok = manifest != NULL && from_json(checkpoint, manifest, err);
    json_decref(manifest);
    return ok;
}

struct checkpoint *checkpoint_read(const char *dir, const char *name, struct ninja_error *err)
{
    struct checkpoint *checkpoint = checkpoint_in(dir, name, err);
    if (checkpoint != NULL && !read_into(checkpoint, err)) {
        checkpoint_free(checkpoint);
        checkpoint = NULL;
    }
    return checkpoint;
}

/* What is read is what was there when nobody could change it any more. */
struct checkpoint *checkpoint_use(const char *dir, const char *name, struct ninja_error *err)
{
    struct checkpoint *checkpoint = checkpoint_in(dir, name, err);
    if (checkpoint != NULL &&
        (!lock_to_read(checkpoint->path, &checkpoint->lock, err) || !read_into(checkpoint, err))) {
        checkpoint_free(checkpoint);
        checkpoint = NULL;
    }
    return checkpoint;
}

/* ---- what is to be done with one ---- */

bool checkpoint_is_written(const struct checkpoint *checkpoint)
{
    char *path = manifest_of(checkpoint);
    bool is = access(path, F_OK) == 0;
    free(path);
    return is;
}

void checkpoint_encrypt(struct checkpoint *checkpoint, const struct image_key *key)
{
    checkpoint->key = key;
    if (key != NULL) {
        strcpy(checkpoint->key_id, key->id); /* both are IMAGE_KEY_ID_SIZE */
    }
}

bool checkpoint_unlock(struct checkpoint *checkpoint, const struct image_key *key,
                       struct ninja_error *err)
{
    char seal[IMAGE_SEAL_SIZE];
    bool encrypted = checkpoint->key_id[0] != '\0';
    if (!encrypted && key != NULL) {
        return ninja_error_set(err, ERR_REFUSED,
                               "checkpoint \"%s\" is not encrypted, so the key cannot tell whether "
                               "somebody changed it; if it is yours, give --key-file none",
                               checkpoint->name);
    }
    if (encrypted && key == NULL) {
        return ninja_error_set(err, ERR_REFUSED,
                               "checkpoint \"%s\" is encrypted with the key %s; name its file by "
                               "--key-file",
                               checkpoint->name, checkpoint->key_id);
    }
    if (encrypted && strcmp(checkpoint->key_id, key->id) != 0) {
        return ninja_error_set(err, ERR_REFUSED,
                               "checkpoint \"%s\" is encrypted with the key %s, and %s has the "
                               "key %s",
                               checkpoint->name, checkpoint->key_id, key->path, key->id);
    }
    if (encrypted) {
        image_key_seal(key, checkpoint->sum, seal);
        if (sodium_memcmp(seal, checkpoint->seal, sizeof(seal)) != 0) {
            return is_wrong(checkpoint, err);
        }
    }
    checkpoint->key = key;
    return true;
}

bool checkpoint_verify(const struct checkpoint *checkpoint, struct ninja_error *err)
{
    bool ok = true;
    for (int i = 0; i < checkpoint->n && ok; i++) {
        char *path = checkpoint_image(checkpoint, checkpoint->vms[i].name);
        ok = image_check(path, &checkpoint->vms[i].image, err);
        free(path);
    }
    return ok;
}

static bool is_ours(const char *name)
{
    size_t n = strlen(name), end = strlen(IMAGE);
    return strncmp(name, MANIFEST, strlen(MANIFEST)) == 0 ||
           (n > end && strcmp(name + n - end, IMAGE) == 0);
}

static bool unlink_if_there(int dir, const char *name)
{
    return unlinkat(dir, name, 0) == 0 || errno == ENOENT;
}

static bool unlink_images(int dir)
{
    int copy = fcntl(dir, F_DUPFD_CLOEXEC, 0);
    DIR *list = copy >= 0 ? fdopendir(copy) : NULL;
    struct dirent *entry;
    bool ok = list != NULL;
    while (ok && (entry = readdir(list)) != NULL) {
        ok = !is_ours(entry->d_name) || unlinkat(dir, entry->d_name, 0) == 0;
    }
    if (list != NULL) {
        closedir(list);
    }
    return ok;
}

/* Of one that this process makes, it is held already. */
static bool hold_to_remove(const struct checkpoint *checkpoint, int *lock, struct ninja_error *err)
{
    *lock = -1;
    return checkpoint->lock >= 0 || lock_to_change(checkpoint->path, lock, err);
}

/* The manifest goes first, as what is left by one who was interrupted does not count; the lock
 * goes last. */
bool checkpoint_remove(const struct checkpoint *checkpoint, struct ninja_error *err)
{
    int lock, dir = open(checkpoint->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir < 0) {
        return errno == ENOENT ? is_missing(checkpoint, err)
                               : ninja_error_set(err, ERR_IO, "%s: %m", checkpoint->path);
    }
    bool ok = hold_to_remove(checkpoint, &lock, err);
    if (ok) {
        ok = unlink_if_there(dir, MANIFEST) && fsync(dir) == 0 && unlink_images(dir) &&
             unlink_if_there(dir, LOCK_FILE) && rmdir(checkpoint->path) == 0;
        ok = ok || ninja_error_set(err, ERR_IO, "%s: %m", checkpoint->path);
    }
    if (lock >= 0) {
        close(lock);
    }
    close(dir);
    return ok;
}
