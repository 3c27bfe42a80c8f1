#include "host/vmm/looks.h"

#include <stdlib.h>

#include "host/base/memory.h"
#include "host/base/timer.h"
#include "host/vmm/driver.h"

struct place {
    struct looks *looks;
    struct look look;
    struct looker *looker; /* NULL: over */
};

struct looks {
    const struct cluster *cluster;
    const struct vmm_driver *driver;
    struct place *places; /* by VM, then site */
    struct gather gather;
    void (*done)(void *arg);
    void *arg;
};

static struct place *place_at(const struct looks *looks, int vm, int site)
{
    return &looks->places[vm * looks->cluster->n_sites + site];
}

static void end(struct place *place)
{
    if (place->looker != NULL) {
        place->looker->close(place->looker);
        place->looker = NULL;
    }
}

static void on_looked(void *arg)
{
    struct place *place = arg;
    end(place);
    gather_done(&place->looks->gather, NULL);
}

static void on_all(void *arg, const struct ninja_error *unused)
{
    struct looks *looks = arg;
    looks->done(looks->arg);
}

static void begin(struct looks *looks, struct event_base *base, int vm, int site)
{
    struct place *place = place_at(looks, vm, site);
    place->looks = looks;
    place->looker =
        looks->driver->look(base, looks->cluster, vm, site, &place->look, on_looked, place);
    if (place->looker != NULL) {
        gather_add(&looks->gather);
    }
}

struct looks *looks_start(struct event_base *base, const struct vmm_driver *driver,
                          const struct cluster *cluster, void (*done)(void *arg), void *arg)
{
    struct looks *looks = xcalloc(1, sizeof(*looks));
    size_t n = (size_t)(cluster->n_vms * cluster->n_sites);
    looks->places = xcalloc(n, sizeof(*looks->places));
    looks->cluster = cluster;
    looks->driver = driver;
    looks->done = done;
    looks->arg = arg;
    gather_begin(&looks->gather, base, on_all, looks);
    for (int v = 0; driver->look != NULL && v < cluster->n_vms; v++) {
        for (int s = 0; s < cluster->n_sites; s++) {
            begin(looks, base, v, s);
        }
    }
    return looks;
}

const struct look *looks_at(const struct looks *looks, int vm, int site)
{
    return looks->driver->look != NULL ? &place_at(looks, vm, site)->look : NULL;
}

void looks_free(struct looks *looks)
{
    if (looks == NULL) {
        return;
    }
    gather_free(&looks->gather);
    for (int i = 0; i < looks->cluster->n_vms * looks->cluster->n_sites; i++) {
        end(&looks->places[i]);
        look_clear(&looks->places[i].look);
    }
    free(looks->places);
    free(looks);
}
