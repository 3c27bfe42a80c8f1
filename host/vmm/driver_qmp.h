/*
 * What the parts of the driver "qmp" share: driver_qmp.c (operations; one QEMU: locate, unplug,
 * plug, finish), driver_qmp_peer.c (the connection to a QEMU), driver_qmp_move.c (two QEMUs:
 * prepare, migrate), driver_qmp_postcopy.c, driver_qmp_cancel.c, driver_qmp_adopt.c,
 * driver_qmp_look.c and driver_qmp_states.c (what is kept in mind).
 */
#ifndef NINJA_DRIVER_QMP_H
#define NINJA_DRIVER_QMP_H

#include <jansson.h>

#include "host/base/timer.h"
#include "host/config/path.h"
#include "host/vmm/driver_qmp_states.h"
#include "host/vmm/host_command.h"
#include "host/vmm/qmp.h"
#include "host/vmm/vm_sockets.h"

struct qmp_vm;

/* A reply belongs to the operation that asked; a late one must not end the next. */
enum op {
    OP_NONE,
    OP_LOCATE,
    OP_ADOPT,
    OP_UNPLUG,
    OP_PREPARE,
    OP_MIGRATE,
    OP_PLUG,
    OP_CANCEL,
    OP_FINISH,
};

/* The VM's QEMU at one site, as far as there is one. */
struct peer {
    struct qmp_vm *owner;
    int site;
    struct qmp *qmp;
    char status[32];        /* QEMU's word at the last look; empty: not known */
    char migration[32];     /* QEMU's word; "none": there is none; empty: not known */
    struct ninja_error err; /* why it could not be reached */
    bool has_device;
    bool asked;       /* locate waits for it */
    qmp_reply unsent; /* of a command that could not be given */
    struct event *unsent_timer;
};

struct qmp_vm {
    struct vmm vmm;
    struct peer *peers; /* one for each site */
    struct path path;   /* of the memory, to `to` */

    enum op op; /* the operation in progress */
    vmm_done done;
    void *arg;
    char waiting_for[160]; /* what the deadline's error says */
    int waiting_at;        /* site */
    struct event *deadline, *poll;
    struct host_command *command;
    struct gather gather;
    void (*peer_ready)(struct peer *peer);
    void (*peer_event)(struct peer *peer, const char *name, json_t *data);
    void (*peer_ended)(struct peer *peer, const struct ninja_error *err);

    enum receiver receiver;
    enum copy copy;
    enum adoption adoption;

    size_t step;          /* of prepare */
    json_t *capabilities; /* between asking for them and setting them */
    int64_t give_up_at;   /* ms; for loops within an operation */
    bool ran_there;       /* as adopt() was told: its memory at the source is of the past */
    int64_t heard;        /* of post-copy: bytes, and when they became so many */
    int64_t heard_at;     /* ms */
    int64_t recover_by;   /* ms; 0: the connection is well */
    int64_t reconnect_at; /* ms; before that an attempt may be going on */
};

static inline struct peer *source_of(struct qmp_vm *v)
{
    return &v->peers[vmm_is_there(&v->vmm) ? v->vmm.from : v->vmm.site];
}

static inline struct peer *destination_of(struct qmp_vm *v)
{
    return &v->peers[v->vmm.to];
}

#define START_MS    30 /* between two looks at whether it runs at the destination */
#define PROGRESS_MS 200

static inline int qmp_vm_timeout(const struct qmp_vm *v, enum timeout timeout)
{
    return v->vmm.cluster->timeouts[timeout];
}

static inline const struct cluster_site *site_to(const struct qmp_vm *v)
{
    return &v->vmm.cluster->sites[v->vmm.to];
}

static inline const struct vm_commands *commands_to(const struct qmp_vm *v)
{
    return vm_commands_at(v->vmm.cluster, v->vmm.to);
}

static inline bool qmp_vm_is_copying(const struct qmp_vm *v)
{
    return v->copy != COPY_NONE;
}

/** Sets `to` and the path there. Of the receiver nothing is known then, and there is no copy. */
void qmp_vm_goes_to(struct qmp_vm *v, int site);

/** Begins an operation. Nothing is waited for yet, and what its peers say means nothing to it. */
void op_begin(struct qmp_vm *v, enum op op, vmm_done done, void *arg);
/**
 * Ends the operation with an error unless it ends, or waits for something else, within that time.
 *
 * @param site  where it waits
 * @param fmt   what did not happen in time, for the error
 */
void op_wait(struct qmp_vm *v, int site, int timeout_ms, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/** Ends the operation; site is where the error was seen, or -1. err is NULL if well. */
void op_end(struct qmp_vm *v, int site, const struct ninja_error *err);

/** Calls again in ms milliseconds, unless the operation ended before. */
void op_poll(struct qmp_vm *v, int ms, event_callback_fn callback, void *arg);

/** (Re)connects; v->peer_ready or v->peer_ended follows if true. */
bool peer_connect(struct peer *peer, struct ninja_error *err);
/** Drops the connection, if there is one, and forgets the replies that it owes. */
void peer_disconnect(struct peer *peer);

/**
 * One command, within the time-out "command". Where there is no connection, the reply comes all the
 * same, from the event loop: class ERR_CLOSED.
 *
 * @param arguments  taken over; NULL for none
 * @param reply      its arg is the peer; NULL if nobody wants to know
 */
void peer_execute(struct peer *peer, const char *command, json_t *arguments, qmp_reply reply);

/** The same within a time-out of its own; 0: none, as the operation has one. */
void peer_execute_within(struct peer *peer, const char *command, json_t *arguments, int timeout_ms,
                         qmp_reply reply);

/** As peer_execute(), but out of band, see qmp.h. */
void peer_execute_urgent(struct peer *peer, const char *command, json_t *arguments,
                         qmp_reply reply);

/** Takes the "status" out of the answer of query-status. */
void peer_set_status(struct peer *peer, json_t *result);
/** Takes it out of the answer of query-migrate; NULL: there was no answer. */
void peer_set_migration(struct peer *peer, json_t *result);
/** Whether nothing is on its way, nor arrived: what was sent, if anything was, is void. */
bool peer_migration_is_over(const struct peer *peer);

/** Asks the QEMUs at all sites; conclude() makes something of what is in v->peers then. */
void peers_ask(struct qmp_vm *v, enum op op, vmm_done conclude, vmm_done done, void *arg);
/** The states that they are in, or why they could not be asked, for an error. */
void peers_describe(struct qmp_vm *v, char *text, size_t size);

/** It runs at the destination; split: without a part of its memory. */
void qmp_vm_is_there(struct qmp_vm *v, bool split);
/** Looks in so many ms how far its memory is, and goes on from there. */
void qmp_vm_ask_progress_in(struct qmp_vm *v, int ms);

/** Whether the last look found its memory on both sides. */
bool post_copy_is_on(const struct peer *peer);
/** Has it change sides if that is wanted and it is time; result is query-migrate's. */
void post_copy_begin_if_due(struct qmp_vm *v, json_t *result);
/** While it is on: goes on from what query-migrate said. */
void post_copy_progress(struct qmp_vm *v);
/** The copy of a split VM ended, or cannot be watched (err); false: it is not split. */
bool post_copy_ended(struct qmp_vm *v, const struct ninja_error *err);

/* Operations, as driver.h has them. */
struct looker *qmp_vm_look(struct event_base *base, const struct cluster *cluster, int vm, int site,
                           struct look *look, void (*done)(void *arg), void *arg);
void qmp_vm_adopt(struct vmm *vmm, int from, int to, bool ran_there, vmm_done done, void *arg);
void qmp_vm_prepare(struct vmm *vmm, int site, vmm_done done, void *arg);
void qmp_vm_migrate(struct vmm *vmm, vmm_done done, void *arg);
void qmp_vm_cancel(struct vmm *vmm, vmm_done done, void *arg);

#endif
