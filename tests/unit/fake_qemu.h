/*
 * A scripted QEMU: as much of QMP as a migration needs, with knobs for what can go wrong. Two of
 * them, source and destination, share a VM: what the source sends arrives at its `destination`.
 */
#ifndef NINJA_FAKE_QEMU_H
#define NINJA_FAKE_QEMU_H

#include "tests/unit/fake_peer.h"

#define FAKE_QEMU_RAM 268435456

struct fake_qemu {
    struct event_base *base;
    struct fake_peer *peer; /* NULL: it ended */
    const char *name;       /* "vm1@ib", for the log */
    char path[104];
    char status[32];
    char device[32]; /* the one hot-plugged device; empty: none */
    char migration[32];
    char incoming[64]; /* where it listens; empty: nowhere */
    struct fake_qemu *destination;
    struct fake_qemu *all; /* of the VM: the one that listens where it sends is its destination */
    int n_all;             /* 0: there is only one that could be */
    struct event *timer;
    int64_t copy_began_ms;
    int looks; /* queries of this migration */
    bool dying, unplugs;
    bool held;       /* as a destination: it was told to wait for "cont" when it has everything */
    char memory[64]; /* what an image has of it */
    int image;       /* the descriptor that it was given; -1: none */
    struct event *incoming_image;
    bool snapshot, loaded; /* background-snapshot is on; it was made of an image */

    /* When it begins to run as a destination. */
    void (*on_runs)(void *arg);
    void *arg;

    /* knobs */
    bool stop_fails;
    bool no_snapshot;       /* refuses background-snapshot */
    bool unplug_is_refused; /* DEVICE_UNPLUG_GUEST_ERROR */
    bool unplug_hangs;      /* the guest does not answer */
    bool unplug_wants_more; /* it does when it is asked for the second time */
    bool copy_fails;
    bool copy_hangs;            /* stays active until it is cancelled */
    bool never_runs;            /* as a destination */
    bool dies_when_sent;        /* as a destination: when it has got everything, before it runs */
    bool never_goes_on;         /* "cont" changes nothing */
    bool add_fails;             /* device_add */
    const char *unknown_device; /* it does not know that type; NULL: it knows all */
    bool refuses_incoming;
    int fail_copies;        /* so many migrations fail */
    int late_figures;       /* so many answers say that a migration completed, but no downtime */
    int copy_ms;            /* how long a migration takes; 0: a little */
    int pass_ms;            /* how long each pass over the memory takes; 0: there is one */
    bool writes_less;       /* each pass has half of the one before to send, not as much */
    int copy_looks;         /* it does not end before it was asked so often how it gets on */
    bool deaf;              /* accepts connections, and answers nothing */
    bool ignores_cancel;    /* migrate_cancel */
    int rest_ms;            /* of post-copy: how long the rest takes; 0: a little */
    int breaks;             /* of post-copy: so many times the connection breaks before the end */
    bool breaks_unseen;     /* by the destination, until it is told to pause */
    bool hangs_when_paused; /* as a destination: executes nothing but out of band then */
    int fail_resumes;       /* so many attempts to connect again fail */
    bool no_multifd;        /* does not know that capability */
    int writes_mib;         /* a second; -1: it cannot be measured */
    const char *blocked_by; /* what query-migrate says of that; NULL: nothing */
    const char *disk;       /* a file that it writes to; NULL: none */
    const char *machine;    /* its type; NULL: the same as the others' */
    const char *reached_at; /* as a destination: where the source gets through to it; NULL: where it
                             * listens */
    bool begins_again;      /* a receiver that ended waits again: somebody starts a new one */
};

/* status: "running", or "inmigrate" for a receiver */
void fake_qemu_init(struct fake_qemu *qemu, struct event_base *base, const char *name,
                    const char *path, const char *status);
void fake_qemu_clear(struct fake_qemu *qemu);

/** The guest lets go of its device now. */
void fake_qemu_let_go(struct fake_qemu *qemu);

#endif
