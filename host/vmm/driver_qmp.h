/*
 * What the parts of the driver "qmp" share: driver_qmp.c (operations; one QEMU: locate, unplug,
 * plug, finish), driver_qmp_peer.c (the connection to a QEMU), driver_qmp_move.c (two QEMUs:
 * prepare, migrate), driver_qmp_postcopy.c, driver_qmp_cancel.c, driver_qmp_adopt.c,
 * driver_qmp_look.c, driver_qmp_measure.c, driver_qmp_stream.c, driver_qmp_save.c and driver_qmp_load.c (images), and
 * driver_qmp_states.c (what is kept in mind).
 */
#ifndef NINJA_DRIVER_QMP_H
#define NINJA_DRIVER_QMP_H

#include <jansson.h>
#include <string.h>

#include "host/base/timer.h"
#include "host/config/path.h"
#include "host/vmm/driver_qmp_states.h"
#include "host/vmm/headway.h"
#include "host/vmm/host_command.h"
#include "host/vmm/qmp.h"
#include "host/vmm/stream_client.h"
#include "host/vmm/vm_sockets.h"

struct qmp_vm;

/* A reply belongs to the operation that asked; a late one must not end the next. */
enum op {
    OP_NONE,
    OP_LOCATE,
    OP_ADOPT,
    OP_MEASURE,
    OP_UNPLUG,
    OP_PREPARE,
    OP_MIGRATE,
    OP_PLUG,
    OP_CANCEL,
    OP_FINISH,
    OP_STOP,
    OP_SAVE,
    OP_PROCEED,
    OP_LOAD,
    OP_START,
    OP_DISCARD,
};

/* The VM's QEMU at one site, as far as there is one. */
struct peer {
    struct qmp_vm *owner;
    int site;
    struct qmp *qmp;
    char status[32];        /* QEMU's word at the last look; empty: not known */
    char migration[32];     /* QEMU's word; "none": there is none; empty: not known */
    struct ninja_error err; /* why it could not be reached */
    int64_t memory_mib;     /* of the VM that runs there; 0: not known */
    int cpus;
    const struct cluster_device *device; /* the VM has there, of those that it may have */
    bool asked;                          /* locate waits for it */
    qmp_reply unsent;                    /* of a command that could not be given */
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

    bool asked_before;            /* the guest, to let go of the device */
    struct stream_client *stream; /* NULL: its memory does not go through one */
    void (*on_stream)(struct qmp_vm *v);

    enum receiver receiver;
    enum copy copy;
    enum adoption adoption;

    size_t step;          /* of prepare */
    int measuring;        /* for so many times VMM_WRITES_MS */
    json_t *capabilities; /* between asking for them and setting them */
    int64_t give_up_at;   /* ms; for loops within an operation */
    bool ran_there;       /* as adopt() was told: its memory at the source is of the past */
    struct headway headway;
    int64_t heard;        /* of post-copy: bytes, and when they became so many */
    int64_t heard_at;     /* ms */
    int64_t recover_by;   /* ms; 0: the connection is well */
    int64_t reconnect_at; /* ms; before that an attempt may be going on */

    int image; /* of save and load: the descriptor, until QEMU has it; -1: none */
    bool live; /* of save */
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
/** Ends the one that runs, if one does, with class ERR_CANCELLED. */
void op_cancel(struct qmp_vm *v, int site);
/** Whether a reply of the peer is to that operation, and says no error, which ends it. */
bool op_takes(struct peer *peer, enum op op, const struct ninja_error *err);
/** For peer_ended: there is nothing to be done without it. */
void op_ends_with_peer(struct peer *peer, const struct ninja_error *err);

/** QEMU has the image's descriptor, or is not to get it. */
void qmp_vm_close_image(struct qmp_vm *v);

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

/** As peer_execute(), with a descriptor that QEMU gets a copy of. */
void peer_execute_with_fd(struct peer *peer, const char *command, json_t *arguments, int fd,
                          qmp_reply reply);

/** As peer_execute(), but out of band, see qmp.h. */
void peer_execute_urgent(struct peer *peer, const char *command, json_t *arguments,
                         qmp_reply reply);

static inline bool peer_is(const struct peer *peer, const char *status)
{
    return strcmp(peer->status, status) == 0;
}

/** Takes the "status" out of the answer of query-status. */
void peer_set_status(struct peer *peer, json_t *result);
/** The bytes of RAM in the answer of query-memory-size-summary; 0: it says nothing sensible. */
int64_t qmp_memory_in(json_t *answer);
/** Takes it out of the answer of query-migrate; NULL: there was no answer. */
void peer_set_migration(struct peer *peer, json_t *result);
/** Whether nothing is on its way, nor arrived: what was sent, if anything was, is void. */
bool peer_migration_is_over(const struct peer *peer);

/* Bytes a second. Left alone, QEMU holds itself to 128 MiB/s. */
#define QMP_NO_LIMIT ((json_int_t)64 * 1024 * 1024 * 1024)

/** Takes the capabilities of the answer of query-migrate-capabilities, each on or off. */
void qmp_vm_take_capabilities(struct qmp_vm *v, json_t *result,
                              bool (*wanted)(const struct qmp_vm *v, const char *name));
/** For migrate-set-capabilities: those that were taken. */
json_t *qmp_vm_capabilities(struct qmp_vm *v);

/** For an event about a device, whoever waits for it. */
void qmp_vm_device_event(struct peer *peer, const char *name, json_t *data);

/** Asks the QEMUs at all sites; conclude() makes something of what is in v->peers then. */
void peers_ask(struct qmp_vm *v, enum op op, vmm_done conclude, vmm_done done, void *arg);
/** Drops the connections to all of them but the one at that site; -1: to all. */
void peers_leave(struct qmp_vm *v, int site);
/** The states that they are in, or why they could not be asked, for an error. */
void peers_describe(struct qmp_vm *v, char *text, size_t size);

/** It runs at the destination; split: without a part of its memory. */
void qmp_vm_is_there(struct qmp_vm *v, bool split);
/** Takes the figures of query-migrate. */
void qmp_vm_take_progress(struct qmp_vm *v, json_t *result);
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

/** Whether memory comes to `to` by ninja-stream. */
bool qmp_vm_has_stream(const struct qmp_vm *v);
/** A part of prepare: has the VM go through one, and sets the path; `then` goes on. */
void qmp_vm_stream_begin(struct qmp_vm *v, void (*then)(struct qmp_vm *v));
/** Asks it what it made of the memory, when that has arrived. */
void qmp_vm_stream_count(struct qmp_vm *v);
/** Leaves it; what still goes through goes on. */
void qmp_vm_stream_end(struct qmp_vm *v);

/** For the cluster file: checks what a stream needs. */
bool qmp_entry_check(const struct cluster_entry *entry, const void *site, const char **key,
                     struct ninja_error *err);

/* Operations, as driver.h has them. */
struct looker *qmp_vm_look(struct event_base *base, const struct cluster *cluster, int vm, int site,
                           struct look *look, void (*done)(void *arg), void *arg);
void qmp_vm_measure(struct vmm *vmm, vmm_done done, void *arg);
void qmp_vm_adopt(struct vmm *vmm, int from, int to, bool ran_there, vmm_done done, void *arg);
void qmp_vm_prepare(struct vmm *vmm, int site, vmm_done done, void *arg);
void qmp_vm_migrate(struct vmm *vmm, vmm_done done, void *arg);
void qmp_vm_cancel(struct vmm *vmm, vmm_done done, void *arg);

extern const struct vmm_images qmp_vm_images;

/* Those of them that are in driver_qmp_load.c. */
void qmp_vm_absent(struct vmm *vmm, vmm_done done, void *arg);
void qmp_vm_find_loaded(struct vmm *vmm, int to, vmm_done done, void *arg);
void qmp_vm_load(struct vmm *vmm, int fd, vmm_done done, void *arg);
void qmp_vm_start(struct vmm *vmm, vmm_done done, void *arg);
void qmp_vm_discard(struct vmm *vmm, vmm_done done, void *arg);

/* An image's descriptor has this name in QEMU. */
#define IMAGE_FD  "ninja-image"
#define IMAGE_URI "fd:" IMAGE_FD

#endif
