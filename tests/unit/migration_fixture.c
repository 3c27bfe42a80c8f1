#include "tests/unit/migration_fixture.h"

#include <stdio.h>
#include <stdlib.h>

#include "host/base/memory.h"
#include "host/base/timer.h"

static const char *const site_names[] = {"ib", "eth"};
char names[2][2][16];

const char *prepare_at_eth;

static void write_cluster_file(const char *path)
{
    FILE *out = fopen(path, "w");
    fprintf(out, "driver = \"qmp\";\nvms = ( { name = \"vm1\"; }, { name = \"vm2\"; } );\n"
                 "sites = (\n");
    for (int s = 0; s < 2; s++) {
        fprintf(out, "  { name = \"%s\"; ", site_names[s]);
        if (s == ETH && prepare_at_eth != NULL) {
            fprintf(out, "prepare = \"%s\"; ", prepare_at_eth);
        }
        fprintf(out, "vms = (\n");
        for (int v = 0; v < 2; v++) {
            fprintf(out,
                    "    { name = \"vm%d\"; qmp = \"%s/%s-vm%d.qmp\"; agent = \"%s/%s-vm%d.agent\";"
                    " receive = \"tcp:10.9.0.%d:480%d\"; %s }%s\n",
                    v + 1, fake_dir(), site_names[s], v + 1, fake_dir(), site_names[s], v + 1,
                    s + 1, v + 1, s == IB ? "device = \"e1000e,id=hca0,bus=rp1\";" : "",
                    v == 0 ? "," : "");
        }
        fprintf(out, "  ); }%s\n", s == 0 ? "," : "");
    }
    fprintf(out, ");\nquiesce-pause = 10;\n"
                 "timeouts = { unplug = 400; start = 400; link = 4500; quiesce = 300; "
                 "connect = 1500; command = 1500; jobs = 500; quit = 500; copy = 3000; };\n");
    fclose(out);
}

static void on_runs(void *arg)
{
    struct vm *vm = arg;
    vm->at = !vm->at;
    fake_agent_move(&vm->agent, vm->agent_path[vm->at]);
}

static void make_vm(struct world *world, int v, int at)
{
    struct vm *vm = &world->vms[v];
    vm->name = v == 0 ? "vm1" : "vm2";
    vm->at = at;
    for (int s = 0; s < 2; s++) {
        char path[100];
        snprintf(path, sizeof(path), "%s/%s-%s.qmp", fake_dir(), site_names[s], vm->name);
        snprintf(vm->agent_path[s], sizeof(vm->agent_path[s]), "%s/%s-%s.agent", fake_dir(),
                 site_names[s], vm->name);
        snprintf(names[v][s], sizeof(names[v][s]), "%s@%s", vm->name, site_names[s]);
        fake_qemu_init(&vm->qemus[s], world->base, names[v][s], path,
                       s == at ? "running" : "inmigrate");
        vm->qemus[s].on_runs = on_runs;
        vm->qemus[s].arg = vm;
    }
    vm->qemus[at].destination = &vm->qemus[!at];
    if (at == IB) {
        strcpy(vm->qemus[IB].device, "hca0");
    }
    fake_agent_init(&vm->agent, world->base, vm->name);
    vm->agent.rdma_after_attach = true;
    fake_agent_add_ranks(&vm->agent, &world->job, 2 * v, 2);
    fake_agent_listen(&vm->agent, vm->agent_path[at]);
}

struct world *make_world_at(const int at[2])
{
    struct world *world = calloc(1, sizeof(*world));
    struct ninja_error err = NINJA_ERROR_INIT;
    char path[100];
    fake_log_clear();
    world->base = event_base_new();
    snprintf(path, sizeof(path), "%s/cluster.conf", fake_dir());
    write_cluster_file(path);
    world->cluster = cluster_read(path, driver_in_file, &err);
    if (world->cluster == NULL) {
        fail_msg("%s", err.message);
    }
    fake_job_init(&world->job, "job-a", 4);
    for (int v = 0; v < 2; v++) {
        make_vm(world, v, at[v]);
    }
    return world;
}

struct world *make_world(int at)
{
    return make_world_at((const int[]){at, at});
}

int setup_at_ib(void **state)
{
    *state = make_world(IB);
    return 0;
}

int setup_at_eth(void **state)
{
    *state = make_world(ETH);
    return 0;
}

void forget_migration(struct world *world)
{
    migration_free(world->migration);
    checkpoint_free(world->checkpoint);
    world->checkpoint = NULL;
    journal_free(world->journal);
    json_decref(world->report);
    world->migration = NULL;
    world->journal = NULL;
    world->report = NULL;
    world->ended = false;
}

int teardown(void **state)
{
    struct world *world = *state;
    forget_migration(world);
    survey_free(world->survey);
    for (int v = 0; v < 2; v++) {
        fake_agent_clear(&world->vms[v].agent);
        fake_qemu_clear(&world->vms[v].qemus[0]);
        fake_qemu_clear(&world->vms[v].qemus[1]);
    }
    cluster_free(world->cluster);
    event_base_free(world->base);
    free(world);
    fake_dir_remove();
    return 0;
}

void on_surveyed(void *arg)
{
    struct world *world = arg;
    event_base_loopbreak(world->base);
}

static void on_done(void *arg)
{
    struct world *world = arg;
    world->ended = true;
    event_base_loopbreak(world->base);
}

static void on_crash(evutil_socket_t fd, short what, void *arg)
{
    struct world *world = arg;
    timer_free(&world->crash);
    if (strcmp(world->vms[0].qemus[IB].migration, "active") != 0) {
        world->crash = timer_start(world->base, 20, on_crash, world);
        return;
    }
    event_base_loopbreak(world->base);
}

static void on_changed(void *arg)
{
    struct world *world = arg;
    if (world->crash_after > 0 && --world->crash_after == 0) {
        event_base_loopbreak(world->base);
    }
    if (world->migration == NULL) {
        return;
    }
    const char *name = migration_state_name(world->migration);
    if (world->crash_in != NULL && strcmp(world->crash_in, name) == 0) {
        world->crash_in = NULL;
        world->crash = timer_start(world->base, 20, on_crash, world);
    }
    if (world->lets_go_at != NULL && strcmp(world->lets_go_at, name) == 0) {
        world->lets_go_at = NULL;
        fake_qemu_let_go(&world->vms[0].qemus[IB]);
    }
    if (world->abort_at != NULL && strcmp(world->abort_at, name) == 0) {
        world->abort_at = NULL;
        migration_abort(world->migration);
    }
}

const struct migration_handler world_handler = {.changed = on_changed, .done = on_done};

void look(struct world *world)
{
    world->survey = survey_start(world->base, world->cluster, NULL, on_surveyed, world);
    event_base_dispatch(world->base);
}

/* From the survey to the report. */
static enum outcome run(struct world *world, const struct migration_options *options)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    char dir[120];
    snprintf(dir, sizeof(dir), "%s/state", fake_dir());
    world->journal = journal_new(dir, &err);
    assert_non_null(world->journal);
    world->migration = migration_start(world->base, world->cluster, world->survey, world->journal,
                                       options, &world_handler, world);
    world->survey = NULL;
    event_base_dispatch(world->base);
    world->report = migration_report(world->migration);
    assert_true(journal_write_report(world->journal, world->report, &err));
    return migration_outcome(world->migration);
}

enum outcome take_on_what_was_begun(struct world *world, bool back)
{
    char dir[120];
    struct record record;
    struct ninja_error err = NINJA_ERROR_INIT;
    snprintf(dir, sizeof(dir), "%s/state", fake_dir());
    if (!record_find(dir, world->cluster, NULL, &record, &err)) {
        fail_msg("%s", err.message);
    }
    world->survey = survey_start(world->base, world->cluster, &record, on_surveyed, world);
    event_base_dispatch(world->base);
    for (int v = 0; v < 2; v++) {
        struct survey_vm *vm = &survey_vms(world->survey)[v];
        if (ninja_error_is_set(&vm->vmm_err)) {
            fail_msg("%s", vm->vmm_err.message);
        }
    }
    world->journal = journal_open(dir, record.id, &err);
    assert_non_null(world->journal);
    world->checkpoint = record.checkpoint[0] != '\0' ? checkpoint_at(record.checkpoint) : NULL;
    world->migration = migration_take_on(world->base, world->cluster, world->survey, world->journal,
                                         &record, back, world->checkpoint, &world_handler, world);
    world->survey = NULL;
    event_base_dispatch(world->base);
    record_clear(&record);
    return migration_outcome(world->migration);
}

enum outcome migrate_each_what_was_seen(struct world *world, const int to[2],
                                        enum migration_mode mode)
{
    int each[2] = {to[0], to[1]};
    struct migration_options options = {.placement = {.to = each}, .mode = mode};
    if (!migration_check(world->survey, world->cluster, &options, &world->refused)) {
        return OUTCOME_REFUSED;
    }
    return run(world, &options);
}

const char *checkpoints(void)
{
    static char dir[120];
    snprintf(dir, sizeof(dir), "%s/checkpoints", fake_dir());
    return dir;
}

enum outcome save_what_was_seen(struct world *world, const char *name, enum migration_mode mode)
{
    int stay[2] = {PLACEMENT_STAYS, PLACEMENT_STAYS};
    struct migration_options options = {
        .kind = OPERATION_CHECKPOINT, .placement = {.to = stay}, .mode = mode};
    options.checkpoint = world->checkpoint =
        checkpoint_new(checkpoints(), name, world->cluster->name, 1, 2, &world->refused);
    if (options.checkpoint == NULL) {
        return OUTCOME_REFUSED;
    }
    checkpoint_encrypt(options.checkpoint, world->key);
    options.checkpoint->driver = xstrdup("qmp");
    options.checkpoint->mode = xstrdup(mode_name(mode));
    options.checkpoint->migration = xstrdup("");
    for (int v = 0; v < 2; v++) {
        options.checkpoint->vms[v] = (struct checkpoint_vm){
            .name = xstrdup(world->cluster->vms[v]),
            .site = xstrdup(site_names[world->vms[v].at]),
            .machine = xstrdup(""),
            .version = xstrdup(""),
        };
    }
    return run(world, &options);
}

void all_end(struct world *world)
{
    for (int v = 0; v < 2; v++) {
        for (int s = 0; s < 2; s++) {
            struct fake_qemu *qemu = &world->vms[v].qemus[s];
            if (strcmp(qemu->status, "inmigrate") != 0) {
                fake_peer_free(qemu->peer);
                qemu->peer = NULL;
            }
        }
    }
}

enum outcome restart(struct world *world, const char *name, int to)
{
    int each[2] = {to, to};
    struct migration_options options = {
        .kind = OPERATION_RESTART, .placement = {.to = each}, .mode = MODE_PAUSED};
    options.checkpoint = world->checkpoint = checkpoint_read(checkpoints(), name, &world->refused);
    if (options.checkpoint == NULL ||
        !checkpoint_unlock(options.checkpoint, world->key, &world->refused)) {
        return OUTCOME_REFUSED;
    }
    world->survey = survey_start_nowhere(world->base, world->cluster, on_surveyed, world);
    event_base_dispatch(world->base);
    if (!survey_is_complete(world->survey, &world->refused)) {
        return OUTCOME_REFUSED;
    }
    return run(world, &options);
}

enum outcome migrate_what_was_seen(struct world *world, int to, enum migration_mode mode)
{
    return migrate_each_what_was_seen(world, (const int[]){to, to}, mode);
}

enum outcome migrate_each(struct world *world, const int to[2], enum migration_mode mode)
{
    look(world);
    return migrate_each_what_was_seen(world, to, mode);
}

enum outcome migrate(struct world *world, int to, enum migration_mode mode)
{
    look(world);
    return migrate_what_was_seen(world, to, mode);
}

void assert_job_runs_on(const struct world *world, const char *transport)
{
    for (int r = 0; r < 4; r++) {
        assert_string_equal(world->job.state[r], "RUNNING");
        assert_string_equal(world->job.transports[r], transport);
    }
}

void assert_at(const struct world *world, int site, bool device)
{
    for (int v = 0; v < 2; v++) {
        const struct fake_qemu *here = &world->vms[v].qemus[site];
        const struct fake_qemu *there = &world->vms[v].qemus[!site];
        assert_non_null(here->peer);
        assert_string_equal(here->status, "running");
        assert_string_equal(here->device, device ? "hca0" : "");
        assert_null(there->peer); /* its QEMU ended */
    }
}

void assert_order(const char *before, const char *after)
{
    int first = fake_log_find(before, 0), second = fake_log_find(after, 0);
    if (first < 0 || second < 0 || first >= second) {
        fake_log_print();
        fail_msg("expected \"%s\" (%d) before \"%s\" (%d)", before, first, after, second);
    }
}

void assert_rolled_back_to(const struct world *world, const char *transport)
{
    for (int v = 0; v < 2; v++) {
        assert_string_equal(world->vms[v].qemus[IB].status, "running");
        assert_string_equal(world->vms[v].qemus[IB].device, "hca0");
        assert_null(world->vms[v].qemus[ETH].peer);
    }
    assert_job_runs_on(world, transport);
    assert_string_equal(migration_state_name(world->migration), "FAILED");
}

void assert_rolled_back(const struct world *world)
{
    assert_rolled_back_to(world, "openib");
}
