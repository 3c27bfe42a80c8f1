#include "tests/unit/driver_fixture.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const site_names[] = {"ib", "eth"};

static void write_cluster_file(const char *path)
{
    FILE *out = fopen(path, "w");
    fprintf(out, "driver = \"qmp\";\nvms = ( { name = \"vm1\"; } );\nsites = (\n");
    for (int s = 0; s < 2; s++) {
        fprintf(out,
                "  { name = \"%s\"; vms = ( { name = \"vm1\"; qmp = \"%s/%s.qmp\"; agent = "
                "\"%s/%s.agent\"; receive = \"tcp:10.9.0.%d:4801\"; } ); }%s\n",
                site_names[s], fake_dir(), site_names[s], fake_dir(), site_names[s], s + 1,
                s == 0 ? "," : "");
    }
    fprintf(out, ");\ntimeouts = { start = 400; connect = 3000; command = 3000; quit = 3000; };\n");
    fclose(out);
}

int setup(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    struct ninja_error err = NINJA_ERROR_INIT;
    char path[100];
    *state = world;
    fake_log_clear();
    world->base = event_base_new();
    snprintf(path, sizeof(path), "%s/cluster.conf", fake_dir());
    write_cluster_file(path);
    world->cluster = cluster_read(path, driver_in_file, &err);
    if (world->cluster == NULL) {
        fail_msg("%s", err.message);
    }
    for (int s = 0; s < 2; s++) {
        snprintf(path, sizeof(path), "%s/%s.qmp", fake_dir(), site_names[s]);
        fake_qemu_init(&world->qemus[s], world->base, site_names[s], path,
                       s == IB ? "running" : "inmigrate");
    }
    world->qemus[IB].destination = &world->qemus[ETH];
    world->vmm = driver_qmp.open(world->base, world->cluster, 0);
    return 0;
}

int teardown(void **state)
{
    struct world *world = *state;
    driver_qmp.close(world->vmm);
    fake_qemu_clear(&world->qemus[IB]);
    fake_qemu_clear(&world->qemus[ETH]);
    cluster_free(world->cluster);
    event_base_free(world->base);
    free(world);
    fake_dir_remove();
    return 0;
}

void on_done(void *arg, const struct ninja_error *err)
{
    struct world *world = arg;
    world->over = true;
    world->err = err ? *err : (struct ninja_error)NINJA_ERROR_INIT;
    event_base_loopbreak(world->base);
}

const char *wait_for_it(struct world *world)
{
    while (!world->over) {
        event_base_loop(world->base, EVLOOP_ONCE);
    }
    world->over = false;
    return ninja_error_class_name(world->err.class);
}

void found(struct world *world, const char *source, const char *migration, const char *destination)
{
    struct fake_qemu *qemus = world->qemus;
    const char *const status[] = {source, destination};
    for (int s = 0; s < 2; s++) {
        if (status[s] == NULL) {
            fake_qemu_clear(&qemus[s]);
        } else {
            snprintf(qemus[s].status, sizeof(qemus[s].status), "%s", status[s]);
        }
    }
    snprintf(qemus[IB].migration, sizeof(qemus[IB].migration), "%s", migration);
}

const char *adopt(struct world *world, bool ran_there)
{
    driver_qmp.adopt(world->vmm, IB, ETH, ran_there, on_done, world);
    return wait_for_it(world);
}

const char *cancel(struct world *world)
{
    driver_qmp.cancel(world->vmm, on_done, world);
    return wait_for_it(world);
}
