/* The path of a VM's memory: what each end may be, and that it has two of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "host/config/path.h"

static void both_ends_are_kept_apart(void **state)
{
    struct path path = {NULL, NULL};
    char listen[] = "unix:/tmp/vm1", connect[] = "tcp:relay:4801";
    path_set(&path, listen, connect);
    listen[0] = connect[0] = 'x'; /* they are copies */
    assert_string_equal(path.listen, "unix:/tmp/vm1");
    assert_string_equal(path.connect, "tcp:relay:4801");
    path_set(&path, path.connect, path.listen);
    assert_string_equal(path.listen, "tcp:relay:4801");
    assert_string_equal(path.connect, "unix:/tmp/vm1");
    path_clear(&path);
    assert_null(path.listen);
    assert_null(path.connect);
    path_clear(&path);
}

static void each_end_is_looked_at_for_what_it_is(void **state)
{
    static const struct {
        char *listen, *connect;
        const char *class, *about;
    } cases[] = {
        {"tcp:127.0.0.1:4801", "tcp:127.0.0.1:4801", "", ""},
        {"tcp:[::1]:4801", "tcp:[::1]:4801,ipv6=on", "", ""},
        {"unix:/tmp/vm1", "unix:/tmp/vm1", "", ""},
        /* one may listen everywhere, but connect to one host only */
        {"tcp:0.0.0.0:4801", "tcp:127.0.0.1:4801", "", ""},
        {"tcp::4801", "tcp:127.0.0.1:4801", "", ""},
        {"tcp:[::]:4801", "unix:/tmp/relay", "", ""},
        {"tcp:0.0.0.0:4801", "tcp:0.0.0.0:4801", "Address", "0.0.0.0"},
        {"tcp:127.0.0.1:4801", "tcp:[::]:4801", "Address", "names no host"},
        /* either end may be wrong */
        {"tcp:127.0.0.1:0", "tcp:127.0.0.1:4801", "Address", "127.0.0.1:0"},
        {"tcp:127.0.0.1:4801", "tcp:127.0.0.1:65536", "Address", "65536"},
        {"unix:/no/such/dir/vm1", "tcp:127.0.0.1:4801", "Address", "/no/such/dir"},
        {"tcp:127.0.0.1:4801", "unix:vm1", "Address", "unix:vm1"},
        {"fd:7", "tcp:127.0.0.1:4801", "Unknown", "fd:7"},
        {"tcp:127.0.0.1:4801", "rdma:h:1", "Unknown", "rdma:h:1"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct path path = {cases[i].listen, cases[i].connect};
        struct ninja_error err = NINJA_ERROR_INIT;
        bool ok = path_check(&path, &err);
        assert_int_equal(ok, cases[i].class[0] == '\0');
        assert_string_equal(ninja_error_class_name(err.class), cases[i].class);
        assert_non_null(strstr(err.message, cases[i].about));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_ends_are_kept_apart),
        cmocka_unit_test(each_end_is_looked_at_for_what_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
