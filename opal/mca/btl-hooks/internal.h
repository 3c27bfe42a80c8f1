/* What the files of this folder share. */
#ifndef NINJA_BTL_HOOKS_INTERNAL_H
#define NINJA_BTL_HOOKS_INTERNAL_H

#include "btl_hooks.h"

#include "ompi_config.h"
#include "ompi/mca/bml/base/base.h"
#include "ompi/mca/bml/bml.h"
#include "ompi/proc/proc.h"
#include "opal/mca/base/base.h"
#include "opal/mca/btl/base/base.h"
#include "opal/mca/btl/btl.h"

/* --- selection.c --- */
void selection_open(const char *bypass);
void selection_close(void);
/** The component names of a list, as an argv that the caller frees with opal_argv_free(). */
char **selection_resolve(const char *list);
bool selection_has(char **names, const char *name);
/** True if a component of that name is open. */
bool selection_is_open(const char *name);

/* --- endpoints.c --- */
/** Disconnects every process that is reached through one of the components. */
void endpoints_vacate(char **names);
/** Runs the BML's own clean-up, sparing the endpoints of the processes that stay connected. */
void endpoints_finalize_bml(void);
/** Connects the vacated processes again. */
bool endpoints_refill(char *why, size_t size);
/** Forgets the vacated processes; only at the end of MPI. */
void endpoints_close(void);

/* --- progress.c: only where a gate is built --- */
/** Puts the progress functions of all open components behind the gate. */
void progress_gate(void);
/** A component is going to be closed. */
void progress_forget(const mca_base_component_t *component);

/* --- modex.c --- */
bool modex_open(int fence_seconds, char *why, size_t size);
void modex_close(void);
/** From here on, what BTLs publish is kept for the next exchange. */
void modex_begin(void);
/** Publishes it, and waits until all ranks have. */
bool modex_exchange(char *why, size_t size);
/** Forgets what a component published, as it is going to be closed. */
void modex_forget(const mca_base_component_t *component);

#endif
