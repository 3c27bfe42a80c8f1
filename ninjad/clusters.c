/*
 * A file is read again whenever its cluster is used, as ninjactl reads it again, too. What is kept
 * is only which name stands for which file: a file that now describes another cluster must not be
 * taken for the one that the client means.
 */
#include "ninjad/clusters.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "host/base/memory.h"
#include "host/vmm/driver.h"

struct clusters {
    const struct options *options;
    char names[OPTIONS_MAX_CLUSTERS][CLUSTER_MAX_NAME + 1]; /* empty: it could not be read yet */
};

struct clusters *clusters_new(const struct options *options)
{
    struct clusters *clusters = xcalloc(1, sizeof(*clusters));
    clusters->options = options;
    clusters_read(clusters);
    return clusters;
}

void clusters_free(struct clusters *clusters)
{
    free(clusters);
}

static int find(const struct clusters *clusters, const char *name)
{
    for (int i = 0; i < clusters->options->n_clusters; i++) {
        if (strcmp(clusters->names[i], name) == 0) {
            return i;
        }
    }
    return -1;
}

static void take_name(struct clusters *clusters, int i, const struct cluster *cluster)
{
    int other = find(clusters, cluster->name);
    if (strlen(cluster->name) > CLUSTER_MAX_NAME) {
        ninja_log_error("%s: give the cluster a \"name\" of at most %d characters", cluster->file,
                        CLUSTER_MAX_NAME);
    } else if (other >= 0 && other != i) {
        ninja_log_error("%s: there is a cluster \"%s\" in %s already; give it another \"name\"",
                        cluster->file, cluster->name, clusters->options->clusters[other]);
    } else {
        strcpy(clusters->names[i], cluster->name);
    }
}

void clusters_read(struct clusters *clusters)
{
    for (int i = 0; i < clusters->options->n_clusters; i++) {
        struct ninja_error err = NINJA_ERROR_INIT;
        struct cluster *cluster =
            cluster_read(clusters->options->clusters[i], driver_in_file, &err);
        if (cluster != NULL) {
            take_name(clusters, i, cluster);
        } else {
            ninja_log_error("%s", err.message);
        }
        cluster_free(cluster);
    }
}

json_t *clusters_names(const struct clusters *clusters)
{
    json_t *names = json_array();
    for (int i = 0; i < clusters->options->n_clusters; i++) {
        if (clusters->names[i][0] != '\0') {
            json_array_append_new(names, json_string(clusters->names[i]));
        }
    }
    return names;
}

static void tell_names(const struct clusters *clusters, char *text, size_t size)
{
    snprintf(text, size, "none");
    for (int i = 0, len = 0; i < clusters->options->n_clusters && len < (int)size; i++) {
        if (clusters->names[i][0] != '\0') {
            len += snprintf(text + len, size - (size_t)len, "%s%s", len > 0 ? ", " : "",
                            clusters->names[i]);
        }
    }
}

/* The index, or -1 with err. */
static int choose(const struct clusters *clusters, const char *name, struct ninja_error *err)
{
    char names[300];
    int only = -1, n = 0;
    for (int i = 0; i < clusters->options->n_clusters; i++) {
        if (clusters->names[i][0] != '\0') {
            only = i;
            n++;
        }
    }
    tell_names(clusters, names, sizeof(names));
    if (name == NULL && n > 1) {
        ninja_error_set(err, ERR_BAD_ARGUMENT, "\"cluster\" must say which one is meant of: %s",
                        names);
        return -1;
    }
    int i = name == NULL ? only : find(clusters, name);
    if (i < 0) {
        ninja_error_set(err, ERR_NOT_FOUND, "there is no cluster \"%s\"; there are: %s",
                        name ? name : "", names);
    }
    return i;
}

struct cluster *clusters_open(const struct clusters *clusters, const char *name,
                              struct ninja_error *err)
{
    int i = choose(clusters, name, err);
    struct cluster *cluster =
        i >= 0 ? cluster_read(clusters->options->clusters[i], driver_in_file, err) : NULL;
    if (cluster != NULL && strcmp(cluster->name, clusters->names[i]) != 0) {
        ninja_error_set(err, ERR_CLUSTER_FILE,
                        "%s now describes the cluster \"%s\"; \"systemctl reload ninjad\" takes "
                        "that up",
                        cluster->file, cluster->name);
        cluster_free(cluster);
        cluster = NULL;
    }
    return cluster;
}
