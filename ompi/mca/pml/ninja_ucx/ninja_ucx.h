/*
 * The component pml/ninja_ucx: messages by UCX, whose transports can be let go and opened anew
 * under the messages. Only public functions of UCX are used.
 *
 *     component.c    the component, and the table of the PML's functions
 *     worker.c       UCX's context and worker: opened, asked for progress, let go
 *     choice.c       lists of transports, as switches have them, in UCX's terms
 *     peers.c        the processes that this one exchanges messages with, and how they are reached
 *     tags.h         what a message carries in UCX's 64-bit tag
 *     requests.c     MPI's requests, and the memory in them in which UCX works
 *     datatypes.c    data that is not contiguous
 *     send.c         sends of every mode
 *     receive.c      receives
 *     probe.c        probes
 *     held.c         messages that arrived before anybody wanted them, and were taken from UCX
 *     synchronous.c  synchronous sends that a switch finds unmatched
 *     control.c      what the ranks tell each other beside messages
 *     quiesce.c      until nothing is on the way, and back
 *     layer.c        what is done at the steps of a switch
 *
 * Where several threads may be inside MPI, one at a time is inside this component: everything that
 * is called from outside takes the lock (a recursive one, as the completion of a request may call
 * MPI's functions again), and nothing waits with the lock held. UCX itself needs no lock then.
 */
#ifndef NINJA_UCX_H
#define NINJA_UCX_H

#include "ompi_config.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ucp/api/ucp.h>

#include "common/addresses.h"
#include "ompi/communicator/communicator.h"
#include "ompi/datatype/ompi_datatype.h"
#include "ompi/mca/pml/pml.h"
#include "ompi/message/message.h"
#include "ompi/proc/proc.h"
#include "ompi/request/request.h"
#include "opal/datatype/opal_convertor.h"
#include "opal/threads/mutex.h"

#define NINJA_UCX_NAME "ninja_ucx"

struct transport_layer;

/* --- component.c --------------------------------------------------------------------------- */

extern pthread_mutex_t ninja_ucx_lock;
extern bool several_threads; /* may be inside MPI */

static inline void lock(void)
{
    if (OPAL_UNLIKELY(several_threads)) {
        pthread_mutex_lock(&ninja_ucx_lock);
    }
}

static inline void unlock(void)
{
    if (OPAL_UNLIKELY(several_threads)) {
        pthread_mutex_unlock(&ninja_ucx_lock);
    }
}

/** Tells the user, by the standard error of the job. */
void complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* --- choice.c ------------------------------------------------------------------------------ */

/* Transports and devices in UCX's own terms. NULL: as the environment has it. */
struct choice {
    char *transports, *devices;
};

/** Whether the list has only names that UCX has, and can reach all ranks of the job. */
bool choice_is_possible(const char *list, char *why, size_t size);
/**
 * What a list of a switch means.
 *
 * @param previous  what "@previous" stands for
 * @param choice    out: malloc'ed, to be cleared with choice_clear()
 * @return false with the reason
 */
bool choice_of(const char *list, const struct choice *previous, struct choice *choice, char *why,
               size_t size);
bool choice_copy(struct choice *to, const struct choice *from);
void choice_clear(struct choice *choice);

/* --- worker.c ------------------------------------------------------------------------------ */

extern ucp_worker_h worker; /* NULL: there are no transports */

/** Opens a context and a worker with these transports. False with the reason; nothing is open. */
bool worker_open(const struct choice *choice, char *why, size_t size);
/** Lets go of all devices. UCX holds no request any more. */
void worker_close(void);
/** The address by which others reach this process: malloc'ed, NULL if there is no memory. */
void *worker_address(size_t *size);
/** The address of UCX in what worker_address() gave in another process; NULL with the reason. */
const ucp_address_t *worker_address_of(const void *address, size_t size, char *why,
                                       size_t why_size);
/** The most bytes that UCX needs in the memory of a request. */
size_t worker_request_size(void);

/** Makes progress once. To be called with the lock. */
int worker_progress(void);
/** The same from outside, as MPI's progress function; does nothing if another thread does it. */
int worker_progress_function(void);

/** Makes progress, MPI's too, now and then; for loops that wait. To be called without the lock. */
void worker_wait(unsigned turn);

/* --- peers.c ------------------------------------------------------------------------------- */

struct peer {
    struct peer *next;
    opal_process_name_t name;
    ucp_ep_h endpoint; /* NULL: not connected yet */
    uint64_t sent;     /* messages */
    uint64_t marked;   /* the latest drain of which its marker has come */
    bool awaited;      /* it has sent messages, so its marker must come for a drain to end */
    bool met;          /* messages were exchanged */
    bool runs_on;      /* has taken the switch back, and sends messages again */
    bool verified;     /* reached this rank by the new transports */
    unsigned syncs;    /* active synchronous sends */
    void *counts;      /* of messages by tag, while there are some (synchronous.c) */
};

bool peers_open(void);
void peers_close(void);
/** The process of that rank in the communicator, with an endpoint. NULL: it is not reached. */
struct peer *peer_connect(ompi_proc_t *proc);
static inline struct peer *peer_of(ompi_communicator_t *comm, int rank)
{
    ompi_proc_t *proc = ompi_comm_peer_lookup(comm, rank);
    struct peer *peer = proc->proc_endpoints[OMPI_PROC_ENDPOINT_TAG_PML];
    if (OPAL_LIKELY(peer != NULL && peer->endpoint != NULL)) {
        return peer;
    }
    return peer_connect(proc);
}
/** Of a rank of this job; NULL: out of memory, or there is no such rank. */
struct peer *peer_of_rank(uint32_t rank);
/** Gives it an endpoint if it has none. False with the reason. */
bool peer_reach(struct peer *peer, char *why, size_t size);
struct peer *peers_first(void);
/** The endpoints are gone with their worker. */
void peers_forget_endpoints(void);
/** Tells others by which address this process is reached. */
bool peers_publish(const void *address, size_t size);
/** From now on peers are reached by these addresses, which are taken over. */
void peers_take_addresses(struct ninja_addresses *addresses);
int peers_add(ompi_proc_t **procs, size_t n);
int peers_remove(ompi_proc_t **procs, size_t n);

/* --- requests.c ---------------------------------------------------------------------------- */

enum request_kind { REQUEST_SEND, REQUEST_RECEIVE };

struct request {
    ompi_request_t ompi; /* first */
    struct request *next_free;
    enum request_kind kind;
    bool active;     /* from its start until MPI sees it complete */
    bool in_ucx;     /* UCX works in its memory */
    bool parked;     /* a receive that waits for the end of a switch */
    bool freed;      /* by the application, while it was active */
    bool cancelled;  /* by the application */
    bool taken;      /* a synchronous send: UCX has delivered it, to be told to MPI or not */
    uint8_t verdict; /* of a synchronous send, enum verdict */
    uint64_t order;  /* of receives: in which they were posted; of synchronous sends: a name */
    ucp_tag_t tag, mask;
    void *buffer;
    size_t count;
    ompi_datatype_t *datatype;
    opal_convertor_t *convertor; /* of data that is not in one piece; it stays with the request */
    struct peer *peer;           /* of an active send */
    /* what a persistent request starts */
    ompi_communicator_t *comm;
    int rank, mpi_tag;
    mca_pml_base_send_mode_t mode;
    void *copy;      /* of a buffered send */
    uint64_t number; /* of a synchronous send among those with its tag */
};

bool requests_open(void);
void requests_close(void);
/** A new one, not active. NULL: out of memory. */
struct request *request_get(enum request_kind kind);
void request_put(struct request *request);
/** The memory in which UCX works: what comes before this address. */
void *request_area(struct request *request);
void request_start(struct request *request);
/** To be called when what it waits for is done and its status is set. */
void request_complete(struct request *request);
/** Visits all that are active. */
void requests_for_each(void (*visit)(struct request *request, void *arg), void *arg);
extern ompi_request_t request_done; /* stands for every send that was complete at once */

/** Sends on which UCX is at work, of every kind. */
extern unsigned sends_in_ucx;

/** One of which perhaps only the memory for UCX is needed: it is taken, or declined, later. */
struct request *request_offer(void);
void request_take(struct request *request, enum request_kind kind);
void request_decline(struct request *request);
/** Makes room for what data that is not in one piece needs. */
bool request_can_scatter(struct request *request);

/* --- datatypes.c --------------------------------------------------------------------------- */

extern ucp_datatype_t scattered; /* its buffer is a struct request */

bool datatypes_open(void);
void datatypes_close(void);

static inline bool is_in_one_piece(const ompi_datatype_t *type, size_t count)
{
    return opal_datatype_is_contiguous_memory_layout(&type->super, (int32_t)count);
}

/** If the data lies in one piece: where, and its length. */
static inline bool in_one_piece(const ompi_datatype_t *type, size_t count, const void *buffer,
                                void **begin, size_t *length)
{
    if (OPAL_LIKELY(is_in_one_piece(type, count))) {
        *begin = (char *)(uintptr_t)buffer + type->super.true_lb;
        *length = type->super.size * count;
        return true;
    }
    return false;
}
/** Copies from memory to where the request wants it; as much as there is room for. */
void unpack(const struct request *request, const void *data, size_t length);
void pack(const void *buffer, size_t count, ompi_datatype_t *type, void *data, size_t length);

/* --- send.c, receive.c, probe.c: the functions of the PML ---------------------------------- */

extern bool quiescing; /* receives are parked, and not posted */

int send_init(const void *, size_t, ompi_datatype_t *, int, int, mca_pml_base_send_mode_t,
              ompi_communicator_t *, ompi_request_t **);
int send_begin(const void *, size_t, ompi_datatype_t *, int, int, mca_pml_base_send_mode_t,
               ompi_communicator_t *, ompi_request_t **);
int send_blocking(const void *, size_t, ompi_datatype_t *, int, int, mca_pml_base_send_mode_t,
                  ompi_communicator_t *);
int send_restart(struct request *request);

int receive_init(void *, size_t, ompi_datatype_t *, int, int, ompi_communicator_t *,
                 ompi_request_t **);
int receive_begin(void *, size_t, ompi_datatype_t *, int, int, ompi_communicator_t *,
                  ompi_request_t **);
int receive_blocking(void *, size_t, ompi_datatype_t *, int, int, ompi_communicator_t *,
                     ompi_status_public_t *);
int receive_matched(void *, size_t, ompi_datatype_t *, ompi_message_t **, ompi_request_t **);
int receive_matched_blocking(void *, size_t, ompi_datatype_t *, ompi_message_t **,
                             ompi_status_public_t *);
int receive_restart(struct request *request);
/** Looks among the messages that are held, then asks UCX. */
void receive_post(struct request *request);
/** Takes it back from UCX if it is unmatched, and parks it. */
void receive_park(struct request *request);

int probe(int, int, ompi_communicator_t *, ompi_status_public_t *);
int probe_once(int, int, ompi_communicator_t *, int *, ompi_status_public_t *);
int probe_matched(int, int, ompi_communicator_t *, ompi_message_t **, ompi_status_public_t *);
int probe_matched_once(int, int, ompi_communicator_t *, int *, ompi_message_t **,
                       ompi_status_public_t *);

/* --- held.c -------------------------------------------------------------------------------- */

/*
 * A message that UCX does not have any more: it lies in memory, or is on its way there. One that
 * was taken by a matched probe belongs to that probe, and may still be in UCX.
 */
struct held {
    struct held *next;
    ucp_tag_t tag;
    size_t length;
    ucp_tag_message_h in_ucx; /* of a matched probe: UCX still has it */
    char *data;
    bool arriving;             /* UCX writes to data */
    bool failed;               /* UCX could not */
    struct request *wanted_by; /* when it has arrived */
    uint32_t from;             /* synchronous: the rank that waits to hear that it was matched */
    uint64_t name;             /* by which that rank knows it; 0: not synchronous */
};

extern struct held *held_first;

void held_close(void);
/** The first message that matches, or NULL. It stays where it is. */
struct held *held_find(ucp_tag_t tag, ucp_tag_t mask);
/** Gives it to the request; it is gone then. */
void held_deliver(struct held *message, struct request *request);
/** Takes it out of the others, for a matched probe. */
void held_take(struct held *message);
/** One for a matched probe, of what UCX has. NULL: out of memory. */
struct held *held_in_ucx(ucp_tag_message_h message, const ucp_tag_recv_info_t *info);
/** Of a matched probe: its receive has come. */
void held_forget(struct held *message);
/**
 * Takes all that is unmatched in UCX to memory: all, as the order among the messages of a sender
 * must stay. False: out of memory, and something is left there.
 */
bool held_pull(void);
/** The same with what matched probes have taken. */
bool held_pull_probed(void);
/** How many are on their way to memory. */
unsigned held_arriving(void);
/** The message with that tag after which `later` others with it are held, or NULL. */
struct held *held_before(ucp_tag_t tag, uint64_t later);

/* --- synchronous.c ------------------------------------------------------------------------- */

enum verdict { VERDICT_NONE, VERDICT_ASKED, VERDICT_HELD };

/** Is told of each message to a peer to which synchronous sends are active. */
void sync_count(struct peer *peer, ucp_tag_t tag);
bool sync_begin(struct request *request);
/** UCX says that it was received. */
void sync_taken(struct request *request);
/** Asks the receivers of all that are active whether they hold them unmatched. */
bool sync_ask(void);
/** How many have not been answered. */
unsigned sync_unanswered(void);
void sync_handle_question(uint32_t from, ucp_tag_t tag, uint64_t later, uint64_t name);
void sync_handle_answer(uint64_t name, bool held);
void sync_handle_match(uint64_t name);

/* --- control.c ----------------------------------------------------------------------------- */

enum control_kind {
    CONTROL_MARKER = 1, /* number: the drain; all messages until then were sent before this */
    CONTROL_QUESTION,   /* tag, number: messages with the tag that followed, name */
    CONTROL_HELD,       /* name */
    CONTROL_NOT_HELD,   /* name */
    CONTROL_MATCHED,    /* name */
    CONTROL_VERIFY,
    CONTROL_RUNNING, /* the sender has taken the switch back */
};

/** Begins to receive what others tell. */
bool control_open(void);
/** Ends it, and closes the worker: what is still being sent then is given up. */
void control_close(void);
bool control_send(struct peer *peer, enum control_kind kind, ucp_tag_t tag, uint64_t number,
                  uint64_t name);
extern void *control_inbox; /* not NULL: control_handle() has something to do */
void control_handle(void);

/* --- quiesce.c ----------------------------------------------------------------------------- */

/** Begins to take all that was sent by each peer that is `awaited`. False: out of memory. */
bool quiesce_begin(uint64_t turn);
/** Whether it is over, or what it waits for. Each calls for progress. */
enum quiesce { QUIESCE_WAITS, QUIESCE_DONE, QUIESCE_FAILED };
enum quiesce quiesce_drain(void);
enum quiesce quiesce_settle(void);
/** Makes the progress that other ranks need meanwhile. */
void quiesce_attend(void);
void quiesce_describe(char *text, size_t size);
/** UCX is let go, and the switch can no longer be taken back. */
void quiesce_release(void);
/** Posts all receives again. */
void quiesce_end(void);

/* --- layer.c ------------------------------------------------------------------------------- */

extern const struct transport_layer ninja_ucx_layer;

#endif
