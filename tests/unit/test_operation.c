/*
 * What is planned is what is run: every operation is foreseen from a survey, and then run between
 * scripted QEMUs and agents, from wherever the VMs, their devices and the jobs may be. A step that
 * is not where its facts say, or does not say what is so after it, makes the two differ.
 */
#include "tests/unit/migration_fixture.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/fault.h"
#include "host/migration/coordinator_private.h"

#define MAX_TEXT  400
#define MAX_STEPS 30

struct situation {
    int at[2];       /* by VM */
    int to[2];       /* by VM: a site, or PLACEMENT_STAYS */
    bool offered[2]; /* by site: it has a device for each VM */
    bool missing;    /* a device that is offered is not plugged in at the beginning */
    bool jobs;
    enum migration_mode mode;
    int fails; /* the step that fails, counted from 1; 0: none */
};

/* The names of the steps, with blanks between them. */
static void add_name(char *text, const char *name)
{
    size_t len = strlen(text);
    snprintf(text + len, MAX_TEXT - len, "%s%s", len > 0 ? " " : "", name);
}

static void offer(struct cluster_device *device, bool offered)
{
    free(device->spec);
    free(device->text);
    free(device->id);
    *device = (struct cluster_device){0};
    if (offered) {
        device->spec = strdup("e1000e,id=hca0,bus=rp1");
        device->text = strdup(device->spec);
        device->id = strdup("hca0");
    }
}

static struct world *make_situation(const struct situation *it)
{
    struct world *world = make_world_at(it->at);
    /* Where the step fails that connects to the agents, the jobs cannot be let go on. */
    world->cluster->timeouts[TIMEOUT_RETRY] = 500;
    for (int v = 0; v < 2; v++) {
        for (int s = 0; s < 2; s++) {
            offer(&world->cluster->sites[s].vms[v].device, it->offered[s]);
            bool has = s == it->at[v] && it->offered[s] && !it->missing;
            strcpy(world->vms[v].qemus[s].device, has ? "hca0" : "");
        }
        if (!it->jobs) {
            world->vms[v].agent.n_ranks = 0;
        }
    }
    return world;
}

static const struct operation *migration_in(enum migration_mode mode)
{
    return operation_of(&(struct migration_options){.mode = mode});
}

/* Goes through the table as a run does in which that step fails. Only facts decide. */
static void foresee(const struct situation *it, struct facts *facts, char *steps)
{
    const struct operation *operation = migration_in(it->mode);
    size_t i = operation_next(operation, 0, facts);
    for (int n = 1; i < operation->n; n++) {
        const struct step *step = operation->steps[i++];
        add_name(steps, step->name);
        if (n != it->fails) {
            step_foresee(step, facts);
        } else if (step->part != PART_TOGETHER) {
            facts->going_back = true;
            i = operation_first(operation, PART_TOGETHER);
        }
        i = operation_next(operation, i, facts);
    }
}

/* The steps that the journal tells of. */
static void steps_run(const struct world *world, char *steps)
{
    char path[200];
    snprintf(path, sizeof(path), "%s/state/%s/journal", fake_dir(), journal_id(world->journal));
    FILE *in = fopen(path, "r");
    char *line = NULL;
    size_t size = 0;
    assert_non_null(in);
    while (getline(&line, &size, in) > 0) {
        json_t *entry = json_loads(line, 0, NULL);
        const char *name = json_string_value(json_object_get(entry, "step"));
        if (name != NULL) {
            add_name(steps, name);
        }
        json_decref(entry);
    }
    free(line);
    fclose(in);
}

static void assert_facts(const struct facts *foreseen, const struct facts *found, bool jobs)
{
    for (int i = 0; i < found->n; i++) {
        const struct vm_facts *a = &foreseen->vms[i], *b = &found->vms[i];
        assert_int_equal(a->asked, b->asked);
        assert_int_equal(a->moves, b->moves);
        assert_int_equal(a->move, b->move);
        assert_int_equal(a->undecided, b->undecided);
        assert_int_equal(a->agent_ready, b->agent_ready);
        assert_int_equal(a->had_device, b->had_device);
        assert_int_equal(a->has_device, b->has_device);
        assert_int_equal(a->offered, b->offered);
        assert_int_equal(a->device, b->device);
        assert_int_equal(a->linked, b->linked);
    }
    /* A switch that finds no jobs leaves nothing of them behind. */
    if (jobs) {
        assert_int_equal(foreseen->jobs, found->jobs);
    }
}

/* What a plan shows are the texts of the steps that are run, but of those that find nothing. */
static void assert_shown(const struct situation *it, const char *steps, bool moves, json_t *plan)
{
    const struct operation *operation = migration_in(it->mode);
    size_t shown = 2; /* after a line for each VM */
    char copy[MAX_TEXT], *rest = copy, *name;
    strcpy(copy, steps);
    while ((name = strsep(&rest, " ")) != NULL) {
        size_t i = 0;
        while (strcmp(operation->steps[i]->name, name) != 0) {
            i++;
        }
        bool of_jobs = strcmp(name, "standby") == 0 || strcmp(name, "hold") == 0 ||
                       strcmp(name, "best") == 0 || strcmp(name, "resume") == 0;
        bool in_vain = (of_jobs && !it->jobs) || (strcmp(name, "copy") == 0 && !moves);
        if (operation->steps[i]->text != NULL && !in_vain) {
            const char *line = json_string_value(json_array_get(plan, shown++));
            assert_non_null(line);
            assert_string_equal(line, operation->steps[i]->text);
        }
    }
    assert_int_equal(json_array_size(plan), shown);
}

static struct facts *survey_facts(struct world *world, const struct migration_options *options,
                                  json_t **plan)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    struct facts *facts = NULL;
    world->survey = survey_start(world->base, world->cluster, NULL, on_surveyed, world);
    event_base_dispatch(world->base);
    if (migration_check(world->survey, world->cluster, options, &err)) {
        facts = facts_of_survey(world->survey, world->cluster, options);
        *plan = migration_plan(world->survey, world->cluster, options);
    } else {
        assert_int_equal(err.class, ERR_NOTHING_TO_DO);
    }
    survey_free(world->survey);
    world->survey = NULL;
    return facts;
}

static void arm(int step)
{
    char text[60];
    snprintf(text, sizeof(text), "coordinator:step:%d:error", step);
    setenv("NINJA_FAULT", text, 1);
    ninja_fault_init("coordinator", -1);
    unsetenv("NINJA_FAULT");
}

static const char *site_name(int site)
{
    return site == PLACEMENT_STAYS ? "where it is" : site == ETH ? "eth" : "ib";
}

/* False: there was nothing to do. steps: gets those that were run. */
static bool compare(const struct situation *it, char *steps)
{
    int to[2] = {it->to[0], it->to[1]};
    struct migration_options options = {.placement = {.to = to}, .mode = it->mode};
    struct world *world = make_situation(it);
    void *state = world;
    char planned[MAX_TEXT] = "";
    json_t *plan = NULL;
    struct facts *facts = survey_facts(world, &options, &plan);
    steps[0] = '\0';
    if (facts != NULL) {
        foresee(it, facts, planned);
        arm(it->fails);
        enum outcome outcome = migrate_each(world, it->to, it->mode);
        steps_run(world, steps);
        print_message(
            "VMs at %s and %s, to %s and %s, %s, device at ib %d eth %d%s, %sjobs, step %d fails: "
            "%s\n",
            site_name(it->at[0]), site_name(it->at[1]), site_name(it->to[0]), site_name(it->to[1]),
            migration_in(it->mode)->mode, it->offered[IB], it->offered[ETH],
            it->missing ? " (missing)" : "", it->jobs ? "" : "no ", it->fails, steps);
        assert_string_equal(planned, steps);
        if (it->fails == 0) {
            assert_int_equal(outcome, OUTCOME_DONE);
            assert_facts(facts, facts_of_migration(world->migration), it->jobs);
            assert_shown(it, steps, facts->vms[0].moves || facts->vms[1].moves, plan);
        }
    }
    bool run = facts != NULL;
    facts_free(facts);
    json_decref(plan);
    teardown(&state);
    return run;
}

static bool is_among(const char *name, const char *steps)
{
    char inner[MAX_TEXT + 2], wanted[40];
    snprintf(inner, sizeof(inner), " %s ", steps);
    snprintf(wanted, sizeof(wanted), " %s ", name);
    return strstr(inner, wanted) != NULL;
}

/* Every bit of it is a fact of the situation. */
static struct situation situation_of(unsigned n)
{
    static const int places[4][2] = {{IB, IB}, {ETH, ETH}, {IB, ETH}, {ETH, IB}};
    static const int others[4][2] = {
        {ETH, PLACEMENT_STAYS}, {PLACEMENT_STAYS, IB}, {ETH, IB}, {IB, ETH}};
    const int *at = places[n & 3], *to = n & 4 ? others[n >> 3 & 3] : places[n >> 3 & 1];
    return (struct situation){
        .at = {at[0], at[1]},
        .to = {to[0], to[1]},
        .offered = {n >> 5 & 1, n >> 6 & 1},
        .missing = n >> 7 & 1,
        .jobs = n >> 8 & 1,
        .mode = n >> 9 & 1,
    };
}

static void assert_sound(const struct operation *operation)
{
    char before[MAX_TEXT] = "";
    assert_in_range(operation->n, 1, MAX_STEPS);
    for (size_t i = 0; i < operation->n; i++) {
        const struct step *step = operation->steps[i];
        assert_false(is_among(step->name, before));
        add_name(before, step->name);
        assert_true(i == 0 || step->part >= operation->steps[i - 1]->part);
        assert_true((step->begin != NULL) != (step->begin_vm != NULL));
        assert_true(step->of_vm != NULL || (step->begin_vm == NULL && step->foresee_vm == NULL));
        assert_true(step->stage == STAGE_NONE || step->begin_vm != NULL);
        assert_true(step->text != NULL || step->seen == NULL);
    }
    assert_true(operation_first(operation, PART_TOGETHER) < operation->n);
}

static void every_table_is_sound(void **state)
{
    for (int kind = OPERATION_MIGRATE; kind <= OPERATION_RESTART; kind++) {
        for (int mode = MODE_LIVE; mode <= MODE_PAUSED; mode++) {
            const struct operation *operation = operation_of(&(struct migration_options){
                .kind = (enum operation_kind)kind, .mode = (enum migration_mode)mode});
            assert_sound(operation);
            /* What moves, and is taken on, goes on with the move, or with what follows it. */
            size_t move = operation_first(operation, PART_MOVE);
            bool moves = kind != OPERATION_CHECKPOINT;
            assert_true(!moves || operation->steps[move]->part == PART_MOVE);
        }
    }
}

static void what_is_planned_is_what_is_run(void **state)
{
    int run = 0;
    char steps[MAX_TEXT];
    for (unsigned n = 0; n < 1024; n++) {
        struct situation it = situation_of(n);
        bool again = (n & 4) == 0 && (n & 16) != 0; /* one bit chooses among two */
        run += !again && compare(&it, steps);
    }
    assert_true(run > 450);
}

/* A step for what another coordinator left, or for a guest that does not answer. */
static bool is_for_others(int mode, const char *step)
{
    return strcmp(step, "let-go") == 0 || strcmp(step, "keep-off") == 0 ||
           (mode == MODE_PAUSED && strcmp(step, "best") == 0);
}

/* Wherever it fails, what is put together again follows from the same facts. */
static void so_it_is_where_a_step_fails(void **state)
{
    char steps[MAX_TEXT];
    for (int mode = MODE_LIVE; mode <= MODE_PAUSED; mode++) {
        const struct operation *operation = migration_in((enum migration_mode)mode);
        struct situation it = {
            .offered = {true, true}, .jobs = true, .to = {ETH, ETH}, .mode = mode};
        bool seen[MAX_STEPS] = {false};
        for (it.fails = 1; it.fails <= (int)operation->n; it.fails++) {
            assert_true(compare(&it, steps));
            for (size_t i = 0; i < operation->n; i++) {
                seen[i] |= is_among(operation->steps[i]->name, steps);
            }
        }
        for (size_t i = 0; i < operation->n; i++) {
            if (!seen[i] && !is_for_others(mode, operation->steps[i]->name)) {
                fail_msg("no run has the step %s", operation->steps[i]->name);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_table_is_sound),
        cmocka_unit_test(what_is_planned_is_what_is_run),
        cmocka_unit_test(so_it_is_where_a_step_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
