/* What the files of this folder share. */
#ifndef NINJA_BTL_HOOKS_INTERNAL_H
#define NINJA_BTL_HOOKS_INTERNAL_H

#include "btl_hooks.h"

#include <net/if.h>

#include "ompi_config.h"
#include "ompi/mca/bml/base/base.h"
#include "ompi/mca/bml/bml.h"
#include "ompi/proc/proc.h"
#include "opal/mca/base/base.h"
#include "opal/mca/btl/base/base.h"
#include "opal/mca/btl/btl.h"

static inline const char *btl_name(const mca_btl_base_module_t *btl)
{
    return btl->btl_component->btl_version.mca_component_name;
}

/* --- selection.c --- */
void selection_open(const char *bypass);
void selection_close(void);
/**
 * The entries of a list, each the name of a component, with ":" and its interfaces if some were
 * chosen. The caller frees them with opal_argv_free().
 */
char **selection_resolve(const char *list);
/** Whether one of the entries is of that component. */
bool selection_has(char **entries, const char *name);
/** Whether one of the entries is of the same component as this one. */
bool selection_has_entry(char **entries, const char *entry);
/** The name in an entry, malloc'ed; NULL: out of memory. */
char *selection_name(const char *entry);
/** The interfaces in an entry, joined by "+", or NULL. */
const char *selection_interfaces(const char *entry);
/**
 * What to set the framework's selection to, so that it takes those of the entries only.
 *
 * @param selection  out: malloc'ed, or NULL: all
 * @return false: out of memory
 */
bool selection_of_only(char **entries, char **selection);
/** The entries of all components that are open. */
char **selection_in_use(void);
/** Remembers what is in use as @previous. */
void selection_remember(void);
/** Whether a list stands for what was in use before, with its interfaces. */
bool selection_is_previous(const char *list);

/* --- interfaces.c --- */
/** Between the components' registration and their opening: sets the interfaces of the entries. */
bool interfaces_choose(char **entries, char *why, size_t size);
/** The entry by which an open component was opened. Borrowed. */
const char *interfaces_entry(const char *component);
/** A component is going to be closed. */
void interfaces_forget(const char *component);
/** Whether there is an RDMA device of that name, which may be followed by a port ("mlx5_0:1"). */
bool interfaces_has_rdma_device(const char *value);
/** Reads which interfaces there are. known_only: leaves out those that are not remembered. */
void interfaces_refresh(bool known_only);
/** Remembers the interfaces to choose from, but for those that tcp turned out not to use. */
void interfaces_remember(void);
void interfaces_open(void);
void interfaces_close(void);

/* --- endpoints.c --- */
/**
 * Reserves the memory that the functions below need until endpoints_unreserve(). Nothing is
 * touched.
 *
 * @return false with a reason: there is none
 */
bool endpoints_reserve(char *why, size_t size);
void endpoints_unreserve(void);
/**
 * Disconnects every process that is reached through one of the components, unless it and this one
 * stay in this switch.
 *
 * @param names  in and out: those by which a process is still reached are taken out
 */
void endpoints_vacate(char **names);
/** Whether no process leaves without this one, or stays without it, that is reached by one of them.
 */
bool endpoints_can_part(char **within_node, char *why, size_t size);
/** Runs the BML's own clean-up, sparing the endpoints of the processes that stay connected. */
void endpoints_finalize_bml(void);
/** Connects the vacated processes again. */
bool endpoints_refill(char *why, size_t size);
/**
 * Disconnects the processes again that endpoints_refill() connected since the release.
 *
 * @param closing  the components that are going to be closed then
 */
void endpoints_vacate_refilled(char **closing);
bool endpoints_any_refilled(void);
/** Calls verify_process() for those of them in the table whose rank is above this one's. */
bool endpoints_verify(const bool *peers, size_t n);
/** From here on they count as connected as all others. */
void endpoints_keep_refilled(void);
/** Whether no process is vacated. */
bool endpoints_are_complete(void);
/** Forgets the vacated processes; only at the end of MPI. */
void endpoints_close(void);

/** Visits each BTL by which a process of this job is sent to. */
void endpoints_for_each(void (*visit)(mca_bml_base_btl_t *by, void *arg), void *arg);
/** The same, for those only that this switch disconnects. */
void endpoints_for_each_leaving(void (*visit)(mca_bml_base_btl_t *by, void *arg), void *arg);
/**
 * Has a process that endpoints_refill() connected be reached by some of its BTLs only.
 *
 * @param kept  n of them; the others are disconnected
 * @return false: nothing would be left; nothing was done then
 */
bool endpoints_narrow(uint32_t rank, mca_btl_base_module_t *const *kept, size_t n);
/** One of the BTLs by which such a process is reached, copied; false: there is none. */
bool endpoints_way_to(uint32_t rank, mca_bml_base_btl_t *by);

/* --- openib.c: for connections of btl/openib that end while others of it go on --- */
/** To be called before such a connection is ended. Those of other components are left alone. */
void openib_end(const mca_bml_base_btl_t *by);
/**
 * Has btl/openib forget what it knows of a process of another node that it is not connected to any
 * more, so that it meets it anew.
 */
void openib_forget(const opal_proc_t *proc);

/* --- progress.c: only where a gate is built --- */
/** Puts the progress functions of all open components behind the gate. */
void progress_gate(void);
/** A component is going to be closed. */
void progress_forget(const mca_base_component_t *component);

/* --- modex.c --- */
/** Follows what the BTLs publish and read, until the process ends. */
void modex_open(void);
/** While it is on, what BTLs publish is kept for the other ranks. */
void modex_keep(bool keeping);
/** All that this process has to tell others of its BTLs, malloc'ed; NULL with a reason. */
void *modex_pack(uint32_t *size, char *why, size_t why_size);
/** From now on this is what all ranks have to tell; taken over. */
void modex_take(struct ninja_addresses *addresses);
/** Forgets what a component published, as it is going to be closed. */
void modex_forget(const mca_base_component_t *component);

/* --- tcp.c --- */
/** The interface of a module of btl/tcp; false: it is of another component, or that is gone. */
bool tcp_interface(const mca_btl_base_module_t *btl, char name[IF_NAMESIZE]);
/**
 * Takes out of the addresses that a process of another node published those that this node has,
 * too.
 *
 * @return how many bytes are left
 */
uint32_t tcp_drop_own_addresses(uint8_t *data, uint32_t size);
/** Whether a module is of tcp, and its interface was found to have such an address. */
bool tcp_is_shared(const mca_btl_base_module_t *btl);
/** To be called before peers are connected: reads which addresses this node has. */
void tcp_read_own_addresses(void);
/** To be called before connections are closed, so that this holds up no port of tcp's listeners. */
void tcp_hang_up(void);

/* --- notes.c --- */
#define NOTES_MAX_WAYS 64

enum note_kind { NOTE_NONE, NOTE_PROBE, NOTE_KEEP, NOTE_KEPT, NOTE_REFUSED };

/** Takes what other ranks send from now on, and forgets what they sent before. */
void notes_listen(void);
void notes_forget(void);
/**
 * Sends one.
 *
 * @param ways     as its kind wants it
 * @param on_sent  called when it has been sent, perhaps before this returns; NULL: nobody waits
 * @return OPAL_SUCCESS; OPAL_ERR_OUT_OF_RESOURCE: try again later; else it cannot be sent
 */
int notes_send(mca_bml_base_btl_t *by, enum note_kind kind, uint64_t ways,
               mca_btl_base_completion_fn_t on_sent, void *arg);
/** What a rank answered to NOTE_KEEP: NOTE_NONE, NOTE_KEPT or NOTE_REFUSED. */
enum note_kind notes_answer(uint32_t rank);

/* --- verify.c --- */
/** Follows the errors of BTLs, until the process ends. */
void verify_open(void);
/** While the job waits, an error of a BTL does not end it. */
void verify_job_waits(bool waits);
/** Adds a process that is to be reached by each BTL of the array. False: out of memory. */
bool verify_process(uint32_t rank, mca_bml_base_btl_array_t *btls);
/** Ends what was begun, as the BTLs are going to be closed. */
void verify_forget(void);

#endif
