/*
 * The cluster file, as docs/cluster-file.md describes it, read and checked as a whole.
 */
#ifndef NINJA_CLUSTER_H
#define NINJA_CLUSTER_H

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"

#define CLUSTER_DEFAULT_FILE   "/etc/ninja/cluster.conf"
#define CLUSTER_MAX_VMS        256
#define CLUSTER_MAX_SITES      64
#define CLUSTER_MAX_PARALLEL   64
#define CLUSTER_MAX_BANDWIDTH  1000000 /* MiB/s */
#define CLUSTER_MAX_DOWNTIME   2000000 /* ms; QEMU's own limit */
#define CLUSTER_PARALLEL       2       /* where it is compressed, and nothing else was said */
#define CLUSTER_MAX_TIMEOUT_MS (7 * 24 * 3600 * 1000)
#define CLUSTER_MAX_NAME       63
#define CLUSTER_MAX_FILE       (1024 * 1024)

/* What a wait is for; the names and defaults are in cluster.c, the meanings in the docs. */
enum timeout {
    TIMEOUT_CONNECT,
    TIMEOUT_COMMAND,
    TIMEOUT_JOBS,
    TIMEOUT_QUIESCE,
    TIMEOUT_RELEASE,
    TIMEOUT_RESELECT,
    TIMEOUT_RETRY,
    TIMEOUT_RESUME,
    TIMEOUT_DETACH,
    TIMEOUT_UNPLUG,
    TIMEOUT_PREPARE,
    TIMEOUT_COPY,
    TIMEOUT_START,
    TIMEOUT_PLUG,
    TIMEOUT_ATTACH,
    TIMEOUT_LINK,
    TIMEOUT_QUIT,
    TIMEOUT_RECOVER,
    TIMEOUT_RECONNECT,
    TIMEOUTS,
};

/* What goes over several connections can be compressed. */
enum compress {
    COMPRESS_NONE,
    COMPRESS_ZLIB,
    COMPRESS_ZSTD,
};

/*
 * What a driver wants of the cluster file. Each driver says it, so that the file can be checked
 * here without knowing any of them.
 */
struct cluster_driver {
    const char *name;    /* as the key "driver" has it */
    bool needs_qmp;      /* each VM has the keys "qmp" and "receive" at each site */
    bool may_keep_agent; /* a VM may have the same socket of its agent at several sites */
};

/** The drivers that there are, from 0 on; NULL after the last one. */
typedef const struct cluster_driver *(*cluster_drivers)(size_t i);

/* A VM at a site. Strings that the file leaves out are NULL. */
struct cluster_entry {
    char *qmp, *agent, *receive, *device;
    char *device_id; /* the "id" of device */
    int line;
};

struct cluster_site {
    char *name;
    char *prepare, *release;
    struct cluster_entry *vms; /* one for each VM of the cluster, in that order */
};

struct cluster {
    char *file; /* as given */
    char *name;
    char *driver;
    char **vms;
    int n_vms;
    struct cluster_site *sites;
    int n_sites;
    int bandwidth_mib; /* 0: no limit */
    int downtime_limit_ms;
    int parallel; /* connections for one VM; 0: one, as QEMU does it by default */
    enum compress compress;
    int post_copy_after;         /* passes over the memory; -1: never */
    int post_copy_bandwidth_mib; /* of what follows then; 0: no limit */
    int quiesce_attempts;
    int quiesce_pause_ms;
    int timeouts[TIMEOUTS]; /* ms */
};

/**
 * Reads and checks a cluster file.
 *
 * @param drivers  those that it may name; driver_in_file() of driver.h has all
 * @return the cluster, or NULL with err set: class ERR_CLUSTER_FILE, "FILE:LINE: what was expected"
 */
struct cluster *cluster_read(const char *file, cluster_drivers drivers, struct ninja_error *err);
void cluster_free(struct cluster *cluster);

/** The index of the site with that name, or -1 with err naming those that there are. */
int cluster_find_site(const struct cluster *cluster, const char *name, struct ninja_error *err);

/** Sets a time-out from "NAME=MS" or "NAME=30s", as on the command line. */
bool cluster_set_timeout(struct cluster *cluster, const char *assignment, struct ninja_error *err);

/** "1500", "1500ms", "30s" or "10min" in milliseconds; 0: it is none of these. */
long long cluster_milliseconds(const char *text);

/** Sets what to compress with: none, zlib or zstd. */
bool cluster_set_compress(struct cluster *cluster, const char *method, struct ninja_error *err);

/** Completes, and checks together, how memory is to be sent. False with err: it cannot be. */
bool cluster_check_transfer(struct cluster *cluster, struct ninja_error *err);

/** QEMU's name for it. */
const char *compress_name(enum compress compress);

const char *cluster_timeout_name(enum timeout timeout);

#endif
