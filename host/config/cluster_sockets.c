#include "host/config/cluster_sockets.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/base/memory.h"

/* One socket of one VM at one site, and where the file says so. */
struct use {
    const char *path; /* as it is written */
    char *place;
    int vm, site;
    const struct cluster_key *key;
    int line;
};

/* "/x//./y" is "/x/y". What ".." is only the file system knows. */
static char *without_needless(const char *path)
{
    char *place = xmalloc(strlen(path) + 1), *to = place;
    for (const char *from = path; *from != '\0';) {
        bool begins = from == path || from[-1] == '/';
        if (begins && from > path && *from == '/') {
            from++;
        } else if (begins && strncmp(from, "./", 2) == 0) {
            from += 2;
        } else {
            *to++ = *from++;
        }
    }
    *to = '\0';
    return place;
}

/* Where a path leads; the socket, and even its directory, need not be there yet. */
static char *place_of(const char *path)
{
    char *place = realpath(path, NULL);
    if (place != NULL) {
        return place;
    }
    const char *slash = strrchr(path, '/');
    char *dir = slash == NULL ? xstrdup(".") : xstrndup(path, (size_t)(slash - path) + 1);
    char *real = realpath(dir, NULL);
    free(dir);
    if (real != NULL) {
        place = xasprintf("%s/%s", strcmp(real, "/") == 0 ? "" : real,
                          slash != NULL ? slash + 1 : path);
    } else {
        place = without_needless(path);
    }
    free(real);
    return place;
}

/* The same thing of a VM may answer at the same place at several sites. */
static bool may_be_one(const struct use *a, const struct use *b)
{
    return a->vm == b->vm && a->site != b->site && a->key == b->key && a->key->may_stay;
}

static int tell(const struct cluster *cluster, const struct use *a, const struct use *b,
                struct ninja_error *err)
{
    char also[160] = "";
    if (strcmp(a->path, b->path) != 0) {
        snprintf(also, sizeof(also), ", as %.140s,", b->path);
    }
    ninja_error_set(
        err, ERR_CLUSTER_FILE,
        "the socket %s is used twice: for %s of VM \"%s\" at \"%s\" (line %d) and%s for "
        "%s of VM \"%s\" at \"%s\"",
        a->path, a->key->socket_of, cluster->vms[a->vm], cluster->sites[a->site].name, a->line,
        also, b->key->socket_of, cluster->vms[b->vm], cluster->sites[b->site].name);
    return b->line > 0 ? b->line : 1;
}

static const char *socket_in(const struct cluster_key *key, const void *own)
{
    return key->value == CLUSTER_SOCKET ? *(char *const *)((const char *)own + key->offset) : NULL;
}

/* All sockets; uses is NULL: only counts them. */
static size_t list_uses(const struct cluster *cluster, struct use *uses)
{
    size_t n = 0;
    for (int s = 0; s < cluster->n_sites; s++) {
        for (int v = 0; v < cluster->n_vms; v++) {
            const struct cluster_entry *entry = &cluster->sites[s].vms[v];
            const struct cluster_key *key = cluster->kind->entry.keys;
            for (; entry->own != NULL && key->name != NULL; key++) {
                const char *path = socket_in(key, entry->own);
                if (path != NULL && uses != NULL) {
                    uses[n] = (struct use){path, place_of(path), v, s, key, entry->line};
                }
                n += path != NULL;
            }
        }
    }
    return n;
}

int cluster_sockets_check(const struct cluster *cluster, struct ninja_error *err)
{
    size_t n = list_uses(cluster, NULL);
    struct use *uses = xcalloc(n + 1, sizeof(*uses));
    int line = 0;
    list_uses(cluster, uses);
    for (size_t i = 0; line == 0 && i < n; i++) {
        for (size_t j = 0; line == 0 && j < i; j++) {
            if (strcmp(uses[j].place, uses[i].place) == 0 && !may_be_one(&uses[j], &uses[i])) {
                line = tell(cluster, &uses[j], &uses[i], err);
            }
        }
    }
    for (size_t i = 0; i < n; i++) {
        free(uses[i].place);
    }
    free(uses);
    return line;
}
