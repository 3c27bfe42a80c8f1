/*
 * A driver that is no more than this file: nothing else in the house knows what its VMs are or how
 * their agents are reached.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <cmocka.h>

#include "host/agent/agent_client.h"
#include "host/base/timer.h"
#include "host/vmm/looks.h"
#include "host/vmm/driver.h"
#include "tests/unit/fake_agent.h"

/* ---- the driver: the channel to an agent is a pair of sockets ---- */

struct tiny {
    struct vmm vmm;
    struct fake_agent *agent; /* in the VM */
    bool refuses, dawdles;
    int opened, open; /* channels */
    struct tiny_channel *last;
};

struct tiny_channel {
    struct channel channel;
    struct tiny *tiny;
    const struct channel_events *events;
    void *arg;
    struct event *timer;
};

static void on_timer(evutil_socket_t unused, short what, void *arg)
{
    struct tiny_channel *channel = arg;
    struct tiny *tiny = channel->tiny;
    struct ninja_error err = NINJA_ERROR_INIT;
    int ends[2];
    timer_free(&channel->timer);
    if (tiny->refuses) {
        ninja_error_set(&err, ERR_STATE, "the tiny VMM has no port for it");
        channel->events->failed(channel->arg, &err);
        return;
    }
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    fake_peer_serve(tiny->agent->peer, ends[1]);
    tiny->opened++;
    channel->events->opened(channel->arg, ends[0]);
}

static void tiny_channel_close(struct channel *arg)
{
    struct tiny_channel *channel = (struct tiny_channel *)arg;
    channel->tiny->open--;
    timer_free(&channel->timer);
    free(channel);
}

static struct channel *tiny_channel_open(const struct channel_way *way,
                                         const struct channel_events *events, void *arg)
{
    struct tiny *tiny = way->owner;
    struct tiny_channel *channel = calloc(1, sizeof(*channel));
    *channel = (struct tiny_channel){{tiny_channel_close}, tiny, events, arg, NULL};
    tiny->open++;
    tiny->last = channel;
    if (!tiny->dawdles) {
        channel->timer = timer_start(tiny->vmm.base, 10, on_timer, channel);
    }
    return &channel->channel;
}

static struct channel_way tiny_way_to_agent(const struct vmm *vmm, int site)
{
    return (struct channel_way){
        .open = tiny_channel_open, .owner = (void *)vmm, .which = site, .name = "tiny:vm1"};
}

/* Its keys in the cluster file. */
struct tiny_entry {
    int slot, weight;
    char *socket;
};

struct tiny_site {
    char *rack;
};

static const struct cluster_key tiny_entry_keys[] = {
    {CLUSTER_KEY(struct tiny_entry, slot), .value = CLUSTER_NUMBER, .need = CLUSTER_DRIVER_NEEDS,
     .min = 1, .max = 9},
    {CLUSTER_KEY(struct tiny_entry, weight), .value = CLUSTER_NUMBER, .max = 100},
    {CLUSTER_KEY(struct tiny_entry, socket), .value = CLUSTER_SOCKET,
     .socket_of = "the tiny thing"},
    {0},
};

static const struct cluster_key tiny_site_keys[] = {
    {CLUSTER_KEY(struct tiny_site, rack), .value = CLUSTER_NAME, .need = CLUSTER_NEEDS},
    {0},
};

static bool tiny_check(const struct cluster_entry *entry, const void *site, const char **key,
                       struct ninja_error *err)
{
    const struct tiny_site *place = site;
    *key = "device";
    return entry->device.spec != NULL || strcmp(place->rack, "empty") != 0 ||
           ninja_error_set(err, ERR_DEVICE, "expected a card in rack %s", place->rack);
}

static bool tiny_read_device(struct cluster_device *device, struct ninja_error *err)
{
    if (strncmp(device->spec, "card-", 5) != 0) {
        return ninja_error_set(err, ERR_DEVICE, "\"%s\" is no card", device->spec);
    }
    device->text = strdup(device->spec);
    device->id = strdup(device->spec + 5);
    return true;
}

/* It looks at a VM by its slot: 1 is answered after a while, and no other one is there. */
struct tiny_looker {
    struct looker looker;
    struct look *look;
    void (*done)(void *arg);
    void *arg;
    struct event *timer;
};

static int lookers; /* that are not closed */

static void on_look(evutil_socket_t unused, short what, void *arg)
{
    struct tiny_looker *looker = arg;
    looker->look->memory = 64;
    snprintf(looker->look->state, sizeof(looker->look->state), "idle");
    looker->done(looker->arg);
}

static void tiny_look_close(struct looker *arg)
{
    struct tiny_looker *looker = (struct tiny_looker *)arg;
    lookers--;
    timer_free(&looker->timer);
    free(looker);
}

static struct looker *tiny_look(struct event_base *base, const struct cluster *cluster, int vm,
                                int site, struct look *look, void (*done)(void *arg), void *arg)
{
    const struct tiny_entry *own = cluster->sites[site].vms[vm].own;
    if (own->slot != 1) {
        ninja_error_set(&look->err, ERR_ABSENT, "slot %d is empty", own->slot);
        return NULL;
    }
    struct tiny_looker *looker = calloc(1, sizeof(*looker));
    *looker = (struct tiny_looker){{tiny_look_close}, look, done, arg, NULL};
    looker->timer = timer_start(base, 10, on_look, looker);
    lookers++;
    return &looker->looker;
}

static const struct vmm_driver driver_tiny = {
    .in_file = {.name = "tiny",
                .entry = {tiny_entry_keys, sizeof(struct tiny_entry)},
                .site = {tiny_site_keys, sizeof(struct tiny_site)},
                .check = tiny_check,
                .read_device = tiny_read_device},
    .way_to_agent = tiny_way_to_agent,
    .look = tiny_look,
};

/* ---- one of its VMs, and its agent ---- */

struct world {
    struct event_base *base;
    struct tiny tiny;
    struct fake_agent fake;
    struct agent *agent;
    int calls;
    struct ninja_error err;
};

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    char path[100];
    *state = world;
    snprintf(path, sizeof(path), "%s/that-nobody-knows", fake_dir());
    world->base = event_base_new();
    fake_agent_init(&world->fake, world->base, "vm1");
    fake_agent_listen(&world->fake, path);
    world->tiny = (struct tiny){.vmm = {.driver = &driver_tiny, .base = world->base, .site = 0},
                                .agent = &world->fake};
    world->agent = agent_new(world->base, "vm1", 700);
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    agent_free(world->agent);
    assert_int_equal(world->tiny.open, 0);
    fake_agent_clear(&world->fake);
    event_base_free(world->base);
    free(world);
    fake_dir_remove();
    return 0;
}

static void on_call(struct world *world, const struct ninja_error *err)
{
    world->calls++;
    world->err = err ? *err : (struct ninja_error)NINJA_ERROR_INIT;
    event_base_loopbreak(world->base);
}

static void on_connected(void *arg, const struct ninja_error *err)
{
    on_call(arg, err);
}

static void on_reply(void *arg, json_t *result, const struct ninja_error *err)
{
    on_call(arg, err);
}

static void await_call(struct world *world)
{
    int before = world->calls;
    while (world->calls == before) {
        event_base_dispatch(world->base);
    }
}

static void connect_agent(struct world *world)
{
    struct channel_way way = vmm_way_to_agent(&world->tiny.vmm);
    agent_connect(world->agent, &way, on_connected, world);
    await_call(world);
}

static void expect_answer(struct world *world)
{
    agent_execute(world->agent, "ninja-jobs", NULL, 5000, on_reply, world);
    await_call(world);
    assert_false(ninja_error_is_set(&world->err));
}

static void the_agent_is_spoken_to_by_the_drivers_channel(void **state)
{
    struct world *world = *state;
    connect_agent(world);
    assert_false(ninja_error_is_set(&world->err));
    expect_answer(world);
    assert_int_equal(world->tiny.opened, 1);
}

static void a_stream_that_ends_is_opened_anew(void **state)
{
    struct world *world = *state;
    connect_agent(world);
    fake_peer_hang_up(world->fake.peer);
    while (agent_is_ready(world->agent)) {
        event_base_loop(world->base, EVLOOP_ONCE);
    }
    expect_answer(world);
    assert_int_equal(world->tiny.opened, 2);
    assert_int_equal(world->tiny.open, 1);
}

/* The driver knows it, and the stream shows nothing. */
static void a_channel_that_closes_is_opened_anew(void **state)
{
    struct world *world = *state;
    struct ninja_error why = NINJA_ERROR_INIT;
    connect_agent(world);
    ninja_error_set(&why, ERR_CLOSED, "the tiny VMM let it go");
    world->tiny.last->events->closed(world->tiny.last->arg, &why);
    assert_false(agent_is_ready(world->agent));
    assert_int_equal(world->tiny.open, 0);
    expect_answer(world);
    assert_int_equal(world->tiny.opened, 2);
}

static void a_channel_that_cannot_be_opened_says_why(void **state)
{
    struct world *world = *state;
    world->tiny.refuses = true;
    connect_agent(world);
    assert_int_equal(world->err.class, ERR_STATE);
    assert_string_equal(world->err.message, "vm1: the agent's channel cannot be reached (the tiny "
                                            "VMM has no port for it)");
    assert_int_equal(world->tiny.open, 0);
}

static void a_channel_that_never_opens_is_given_up(void **state)
{
    struct world *world = *state;
    world->tiny.dawdles = true;
    connect_agent(world);
    assert_int_equal(world->err.class, ERR_TIMEOUT);
    assert_string_equal(world->err.message,
                        "vm1: the agent's channel cannot be reached (tiny:vm1)");
    assert_int_equal(world->tiny.open, 0);
}

/* ---- the cluster file ---- */

/* Two rows more in the table of drivers; one of them another build would have. */
static const struct cluster_driver *with_tiny(size_t i)
{
    static const struct cluster_driver gone = {.name = "gone", .missing = "it is not built"};
    if (i == 0) {
        return &gone;
    }
    return i == 1 ? &driver_tiny.in_file : driver_in_file(i - 2);
}

static struct cluster *read_text(const char *entry, const char *site, struct ninja_error *err)
{
    char path[100];
    snprintf(path, sizeof(path), "%s/cluster.conf", fake_dir());
    FILE *out = fopen(path, "w");
    fprintf(out,
            "driver = \"tiny\";\nvms = ( { name = \"vm1\"; } );\n"
            "sites = ( { name = \"a\"; rack = \"r1\"; vms = ( { name = \"vm1\"; slot = 1;\n"
            "  socket = \"/run/a\"; device = \"card-x\"; } ); },\n"
            "{ name = \"b\"; %s vms = ( { name = \"vm1\";\n%s } ); } );\n",
            site, entry);
    fclose(out);
    return cluster_read(path, with_tiny, err);
}

static void it_has_keys_of_its_own(void **state)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    struct cluster *cluster = read_text("weight = 50; slot = 3;", "rack = \"r2\";", &err);
    assert_non_null(cluster);
    const struct tiny_entry *here = cluster->sites[0].vms[0].own,
                            *there = cluster->sites[1].vms[0].own;
    assert_int_equal(there->slot, 3);
    assert_int_equal(there->weight, 50);
    assert_null(there->socket);
    assert_string_equal(here->socket, "/run/a");
    assert_string_equal(((const struct tiny_site *)cluster->sites[1].own)->rack, "r2");
    assert_string_equal(cluster->sites[0].vms[0].device.text, "card-x");
    assert_string_equal(cluster->sites[0].vms[0].device.id, "x");
    assert_null(cluster->sites[1].vms[0].device.id);
    cluster_free(cluster);
}

static void mistakes_in_them_are_named(void **state)
{
    static const struct {
        const char *entry, *site, *expected;
    } mistakes[] = {
        {"slot = 1; qmp = \"/q\";", "rack = \"r\";",
         ":6: unknown key \"qmp\" in a VM of a site; expected one of: name, slot, weight, socket, "
         "device"},
        {"slot = 1;", "rack = \"r\"; prepare = \"x\";",
         ":5: unknown key \"prepare\" in a site; expected one of: name, rack, vms, hosts"},
        {"weight = 1;", "rack = \"r\";",
         ":5: expected the key \"slot\" in a VM of a site (driver \"tiny\")"},
        {"slot = 1;", "", ":5: expected the key \"rack\" in a site"},
        {"slot = 10;", "rack = \"r\";", ":6: expected \"slot\" to be a whole number from 1 to 9"},
        {"slot = 1; device = \"disk\";", "rack = \"r\";", ":6: \"disk\" is no card"},
        {"slot = 1;", "rack = \"empty\";", ":5: expected a card in rack empty"},
        {"slot = 1; socket = \"/run/a\";", "rack = \"r\";",
         ":5: the socket /run/a is used twice: for the tiny thing of VM \"vm1\" at \"a\" (line 3) "
         "and for the tiny thing of VM \"vm1\" at \"b\""},
    };
    for (size_t i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
        struct ninja_error err = NINJA_ERROR_INIT;
        char expected[400];
        assert_null(read_text(mistakes[i].entry, mistakes[i].site, &err));
        snprintf(expected, sizeof(expected), "%s/cluster.conf%s", fake_dir(), mistakes[i].expected);
        assert_string_equal(err.message, expected);
    }
}

static void one_that_is_not_built_is_refused(void **state)
{
    static const char *const drivers[][2] = {
        {"gone", "driver \"gone\": it is not built"},
        {"lost", "unknown driver \"lost\"; expected \"tiny\" or \"qmp\" or \"local\""},
    };
    for (size_t i = 0; i < 2; i++) {
        struct ninja_error err = NINJA_ERROR_INIT;
        char path[100];
        snprintf(path, sizeof(path), "%s/cluster.conf", fake_dir());
        FILE *out = fopen(path, "w");
        fprintf(out,
                "driver = \"%s\"; vms = ( { name = \"a\"; } );\n"
                "sites = ( { name = \"s\"; vms = ( { name = \"a\"; } ); } );\n",
                drivers[i][0]);
        fclose(out);
        assert_null(cluster_read(path, with_tiny, &err));
        assert_non_null(strstr(err.message, drivers[i][1]));
    }
}

/* ---- looks ---- */

static void on_looks(void *arg)
{
    event_base_loopbreak(arg);
}

static void it_is_asked_what_there_is_of_a_vm(void **state)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    struct event_base *base = event_base_new();
    struct cluster *cluster = read_text("slot = 3;", "rack = \"r2\";", &err);
    assert_non_null(cluster);
    struct looks *looks = looks_start(base, &driver_tiny, cluster, on_looks, base);
    event_base_dispatch(base);
    assert_int_equal(lookers, 0);
    assert_int_equal(looks_at(looks, 0, 0)->memory, 64);
    assert_string_equal(looks_at(looks, 0, 0)->state, "idle");
    assert_false(ninja_error_is_set(&looks_at(looks, 0, 0)->err));
    assert_string_equal(looks_at(looks, 0, 1)->err.message, "slot 3 is empty");
    looks_free(looks);
    looks = looks_start(base, &driver_tiny, cluster, on_looks, base);
    assert_int_equal(lookers, 1);
    looks_free(looks);
    assert_int_equal(lookers, 0);
    looks = looks_start(base, &driver_local, cluster, on_looks, base);
    event_base_dispatch(base);
    assert_null(looks_at(looks, 0, 0));
    looks_free(looks);
    cluster_free(cluster);
    event_base_free(base);
}

static int remove_dir(void **state)
{
    fake_dir_remove();
    return 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_agent_is_spoken_to_by_the_drivers_channel),
        TEST(a_stream_that_ends_is_opened_anew),
        TEST(a_channel_that_closes_is_opened_anew),
        TEST(a_channel_that_cannot_be_opened_says_why),
        TEST(a_channel_that_never_opens_is_given_up),
        cmocka_unit_test_teardown(it_has_keys_of_its_own, remove_dir),
        cmocka_unit_test_teardown(mistakes_in_them_are_named, remove_dir),
        cmocka_unit_test_teardown(one_that_is_not_built_is_refused, remove_dir),
        cmocka_unit_test_teardown(it_is_asked_what_there_is_of_a_vm, remove_dir),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
