/*
 * The cluster file, as docs/cluster-file.md describes it, read and checked as a whole.
 */
#ifndef NINJA_CLUSTER_H
#define NINJA_CLUSTER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"
#include "host/config/transfer.h"

#define CLUSTER_DEFAULT_FILE   "/etc/ninja/cluster.conf"
#define CLUSTER_MAX_VMS        1024
#define CLUSTER_MAX_SITES      64
#define CLUSTER_MAX_HOSTS      1024  /* of all sites together */
#define CLUSTER_MAX_DEVICES    256   /* of a host */
#define CLUSTER_MAX_ENTRIES    65536 /* VMs times places */
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

/* What the value of a key is, and the type of what it goes to. */
enum cluster_value {
    CLUSTER_TEXT,   /* char *, not empty */
    CLUSTER_NAME,   /* char *, a name as VMs and sites have it */
    CLUSTER_SOCKET, /* char *, the path of a UNIX socket */
    CLUSTER_URI,    /* char *, where such a path may come after "unix:" */
    CLUSTER_NUMBER, /* int, from min to max */
    CLUSTER_LIST,   /* of groups, at least one; not for drivers */
    CLUSTER_TEXTS,  /* a list of texts that are not empty, at least one; not for drivers */
    CLUSTER_GROUP,  /* not for drivers */
};

enum cluster_need {
    CLUSTER_MAY_MISS,
    CLUSTER_NEEDS,
    CLUSTER_DRIVER_NEEDS, /* the message says which driver, as others may do without it */
};

/* A key that a driver has, which goes to a struct of the driver's own. */
struct cluster_key {
    const char *name;
    enum cluster_value value;
    enum cluster_need need;
    size_t offset; /* in that struct; a text is freed with the cluster */
    int min, max;
    const char *socket_of; /* of a socket: who answers there, for messages, as "the agent" */
    bool may_stay;         /* of a socket: a VM may have the same one at several sites */
};

/* How a row begins whose key is named as the member of the struct that it goes to. */
#define CLUSTER_KEY(type, member) .name = #member, .offset = offsetof(type, member)

/* What a driver keeps with a VM at a site, or with a site. */
struct cluster_part {
    const struct cluster_key *keys; /* the last one has no name; NULL: there are none */
    size_t size;                    /* of the struct */
};

struct cluster_entry;

/* A bypass device, for one VM at a time. */
struct cluster_device {
    char *spec; /* as the driver plugs it; NULL: there is none */
    char *text; /* for people and hooks */
    char *id;   /* the name by which the VMM has it */
};

/*
 * What a driver wants of the cluster file. Each driver says it, so that the file can be checked
 * here without knowing any of them.
 */
struct cluster_driver {
    const char *name; /* as the key "driver" has it */
    struct cluster_part entry, site;

    /**
     * Checks the driver's own part of an entry across its keys; NULL: there is nothing to check.
     *
     * @param site  the driver's part of its site
     * @param key   which of the keys is wrong, with err; the entry's line stands for one that lacks
     */
    bool (*check)(const struct cluster_entry *entry, const void *site, const char **key,
                  struct ninja_error *err);

    /** Reads the device whose spec is as the file has it, and fills in the rest. */
    bool (*read_device)(struct cluster_device *device, struct ninja_error *err);

    const char *missing; /* why this build does not have it; NULL: it does */
};

/** The drivers that there are, from 0 on; NULL after the last one. */
typedef const struct cluster_driver *(*cluster_drivers)(size_t i);

/* A VM at a place. */
struct cluster_entry {
    void *own;                    /* the driver's part */
    struct cluster_device device; /* that it gets there, or none */
    int line;                     /* 0: the file does not have the VM at this site */
};

/* A place where a VM can be: a site, or a host of a site that has hosts. */
struct cluster_site {
    char *name;
    char *host_of;             /* the name of its site; NULL: it is a site itself */
    void *own;                 /* the driver's part */
    struct cluster_entry *vms; /* one for each VM of the cluster, in that order */

    /* Of a host. Any VM can get one of the devices. */
    struct cluster_device *devices;
    int n_devices;
    int memory_mib, cpus; /* for VMs; 0: the file does not say */
};

struct cluster_devices {
    const struct cluster_device *list;
    int n;
};

struct cluster {
    char *file; /* as given */
    char *name;
    char *driver;
    const struct cluster_driver *kind; /* that driver's words */
    char **vms;
    int n_vms;
    struct cluster_site *sites; /* the places; hosts of a site are one after the other */
    int n_sites;
    bool limits_room;         /* a host has "memory" or "cpus" */
    struct transfer transfer; /* as each VM's begins */
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

/** The index of the place with that name, or -1 with err naming those that there are. */
int cluster_find_site(const struct cluster *cluster, const char *name, struct ninja_error *err);

/** Whether a place has that name, or is a host of the site that has it. */
bool cluster_is_in(const struct cluster_site *place, const char *name);

/** Whether there is such a place, or a site with hosts of that name; err as above. */
bool cluster_has_site(const struct cluster *cluster, const char *name, struct ninja_error *err);

/** The site that the place is, or is a host of. */
const char *cluster_site_name(const struct cluster_site *place);

/** The devices of which a VM may get one at a place. */
struct cluster_devices cluster_devices(const struct cluster *cluster, int vm, int site);

/** The index of the VM with that name, or -1 with err naming those that there are. */
int cluster_find_vm(const struct cluster *cluster, const char *name, struct ninja_error *err);

/** What it names, as `ninjactl sites --json` prints it: a new object. */
json_t *cluster_to_json(const struct cluster *cluster);

/** Sets a time-out from "NAME=MS" or "NAME=30s", as on the command line. */
bool cluster_set_timeout(struct cluster *cluster, const char *assignment, struct ninja_error *err);

/** "1500", "1500ms", "30s" or "10min" in milliseconds; 0: it is none of these. */
long long cluster_milliseconds(const char *text);

const char *cluster_timeout_name(enum timeout timeout);

#endif
