/*
 * A VMM driver: how a VM is unplugged, moved and plugged. One object for each VM.
 *
 * Operations are asynchronous. `done` is called exactly once, from the event loop (never before
 * the operation returned), within the operation's time-out of the cluster file. A VM does one
 * operation at a time, with one exception: cancel() may come at any time, and ends the running
 * one with class ERR_CANCELLED before it ends itself.
 *
 * The life of a VM that moves:
 *
 *     locate -> [unplug] -> prepare(site) -> migrate -> finish -> [plug]
 *                   \__________\________________\___ cancel -> [plug]
 *     adopt ---------------------^----------------^--------^
 *
 * How far a VM is on its way is its `move`. With post-copy it runs at the destination before
 * migrate() ends: it is split. If migrate() fails then, with class ERR_OPERATOR, it stays split:
 * both sides are to be left as they are until migrate() is called again, by whoever adopts it.
 *
 * The point of no return is another matter: `committed` says that cancel() can no longer lead back.
 * The drivers that there are commit a VM when it runs at the destination.
 */
#ifndef NINJA_DRIVER_H
#define NINJA_DRIVER_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "host/base/channel.h"
#include "host/config/cluster.h"
#include "host/vmm/look.h"

struct vmm;

typedef void (*vmm_done)(void *arg, const struct ninja_error *err);

/* What a driver can measure while it moves a VM, beside the bytes. */
enum vmm_measure {
    VMM_MEASURES_RATE = 1 << 0,
    VMM_MEASURES_DIRTY_RATE = 1 << 1,
    VMM_MEASURES_DOWNTIME = 1 << 2,
};

struct vmm_progress {
    unsigned measured; /* enum vmm_measure: which of the figures below mean something */
    int64_t transferred, total, remaining; /* bytes; total is the RAM's size */
    int64_t bytes_per_s, dirty_bytes_per_s;
    int64_t downtime_ms; /* -1: not known yet */
};

/* How a VM is received at a site. */
struct vmm_arrival {
    const char *address; /* where its memory arrives, for people; NULL: none is sent */
    bool receiver;       /* one has to wait there before prepare() ... */
    const char *command; /* ... unless this shell command starts it; NULL: there is no command */
};

struct vmm_driver {
    struct cluster_driver in_file; /* its name there, and what it wants of it */
    const char *mend;              /* what a user is to do where a VM cannot be found */
    unsigned measures;             /* enum vmm_measure */

    /** Makes the object; no I/O. */
    struct vmm *(*open)(struct event_base *base, const struct cluster *cluster, int vm);

    /** Finds out where the VM runs: sets `site` and `has_device`. */
    void (*locate)(struct vmm *vmm, vmm_done done, void *arg);

    /**
     * In place of locate() for a VM whose move was interrupted: looks at both sides how far it is.
     * Sets `site`, `from`, `to`, `move`, `committed` and `has_device`. From there cancel() leads
     * back, prepare() and migrate() forward, also where its memory is on the way already. Class
     * ERR_OPERATOR: it cannot be told at which side it is to run; nothing was touched.
     *
     * @param ran_there  it was seen to run at `to`
     */
    void (*adopt)(struct vmm *vmm, int from, int to, bool ran_there, vmm_done done, void *arg);

    /** The way to the VM's agent at a site, wherever the VM is; it holds until close(). */
    struct channel_way (*way_to_agent)(const struct vmm *vmm, int site);

    /** How the VM is received at a site, as far as the cluster file says; NULL: it says nothing. */
    struct vmm_arrival (*arrival)(const struct vmm *vmm, int site);

    /**
     * Looks at what there is of a VM at a site; that needs no object. NULL: there is nobody to be
     * asked.
     *
     * @param look  all zero; filled in until `done` is called, from the event loop
     * @return to be closed, which may be at any time; NULL: it is over, and done is not called
     */
    struct looker *(*look)(struct event_base *base, const struct cluster *cluster, int vm, int site,
                           struct look *look, void (*done)(void *arg), void *arg);

    /** Takes the device of its site from the VM; ends when the guest let go of it. */
    void (*unplug)(struct vmm *vmm, vmm_done done, void *arg);

    /** Makes the receiving side at a site ready and checks that it can take the VM. */
    void (*prepare)(struct vmm *vmm, int site, vmm_done done, void *arg);

    /** Moves the VM there; `progress` is kept up to date. Ends when it runs at the destination. */
    void (*migrate)(struct vmm *vmm, vmm_done done, void *arg);

    /** Gives the VM the device of the site where it is. */
    void (*plug)(struct vmm *vmm, vmm_done done, void *arg);

    /**
     * Takes back prepare() and migrate(). Afterwards the VM runs at its source, or, if it was too
     * late, it is committed. Class ERR_OPERATOR: it is not safe to say which side is to run.
     */
    void (*cancel)(struct vmm *vmm, vmm_done done, void *arg);

    /** Ends what is left of a VM that moved at its source. */
    void (*finish)(struct vmm *vmm, vmm_done done, void *arg);

    void (*close)(struct vmm *vmm);
};

/* How far a VM is on its way from a site to another. */
enum vmm_move {
    VMM_AT_SOURCE,
    VMM_ON_ITS_WAY, /* its memory is being sent, or was; it does not run at the destination */
    VMM_SPLIT,      /* it runs at the destination, where a part of its memory is still missing */
    VMM_ARRIVED,    /* it runs at the destination, with all of its memory */
};

/* The part that all drivers have; a driver's own struct begins with it. */
struct vmm {
    const struct vmm_driver *driver;
    struct event_base *base;
    const struct cluster *cluster;
    int vm;          /* index in the cluster */
    int site;        /* where it runs; -1: not known */
    int from;        /* where it ran before it moved; -1: it did not */
    int to;          /* as given to prepare(); -1 before */
    bool has_device; /* whether it has the device of `site` now */
    enum vmm_move move;
    bool committed; /* it cannot run at `from` again */

    /* How its memory is sent. Whoever opens a VM says it, before adopt() and prepare(). */
    struct transfer transfer;

    /* If set, called when it comes to run at the destination in the middle of migrate(). */
    void (*on_there)(void *arg);
    void *on_there_arg;
    struct vmm_progress progress;
};

/* The drivers that there are, a row each; the objects are driver_NAME. */
#define VMM_DRIVERS(ROW)                                                                           \
    ROW(qmp)                                                                                       \
    ROW(local)                                                                                     \
    ROW(libvirt)

#define DECLARE(name) extern const struct vmm_driver driver_##name;
VMM_DRIVERS(DECLARE)
#undef DECLARE

/** The driver of that name, or NULL. */
const struct vmm_driver *driver_find(const char *name);

/** For cluster_read(): what each driver wants of the cluster file. */
const struct cluster_driver *driver_in_file(size_t i);

/** The VM's entry at its site; `site` must be known. */
static inline const struct cluster_entry *vmm_entry(const struct vmm *vmm)
{
    return &vmm->cluster->sites[vmm->site].vms[vmm->vm];
}

/** The way to its agent where it is; `site` must be known. */
static inline struct channel_way vmm_way_to_agent(const struct vmm *vmm)
{
    return vmm->driver->way_to_agent(vmm, vmm->site);
}

/** How it is received at a site. */
static inline struct vmm_arrival vmm_arrival(const struct vmm *vmm, int site)
{
    return vmm->driver->arrival != NULL ? vmm->driver->arrival(vmm, site)
                                        : (struct vmm_arrival){.receiver = false};
}

/** Whether it runs at the destination, as far as is known. */
static inline bool vmm_is_there(const struct vmm *vmm)
{
    return vmm->move >= VMM_SPLIT;
}

/** Whether a part of its memory is here, and another there. */
static inline bool vmm_is_between(const struct vmm *vmm)
{
    return vmm->move == VMM_ON_ITS_WAY || vmm->move == VMM_SPLIT;
}

/** Whether its site has a device for it that is not plugged. */
static inline bool vmm_lacks_device(const struct vmm *vmm)
{
    return !vmm->has_device && vmm_entry(vmm)->device != NULL;
}

static inline const char *vmm_name(const struct vmm *vmm)
{
    return vmm->cluster->vms[vmm->vm];
}

/** For drivers: the one way to change `move`. */
void vmm_set_move(struct vmm *vmm, enum vmm_move move);

/** For drivers: fills the common part. */
void vmm_init(struct vmm *vmm, const struct vmm_driver *driver, struct event_base *base,
              const struct cluster *cluster, int vm);

#endif
