/*
 * The host as a broken or hostile QEMU speaks to it: the driver "qmp" with a QEMU at each of two
 * sites. The first bytes say which operations the host does, one after the other; the rest is what
 * the QEMUs say, a line each, in turn as they are asked (scripted_peer.h).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/config/cluster.h"
#include "host/vmm/driver.h"
#include "host/vmm/looks.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/scripted_peer.h"

#define MAX_OPERATIONS 6

struct host {
    struct event_base *base;
    struct vmm *vmm;
    const uint8_t *operations;
    int n_operations;
    int pending; /* operations; a second one is a cancel */
    bool adopting, failed, prepared, cancelling;
    struct event *next;
};

static struct scripted_peer peers[2];
static struct cluster *clusters[2]; /* the second one with post-copy */

static const char cluster_text[] =
    "driver = \"qmp\"; vms = ( { name = \"vm1\"; } );\n"
    "sites = ( { name = \"a\"; vms = ( { name = \"vm1\"; qmp = \"%s\"; agent = \"/nowhere/a\";\n"
    "  receive = \"tcp:127.0.0.1:1\"; device = \"x,id=d,bus=b\"; } ); },\n"
    "  { name = \"b\"; vms = ( { name = \"vm1\"; qmp = \"%s\"; agent = \"/nowhere/b\";\n"
    "  receive = \"tcp:127.0.0.1:2\"; device = \"y,id=d,bus=b\"; } ); } );\n%s";

static struct cluster *make_cluster(const char *more)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    char *path = fuzz_path("cluster");
    FILE *out = fopen(path, "w");
    FUZZ_CHECK(out != NULL);
    fprintf(out, cluster_text, peers[0].path, peers[1].path, more);
    fclose(out);
    struct cluster *cluster = cluster_read(path, driver_in_file, &err);
    FUZZ_CHECK(cluster != NULL);
    free(path);
    return cluster;
}

static void set_up(void)
{
    scripted_peer_open(&peers[0], "a");
    scripted_peer_open(&peers[1], "b");
    clusters[0] = make_cluster("");
    clusters[1] = make_cluster("migration = { post-copy = 0; };\n");
}

static void on_done(void *arg, const struct ninja_error *err)
{
    static const struct timeval now = {0, 0};
    struct host *host = arg;
    const struct vmm_progress *copy = &host->vmm->progress;
    FUZZ_CHECK(host->pending > 0);
    FUZZ_CHECK(copy->total >= 0 && copy->remaining >= 0 && copy->transferred >= 0);
    host->pending--;
    host->failed = err != NULL;
    if (host->pending == 0 && host->cancelling) { /* from here it is to be prepared again */
        host->cancelling = host->prepared = false;
    }
    host->prepared |= host->adopting && err == NULL;
    host->adopting = false;
    event_add(host->next, &now);
}

static void on_looked(void *arg)
{
    struct host *host = arg;
    host->pending = 0;
}

/* What the life of a VM in driver.h allows; anything else is left out. */
static void begin(struct host *host, uint8_t operation)
{
    const struct vmm_driver *driver = host->vmm->driver;
    struct vmm *vmm = host->vmm;
    bool located = vmm->site >= 0;
    host->pending++;
    if (operation == 0 && located && vmm->has_device) {
        driver->unplug(vmm, on_done, host);
    } else if (operation == 1 && located && !vmm_is_there(vmm)) {
        host->prepared = true;
        driver->prepare(vmm, 1 - vmm->site, on_done, host);
    } else if (operation == 2 && host->prepared && !host->failed && !vmm_is_there(vmm)) {
        driver->migrate(vmm, on_done, host);
    } else if (operation == 2 && vmm->move == VMM_SPLIT) {
        driver->migrate(vmm, on_done, host); /* goes on */
    } else if (operation == 3 && host->prepared && !vmm_is_there(vmm)) {
        host->cancelling = true;
        driver->cancel(vmm, on_done, host);
    } else if (operation == 4 && vmm->move == VMM_ARRIVED) {
        driver->finish(vmm, on_done, host);
    } else if (operation == 5 && located && !vmm->has_device && vmm->move != VMM_SPLIT) {
        driver->plug(vmm, on_done, host);
    } else {
        host->pending--;
    }
}

static void on_next(evutil_socket_t fd, short what, void *arg)
{
    struct host *host = arg;
    while (host->pending == 0 && host->n_operations > 0) {
        host->n_operations--;
        begin(host, *host->operations++);
    }
}

static bool may_cancel(const struct host *host)
{
    return host->vmm != NULL && host->pending == 1 && !host->cancelling && host->n_operations > 0 &&
           *host->operations == 3;
}

static void converse(struct host *host)
{
    for (int quiet = 0, n = 0; quiet < 3 && n < 400; n++) {
        fuzz_run(host->base);
        bool any = scripted_peer_serve(&peers[0]);
        any |= scripted_peer_serve(&peers[1]);
        if (!any && may_cancel(host)) { /* what waits for a timer, too */
            host->n_operations--;
            begin(host, *host->operations++);
            any = true;
        }
        quiet = any || scripted_peer_say(&peers[n % 2]) ? 0 : quiet + 1;
    }
}

/* What "check" and "plan" ask. */
static void look(struct host *host, const struct cluster *cluster)
{
    struct looks *looks = looks_start(host->base, &driver_qmp, cluster, on_looked, host);
    converse(host);
    for (int site = 0; site < 2 && host->pending == 0; site++) {
        const struct look *at = looks_at(looks, 0, site);
        FUZZ_CHECK(at->memory >= 0 && at->version_number >= 0);
        FUZZ_CHECK(at->blockers == NULL || json_is_array(at->blockers));
        FUZZ_CHECK(json_array_size(at->written_disks) <= json_array_size(at->disks));
    }
    looks_free(looks);
}

static void drive(struct host *host, uint8_t first, const struct cluster *cluster)
{
    host->vmm = driver_qmp.open(host->base, cluster, 0);
    host->next = evtimer_new(host->base, on_next, host);
    if (first & 1) {
        host->adopting = true;
        driver_qmp.adopt(host->vmm, 0, 1, (first & 2) != 0, on_done, host);
    } else {
        driver_qmp.locate(host->vmm, on_done, host);
    }
    converse(host);
    driver_qmp.close(host->vmm);
    event_free(host->next);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t first = fuzz_byte(&data, &size);
    if (size < MAX_OPERATIONS) {
        return 0;
    }
    if (clusters[0] == NULL) {
        set_up();
    }
    struct script script = {data + MAX_OPERATIONS, size - MAX_OPERATIONS};
    for (int i = 0; i < 2; i++) {
        peers[i].greets = true;
        peers[i].script = &script;
    }
    struct host host = {
        .base = fuzz_event_base(), .operations = data, .n_operations = MAX_OPERATIONS};
    const struct cluster *cluster = clusters[(first & 4) != 0];
    host.pending = 1;
    if (first & 8) {
        look(&host, cluster);
    } else {
        drive(&host, first, cluster);
    }
    event_base_free(host.base);
    for (int i = 0; i < 2; i++) {
        scripted_peer_hang_up(&peers[i]);
    }
    return 0;
}
