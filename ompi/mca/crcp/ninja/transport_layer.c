#include "ompi_config.h"

#include "transport_layer.h"

#include <string.h>

#include "ompi/mca/pml/base/base.h"
#include "own_pml.h"

#define DECLARE(pml) extern const struct transport_layer transport_layer_##pml;
TRANSPORT_LAYERS(DECLARE)

#define NAME_AND_ROW(pml) {#pml, &transport_layer_##pml},
static const struct {
    const char *pml;
    const struct transport_layer *layer;
} rows[] = {TRANSPORT_LAYERS(NAME_AND_ROW)};

#define NAME(pml) #pml,
static const char *const own_pmls[] = {OWN_PMLS(NAME)};

static bool is_our_own(const char *pml)
{
    bool is = false;
    for (size_t i = 0; i < sizeof(own_pmls) / sizeof(own_pmls[0]); i++) {
        is |= strcmp(own_pmls[i], pml) == 0;
    }
    return is;
}

/* MPI has selected it, so it is in the framework's list. */
static const struct transport_layer *layer_of_our_own(const char *pml)
{
    mca_base_component_list_item_t *item;
    OPAL_LIST_FOREACH (item, &ompi_pml_base_framework.framework_components,
                       mca_base_component_list_item_t) {
        if (strcmp(item->cli_component->mca_component_name, pml) == 0) {
            return ((const struct own_pml_component *)item->cli_component)->layer;
        }
    }
    return NULL;
}

const struct transport_layer *transport_layer_of(const char *pml)
{
    if (is_our_own(pml)) {
        return layer_of_our_own(pml);
    }
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (strcmp(rows[i].pml, pml) == 0) {
            return rows[i].layer;
        }
    }
    return NULL;
}
