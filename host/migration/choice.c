/*
 * What is asked for and what the survey saw become numbers, in which packing.c looks for a way;
 * what it finds becomes places and devices again.
 *
 * A VM that leaves a host takes its device with it, so to speak: it is unplugged before any other
 * VM gets one, and another VM may have it. Its memory stays in use until the migration is over, so
 * that does not become free. CPUs do.
 *
 * What the cluster file says of a host is its limit. Where it says nothing, the host's own memory
 * is; its own CPUs are not, as more of them may be promised than there are, but such a host is the
 * last choice.
 */
#include "host/migration/choice.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/base/memory.h"
#include "host/migration/packing.h"

struct choice {
    struct placement *placement;
    const struct cluster *cluster;
    struct survey_vm *surveyed;
    struct packing_host *hosts; /* one for each place: what is free */
    struct vmm_room *rooms;     /* the same: what a host says of itself */
    struct packing_vm *vms;     /* those for which a place is to be found */
    enum packing_may *may;      /* of all of them */
    int *which;                 /* VM of the cluster */
    int n;
};

static struct vmm *vmm_of(const struct choice *choice, int vm)
{
    return choice->surveyed[vm].vmm;
}

static bool is_asked(const struct choice *choice, int vm)
{
    const struct placement *placement = choice->placement;
    return placement->may[vm] != NULL &&
           (placement->emptied == NULL || placement->emptied[vmm_of(choice, vm)->site]);
}

static bool goes(const struct choice *choice, int vm)
{
    int site = vmm_of(choice, vm)->site; /* before a restart it is nowhere */
    return is_asked(choice, vm) && (site < 0 || !choice->placement->may[vm][site]);
}

/* ---- what is free ---- */

static int64_t at_least_none(int64_t number)
{
    return number > 0 ? number : 0;
}

/* How many devices of a host VMs have, or are to get, that stay there. */
static int devices_in_use(const struct choice *choice, int place)
{
    int n = 0;
    for (int i = 0; i < choice->cluster->n_vms; i++) {
        const struct vmm *vmm = vmm_of(choice, i);
        bool gets = choice->placement->to[i] == place && vmm_device_at(vmm, place) != NULL;
        n += vmm->site == place && !goes(choice, i) && (vmm->has_device || gets);
    }
    return n;
}

static int64_t free_mib(const struct choice *choice, int place, int64_t of_vms)
{
    int limit = choice->cluster->sites[place].memory_mib;
    const struct vmm_room *room = &choice->rooms[place];
    return limit > 0 ? at_least_none(limit - of_vms) : room->memory_mib > 0 ? room->free_mib : -1;
}

static void count_place(struct choice *choice, int place)
{
    const struct cluster_site *site = &choice->cluster->sites[place];
    const struct vmm_room *room = &choice->rooms[place];
    struct packing_host *host = &choice->hosts[place];
    int64_t memory = 0;
    int cpus = 0, leaving_cpus = 0;
    for (int i = 0; i < choice->cluster->n_vms; i++) {
        const struct vmm *vmm = vmm_of(choice, i);
        if (vmm->site == place) {
            memory += vmm->memory_mib;
            cpus += goes(choice, i) ? 0 : vmm->cpus;
            leaving_cpus += goes(choice, i) ? vmm->cpus : 0;
            host->vms += goes(choice, i) ? 0 : 1;
        }
    }
    bool may_share = site->cpus == 0 && room->cpus > 0;
    host->has_devices = site->n_devices > 0;
    host->devices = (int)at_least_none(site->n_devices - devices_in_use(choice, place));
    host->memory_mib = free_mib(choice, place, memory);
    host->cpus = site->cpus > 0 ? (int)at_least_none(site->cpus - cpus) : -1;
    host->idle_cpus = may_share ? room->idle_cpus + leaving_cpus : PACKING_UNKNOWN;
}

/* A place that is one machine can be asked; one of which the file has each VM's own may be many. */
static void ask_places(struct choice *choice)
{
    for (int s = 0; s < choice->cluster->n_sites; s++) {
        if (choice->cluster->sites[s].host_of != NULL) {
            choice->rooms[s] = vmm_room(vmm_of(choice, 0), s);
        }
    }
}

static enum packing_may may_go(const struct choice *choice, int vm, int place)
{
    const struct cluster_site *site = &choice->cluster->sites[place];
    bool own = site->host_of == NULL && vmm_device_at(vmm_of(choice, vm), place) != NULL;
    bool may = choice->placement->may[vm][place] && choice->rooms[place].silent == NULL;
    return !may ? PACKING_MAY_NOT : own ? PACKING_MAY_WITH_DEVICE : PACKING_MAY;
}

static void add_vm(struct choice *choice, int vm)
{
    int n_places = choice->cluster->n_sites, n = choice->n++;
    const struct vmm *vmm = vmm_of(choice, vm);
    enum packing_may *may = &choice->may[(size_t)n * (size_t)n_places];
    for (int s = 0; s < n_places; s++) {
        may[s] = may_go(choice, vm, s);
    }
    choice->which[n] = vm;
    choice->vms[n] =
        (struct packing_vm){.memory_mib = vmm->memory_mib, .cpus = vmm->cpus, .may = may};
}

/* ---- who has no room ---- */

static void add(char *text, size_t size, const char *more)
{
    size_t len = strlen(text);
    snprintf(text + len, size - len, "%s%s", len > 0 ? "; " : "", more);
}

/* What a host lacks for a VM, or what is free there. */
static void add_lack(const struct choice *choice, int n, int place, char *text, size_t size)
{
    const struct cluster_site *site = &choice->cluster->sites[place];
    const struct packing_host *host = &choice->hosts[place];
    const struct packing_vm *vm = &choice->vms[n];
    const struct vmm_room *room = &choice->rooms[place];
    char why[200];
    if (room->silent != NULL) {
        snprintf(why, sizeof(why), "%s does not answer (%.120s)", site->name, room->silent);
        add(text, size, why);
        return;
    }
    switch (packing_lacks(host, vm)) {
    case PACKING_NOTHING:
        return;
    case PACKING_DEVICES:
        snprintf(why, sizeof(why), "%s has no free device (all %d are in use)", site->name,
                 site->n_devices);
        break;
    case PACKING_MEMORY:
        snprintf(why, sizeof(why),
                 "%s has too little memory (%lld of %lld MiB free, needed are %lld)", site->name,
                 (long long)host->memory_mib,
                 (long long)(site->memory_mib > 0 ? site->memory_mib : room->memory_mib),
                 (long long)vm->memory_mib);
        break;
    case PACKING_CPUS:
        snprintf(why, sizeof(why), "%s has too few CPUs (%d of %d free, needed are %d)", site->name,
                 host->cpus, site->cpus, vm->cpus);
        break;
    }
    add(text, size, why);
}

/* Whether some place has room for a VM, as if it were the only one. */
static bool fits_alone(const struct choice *choice, int n)
{
    for (int s = 0; s < choice->cluster->n_sites; s++) {
        if (choice->vms[n].may[s] != PACKING_MAY_NOT &&
            packing_lacks(&choice->hosts[s], &choice->vms[n]) == PACKING_NOTHING) {
            return true;
        }
    }
    return false;
}

static bool refuse_one(const struct choice *choice, int n, struct ninja_error *err)
{
    char lacks[400] = "";
    for (int s = 0; s < choice->cluster->n_sites; s++) {
        if (choice->placement->may[choice->which[n]][s]) {
            add_lack(choice, n, s, lacks, sizeof(lacks));
        }
    }
    return ninja_error_set(err, ERR_NO_ROOM,
                           "there is no room for %s: %s; name another place, or make room",
                           choice->cluster->vms[choice->which[n]], lacks);
}

static void describe_free(const struct choice *choice, int place, char *text, size_t size)
{
    const struct packing_host *host = &choice->hosts[place];
    snprintf(text, size, "%s", choice->cluster->sites[place].name);
    if (host->has_devices) {
        snprintf(text + strlen(text), size - strlen(text), " %d device%s", host->devices,
                 host->devices == 1 ? "" : "s");
    }
    if (host->memory_mib >= 0) {
        snprintf(text + strlen(text), size - strlen(text), " %lld MiB",
                 (long long)host->memory_mib);
    }
    if (host->cpus >= 0 || host->idle_cpus != PACKING_UNKNOWN) {
        snprintf(text + strlen(text), size - strlen(text), " %d CPUs",
                 host->cpus >= 0 ? host->cpus : (int)at_least_none(host->idle_cpus));
    }
}

/* Whether any of those that are to be placed may go there. */
static bool is_wanted(const struct choice *choice, int place)
{
    for (int n = 0; n < choice->n; n++) {
        if (choice->vms[n].may[place] != PACKING_MAY_NOT) {
            return true;
        }
    }
    return false;
}

static bool refuse_all(const struct choice *choice, enum packing result, struct ninja_error *err)
{
    char is_free[300] = "", one[120];
    for (int n = 0; n < choice->n; n++) {
        if (!fits_alone(choice, n)) {
            return refuse_one(choice, n, err);
        }
    }
    for (int s = 0; s < choice->cluster->n_sites; s++) {
        if (is_wanted(choice, s)) {
            describe_free(choice, s, one, sizeof(one));
            add(is_free, sizeof(is_free), one);
        }
    }
    if (result == PACKING_GAVE_UP) {
        return ninja_error_set(err, ERR_NO_ROOM,
                               "no way was found to make room for the %d VMs that are to move "
                               "(free are: %s); say VM=HOST for some of them",
                               choice->n, is_free);
    }
    return ninja_error_set(err, ERR_NO_ROOM,
                           "there is no room together for the %d VMs that are to move (free are: "
                           "%s); move fewer of them, or name another place, too",
                           choice->n, is_free);
}

/* A host with a limit has no room for a VM of unknown size. */
static bool sizes_are_known(const struct choice *choice, struct ninja_error *err)
{
    for (int n = 0; n < choice->n; n++) {
        const struct packing_vm *vm = &choice->vms[n];
        if (choice->cluster->limits_room && (vm->memory_mib <= 0 || vm->cpus <= 0)) {
            return ninja_error_set(err, ERR_NO_ROOM,
                                   "it is not known how much memory and how many CPUs %s has, as "
                                   "its VMM does not say; "
                                   "leave \"memory\" and \"cpus\" out of the cluster file",
                                   choice->cluster->vms[choice->which[n]]);
        }
    }
    return true;
}

/* ---- what was chosen ---- */

/* Whether a VM has that device, or is to get it. */
static bool is_taken(const struct choice *choice, int place, const struct cluster_device *device,
                     bool by_those_that_go)
{
    for (int i = 0; i < choice->cluster->n_vms; i++) {
        const struct vmm *vmm = vmm_of(choice, i);
        bool holds =
            vmm->site == place && vmm->has_device && (by_those_that_go || !goes(choice, i));
        bool gets = choice->placement->to[i] == place;
        if ((holds || gets) && vmm_device_at(vmm, place) == device) {
            return true;
        }
    }
    return false;
}

/* One that nobody has comes first: the VM that has one of the others may have to come back. */
static const struct cluster_device *free_device(const struct choice *choice, int place)
{
    const struct cluster_site *host = &choice->cluster->sites[place];
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < host->n_devices; i++) {
            if (!is_taken(choice, place, &host->devices[i], round == 0)) {
                return &host->devices[i];
            }
        }
    }
    return NULL;
}

static void give_device(const struct choice *choice, int vm, int place)
{
    struct vmm *vmm = vmm_of(choice, vm);
    bool has = vmm->site == place && vmm->has_device;
    if (choice->cluster->sites[place].host_of != NULL && !has) {
        vmm->devices[place] = free_device(choice, place);
    }
}

static bool had_choice(const struct choice *choice, int n)
{
    int places = 0;
    for (int s = 0; s < choice->cluster->n_sites; s++) {
        places += choice->placement->may[choice->which[n]][s];
    }
    return places > 1;
}

/* Whether a host gets more VMs than it has CPUs for. */
static bool will_share_cpus(const struct choice *choice, const int *to, int place)
{
    int64_t idle = choice->hosts[place].idle_cpus;
    for (int n = 0; n < choice->n; n++) {
        idle -= to[n] == place ? choice->vms[n].cpus : 0;
    }
    return idle < 0;
}

static void explain(const struct choice *choice, const int *to, int n)
{
    const struct packing_host *host = &choice->hosts[to[n]];
    char room[120];
    if (had_choice(choice, n)) {
        describe_free(choice, to[n], room, sizeof(room));
        choice->placement->why[choice->which[n]] =
            xasprintf("free at %s; %d other VM%s%s", room, host->vms, host->vms == 1 ? "" : "s",
                      will_share_cpus(choice, to, to[n]) ? "; CPUs will be shared" : "");
    }
}

static bool choose(struct choice *choice, struct ninja_error *err)
{
    const struct cluster *cluster = choice->cluster;
    int *to = xcalloc((size_t)choice->n + 1, sizeof(*to));
    enum packing result = packing_find(choice->hosts, cluster->n_sites, choice->vms, choice->n, to);
    for (int n = 0; result == PACKING_FITS && n < choice->n; n++) {
        int vm = choice->which[n];
        explain(choice, to, n);
        give_device(choice, vm, to[n]);
        choice->placement->to[vm] = to[n];
    }
    free(to);
    return result == PACKING_FITS || refuse_all(choice, result, err);
}

/* Those that are where they may be stay, and may have come to lack a device. */
static void keep(struct choice *choice)
{
    for (int i = 0; i < choice->cluster->n_vms; i++) {
        if (goes(choice, i)) {
            add_vm(choice, i);
        } else if (is_asked(choice, i)) {
            choice->placement->to[i] = vmm_of(choice, i)->site;
            give_device(choice, i, choice->placement->to[i]);
        }
    }
}

static bool any_asked(const struct choice *choice, struct ninja_error *err)
{
    for (int i = 0; i < choice->cluster->n_vms; i++) {
        if (is_asked(choice, i)) {
            return true;
        }
    }
    return ninja_error_set(err, ERR_NOTHING_TO_DO, "nothing to do: no VM is at \"%s\"",
                           choice->placement->emptied_name);
}

bool choice_make(struct placement *placement, const struct cluster *cluster, struct survey *survey,
                 struct ninja_error *err)
{
    size_t n_vms = (size_t)cluster->n_vms, n_places = (size_t)cluster->n_sites;
    struct choice choice = {
        .placement = placement, .cluster = cluster, .surveyed = survey_vms(survey)};
    if (!survey_is_complete(survey, err) || !any_asked(&choice, err)) {
        return false;
    }
    choice.hosts = xcalloc(n_places, sizeof(*choice.hosts));
    choice.rooms = xcalloc(n_places, sizeof(*choice.rooms));
    choice.vms = xcalloc(n_vms, sizeof(*choice.vms));
    choice.which = xcalloc(n_vms, sizeof(*choice.which));
    choice.may = xcalloc(n_vms * n_places, sizeof(*choice.may));
    ask_places(&choice);
    keep(&choice);
    for (int s = 0; s < cluster->n_sites; s++) {
        count_place(&choice, s);
    }
    bool ok = sizes_are_known(&choice, err) && choose(&choice, err);
    free(choice.hosts);
    free(choice.rooms);
    free(choice.vms);
    free(choice.which);
    free(choice.may);
    return ok;
}
