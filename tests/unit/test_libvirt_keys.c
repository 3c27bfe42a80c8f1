/* What the driver "libvirt" wants of the cluster file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "host/vmm/driver_libvirt.h"
#include "tests/unit/fake_peer.h"

#define DEVICE "<hostdev><alias name='ua-hca0'/></hostdev>"

/* A site and an entry are as given; lines 4 and 5 have them. */
static struct cluster *read_text(const char *site, const char *entry, struct ninja_error *err)
{
    char path[100];
    snprintf(path, sizeof(path), "%s/cluster.conf", fake_dir());
    FILE *out = fopen(path, "w");
    fprintf(
        out,
        "driver = \"libvirt\";\nvms = ( { name = \"vm1\"; } );\n"
        "sites = ( { name = \"a\"; uri = \"qemu:///system\"; vms = ( { name = \"vm1\"; } ); },\n"
        "{ name = \"b\"; %s vms = (\n{ name = \"vm1\"; %s } ); } );\n",
        site, entry);
    fclose(out);
    return cluster_read(path, driver_in_file, err);
}

static void a_vms_own_words_come_before_those_of_its_site(void **state)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    struct cluster *cluster = read_text(
        "uri = \"qemu+ssh://b/system\"; peer-uri = \"qemu+tls://b/system\";"
        "migration-uri = \"tcp://10.0.0.2\"; tls = \"b.example.org\";",
        "domain = \"guest\"; uri = \"qemu+tcp://c/system\"; device = \"" DEVICE "\";", &err);
    assert_string_equal(err.message, "");
    assert_string_equal(libvirt_uri(cluster, 0, 0), "qemu:///system");
    assert_string_equal(libvirt_peer_uri(cluster, 0, 0), "qemu:///system");
    assert_null(libvirt_migration_uri(cluster, 0, 0));
    assert_string_equal(libvirt_domain(cluster, 0, 0), "vm1");
    assert_null(cluster->sites[0].vms[0].device.id);
    assert_string_equal(libvirt_uri(cluster, 0, 1), "qemu+tcp://c/system");
    assert_string_equal(libvirt_peer_uri(cluster, 0, 1), "qemu+tls://b/system");
    assert_string_equal(libvirt_migration_uri(cluster, 0, 1), "tcp://10.0.0.2");
    assert_null(libvirt_tls(cluster, 0, 0));
    assert_string_equal(libvirt_tls(cluster, 0, 1), "b.example.org");
    assert_string_equal(libvirt_domain(cluster, 0, 1), "guest");
    assert_string_equal(cluster->sites[1].vms[0].device.spec, DEVICE);
    assert_string_equal(cluster->sites[1].vms[0].device.id, "ua-hca0");
    cluster_free(cluster);
}

/* A host's keys are for every VM, and any VM may get one of its devices. */
static void a_host_has_what_its_vms_need(void **state)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    char path[100];
    snprintf(path, sizeof(path), "%s/cluster.conf", fake_dir());
    FILE *out = fopen(path, "w");
    fprintf(out,
            "driver = \"libvirt\"; vms = ( { name = \"vm1\"; }, { name = \"vm2\"; } );\n"
            "sites = ( { name = \"ib\"; migration-uri = \"tcp://{host}-fast\"; hosts = (\n"
            "{ name = \"h1\"; uri = \"qemu+ssh://{host}/system\"; domain = \"{site}-{vm}\";\n"
            "devices = ( \"" DEVICE "\",\n\"<hostdev><alias name='ua-vf1'/></hostdev>\" ); },\n"
            "{ name = \"h2\"; uri = \"qemu+ssh://{host}/system\"; } ); } );\n");
    fclose(out);
    struct cluster *cluster = cluster_read(path, driver_in_file, &err);
    assert_string_equal(err.message, "");
    assert_string_equal(libvirt_uri(cluster, 1, 0), "qemu+ssh://h1/system");
    assert_string_equal(libvirt_uri(cluster, 0, 1), "qemu+ssh://h2/system");
    assert_string_equal(libvirt_migration_uri(cluster, 0, 1), "tcp://h2-fast");
    assert_string_equal(libvirt_domain(cluster, 1, 0), "ib-vm2");
    assert_string_equal(libvirt_domain(cluster, 1, 1), "vm2");
    assert_int_equal(cluster_devices(cluster, 1, 0).n, 2);
    assert_string_equal(cluster_devices(cluster, 1, 0).list[1].id, "ua-vf1");
    assert_int_equal(cluster_devices(cluster, 1, 1).n, 0);
    cluster_free(cluster);
}

static void a_device_may_be_in_a_file(void **state)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    char path[100], entry[200];
    snprintf(path, sizeof(path), "%s/device.xml", fake_dir());
    FILE *out = fopen(path, "w");
    fprintf(out, "%s\n", DEVICE);
    fclose(out);
    snprintf(entry, sizeof(entry), "uri = \"qemu:///system\"; device = \"%s\";", path);
    struct cluster *cluster = read_text("", entry, &err);
    assert_string_equal(err.message, "");
    assert_string_equal(cluster->sites[1].vms[0].device.spec, DEVICE "\n");
    assert_string_equal(cluster->sites[1].vms[0].device.text, "ua-hca0");
    cluster_free(cluster);
}

static void mistakes_are_named(void **state)
{
    static const struct {
        const char *site, *entry, *expected;
    } mistakes[] = {
        {"", "", ":5: expected the key \"uri\" here or in the site"},
        {"uri = \"qemu:///system\"; prepare = \"x\";", "",
         ":4: unknown key \"prepare\" in a site; expected one of: name, uri, peer-uri, tls, "
         "migration-uri, vms, hosts"},
        {"uri = 3;", "", ":4: expected \"uri\" to be a string that is not empty"},
        {"uri = \"qemu:///system\";", "qmp = \"/x\";",
         ":5: unknown key \"qmp\" in a VM of a site; expected one of: name, uri, peer-uri, "
         "tls, migration-uri, domain, device"},
        {"", "uri = \"xen:///\";", ":5: expected a URI of libvirt's for QEMU"},
        {"", "uri = \"qemu:///system\"; peer-uri = \"host\";",
         ":5: expected a URI of libvirt's for QEMU, as qemu+ssh://HOST/system, found \"host\""},
        {"uri = \"qemu:///system\";", "device = \"/nonexistent/device.xml\";",
         ":5: /nonexistent/device.xml: No such file or directory"},
        {"uri = \"qemu:///system\";", "device = \"<hostdev>\";", ":5: the device is no XML"},
        {"uri = \"qemu:///system\";", "device = \"<hostdev/>\";",
         ":5: the device's XML is to have an alias that begins with \"ua-\", as in <alias "
         "name='ua-bypass'/>; found \"\""},
        {"uri = \"qemu:///system\";", "device = \"<hostdev><alias name='net0'/></hostdev>\";",
         "; found \"net0\""},
        {"uri = \"qemu:///system\";", "device = \"<hostdev><alias name='ua-'/></hostdev>\";",
         "; found \"ua-\""},
        {"uri = \"qemu:///system\";",
         "device = \"<!DOCTYPE a [<!ENTITY b SYSTEM '/etc/passwd'>]><a>&b;</a>\";", "; found \"\""},
    };
    for (size_t i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
        struct ninja_error err = NINJA_ERROR_INIT;
        assert_null(read_text(mistakes[i].site, mistakes[i].entry, &err));
        if (strstr(err.message, mistakes[i].expected) == NULL) {
            fail_msg("%zu: %s", i, err.message);
        }
    }
}

static void a_uri_is_not_too_long(void **state)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    char *entry = fake_repeated("uri = \"qemu:///", "x", LIBVIRT_MAX_URI, "\";");
    assert_null(read_text("", entry, &err));
    assert_non_null(strstr(err.message, ":5: a URI has at most 255 bytes"));
    free(entry);
}

static void what_cannot_be_moved_is_refused(void **state)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    struct transfer transfer = TRANSFER_DEFAULT;
    struct cluster *cluster =
        read_text("uri = \"qemu+ssh://b/system\";", "domain = \"guest\";", &err);
    assert_string_equal(err.message, "");
    assert_true(libvirt_may_move(cluster, &transfer, 0, 1, &err));
    assert_false(libvirt_may_move(cluster, &transfer, 0, 0, &err));
    assert_string_equal(err.message,
                        "by qemu:///system no other host can connect to the one of site \"a\"; say "
                        "in \"peer-uri\" how they can");
    err = (struct ninja_error)NINJA_ERROR_INIT;
    transfer.post_copy_after = 0;
    assert_true(libvirt_may_move(cluster, &transfer, 0, 1, &err));
    transfer.post_copy_after = -1;
    transfer.post_copy_if_stuck = 2;
    assert_false(libvirt_may_move(cluster, &transfer, 0, 1, &err));
    err = (struct ninja_error)NINJA_ERROR_INIT;
    transfer.post_copy_after = 1;
    assert_false(libvirt_may_move(cluster, &transfer, 0, 1, &err));
    assert_int_equal(err.class, ERR_REFUSED);
    cluster_free(cluster);
}

struct located {
    struct event_base *base;
    struct ninja_error err;
};

static void on_located(void *arg, const struct ninja_error *err)
{
    struct located *located = arg;
    located->err = err != NULL ? *err : (struct ninja_error)NINJA_ERROR_INIT;
    event_base_loopbreak(located->base);
}

static void one_host_at_two_sites_is_refused(void **state)
{
    struct located located = {.base = event_base_new()};
    struct cluster *cluster = read_text("", "uri = \"qemu:///system\";", &located.err);
    struct vmm *vmm = driver_libvirt.open(located.base, cluster, 0);
    driver_libvirt.locate(vmm, on_located, &located);
    event_base_dispatch(located.base);
    assert_int_equal(located.err.class, ERR_CLUSTER_FILE);
    assert_non_null(strstr(located.err.message,
                           "cluster.conf:5: vm1 is the same domain of the same "
                           "host (qemu:///system) at the sites \"a\" and \"b\""));
    driver_libvirt.close(vmm);
    cluster_free(cluster);
    event_base_free(located.base);
}

static int remove_dir(void **state)
{
    fake_dir_remove();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_vms_own_words_come_before_those_of_its_site, remove_dir),
        cmocka_unit_test_teardown(a_host_has_what_its_vms_need, remove_dir),
        cmocka_unit_test_teardown(a_device_may_be_in_a_file, remove_dir),
        cmocka_unit_test_teardown(mistakes_are_named, remove_dir),
        cmocka_unit_test_teardown(a_uri_is_not_too_long, remove_dir),
        cmocka_unit_test_teardown(what_cannot_be_moved_is_refused, remove_dir),
        cmocka_unit_test_teardown(one_host_at_two_sites_is_refused, remove_dir),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
