#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "agent_fixture.h"
#include "guest-agent/interconnects.h"
#include "guest-agent/procscan.h"
#include "guest-agent/text.h"

/* A process in the made-up /proc: its command, and an environment with NULs written as newlines. */
static void make_process(struct fixture *f, int pid, const char *command, const char *env)
{
    char name[64], path[256];
    snprintf(name, sizeof(name), "proc/%d/comm", pid);
    make_file(f, name, 0644, command);
    snprintf(path, sizeof(path), "%s/proc/%d/environ", f->dir, pid);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (; *env != '\0'; env++) {
        fputc(*env == '\n' ? '\0' : *env, file);
    }
    fclose(file);
}

static void open_in(struct fixture *f, int pid, int fd, const char *target)
{
    char name[64];
    snprintf(name, sizeof(name), "proc/%d/fd/%d", pid, fd);
    make_link(f, name, target);
}

static void users_of_bypass_devices_are_found(void **state)
{
    struct fixture *f = *state;
    make_process(f, 100, "innocent\n", "HOME=/\n");
    open_in(f, 100, 0, "/dev/null");
    open_in(f, 100, 1, "/home/dev/infiniband/x");
    open_in(f, 100, 2, "anon_inode:[eventfd]");
    make_process(f, 101, "xhpl\n", "A=1\nPMIX_NAMESPACE=job.7\nXPMIX_NAMESPACE=no\n");
    open_in(f, 101, 3, "/dev/infiniband/uverbs0");
    open_in(f, 101, 4, "/dev/infiniband/uverbs0");
    open_in(f, 101, 5, "anon_inode:[infinibandevent]");
    make_process(f, 102, "maps\n", "NOPE=1\n");
    make_file(
        f, "proc/102/maps", 0644,
        "7f0000000000-7f0000001000 r--p 00000000 08:01 42      /usr/lib/libc.so\n"
        "7f0000002000-7f0000003000 rw-s 00000000 00:05 88      /dev/infiniband/uverbs1 (deleted)\n"
        "7f0000004000-7f0000005000 rw-p 00000000 00:00 0 \n");
    make_process(f, 103, "qemu\n", "");
    open_in(f, 103, 9, "/dev/vfio/12");
    make_process(f, 104, "bad\xff\xfename\n", "PMIX_NAMESPACE=\xff\n");
    open_in(f, 104, 1, "/dev/infiniband/\xff");
    make_file(f, "proc/self-is-no-number/fd/1", 0644, "");

    json_t *users = procscan(f->proc, NULL, NULL);
    assert_int_equal(json_array_size(users), 4);
    json_t *xhpl = entry_of(users, "pid", 101);
    assert_string_equal(text_of(xhpl, "command"), "xhpl");
    assert_string_equal(text_of(xhpl, "job"), "job.7");
    assert_int_equal(json_array_size(json_object_get(xhpl, "open")), 2);
    json_t *maps = entry_of(users, "pid", 102);
    assert_null(json_object_get(maps, "job"));
    assert_string_equal(json_string_value(json_array_get(json_object_get(maps, "open"), 0)),
                        "/dev/infiniband/uverbs1 (deleted)");
    assert_string_equal(text_of(entry_of(users, "pid", 103), "command"), "qemu");
    assert_string_equal(text_of(entry_of(users, "pid", 104), "command"), "bad??name");
    assert_string_equal(text_of(entry_of(users, "pid", 104), "job"), "?");
    json_decref(users);
}

static bool is_101(void *ctx, pid_t pid)
{
    return pid == 101;
}

static void some_can_be_left_out(void **state)
{
    struct fixture *f = *state;
    make_process(f, 101, "a\n", "");
    open_in(f, 101, 3, "/dev/infiniband/uverbs0");
    make_process(f, 102, "b\n", "");
    open_in(f, 102, 3, "/dev/infiniband/uverbs0");
    json_t *users = procscan(f->proc, is_101, NULL);
    assert_int_equal(json_array_size(users), 1);
    assert_int_equal(int_of(json_array_get(users, 0), "pid"), 102);
    json_decref(users);
}

static void the_list_of_one_process_is_bounded(void **state)
{
    struct fixture *f = *state;
    make_process(f, 101, "a\n", "");
    for (int i = 0; i < 100; i++) {
        char target[64];
        snprintf(target, sizeof(target), "/dev/infiniband/uverbs%d", i);
        open_in(f, 101, i, target);
    }
    json_t *users = procscan(f->proc, NULL, NULL);
    json_t *list = json_object_get(json_array_get(users, 0), "open");
    assert_int_equal(json_array_size(list), 32);
    json_decref(users);
}

/* In the real /proc: a file that this process holds and then maps with its descriptor closed. */
static void the_real_proc_is_understood(void **state)
{
    if (geteuid() != 0 || (mkdir("/dev/infiniband", 0755) != 0)) {
        skip(); /* the directory is made and removed: not on a machine that has one */
    }
    const char *path = "/dev/infiniband/ninja-test";
    setenv("PMIX_NAMESPACE", "does not count: set after the start", 1);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, 4096), 0);
    json_t *held = procscan("/proc", NULL, NULL);
    void *map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    json_t *mapped = procscan("/proc", NULL, NULL);
    munmap(map, 4096);
    json_t *free_again = procscan("/proc", NULL, NULL);
    unlink(path);
    rmdir("/dev/infiniband");

    json_t *open_files = json_object_get(entry_of(held, "pid", getpid()), "open");
    assert_string_equal(json_string_value(json_array_get(open_files, 0)), path);
    open_files = json_object_get(entry_of(mapped, "pid", getpid()), "open");
    assert_string_equal(json_string_value(json_array_get(open_files, 0)), path);
    size_t i;
    json_t *user;
    json_array_foreach(free_again, i, user)
    {
        assert_int_not_equal(int_of(user, "pid"), getpid());
    }
    json_decref(held);
    json_decref(mapped);
    json_decref(free_again);
}

static void make_rxe(struct fixture *f, const char *port_state)
{
    make_file(f, "sys/class/infiniband/rxe0/ports/1/state", 0644, port_state);
    make_file(f, "sys/class/infiniband/rxe0/ports/1/link_layer", 0644, "Ethernet\n");
    make_file(f, "sys/class/infiniband/rxe0/ports/1/gid_attrs/ndevs/0", 0644, "eth1\n");
    make_file(f, "sys/class/infiniband/rxe0/ports/1/hw_counters/sent_pkts", 0644, "17\n");
    make_file(f, "sys/class/infiniband/rxe0/ports/1/counters/port_xmit_data", 0644, "N/A (no)\n");
}

static void make_eth(struct fixture *f)
{
    make_file(f, "sys/devices/pci0000:00/0000:00:03.0/virtio1/net/eth0/type", 0644, "1\n");
    make_file(f, "sys/devices/pci0000:00/0000:00:03.0/virtio1/net/eth0/operstate", 0644, "up\n");
    make_file(f, "sys/devices/pci0000:00/0000:00:03.0/virtio1/net/eth0/address", 0644,
              "52:54:00:00:00:01\n");
    make_file(f, "sys/devices/pci0000:00/0000:00:03.0/virtio1/net/eth0/statistics/rx_bytes", 0644,
              "123\n");
    make_link(f, "sys/devices/pci0000:00/0000:00:03.0/virtio1/net/eth0/device", "../../../virtio1");
    make_link(f, "sys/class/net/eth0", "../../devices/pci0000:00/0000:00:03.0/virtio1/net/eth0");
    make_file(f, "sys/class/net/lo/type", 0644, "772\n");
    make_file(f, "sys/class/net/bonding_masters", 0644, "\n");
}

static void interconnects_are_described(void **state)
{
    struct fixture *f = *state;
    make_rxe(f, "4: ACTIVE\n");
    make_eth(f);
    make_file(f, "sys/class/net/tun0/type", 0644, "65534\n");

    json_t *all = interconnects_scan(f->sys, true);
    json_t *rdma = json_object_get(all, "rdma");
    assert_int_equal(json_array_size(rdma), 1);
    json_t *port = json_array_get(rdma, 0);
    assert_string_equal(text_of(port, "name"), "rxe0");
    assert_int_equal(int_of(port, "port"), 1);
    assert_string_equal(text_of(port, "state"), "ACTIVE");
    assert_string_equal(text_of(port, "link_layer"), "Ethernet");
    assert_string_equal(text_of(port, "netdev"), "eth1");
    assert_int_equal(int_of(json_object_get(port, "counters"), "sent_pkts"), 17);
    assert_null(json_object_get(json_object_get(port, "counters"), "port_xmit_data"));

    json_t *net = json_object_get(all, "net");
    assert_int_equal(json_array_size(net), 2);
    json_t *eth0 = json_array_get(net, 0);
    assert_string_equal(text_of(eth0, "name"), "eth0");
    assert_string_equal(text_of(eth0, "state"), "up");
    assert_string_equal(text_of(eth0, "mac"), "52:54:00:00:00:01");
    assert_string_equal(text_of(eth0, "pci"), "0000:00:03.0");
    assert_true(json_is_array(json_object_get(eth0, "addresses")));
    assert_int_equal(int_of(json_object_get(eth0, "counters"), "rx_bytes"), 123);
    json_t *tun0 = json_array_get(net, 1);
    assert_string_equal(text_of(tun0, "name"), "tun0");
    assert_null(json_object_get(tun0, "pci"));
    json_decref(all);
}

static void scans_differ_by_state_and_not_by_counters(void **state)
{
    struct fixture *f = *state;
    make_rxe(f, "1: DOWN\n");
    json_t *before = interconnects_scan(f->sys, false);
    make_file(f, "sys/class/infiniband/rxe0/ports/1/hw_counters/sent_pkts", 0644, "18\n");
    json_t *counted = interconnects_scan(f->sys, false);
    assert_true(json_equal(before, counted));
    make_rxe(f, "2: INIT\n");
    json_t *after = interconnects_scan(f->sys, false);
    assert_false(json_equal(before, after));
    assert_string_equal(text_of(json_array_get(json_object_get(after, "rdma"), 0), "state"),
                        "INIT");
    json_decref(before);
    json_decref(counted);
    json_decref(after);
}

static void an_empty_tree_is_no_error(void **state)
{
    struct fixture *f = *state;
    json_t *all = interconnects_scan(f->sys, true);
    assert_int_equal(json_array_size(json_object_get(all, "rdma")), 0);
    assert_int_equal(json_array_size(json_object_get(all, "net")), 0);
    json_decref(all);
    json_t *users = procscan("/nonexistent", NULL, NULL);
    assert_int_equal(json_array_size(users), 0);
    json_decref(users);
}

static void any_bytes_become_json(void **state)
{
    json_t *text = text_json("a\0\xff\xc3\xa4", 5);
    assert_string_equal(json_string_value(text), "a????");
    json_decref(text);
    text = text_json("\xc3\xa4", 2);
    assert_string_equal(json_string_value(text), "\xc3\xa4");
    json_decref(text);
}

int main(void)
{
#define WITH_FIXTURE(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        WITH_FIXTURE(users_of_bypass_devices_are_found),
        WITH_FIXTURE(some_can_be_left_out),
        WITH_FIXTURE(the_list_of_one_process_is_bounded),
        cmocka_unit_test(the_real_proc_is_understood),
        WITH_FIXTURE(interconnects_are_described),
        WITH_FIXTURE(scans_differ_by_state_and_not_by_counters),
        WITH_FIXTURE(an_empty_tree_is_no_error),
        cmocka_unit_test(any_bytes_become_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
