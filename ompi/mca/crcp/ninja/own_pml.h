/*
 * A PML of our own brings its row of struct transport_layer with it, in its component: so
 * crcp/ninja need not be linked with what the PML works with.
 */
#ifndef NINJA_OWN_PML_H
#define NINJA_OWN_PML_H

#include "ompi_config.h"

#include "ompi/mca/pml/pml.h"

struct transport_layer;

/* The components of such PMLs, by their names. */
#define OWN_PMLS(PML) PML(ninja_ucx)

struct own_pml_component {
    mca_pml_base_component_t super; /* first */
    const struct transport_layer *layer;
};

#endif
