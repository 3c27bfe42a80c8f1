/*
 * The driver "libvirt" with this program itself in the place of ninja-libvirt. Two hosts with one
 * VM are in memory that both processes share, so a test can change them at any time. Whatever a
 * test does, the VM is never let run at one host while it is not off at the other.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/jsonline.h"
#include "host/vmm/driver_libvirt.h"
#include "tests/unit/fake_peer.h"

#define FAKE "NINJA_TEST_FAKE_LIBVIRT"

enum { HERE, THERE };
enum domain { ABSENT, RUNNING, MIGRATING, PAUSED, OFF, SPLIT, BROKEN };

static const char *const uris[] = {"qemu+tcp://here/system", "qemu+tcp://there/system"};

/* What the hosts have, what they are to do, and what was done. */
struct hosts {
    enum domain domain[2];
    bool job, device[2], dead[2], same_uuid;
    enum { REFUSES, LETS_GO, LETS_GO_UNSEEN, KEEPS } guest;
    enum { MOVES, FAILS, MOVES_AND_SAYS_LOST, GOES_ON, STICKS } copy;
    bool die_once;   /* when it is told to detach or to migrate, after that was done */
    bool two_copies; /* it was let run at both */
    int removed[2], resumed, aborted, pid, bandwidth, recovered;
    char mode[40];
    bool dies_when_asked; /* to copy: the host, when it was done */
    bool ends_copy;       /* the request goes on no longer, and fails */
    char event[40];       /* about the device, to be told */
};

static struct hosts *hosts;

static void map_hosts(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    assert_true(fd >= 0 && ftruncate(fd, sizeof(*hosts)) == 0);
    hosts = mmap(NULL, sizeof(*hosts), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(hosts != MAP_FAILED);
    close(fd);
}

/* ---- in the place of ninja-libvirt ---- */

static void say(json_t *line)
{
    char *text = json_dumps(line, JSON_COMPACT);
    printf("%s\n", text);
    fflush(stdout);
    free(text);
    json_decref(line);
}

static json_t *look(int at)
{
    static const char *const words[][2] = {
        [RUNNING] = {"running", "booted"},
        [MIGRATING] = {"paused", "migration"},
        [PAUSED] = {"paused", "user"},
        [OFF] = {"shutoff", "migrated"},
    };
    enum domain domain = hosts->domain[at];
    const char *state = at == HERE ? "paused" : "running";
    if (domain == SPLIT || domain == BROKEN)
        return json_pack("{s:s, s:s, s:b, s:[]}", "state", state, "reason",
                         domain == SPLIT ? "post-copy" : "post-copy failed", "job", true,
                         "devices");
    if (domain == ABSENT)
        return json_pack("{s:s}", "state", "absent");
    return json_pack("{s:s, s:s, s:b, s:{s:i}, s:o}", "state", words[domain][0], "reason",
                     words[domain][1], "job", at == HERE && hosts->job, "statistics",
                     "memory_iteration", 1, "devices",
                     hosts->device[at] ? json_pack("[s]", "ua-hca0") : json_array());
}

static const char *detach(void)
{
    if (hosts->guest == LETS_GO || hosts->guest == LETS_GO_UNSEEN)
        hosts->device[HERE] = false;
    if (hosts->guest == LETS_GO)
        strcpy(hosts->event, "DEVICE_REMOVED");
    if (hosts->guest == REFUSES)
        strcpy(hosts->event, "DEVICE_REMOVAL_FAILED");
    return NULL;
}

/* What the answer to "migrate" is an error of; NULL: all went well. */
static const char *migrate(void)
{
    if (hosts->copy == FAILS)
        return "Copy";
    hosts->domain[THERE] = PAUSED;
    hosts->domain[HERE] = hosts->copy == STICKS ? MIGRATING : OFF;
    return hosts->copy == MOVES_AND_SAYS_LOST ? "Lost" : NULL;
}

static const char *resume(int at)
{
    hosts->two_copies |= hosts->domain[!at] != OFF && hosts->domain[!at] != ABSENT;
    hosts->domain[at] = RUNNING;
    hosts->resumed++;
    return NULL;
}

static const char *remove_domain(int at)
{
    hosts->removed[at]++;
    hosts->domain[at] = ABSENT;
    return NULL;
}

static json_t *migration; /* id of the request that goes on */

static void reply(json_t *id, const char *error, json_t *result)
{
    say(error != NULL
            ? json_pack("{s:{s:s, s:s}, s:O}", "error", "class", error, "desc", "as the test wants",
                        "id", id)
            : json_pack("{s:o, s:O}", "return", result != NULL ? result : json_object(), "id", id));
}

static const char *abort_copy(void)
{
    hosts->aborted++;
    hosts->job = false;
    hosts->domain[HERE] = RUNNING;
    hosts->domain[THERE] = ABSENT;
    if (migration == NULL)
        return "State";
    reply(migration, "Cancelled", NULL);
    json_decref(migration);
    migration = NULL;
    return NULL;
}

static void begin_copy(json_t *id, json_t *arguments)
{
    const char *mode = json_string_value(json_object_get(arguments, "mode"));
    strcpy(hosts->mode, mode);
    hosts->bandwidth = (int)json_integer_value(json_object_get(arguments, "bandwidth_mib"));
    if (strcmp(mode, "post-copy-resume") == 0) {
        hosts->domain[HERE] = hosts->domain[THERE] = SPLIT;
        hosts->recovered++;
    } else {
        hosts->domain[THERE] = MIGRATING;
    }
    hosts->job = true;
    migration = json_incref(id);
}

static void end_copy(void)
{
    if (hosts->ends_copy && migration != NULL) {
        hosts->ends_copy = false;
        reply(migration, "Copy", NULL);
        json_decref(migration);
        migration = NULL;
    }
}

static void die_if_told(void)
{
    if (hosts->die_once) {
        hosts->die_once = false;
        _exit(9);
    }
}

static void serve_one(void *arg, json_t *line, const char *wrong)
{
    json_t *arguments = json_object_get(line, "arguments"), *id = json_object_get(line, "id");
    const char *command = json_string_value(json_object_get(line, "execute"));
    int at = strcmp(json_string_value(json_object_get(arguments, "host")), uris[HERE]) != 0;
    const char *error = NULL;
    json_t *result = NULL;
    if (hosts->dead[at]) {
        error = "Connect";
    } else if (strcmp(command, "host-open") == 0) {
        result = json_pack("{s:s, s:i, s:i, s:i}", "uuid",
                           at == THERE && !hosts->same_uuid ? "u-2" : "u-1", "memory_kib",
                           4096 * 1024, "cpus", at == THERE ? 8 : 4, "vms_cpus", 6);
    } else if (strcmp(command, "domain-look") == 0) {
        result = look(at);
    } else if (strcmp(command, "device-detach") == 0) {
        error = detach();
        die_if_told();
    } else if (strcmp(command, "device-attach") == 0) {
        hosts->device[at] = true;
    } else if (strcmp(command, "migrate-check") == 0) {
        result = hosts->job || hosts->domain[HERE] != RUNNING
                     ? json_pack("{s:[s]}", "problems", "libvirt is at work on it")
                     : json_pack("{s:[]}", "problems");
    } else if (strcmp(command, "migrate") == 0 && hosts->copy == GOES_ON) {
        begin_copy(id, arguments);
        die_if_told();
        return;
    } else if (strcmp(command, "migrate") == 0) {
        error = migrate();
        hosts->dead[HERE] |= hosts->dies_when_asked;
    } else if (strcmp(command, "migrate-post-copy") == 0) {
        hosts->domain[HERE] = hosts->domain[THERE] = SPLIT;
    } else if (strcmp(command, "migrate-abort") == 0) {
        error = abort_copy();
    } else if (strcmp(command, "domain-resume") == 0) {
        error = resume(at);
    } else if (strcmp(command, "domain-remove") == 0) {
        error = remove_domain(at);
    }
    reply(id, error, result);
}

static void tell_event(void)
{
    if (hosts->event[0] != '\0') {
        say(json_pack("{s:s, s:{s:s, s:s, s:s}}", "event", hosts->event, "data", "host", uris[HERE],
                      "vm", "vm1", "alias", "ua-hca0"));
        hosts->event[0] = '\0';
    }
}

static int serve(const char *path)
{
    struct jsonline *lines = jsonline_new(65536, serve_one, NULL);
    char bytes[4096];
    ssize_t n = 1;
    map_hosts(path);
    hosts->pid = getpid();
    while (n > 0) {
        struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
        if (poll(&in, 1, 20) > 0) {
            n = read(STDIN_FILENO, bytes, sizeof(bytes));
            if (n > 0)
                jsonline_feed(lines, bytes, (size_t)n);
        }
        tell_event();
        end_copy();
    }
    jsonline_free(lines);
    return 0;
}

/* ---- the tests ---- */

struct world {
    struct event_base *base;
    struct cluster *cluster;
    struct vmm *vmm;
    struct ninja_error err, other_err;
    int done;
};

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    struct ninja_error err = NINJA_ERROR_INIT;
    char path[512], shared[200];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
    assert_true(n > 0);
    path[n] = '\0';
    setenv("NINJA_LIBVIRT", path, 1);
    snprintf(shared, sizeof(shared), "%s/hosts", fake_dir());
    setenv(FAKE, shared, 1);
    map_hosts(shared);
    *hosts = (struct hosts){.domain = {[HERE] = RUNNING}, .device = {[HERE] = true}};
    snprintf(path, sizeof(path), "%s/cluster.conf", fake_dir());
    FILE *out = fopen(path, "w");
    fprintf(out, "driver = \"libvirt\"; vms = ( { name = \"vm1\"; } );\nsites = (\n");
    for (int s = 0; s < 2; s++)
        fprintf(out,
                "{ name = \"%s\"; uri = \"%s\"; vms = ( { name = \"vm1\"; device = "
                "\"<hostdev><alias name='ua-hca0'/></hostdev>\"; } ); }%s\n",
                s == HERE ? "here" : "there", uris[s], s == HERE ? "," : "");
    fprintf(out,
            "); timeouts = { unplug = 6000; copy = 20000; reconnect = 4000; quit = 3000; };\n");
    fclose(out);
    world->base = event_base_new();
    world->cluster = cluster_read(path, driver_in_file, &err);
    assert_string_equal(err.message, "");
    world->vmm = driver_libvirt.open(world->base, world->cluster, 0);
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    driver_libvirt.close(world->vmm);
    assert_false(hosts->two_copies);
    cluster_free(world->cluster);
    event_base_free(world->base);
    munmap(hosts, sizeof(*hosts));
    fake_dir_remove();
    free(world);
    return 0;
}

static void on_done(void *arg, const struct ninja_error *err)
{
    struct world *world = arg;
    world->err = err != NULL ? *err : (struct ninja_error)NINJA_ERROR_INIT;
    world->done++;
    event_base_loopbreak(world->base);
}

/* Of the operation that cancel() ends. */
static void on_other_done(void *arg, const struct ninja_error *err)
{
    struct world *world = arg;
    world->other_err = err != NULL ? *err : (struct ninja_error)NINJA_ERROR_INIT;
}

static void on_time(evutil_socket_t fd, short what, void *arg)
{
    event_base_loopbreak(arg);
}

static void run_for(struct world *world, int ms)
{
    struct event *timer = timer_start(world->base, ms, on_time, world->base);
    event_base_dispatch(world->base);
    timer_free(&timer);
}

/* Lets things happen until the condition holds, for ten seconds at most. */
#define UNTIL(world, condition)                                                                    \
    do {                                                                                           \
        for (int i = 0; i < 1000 && !(condition); i++)                                             \
            run_for(world, 10);                                                                    \
        assert_true(condition);                                                                    \
    } while (0)

static enum ninja_error_class ended(struct world *world)
{
    int before = world->done;
    run_for(world, 60000);
    assert_int_equal(world->done, before + 1);
    return world->err.class;
}

static void is_located(struct world *world)
{
    driver_libvirt.locate(world->vmm, on_done, world);
    assert_int_equal(ended(world), ERR_NONE);
    assert_int_equal(world->vmm->site, HERE);
    assert_true(world->vmm->has_device);
}

static enum ninja_error_class unplug(struct world *world)
{
    is_located(world);
    driver_libvirt.unplug(world->vmm, on_done, world);
    return ended(world);
}

static void the_guest_lets_go_of_the_device(void **state)
{
    struct world *world = *state;
    hosts->guest = LETS_GO;
    assert_int_equal(unplug(world), ERR_NONE);
    assert_false(world->vmm->has_device);
}

static void a_device_that_left_unseen_is_found(void **state)
{
    struct world *world = *state;
    hosts->guest = LETS_GO_UNSEEN;
    assert_int_equal(unplug(world), ERR_NONE);
    assert_false(world->vmm->has_device);
}

static void an_unplug_outlives_the_program(void **state)
{
    struct world *world = *state;
    hosts->guest = LETS_GO_UNSEEN;
    hosts->die_once = true;
    assert_int_equal(unplug(world), ERR_NONE);
    assert_false(world->vmm->has_device);
}

static void the_guest_may_refuse(void **state)
{
    struct world *world = *state;
    hosts->guest = REFUSES;
    assert_int_equal(unplug(world), ERR_UNPLUG);
    assert_true(world->vmm->has_device && !world->vmm->leaving);
}

static void a_device_that_leaves_late_is_missed(void **state)
{
    struct world *world = *state;
    hosts->guest = KEEPS;
    assert_int_equal(unplug(world), ERR_TIMEOUT);
    assert_true(world->vmm->has_device && world->vmm->leaving);
    hosts->device[HERE] = false;
    strcpy(hosts->event, "DEVICE_REMOVED");
    UNTIL(world, vmm_lacks_device(world->vmm));
    assert_false(world->vmm->leaving);
    driver_libvirt.plug(world->vmm, on_done, world);
    assert_int_equal(ended(world), ERR_NONE);
    assert_true(world->vmm->has_device && hosts->device[HERE]);
}

/* A rollback begins with cancel(), and looks then. */
static void a_device_that_leaves_late_and_unseen_is_missed(void **state)
{
    struct world *world = *state;
    hosts->guest = KEEPS;
    assert_int_equal(unplug(world), ERR_TIMEOUT);
    hosts->device[HERE] = false;
    driver_libvirt.cancel(world->vmm, on_done, world);
    assert_int_equal(ended(world), ERR_NONE);
    assert_true(vmm_lacks_device(world->vmm) && !world->vmm->leaving);
}

static void a_refusal_that_comes_late_is_noticed(void **state)
{
    struct world *world = *state;
    hosts->guest = KEEPS;
    assert_int_equal(unplug(world), ERR_TIMEOUT);
    strcpy(hosts->event, "DEVICE_REMOVAL_FAILED");
    UNTIL(world, !world->vmm->leaving);
    assert_true(world->vmm->has_device);
}

static void is_prepared(struct world *world)
{
    is_located(world);
    driver_libvirt.prepare(world->vmm, THERE, on_done, world);
    assert_int_equal(ended(world), ERR_NONE);
}

static enum ninja_error_class move(struct world *world)
{
    is_prepared(world);
    driver_libvirt.migrate(world->vmm, on_done, world);
    return ended(world);
}

static void has_arrived(struct world *world)
{
    assert_int_equal(world->vmm->move, VMM_ARRIVED);
    assert_true(world->vmm->committed);
    assert_int_equal(world->vmm->site, THERE);
    assert_int_equal(hosts->domain[THERE], RUNNING);
    assert_int_equal(hosts->resumed, 1);
    driver_libvirt.finish(world->vmm, on_done, world);
    assert_int_equal(ended(world), ERR_NONE);
    assert_int_equal(hosts->domain[HERE], ABSENT);
}

static void it_is_let_run_when_the_source_is_off(void **state)
{
    struct world *world = *state;
    assert_int_equal(move(world), ERR_NONE);
    has_arrived(world);
}

static void an_error_may_have_moved_it(void **state)
{
    struct world *world = *state;
    hosts->copy = MOVES_AND_SAYS_LOST;
    assert_int_equal(move(world), ERR_NONE);
    has_arrived(world);
}

static void a_source_that_is_stuck_is_ended_first(void **state)
{
    struct world *world = *state;
    hosts->copy = STICKS;
    assert_int_equal(move(world), ERR_NONE);
    assert_int_equal(hosts->removed[HERE], 1);
    has_arrived(world);
}

static void has_stayed(struct world *world)
{
    driver_libvirt.cancel(world->vmm, on_done, world);
    assert_int_equal(ended(world), ERR_NONE);
    assert_int_equal(world->vmm->move, VMM_AT_SOURCE);
    assert_int_equal(world->vmm->site, HERE);
    assert_int_equal(hosts->domain[HERE], RUNNING);
    assert_int_equal(hosts->domain[THERE], ABSENT);
    assert_int_equal(hosts->resumed, 0);
    assert_false(world->vmm->committed);
}

static void one_that_fails_stays(void **state)
{
    struct world *world = *state;
    hosts->copy = FAILS;
    assert_int_equal(move(world), ERR_COPY);
    has_stayed(world);
}

static void a_copy_is_called_back(void **state)
{
    struct world *world = *state;
    hosts->copy = GOES_ON;
    is_prepared(world);
    driver_libvirt.migrate(world->vmm, on_other_done, world);
    UNTIL(world, hosts->job);
    has_stayed(world);
    assert_int_equal(world->other_err.class, ERR_CANCELLED);
    assert_true(hosts->aborted > 0);
}

/* The hosts end it, with nobody to tell so. */
static void a_copy_outlives_the_program(void **state)
{
    struct world *world = *state;
    hosts->copy = GOES_ON;
    hosts->die_once = true;
    is_prepared(world);
    int first = hosts->pid;
    driver_libvirt.migrate(world->vmm, on_done, world);
    UNTIL(world, hosts->job && hosts->pid != first);
    run_for(world, 600); /* looks */
    assert_int_equal(world->done, 2);
    assert_int_equal(world->vmm->move, VMM_ON_ITS_WAY);
    hosts->job = false;
    hosts->domain[THERE] = PAUSED;
    hosts->domain[HERE] = OFF;
    assert_int_equal(ended(world), ERR_NONE);
    has_arrived(world);
}

static void all_that_was_sent_goes_on(void **state)
{
    struct world *world = *state;
    hosts->domain[HERE] = OFF;
    hosts->domain[THERE] = PAUSED;
    driver_libvirt.adopt(world->vmm, HERE, THERE, false, on_done, world);
    assert_int_equal(ended(world), ERR_NONE);
    assert_int_equal(world->vmm->move, VMM_ON_ITS_WAY);
    driver_libvirt.cancel(world->vmm, on_done, world);
    assert_int_equal(ended(world), ERR_NONE);
    has_arrived(world);
}

/* A coordinator that takes it on prepares and migrates all that has not arrived. */
static void what_is_on_its_way_is_taken_on(void **state)
{
    struct world *world = *state;
    hosts->job = true;
    hosts->domain[THERE] = MIGRATING;
    driver_libvirt.adopt(world->vmm, HERE, THERE, false, on_done, world);
    assert_int_equal(ended(world), ERR_NONE);
    driver_libvirt.prepare(world->vmm, THERE, on_done, world);
    assert_int_equal(ended(world), ERR_NONE);
    driver_libvirt.migrate(world->vmm, on_done, world);
    run_for(world, 600); /* looks */
    assert_int_equal(world->done, 2);
    hosts->job = false;
    hosts->domain[THERE] = PAUSED;
    hosts->domain[HERE] = OFF;
    assert_int_equal(ended(world), ERR_NONE);
    has_arrived(world);
}

static void a_copy_that_is_left_is_removed(void **state)
{
    struct world *world = *state;
    hosts->domain[THERE] = PAUSED;
    driver_libvirt.adopt(world->vmm, HERE, THERE, false, on_done, world);
    assert_int_equal(ended(world), ERR_NONE);
    assert_int_equal(world->vmm->move, VMM_AT_SOURCE);
    has_stayed(world);
    assert_int_equal(hosts->removed[THERE], 1);
}

static void nothing_is_adopted_without_both_hosts(void **state)
{
    struct world *world = *state;
    for (int s = 0; s < 2; s++) {
        hosts->dead[s] = true;
        driver_libvirt.adopt(world->vmm, HERE, THERE, false, on_done, world);
        assert_int_equal(ended(world), ERR_OPERATOR);
        assert_non_null(strstr(world->err.message, "as a host does not answer"));
        hosts->dead[s] = false;
    }
}

/* Only the VM's own host is needed to know that it never left. */
static void a_dead_destination_does_not_keep_it(void **state)
{
    struct world *world = *state;
    hosts->copy = FAILS;
    assert_int_equal(move(world), ERR_COPY);
    hosts->dead[THERE] = true;
    has_stayed(world);
}

/* What a coordinator does with all that has not arrived. */
static void goes_on(struct world *world)
{
    driver_libvirt.prepare(world->vmm, THERE, on_done, world);
    assert_int_equal(ended(world), ERR_NONE);
    driver_libvirt.migrate(world->vmm, on_done, world);
}

/* It cannot be told whether it left. The host was waited for once, and is not waited for again. */
static void a_source_that_does_not_come_back_is_for_the_operator(void **state)
{
    struct world *world = *state;
    world->cluster->timeouts[TIMEOUT_START] = world->cluster->timeouts[TIMEOUT_COMMAND] = 1000;
    hosts->copy = MOVES_AND_SAYS_LOST;
    is_prepared(world);
    hosts->dies_when_asked = true;
    driver_libvirt.migrate(world->vmm, on_done, world);
    assert_int_equal(ended(world), ERR_TIMEOUT);
    world->cluster->timeouts[TIMEOUT_RECONNECT] = 100000;
    driver_libvirt.cancel(world->vmm, on_done, world);
    assert_int_equal(ended(world), ERR_OPERATOR);
    assert_int_equal(hosts->resumed + hosts->removed[HERE] + hosts->removed[THERE], 0);
    hosts->dead[HERE] = false;
    driver_libvirt.adopt(world->vmm, HERE, THERE, false, on_done, world);
    assert_int_equal(ended(world), ERR_NONE);
    goes_on(world);
    assert_int_equal(ended(world), ERR_NONE);
    has_arrived(world);
}

static void one_that_libvirt_works_on_is_refused(void **state)
{
    struct world *world = *state;
    is_located(world);
    hosts->job = true;
    driver_libvirt.prepare(world->vmm, THERE, on_done, world);
    assert_int_equal(ended(world), ERR_REFUSED);
    assert_non_null(strstr(world->err.message, "libvirt is at work on it"));
}

/* ---- post-copy ---- */

static void on_there(void *arg)
{
    int *there = arg;
    ++*there;
}

/* What both hosts say when all is copied. */
static void all_is_copied(void)
{
    hosts->job = false;
    hosts->domain[THERE] = RUNNING;
    hosts->domain[HERE] = OFF;
    hosts->ends_copy = true;
}

static void arrives(struct world *world)
{
    all_is_copied();
    assert_int_equal(ended(world), ERR_NONE);
    hosts->resumed++; /* libvirt has */
    has_arrived(world);
}

static void changes_sides(struct world *world, int *there)
{
    hosts->copy = GOES_ON;
    world->vmm->transfer.post_copy_after = 0;
    world->vmm->transfer.bandwidth_mib = 100;
    world->vmm->on_there = on_there;
    world->vmm->on_there_arg = there;
    is_prepared(world);
    driver_libvirt.migrate(world->vmm, on_done, world);
    UNTIL(world, world->vmm->move == VMM_SPLIT);
    assert_true(world->vmm->committed);
    assert_int_equal(world->vmm->site, THERE);
    assert_string_equal(hosts->mode, "post-copy");
    assert_int_equal(hosts->bandwidth, 1); /* so that it does not end before */
}

static void it_changes_sides(void **state)
{
    struct world *world = *state;
    int there = 0;
    changes_sides(world, &there);
    run_for(world, 1500);
    assert_int_equal(there, 1);
    arrives(world);
}

static void a_connection_that_breaks_is_made_anew(void **state)
{
    struct world *world = *state;
    int there = 0;
    changes_sides(world, &there);
    hosts->domain[HERE] = BROKEN;
    hosts->ends_copy = true;
    run_for(world, 1500);
    assert_int_equal(hosts->recovered, 0); /* the other one has not noticed */
    hosts->domain[THERE] = BROKEN;
    UNTIL(world, hosts->recovered == 1);
    assert_string_equal(hosts->mode, "post-copy-resume");
    assert_int_equal(there, 1);
    arrives(world);
}

static void one_that_does_not_come_back_is_for_the_operator(void **state)
{
    struct world *world = *state;
    int there = 0;
    world->cluster->timeouts[TIMEOUT_RECOVER] = 1000;
    changes_sides(world, &there);
    hosts->copy = FAILS;
    hosts->domain[HERE] = hosts->domain[THERE] = BROKEN;
    hosts->ends_copy = true;
    assert_int_equal(ended(world), ERR_OPERATOR);
    assert_int_equal(world->vmm->move, VMM_SPLIT);
    assert_non_null(strstr(world->err.message, "destroy none"));
    assert_int_equal(hosts->removed[HERE] + hosts->removed[THERE], 0);
}

static void one_that_is_split_cannot_be_called_back(void **state)
{
    struct world *world = *state;
    int there = 0;
    changes_sides(world, &there);
    driver_libvirt.cancel(world->vmm, on_done, world);
    run_for(world, 100);
    assert_int_equal(world->vmm->move, VMM_SPLIT);
    assert_int_equal(hosts->aborted, 0);
    goes_on(world);
    arrives(world);
}

static void one_that_is_split_is_taken_on(void **state)
{
    struct world *world = *state;
    for (int broken = 0; broken < 2; broken++) {
        hosts->copy = GOES_ON;
        hosts->resumed = 0;
        hosts->domain[HERE] = hosts->domain[THERE] = broken ? BROKEN : SPLIT;
        driver_libvirt.adopt(world->vmm, HERE, THERE, true, on_done, world);
        assert_int_equal(ended(world), ERR_NONE);
        assert_int_equal(world->vmm->move, VMM_SPLIT);
        assert_true(world->vmm->committed);
        goes_on(world);
        if (broken)
            UNTIL(world, hosts->recovered == 1);
        arrives(world);
    }
}

static void it_runs_at_one_site(void **state)
{
    struct world *world = *state;
    hosts->domain[THERE] = RUNNING;
    driver_libvirt.locate(world->vmm, on_done, world);
    assert_int_equal(ended(world), ERR_OPERATOR);
    hosts->domain[THERE] = hosts->domain[HERE] = PAUSED;
    driver_libvirt.locate(world->vmm, on_done, world);
    assert_int_equal(ended(world), ERR_NOT_FOUND);
    assert_non_null(strstr(world->err.message, "here: paused (user); there: paused (user)"));
    hosts->domain[HERE] = RUNNING;
    hosts->dead[THERE] = true;
    is_located(world);
}

static void two_hosts_with_one_uuid_are_named(void **state)
{
    struct world *world = *state;
    char expected[200];
    hosts->same_uuid = true;
    driver_libvirt.locate(world->vmm, on_done, world);
    assert_int_equal(ended(world), ERR_REFUSED);
    snprintf(
        expected, sizeof(expected),
        "the hosts of \"here\" (%s) and \"there\" (%s) have the same UUID u-1; if they are one "
        "host, correct \"uri\"; if not, give one a \"host_uuid\"",
        uris[HERE], uris[THERE]);
    assert_non_null(strstr(world->err.message, expected));
}

static void a_host_that_answers_has_room(void **state)
{
    struct world *world = *state;
    for (int dead = 0; dead < 2; dead++) {
        hosts->dead[THERE] = dead;
        is_located(world);
        struct vmm_room here = vmm_room(world->vmm, HERE), there = vmm_room(world->vmm, THERE);
        assert_true(here.memory_mib == 4096 && here.cpus == 4 && here.idle_cpus == -2);
        assert_null(here.silent);
        assert_int_equal(there.cpus, 8);
        assert_int_equal(there.idle_cpus, 2);
        assert_int_equal(there.silent != NULL, dead);
    }
    assert_non_null(strstr(vmm_room(world->vmm, THERE).silent, "as the test wants"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    if (getenv(FAKE) != NULL) {
        return serve(getenv(FAKE));
    }
    const struct CMUnitTest tests[] = {
        TEST(the_guest_lets_go_of_the_device),
        TEST(a_device_that_left_unseen_is_found),
        TEST(an_unplug_outlives_the_program),
        TEST(the_guest_may_refuse),
        TEST(a_device_that_leaves_late_is_missed),
        TEST(a_device_that_leaves_late_and_unseen_is_missed),
        TEST(a_refusal_that_comes_late_is_noticed),
        TEST(it_is_let_run_when_the_source_is_off),
        TEST(an_error_may_have_moved_it),
        TEST(a_source_that_is_stuck_is_ended_first),
        TEST(one_that_fails_stays),
        TEST(a_copy_is_called_back),
        TEST(a_copy_outlives_the_program),
        TEST(all_that_was_sent_goes_on),
        TEST(what_is_on_its_way_is_taken_on),
        TEST(a_copy_that_is_left_is_removed),
        TEST(nothing_is_adopted_without_both_hosts),
        TEST(a_dead_destination_does_not_keep_it),
        TEST(a_source_that_does_not_come_back_is_for_the_operator),
        TEST(one_that_libvirt_works_on_is_refused),
        TEST(it_changes_sides),
        TEST(a_connection_that_breaks_is_made_anew),
        TEST(one_that_does_not_come_back_is_for_the_operator),
        TEST(one_that_is_split_cannot_be_called_back),
        TEST(one_that_is_split_is_taken_on),
        TEST(it_runs_at_one_site),
        TEST(two_hosts_with_one_uuid_are_named),
        TEST(a_host_that_answers_has_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
