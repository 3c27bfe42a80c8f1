/* The cluster file: good ones, and each mistake with the line that it is reported for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "host/config/cluster.h"
#include "host/vmm/vm_sockets.h"
#include "tests/unit/fake_peer.h"

static char path[128];

static struct cluster *read_text(const char *text, struct ninja_error *err)
{
    snprintf(path, sizeof(path), "%s/demo.conf", fake_dir());
    FILE *out = fopen(path, "w");
    fputs(text, out);
    fclose(out);
    return cluster_read(path, driver_in_file, err);
}

static int teardown(void **state)
{
    fake_dir_remove();
    return 0;
}

#define VM(name, rest) "  { name = \"" name "\"; " rest " }"
#define TWO_VMS        "vms = ( { name = \"vm1\"; }, { name = \"vm2\"; } );\n"
#define QMP(n, s)                                                                                  \
    "qmp = \"/run/" s "/" n ".qmp\"; agent = \"/run/" s "/" n ".agent\"; "                         \
    "receive = \"tcp:10.9.0.1:48\";"

static void a_good_file_is_read(void **state)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    struct cluster *cluster = read_text(
        "driver = \"qmp\"; # a comment\n" TWO_VMS "sites = (\n"
        "{ name = \"ib\"; prepare = \"start {vm}\"; release = \"stop {vm}\"; vms = "
        "(\n" VM("vm2", QMP("vm2", "ib")) ",\n" VM(
            "vm1",
            QMP("vm1", "ib") "device = "
                             "\"vfio-pci,host=0000:3b:00.1,id="
                             "hca0\";") "); },\n"
                                        "{ name = \"eth\"; vms = "
                                        "(\n" VM("vm1",
                                                 QMP("vm1",
                                                     "e"
                                                     "t"
                                                     "h")) "," VM("vm2",
                                                                  QMP("vm2", "eth")) "); } );\n"
                                                                                     "migration = "
                                                                                     "{ bandwidth "
                                                                                     "= 100; "
                                                                                     "downtime-"
                                                                                     "limit = 50; "
                                                                                     "};\n"
                                                                                     "quiesce-"
                                                                                     "attempts = "
                                                                                     "5;\nquiesce-"
                                                                                     "pause = "
                                                                                     "7;"
                                                                                     "\ntimeouts "
                                                                                     "= { quiesce "
                                                                                     "= 1234; "
                                                                                     "};\n",
        &err);
    if (cluster == NULL) {
        fail_msg("%s", err.message);
    }
    assert_string_equal(cluster->name, "demo");
    assert_string_equal(cluster->driver, "qmp");
    assert_int_equal(cluster->n_vms, 2);
    assert_int_equal(cluster->n_sites, 2);
    assert_string_equal(vm_commands_at(cluster, 0)->prepare, "start {vm}");
    assert_string_equal(vm_commands_at(cluster, 0)->release, "stop {vm}");
    assert_string_equal(vm_sockets_at(cluster, 0, 0)->qmp, "/run/ib/vm1.qmp");
    assert_string_equal(cluster->sites[0].vms[0].device.id, "hca0");
    assert_string_equal(vm_sockets_at(cluster, 1, 0)->agent, "/run/ib/vm2.agent");
    assert_null(vm_commands_at(cluster, 1)->prepare);
    assert_null(cluster->sites[1].vms[0].device.id);
    assert_int_equal(cluster->transfer.bandwidth_mib, 100);
    assert_int_equal(cluster->transfer.downtime_limit_ms, 50);
    assert_int_equal(cluster->quiesce_attempts, 5);
    assert_int_equal(cluster->quiesce_pause_ms, 7);
    assert_int_equal(cluster->timeouts[TIMEOUT_QUIESCE], 1234);
    assert_int_equal(cluster->timeouts[TIMEOUT_RELEASE], 10000);
    cluster_free(cluster);
}

#define ONE_VM "driver = \"qmp\";\nvms = ( { name = \"a\"; } );\n"
#define ENTRY  "qmp = \"/q\"; agent = \"/a\"; receive = \"tcp:x:1\";"

static const struct mistake {
    const char *text;
    int line;
    const char *expected;
} mistakes[] = {
    {"driver = \"qmp\";\nvms = ( { name = \"a\" ;\n", 3, "syntax error"},
    {"driver = \"qmp\";\ndriver = \"qmp\";\n", 2, "duplicate"},
    {ONE_VM "sites = ( { name = \"s\"; vms = ( { name = \"a\"; " ENTRY " } ); } );\n"
            "speed = 1;\n",
     4, "unknown key \"speed\" in the cluster file; expected one of: name, driver"},
    {"vms = ( { name = \"a\"; } );\n", 1, "expected the key \"driver\""},
    {"driver = \"xen\";\nvms = ( { name = \"a\"; } );\n"
     "sites = ( { name = \"s\"; vms = ( { name = \"a\"; agent = \"/a\"; } ); } );\n",
     1, "unknown driver \"xen\"; expected \"qmp\" or \"local\""},
    {ONE_VM "sites = ( { name = \"s\"; vms = ( { name = \"a\"; " ENTRY " } ); } );\n"
            "migration = { compress = \"gzip\"; };\n",
     4, "expected none, zlib or zstd to compress with, found \"gzip\""},
    {ONE_VM "sites = ( { name = \"s\"; vms = ( { name = \"a\"; " ENTRY " } ); } );\n"
            "migration = { parallel = 2; post-copy = 1; };\n",
     4, "post-copy does not work over several connections"},
    {"driver = 3;\n", 1, "expected \"driver\" to be a string"},
    {"driver = \"qmp\";\nvms = 3;\n", 2, "expected \"vms\" to be a list of groups"},
    {"driver = \"qmp\";\nvms = ( \"a\" );\n", 2, "expected a group"},
    {"driver = \"qmp\";\nvms = ();\n", 2, "expected \"vms\" to have 1 to"},
    {"driver = \"qmp\";\nvms = ( { name = \"a b\"; } );\nsites = ( { name = \"s\"; } );\n", 2,
     "expected a name of letters"},
    {"driver = \"qmp\";\nvms = ( { name = \"a\"; },\n{ name = \"a\"; } );\n"
     "sites = ( { name = \"s\"; } );\n",
     3, "there are two VMs \"a\""},
    {ONE_VM "sites = (\n { name = \"s\"; }\n);\n", 4,
     "expected the key \"vms\" in a site, or in its place \"hosts\""},
    {ONE_VM "sites = (\n{ name = \"s\";\n vms = (\n { name = \"b\"; " ENTRY " } ); } );\n", 6,
     "a VM \"b\" that is not in the list \"vms\""},
    {ONE_VM "sites = (\n{ name = \"s\";\n vms = (\n { name = \"a\"; " ENTRY " },\n"
            "{ name = \"a\"; qmp = \"/q2\"; agent = \"/a2\"; receive = \"x\"; } ); } );\n",
     7, "has VM \"a\" twice"},
    {"driver = \"qmp\";\nvms = ( { name = \"a\"; }, { name = \"b\"; } );\nsites = (\n"
     "{ name = \"s\"; vms = ( { name = \"a\"; " ENTRY " } ); } );\n",
     4, "site \"s\" lacks VM \"b\""},
    {ONE_VM "sites = ( { name = \"s\"; vms = (\n{ name = \"a\"; agent = \"/a\"; "
            "receive = \"x\"; } ); } );\n",
     4, "expected the key \"qmp\""},
    {ONE_VM "sites = ( { name = \"s\"; vms = (\n{ name = \"a\"; agent = \"/a\"; "
            "qmp = \"x\"; } ); } );\n",
     4, "expected the key \"receive\""},
    {ONE_VM "sites = ( { name = \"s\"; vms = (\n{ name = \"a\"; qmp = \"/a\"; "
            "receive = \"x\"; } ); } );\n",
     4, "expected the key \"agent\""},
    {ONE_VM "sites = ( { name = \"s\"; vms = ( { name = \"a\"; " ENTRY "\n"
            "device = \"vfio-pci,host=0000:3b:00.1\"; } ); } );\n",
     4, "expected an id"},
    {ONE_VM "sites = ( { name = \"s\"; vms = ( { name = \"a\"; " ENTRY "\n\n"
            "device = \"host=0000:3b:00.1,id=hca0\"; } ); } );\n",
     5, "expected the name of a QEMU device first"},
    {ONE_VM "sites = ( { name = \"s\"; vms = ( { name = \"a\"; " ENTRY "\n"
            "device = \"e1000e,id=x,broken\"; } ); } );\n",
     4, "expected key=value, found \"broken\""},
    {ONE_VM "sites = ( { name = \"s\"; vms = ( { name = \"a\"; " ENTRY " } ); },\n"
            "{ name = \"s\"; vms = ( { name = \"a\"; qmp = \"/q2\"; agent = \"/a2\"; "
            "receive = \"x\"; } ); } );\n",
     4, "there are two sites \"s\""},
    {"driver = \"qmp\";\nvms = ( { name = \"a\"; }, { name = \"b\"; } );\nsites = (\n"
     "{ name = \"s\"; vms = ( { name = \"a\"; " ENTRY " },\n"
     "{ name = \"b\"; qmp = \"/q\"; agent = \"/a2\"; receive = \"x\"; } ); } );\n",
     5, "the socket /q is used twice"},
    {ONE_VM "sites = ( { name = \"s\"; vms = ( { name = \"a\"; qmp = \"/q\"; agent = \"/q\"; "
            "receive = \"x\"; } ); } );\n",
     3, "the socket /q is used twice"},
    {ONE_VM "sites = ( { name = \"s\"; vms = ( { name = \"a\"; " ENTRY " } ); } );\n"
            "timeouts = {\n quiesce = \"long\"; };\n",
     5, "expected \"quiesce\" to be a whole number from 1 to"},
    {ONE_VM "sites = ( { name = \"s\"; vms = ( { name = \"a\"; " ENTRY " } ); } );\n"
            "timeouts = {\n qiesce = 1; };\n",
     5, "unknown key \"qiesce\""},
    {ONE_VM "sites = ( { name = \"s\"; vms = ( { name = \"a\"; " ENTRY " } ); } );\n"
            "migration = { bandwidth = -1; };\n",
     4, "expected \"bandwidth\" to be a whole number"},
    {ONE_VM "sites = ( { name = \"s\"; vms = ( { name = \"a\"; " ENTRY " } ); } );\n"
            "migration = 7;\n",
     4, "expected \"migration\" to be a group"},
};

static void each_mistake_is_named_with_its_line(void **state)
{
    for (size_t i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
        const struct mistake *mistake = &mistakes[i];
        struct ninja_error err = NINJA_ERROR_INIT;
        struct cluster *cluster = read_text(mistake->text, &err);
        char where[160];
        snprintf(where, sizeof(where), "%s:%d: ", path, mistake->line);
        if (cluster != NULL) {
            fail_msg("mistake %zu was accepted:\n%s", i, mistake->text);
        }
        assert_string_equal(ninja_error_class_name(err.class), "ClusterFile");
        if (strncmp(err.message, where, strlen(where)) != 0 ||
            strstr(err.message, mistake->expected) == NULL) {
            fail_msg("mistake %zu: expected \"%s... %s\", found \"%s\"", i, where,
                     mistake->expected, err.message);
        }
    }
}

static void a_file_that_is_not_there(void **state)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    assert_null(cluster_read("/nonexistent/cluster.conf", driver_in_file, &err));
    assert_non_null(strstr(err.message, "/nonexistent/cluster.conf: No such file"));
    assert_non_null(strstr(err.message, "--cluster"));
}

static void local_vms_need_an_agent_only_and_may_share_it_between_sites(void **state)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    struct cluster *cluster =
        read_text("driver = \"local\"; name = \"here\";\nvms = ( { name = \"a\"; } );\n"
                  "sites = ( { name = \"x\"; vms = ( { name = \"a\"; agent = \"/a\"; } ); },\n"
                  "{ name = \"y\"; vms = ( { name = \"a\"; agent = \"/a\"; } ); } );\n",
                  &err);
    assert_non_null(cluster);
    assert_string_equal(cluster->name, "here");
    cluster_free(cluster);
    assert_null(read_text("driver = \"local\";\nvms = ( { name = \"a\"; }, { name = \"b\"; } );\n"
                          "sites = ( { name = \"x\"; vms = ( { name = \"a\"; agent = \"/a\"; },\n"
                          "{ name = \"b\"; agent = \"/a\"; } ); } );\n",
                          &err));
    assert_non_null(strstr(err.message, ":4: the socket /a is used twice"));
}

static void fill_in(char to[200], const char *pattern, const char *dir, const char *base)
{
    const char *first = strstr(pattern, "%s"), *second = first ? strstr(first + 2, "%s") : NULL;
    if (first == NULL) {
        snprintf(to, 200, "%s", pattern);
    } else if (second == NULL) {
        snprintf(to, 200, "%s%s", dir, first + 2);
    } else {
        snprintf(to, 200, "%s/../%s%s", dir, base, second + 2);
    }
}

static void make_links(const char *dir)
{
    char name[128];
    snprintf(name, sizeof(name), "%s/link", dir);
    assert_int_equal(symlink(".", name), 0);
    snprintf(name, sizeof(name), "%s/other", dir);
    assert_int_equal(mkdir(name, 0700), 0);
    snprintf(name, sizeof(name), "%s/plain", dir);
    fclose(fopen(name, "w"));
    snprintf(name, sizeof(name), "%s/to-plain", dir);
    assert_int_equal(symlink("plain", name), 0);
}

/* However it is written, and whether it is there already or not. */
static void one_socket_has_many_paths(void **state)
{
    static const struct {
        const char *a, *b;
        bool same;
    } pairs[] = {
        {"/none/x/agent.sock", "/none/x//agent.sock", true},
        {"/none/x/agent.sock", "/none/./x/././agent.sock", true},
        {"//none/x/agent.sock", "/none/x/agent.sock", true},
        {"%s/agent.sock", "%s/../%s/agent.sock", true},
        {"%s/agent.sock", "%s/link/agent.sock", true},
        {"%s/plain", "%s/to-plain", true},
        {"agent.sock", "./agent.sock", true},
        {"/none/x/agent.sock", "/none/x/.agent.sock", false},
        {"/none/x/agent.sock", "/none/xagent.sock", false},
        {"/none/x/a./b", "/none/x/a/b", false},
        {"%s/agent.sock", "%s/other/agent.sock", false},
    };
    const char *dir = fake_dir(), *base = strrchr(dir, '/') + 1;
    char path_of[2][200], text[700];
    make_links(dir);
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        struct ninja_error err = NINJA_ERROR_INIT;
        fill_in(path_of[0], pairs[i].a, dir, base);
        fill_in(path_of[1], pairs[i].b, dir, base);
        snprintf(text, sizeof(text),
                 "driver = \"local\";\nvms = ( { name = \"a\"; }, { name = \"b\"; } );\n"
                 "sites = ( { name = \"x\"; vms = ( { name = \"a\"; agent = \"%s\"; },\n"
                 "{ name = \"b\"; agent = \"%s\"; } ); } );\n",
                 path_of[0], path_of[1]);
        struct cluster *cluster = read_text(text, &err);
        if ((cluster == NULL) != pairs[i].same) {
            fail_msg("%s and %s: %s", path_of[0], path_of[1], err.message);
        }
        if (cluster == NULL) {
            assert_non_null(strstr(err.message, ":4: the socket "));
            assert_non_null(strstr(err.message, path_of[1]));
        }
        cluster_free(cluster);
    }
}

#define HOSTS(more, host)                                                                          \
    ONE_VM "sites = ( { name = \"s\"; prepare = \"p\"; hosts = (\n{ name = \"h1\"; " host          \
           " } ); " more " } );\n"
#define AT_HOST "qmp = \"/{host}-{vm}\"; agent = \"/a-{host}\"; receive = \"tcp:x:48{n}\";"

static void a_host_can_have_every_vm(void **state)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    struct cluster *cluster = read_text(
        "driver = \"qmp\"; vms = ( { name = \"a\"; }, { name = \"b\"; } );\n"
        "sites = ( { name = \"s\"; prepare = \"p {host} {vm}\"; hosts = (\n"
        "{ name = \"h1\"; qmp = \"/{site}/{host}/{vm}.q\"; agent = \"/{host}{vm}{x}{\";\n"
        "  receive = \"tcp:x:48{n}\"; devices = ( \"e,id=d0\", \"e,id=d1\" ); memory = 100; },\n"
        "{ name = \"h2\"; qmp = \"/{vm}\"; agent = \"/{vm}a\"; receive = \"y\"; cpus = 3; } ); },\n"
        "{ name = \"t\"; vms = ( { name = \"a\"; qmp = \"/1\"; agent = \"/2\"; receive = \"x\"; "
        "},\n"
        "{ name = \"b\"; qmp = \"/3\"; agent = \"/4\"; receive = \"x\"; device = \"e,id=f\"; } ); "
        "} );",
        &err);
    assert_string_equal(err.message, "");
    assert_int_equal(cluster->n_sites, 3);
    const struct cluster_site *h1 = &cluster->sites[0], *h2 = &cluster->sites[1];
    assert_string_equal(h1->name, "h1");
    assert_string_equal(h1->host_of, "s");
    assert_string_equal(h2->name, "h2");
    assert_null(cluster->sites[2].host_of);
    assert_string_equal(vm_sockets_at(cluster, 1, 0)->qmp, "/s/h1/b.q");
    assert_string_equal(vm_sockets_at(cluster, 0, 0)->agent, "/h1a{x}{");
    assert_string_equal(vm_sockets_at(cluster, 1, 0)->receive, "tcp:x:4802");
    assert_string_equal(vm_commands_at(cluster, 1)->prepare, "p h2 {vm}");
    assert_true(h1->n_devices == 2 && h1->memory_mib == 100 && h1->cpus == 0);
    assert_true(h2->n_devices == 0 && h2->memory_mib == 0 && h2->cpus == 3);
    assert_true(cluster->limits_room);
    assert_int_equal(cluster_devices(cluster, 1, 0).n, 2);
    assert_string_equal(cluster_devices(cluster, 1, 0).list[1].id, "d1");
    assert_int_equal(cluster_devices(cluster, 0, 2).n, 0);
    assert_string_equal(cluster_devices(cluster, 1, 2).list[0].id, "f");
    assert_int_equal(cluster_find_site(cluster, "h2", &err), 1);
    assert_int_equal(cluster_find_site(cluster, "s", &err), -1);
    assert_non_null(strstr(err.message, "no site or host \"s\"; there are: s, h1, h2, t"));
    assert_true(cluster_has_site(cluster, "s", &err) && cluster_has_site(cluster, "t", &err));
    cluster_free(cluster);
}

static void each_mistake_in_hosts_is_named(void **state)
{
    static const struct mistake rows[] = {
        {HOSTS("vms = ( { name = \"a\"; " ENTRY " } );", AT_HOST), 3,
         "expected the key \"vms\" in a site, or in its place \"hosts\""},
        {HOSTS("", AT_HOST " speed = 1;"), 4,
         "unknown key \"speed\" in a host of a site; expected one of: name, qmp, agent, receive, "
         "devices, memory, cpus"},
        {HOSTS("", AT_HOST " device = \"e,id=d\";"), 4, "unknown key \"device\" in a host"},
        {HOSTS("", "agent = \"/a\";"), 4, "expected the key \"qmp\" in a host of a site"},
        {HOSTS("", AT_HOST " devices = ();"), 4, "expected \"devices\" to be a list of 1 to"},
        {HOSTS("", AT_HOST " devices = \"e,id=d\";"), 4, "expected \"devices\" to be a list"},
        {HOSTS("", AT_HOST " devices = ( 1 );"), 4, "strings that are not empty"},
        {HOSTS("", AT_HOST " devices = ( \"e\" );"), 4, "device \"e\": "},
        {HOSTS("", AT_HOST " devices = ( \"e,id=d\",\n\"f,id=d\" );"), 5,
         "host \"h1\" has two devices \"d\"; each needs a name of its own"},
        {HOSTS("", AT_HOST " memory = 0;"), 4, "expected \"memory\" to be a whole number from 1"},
        {HOSTS("", AT_HOST " cpus = \"2\";"), 4, "expected \"cpus\" to be a whole number"},
        {HOSTS("", AT_HOST " }, { name = \"h1\"; " AT_HOST), 3,
         "there are two sites or hosts \"h1\""},
        {HOSTS("", AT_HOST " }, { name = \"s\"; " AT_HOST), 3,
         "site \"s\" has a host of that name"},
        {HOSTS("}, { name = \"h1\"; vms = ( { name = \"a\"; " ENTRY " } );", AT_HOST), 4,
         "there are two sites or hosts \"h1\""},
        {HOSTS("}, { name = \"s\"; vms = ( { name = \"a\"; " ENTRY " } );", AT_HOST), 4,
         "there are two sites or hosts \"s\""},
        {HOSTS("", "qmp = \"/q\"; agent = \"/q\"; receive = \"x\";"), 4,
         "the socket /q is used twice"},
        {HOSTS("", AT_HOST " }, { " AT_HOST), 4, "expected the key \"name\" in a host"},
        {HOSTS("", AT_HOST " }, { name = \"a b\"; " AT_HOST), 4, "expected a name of letters"},
        {ONE_VM "sites = ( { name = \"s\"; hosts = (); } );\n", 3, "expected \"hosts\" to have 1"},
        {ONE_VM "sites = ( { name = \"s\"; hosts = ( 1 ); } );\n", 3, "expected a group"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ninja_error err = NINJA_ERROR_INIT;
        char where[32];
        snprintf(where, sizeof(where), ":%d: ", rows[i].line);
        assert_null(read_text(rows[i].text, &err));
        if (strstr(err.message, where) == NULL || strstr(err.message, rows[i].expected) == NULL) {
            fail_msg("%zu: %s", i, err.message);
        }
    }
}

static void sites_and_timeouts_are_found_by_name(void **state)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    struct cluster *cluster = read_text(
        ONE_VM "sites = ( { name = \"s\"; vms = ( { name = \"a\"; " ENTRY " } ); } );\n", &err);
    assert_non_null(cluster);
    assert_int_equal(cluster_find_site(cluster, "s", &err), 0);
    assert_int_equal(cluster_find_site(cluster, "t", &err), -1);
    assert_non_null(strstr(err.message, "no site \"t\"; there are: s"));
    err = (struct ninja_error)NINJA_ERROR_INIT;
    assert_true(cluster_set_timeout(cluster, "copy=5000", &err));
    assert_int_equal(cluster->timeouts[TIMEOUT_COPY], 5000);
    static const char *const wrong[] = {
        "copy", "copy=", "copy=x", "copy=0", "copy=1x", "copy=99999999999", "cop=1", "=1"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        err = (struct ninja_error)NINJA_ERROR_INIT;
        assert_false(cluster_set_timeout(cluster, wrong[i], &err));
        assert_string_equal(ninja_error_class_name(err.class), "Usage");
    }
    assert_int_equal(cluster->timeouts[TIMEOUT_COPY], 5000);
    cluster_free(cluster);
}

#define TEST(f) cmocka_unit_test_teardown(f, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_good_file_is_read),
        TEST(each_mistake_is_named_with_its_line),
        TEST(a_file_that_is_not_there),
        TEST(local_vms_need_an_agent_only_and_may_share_it_between_sites),
        TEST(one_socket_has_many_paths),
        TEST(a_host_can_have_every_vm),
        TEST(each_mistake_in_hosts_is_named),
        TEST(sites_and_timeouts_are_found_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
