#include "transport_layer.h"

#include <string.h>

#define DECLARE(pml) extern const struct transport_layer transport_layer_##pml;
TRANSPORT_LAYERS(DECLARE)

#define NAME_AND_ROW(pml) {#pml, &transport_layer_##pml},
static const struct {
    const char *pml;
    const struct transport_layer *layer;
} rows[] = {TRANSPORT_LAYERS(NAME_AND_ROW)};

const struct transport_layer *transport_layer_of(const char *pml)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (strcmp(rows[i].pml, pml) == 0) {
            return rows[i].layer;
        }
    }
    return NULL;
}
