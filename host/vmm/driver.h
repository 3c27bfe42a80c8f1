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
#include "host/vmm/room.h"

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

/* When a VM may come to run at its destination without all of its memory. */
enum vmm_post_copy {
    VMM_POST_COPY_NEVER,
    VMM_POST_COPY_AT_ONCE,  /* from the beginning */
    VMM_POST_COPY_ANY_TIME, /* in the middle of a pre-copy, too */
};

#define VMM_WRITES_MS 1000

/* What a VM writes while it runs: so many bytes of its memory differ after VMM_WRITES_MS, and so
 * many after three times that. */
struct vmm_writes {
    bool known;
    int64_t bytes, bytes_thrice;
};

/* What ninja-stream made of a VM's memory. */
struct vmm_savings {
    bool known;
    int64_t raw_bytes, sent_bytes;
    int64_t pages, same_pages, copied_pages; /* that repeat a value; that were sent before */
};

/* How a VM is received at a site. */
struct vmm_arrival {
    const char *address; /* where its memory arrives, for people; NULL: none is sent */
    const char *stream;  /* by ninja-stream, which listens there; NULL: from VMM to VMM */
    bool receiver;       /* one has to wait there before prepare() ... */
    const char *command; /* ... unless this shell command starts it; NULL: there is no command */
};

/*
 * What a driver does for checkpoints: the memory of a VM goes to a descriptor, and comes from one.
 * The rules of all operations hold here, too. A VM of which an image is made goes
 *
 *     locate or find -> [unplug] -> stop -> save -> proceed -> [plug]
 *
 * where proceed() may come at any time after stop(), as cancel() does. A VM that is made of an
 * image is not located, as it is nowhere, and has no source; it goes
 *
 *     absent -> prepare(site) -> load -> start -> [plug]
 *                     \___________\__ discard
 *     find_loaded ----------------^----^
 */
struct vmm_images {
    /** In place of locate() for a VM that a checkpoint may have stopped: sets `stands`, too. */
    void (*find)(struct vmm *vmm, vmm_done done, void *arg);

    /** Stops the VM; sets `stands`. */
    void (*stop)(struct vmm *vmm, vmm_done done, void *arg);

    /**
     * Sends the VM as it stands. If it is live, it goes on by itself meanwhile, which takes back
     * `stands`; a VMM that cannot do so leaves it standing.
     *
     * @param fd  a stream socket, which is taken over
     */
    void (*save)(struct vmm *vmm, int fd, bool live, vmm_done done, void *arg);

    /** Takes back stop() and save(): afterwards it runs. Class ERR_OPERATOR: it does not. */
    void (*proceed)(struct vmm *vmm, vmm_done done, void *arg);

    /** In place of locate(): fails, unless it is seen to be nowhere. */
    void (*absent)(struct vmm *vmm, vmm_done done, void *arg);

    /**
     * The same for a VM whose restart was interrupted: sets `site`, `move` and `committed` if it
     * runs, `loaded` if it could, and `to`.
     */
    void (*find_loaded)(struct vmm *vmm, int to, vmm_done done, void *arg);

    /** Takes what a descriptor gives, as save(); the VM stands then, and `loaded` is set. */
    void (*load)(struct vmm *vmm, int fd, vmm_done done, void *arg);

    /** Lets it run, and the network know where it is: `site`, `move` and `committed`. */
    void (*start)(struct vmm *vmm, vmm_done done, void *arg);

    /** Takes back prepare() and load(), if it was not started. */
    void (*discard)(struct vmm *vmm, vmm_done done, void *arg);
};

struct vmm_driver {
    struct cluster_driver in_file; /* its name there, and what it wants of it */
    const char *mend;              /* what a user is to do where a VM cannot be found */
    unsigned measures;             /* enum vmm_measure */
    enum vmm_post_copy post_copy;
    const struct vmm_images *images; /* NULL: it knows no checkpoints */

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

    /** What the host of a site has, as locate() was told. NULL: there is nobody to be asked. */
    struct vmm_room (*room)(const struct vmm *vmm, int site);

    /**
     * Looks at what there is of a VM at a site; that needs no object. NULL: there is nobody to be
     * asked.
     *
     * @param look  all zero; filled in until `done` is called, from the event loop
     * @return to be closed, which may be at any time; NULL: it is over, and done is not called
     */
    struct looker *(*look)(struct event_base *base, const struct cluster *cluster, int vm, int site,
                           struct look *look, void (*done)(void *arg), void *arg);

    /**
     * Measures what the VM writes where it runs, which takes seconds: sets `writes`. NULL: it
     * cannot be measured.
     */
    void (*measure)(struct vmm *vmm, vmm_done done, void *arg);

    /**
     * Takes the device of its site from the VM; ends when the guest let go of it. The guest cannot
     * be told to forget that it was asked, so one that has not answered in time is `leaving` until
     * it does, which is noticed in any operation and between them.
     */
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
    bool leaving;    /* the guest was asked to let go of that, and may still do so */
    const struct cluster_device **devices; /* by site: what it has there, or is to get; or NULL */
    enum vmm_move move;
    bool committed;   /* it cannot run at `from` again */
    bool stands;      /* it was stopped, for an image of it */
    int64_t stood_ms; /* how long it stood for that; -1: it did not, or does still */
    bool loaded;      /* it could run at `to`, and does not yet */

    /* How great it is, as far as locate() was told; 0: not known, which it is where the cluster
     * file says nothing of the room of hosts. */
    int64_t memory_mib;
    int cpus;

    struct vmm_writes writes; /* as measure() found them */

    /* How its memory is sent. Whoever opens a VM says it, before adopt() and prepare(). */
    struct transfer transfer;

    /* If set, called when it comes to run at the destination in the middle of migrate(). */
    void (*on_there)(void *arg);
    void *on_there_arg;
    struct vmm_progress progress;
    struct vmm_savings savings;

    int64_t stands_since; /* as of now_ms() */
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

/** False with err, class ERR_REFUSED: the driver of that name knows no checkpoints. */
bool driver_makes_images(const char *name, struct ninja_error *err);

/** For cluster_read(): what each driver wants of the cluster file. */
const struct cluster_driver *driver_in_file(size_t i);

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

/** What the host of a site has. */
static inline struct vmm_room vmm_room(const struct vmm *vmm, int site)
{
    return vmm->driver->room != NULL ? vmm->driver->room(vmm, site) : (struct vmm_room){0};
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

/** The device that it has at a site, or is to get there; NULL: none, or none was chosen. */
static inline const struct cluster_device *vmm_device_at(const struct vmm *vmm, int site)
{
    return vmm->devices[site];
}

/** The same where it is; `site` must be known. */
static inline const struct cluster_device *vmm_device(const struct vmm *vmm)
{
    return vmm_device_at(vmm, vmm->site);
}

/** For people and hooks; NULL: none. */
static inline const char *vmm_device_text(const struct vmm *vmm, int site)
{
    const struct cluster_device *device = site >= 0 ? vmm_device_at(vmm, site) : NULL;
    return device != NULL ? device->text : NULL;
}

/** Whether its site has a device for it that is not plugged. */
static inline bool vmm_lacks_device(const struct vmm *vmm)
{
    return !vmm->has_device && vmm_device(vmm) != NULL;
}

static inline const char *vmm_name(const struct vmm *vmm)
{
    return vmm->cluster->vms[vmm->vm];
}

/** For drivers: the one way to change `move`. */
void vmm_set_move(struct vmm *vmm, enum vmm_move move);

/**
 * For drivers: takes what was measured over `times` VMM_WRITES_MS, which is first 1 and then 3.
 *
 * @return what is to be measured next; 0: that was all; -1 with err: it makes no sense
 */
int vmm_take_writes(struct vmm *vmm, int times, int64_t mib_per_s, struct ninja_error *err);

/** For drivers: the guest let go of its device. */
void vmm_lost_device(struct vmm *vmm);

/** For drivers: whether there is any device that it may have at a site. */
bool vmm_may_have_device(const struct vmm *vmm, int site);

/** For drivers: the device that it has at a site, of those that it may have; NULL: none. */
const struct cluster_device *vmm_find_device(const struct vmm *vmm, int site,
                                             bool (*has)(void *arg, const char *id), void *arg);

/** For drivers: what it was seen to have where it is; NULL: none. */
void vmm_has_seen_device(struct vmm *vmm, const struct cluster_device *device);

/** For drivers: the one way to change `stands`, as that is timed. */
void vmm_set_stands(struct vmm *vmm, bool stands);

/** For drivers: fills the common part. */
void vmm_init(struct vmm *vmm, const struct vmm_driver *driver, struct event_base *base,
              const struct cluster *cluster, int vm);
/** And frees it; the struct itself is the driver's. */
void vmm_clear(struct vmm *vmm);

#endif
