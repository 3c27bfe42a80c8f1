/*
 * What the parts of the driver "libvirt" share: driver_libvirt.c (one host: locate, unplug, plug,
 * finish), driver_libvirt_move.c (two hosts: prepare, migrate, cancel),
 * driver_libvirt_measure.c (what a VM writes), driver_libvirt_postcopy.c (a VM that runs before all of its memory is there),
 * driver_libvirt_adopt.c (what both hosts say, and what follows of it), driver_libvirt_domain.c
 * (what one host says), driver_libvirt_channel.c (the way to the agent), driver_libvirt_keys.c (the
 * cluster file) and driver_libvirt_look.c.
 */
#ifndef NINJA_DRIVER_LIBVIRT_H
#define NINJA_DRIVER_LIBVIRT_H

#include "host/base/timer.h"
#include "host/vmm/driver.h"
#include "host/vmm/libvirt_client.h"

/* ---- the cluster file ---- */

/* How a host is reached; a VM's own words come before those of its site. */
struct libvirt_host {
    char *uri;           /* from here */
    char *peer_uri;      /* from the other hosts; NULL: the same */
    char *migration_uri; /* where memory is sent; NULL: as libvirt chooses */
    char *tls;           /* the name in the certificate of who gets it; NULL: it is not encrypted */
};

/* A VM at a site. */
struct libvirt_entry {
    struct libvirt_host host;
    char *domain; /* NULL: as the VM */
};

extern const struct cluster_key libvirt_entry_keys[], libvirt_site_keys[];

/** See struct cluster_driver; the spec of a device is XML then. */
bool libvirt_check(const struct cluster_entry *entry, const void *site, const char **key,
                   struct ninja_error *err);
bool libvirt_read_device(struct cluster_device *device, struct ninja_error *err);

const char *libvirt_uri(const struct cluster *cluster, int vm, int site);
const char *libvirt_peer_uri(const struct cluster *cluster, int vm, int site);
const char *libvirt_migration_uri(const struct cluster *cluster, int vm, int site); /* or NULL */
const char *libvirt_tls(const struct cluster *cluster, int vm, int site);           /* or NULL */
const char *libvirt_domain(const struct cluster *cluster, int vm, int site);

/** Whether a VM may be moved to a site, as far as the cluster file and the command line say. */
bool libvirt_may_move(const struct cluster *cluster, const struct transfer *transfer, int vm,
                      int to, struct ninja_error *err);

/* ---- what a host says of a VM ---- */

enum domain_state {
    DOMAIN_UNKNOWN, /* the host did not answer */
    DOMAIN_ABSENT,
    DOMAIN_SHUT_OFF,
    DOMAIN_RUNNING,
    DOMAIN_PAUSED,    /* by somebody; it has all of its memory */
    DOMAIN_MIGRATING, /* it stands still for a migration */
    DOMAIN_SPLIT,     /* a part of its memory is here, and another there (post-copy) */
    DOMAIN_BROKEN,    /* the same, and the way between them is lost */
    DOMAIN_OTHER,
};

struct domain_seen {
    enum domain_state state;
    bool job;                            /* libvirt is at work on it */
    int64_t passes;                      /* over its memory, of that */
    struct vmm_progress progress;        /* of that; total 0: it has not begun */
    const struct cluster_device *device; /* it has, of those that it may have; NULL: none */
    int64_t memory_mib;
    int cpus;
    char words[64];         /* libvirt's, for people */
    struct ninja_error err; /* why it is unknown */
};

/** Takes libvirt's figures, if it has begun. */
void libvirt_take_progress(struct vmm_progress *progress, json_t *statistics);

/** Makes it of the answer to domain-look. vmm, site: what devices it may have. */
void domain_take(struct domain_seen *seen, json_t *answer, const struct ninja_error *err,
                 const struct vmm *vmm, int site);

/* ---- what follows of what both hosts say ---- */

enum verdict {
    VERDICT_UNKNOWN,   /* a host does not answer */
    VERDICT_AT_SOURCE, /* it is there, and nothing that could run is at the destination */
    VERDICT_LEFTOVER,  /* the same, but a copy that must not run waits at the destination */
    VERDICT_ON_ITS_WAY,
    VERDICT_SENT,     /* it waits at the destination, with all of its memory; the source is off */
    VERDICT_STUCK,    /* the same, but the source waits for somebody to end it */
    VERDICT_SPLIT,    /* it runs at the destination, and a part of its memory is still missing */
    VERDICT_BROKEN,   /* the same, and does not come unless the copy is resumed */
    VERDICT_ARRIVED,  /* it runs at the destination */
    VERDICT_OPERATOR, /* it cannot be told where it is to run */
};

/**
 * Judges a VM that moves.
 *
 * @param ran_there  it was seen to run at the destination
 */
enum verdict libvirt_judge(const struct domain_seen *source, const struct domain_seen *destination,
                           bool ran_there);

/* ---- the object ---- */

struct libvirt_vm;

typedef void (*looked)(struct libvirt_vm *v);

/* The VM's host at one site. */
struct site_seen {
    struct libvirt_vm *owner;
    int site;
    struct domain_seen seen;
};

enum libvirt_op {
    LV_NONE,
    LV_LOCATE,
    LV_ADOPT,
    LV_MEASURE,
    LV_UNPLUG,
    LV_PREPARE,
    LV_MIGRATE,
    LV_PLUG,
    LV_CANCEL,
    LV_FINISH,
};

struct libvirt_vm {
    struct vmm vmm;
    struct libvirt_client *client;
    struct site_seen *sites; /* one for each */

    enum libvirt_op op; /* in progress */
    vmm_done done;
    void *arg;
    int waiting_at; /* site of what the deadline ends */
    char waiting_for[160];
    struct event *deadline, *poll;
    int asked;   /* looks without an answer */
    looked then; /* after the last one */

    struct copy {
        struct libvirt_vm *owner;
        bool begun;     /* by us, or a coordinator before: what waits at the destination is ours */
        bool goes_on;   /* "migrate" has no answer yet */
        int64_t until;  /* ms */
        bool uncertain; /* its answer was lost: the host may begin it late */
    } copy;
    int measuring;              /* for so many times VMM_WRITES_MS */
    bool asked_before;          /* the guest, to let go of the device */
    bool ran_there;             /* as the journal says */
    bool in_vain;               /* a host that does not answer was waited for in migrate() */
    bool asked_again;           /* what was seen last was seen before, in this operation */
    int64_t stopped_at;         /* ms; when it came to stand still; 0: not seen */
    int64_t resumed_at;         /* ms; when it began to run there; the same */
    int64_t recover_by;         /* ms; 0: the copy goes on */
    int64_t resume_at;          /* ms; when it is tried again */
    struct ninja_error failure; /* what migrate, or plug, was answered */
};

static inline int libvirt_timeout(const struct libvirt_vm *v, enum timeout timeout)
{
    return v->vmm.cluster->timeouts[timeout];
}

static inline const char *libvirt_site_name(const struct libvirt_vm *v, int site)
{
    return v->vmm.cluster->sites[site].name;
}

/** The site that it leaves, and what was seen there. */
static inline int libvirt_from(const struct libvirt_vm *v)
{
    return vmm_is_there(&v->vmm) ? v->vmm.from : v->vmm.site;
}

static inline struct domain_seen *libvirt_seen(struct libvirt_vm *v, int site)
{
    return &v->sites[site].seen;
}

/** Begins an operation; it ends with libvirt_end(). */
void libvirt_begin(struct libvirt_vm *v, enum libvirt_op op, vmm_done done, void *arg);
/** What it waits for at a site, and for how long. */
void libvirt_wait(struct libvirt_vm *v, int site, int timeout_ms, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/** Ends it; site is where the error was seen, or -1. err is NULL if well. */
void libvirt_end(struct libvirt_vm *v, int site, const struct ninja_error *err);
/** Goes on in ms milliseconds, unless the operation ended before. */
void libvirt_poll(struct libvirt_vm *v, int ms, event_callback_fn callback);

/** Asks for something that is about the VM, at a site. */
void libvirt_ask(struct libvirt_vm *v, int site, const char *command, json_t *arguments,
                 int timeout_ms, libvirt_reply reply);

/** Looks at one site; `then` follows. */
void libvirt_look_at(struct libvirt_vm *v, int site, looked then);
/** Looks at both sites that it moves between; `then` follows. */
void libvirt_look_at_both(struct libvirt_vm *v, looked then);
/** What was seen, for an error. */
void libvirt_describe(struct libvirt_vm *v, int from, int to, char *text, size_t size);

/** For an event of the VM's that came while it moved. */
void libvirt_move_event(struct libvirt_vm *v, const char *name, int site, json_t *data);

/* driver_libvirt_move.c, for post-copy */
/** It runs at the destination; split: without a part of its memory. */
void libvirt_is_there(struct libvirt_vm *v, bool split);
/** Has the hosts copy it, "live", by "post-copy" or "post-copy-resume"; the answer leads on. */
void libvirt_copy(struct libvirt_vm *v, const char *mode);

/** Whether it is to change sides in the middle of the copy. */
bool libvirt_changes_sides(const struct libvirt_vm *v);
/** Has it do so, if it is time; after a look at both. */
void libvirt_change_sides_if_due(struct libvirt_vm *v);
/** Both hosts have a part of it, by the last look or an earlier one. False: the operation has
 * ended. */
bool libvirt_split(struct libvirt_vm *v, enum verdict verdict);

struct channel_way libvirt_way_to_agent(const struct vmm *vmm, int site);
struct looker *libvirt_look(struct event_base *base, const struct cluster *cluster, int vm,
                            int site, struct look *look, void (*done)(void *arg), void *arg);
void libvirt_measure(struct vmm *vmm, vmm_done done, void *arg);
void libvirt_adopt(struct vmm *vmm, int from, int to, bool ran_there, vmm_done done, void *arg);
void libvirt_prepare(struct vmm *vmm, int site, vmm_done done, void *arg);
void libvirt_migrate(struct vmm *vmm, vmm_done done, void *arg);
void libvirt_cancel(struct vmm *vmm, vmm_done done, void *arg);

#endif
