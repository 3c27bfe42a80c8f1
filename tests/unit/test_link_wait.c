/* What counts as a new link of a guest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "host/agent/link_wait.h"
#include "tests/unit/json_check.h"

static enum link_kind compare(const char *before, const char *now, bool *coming)
{
    char name[32] = "";
    json_t *a = parse(before), *b = parse(now);
    enum link_kind kind = link_compare(a, b, coming, name, sizeof(name));
    json_decref(a);
    json_decref(b);
    return kind;
}

#define RDMA(name, state) "{\"name\": \"" name "\", \"port\": 1, \"state\": \"" state "\"}"
#define NET(name, state)  "{\"name\": \"" name "\", \"state\": \"" state "\"}"
#define BOTH(rdma, net)   "{\"rdma\": [" rdma "], \"net\": [" net "]}"

static void what_counts_as_a_new_link(void **state)
{
    bool coming;
    const char *before = BOTH("", NET("eth0", "up"));
    assert_int_equal(compare(before, before, &coming), LINK_NONE);
    assert_int_equal(compare(before, BOTH(RDMA("mlx5_0", "ACTIVE"), NET("eth0", "up")), &coming),
                     LINK_RDMA);
    assert_int_equal(compare(before, BOTH(RDMA("mlx5_0", "INIT"), NET("eth0", "up")), &coming),
                     LINK_NONE);
    assert_true(coming);
    assert_int_equal(compare(before, BOTH("", NET("eth0", "up") "," NET("eth1", "up")), &coming),
                     LINK_NET);
    assert_false(coming);
    assert_int_equal(compare(before, BOTH("", NET("eth0", "up") "," NET("eth1", "down")), &coming),
                     LINK_NONE);
    assert_int_equal(compare(BOTH(RDMA("mlx5_0", "ACTIVE"), ""),
                             BOTH(RDMA("mlx5_0", "ACTIVE") "," RDMA("mlx5_1", "DOWN"), ""),
                             &coming),
                     LINK_NONE);
    assert_int_equal(
        compare(BOTH(RDMA("mlx5_0", "DOWN"), ""), BOTH(RDMA("mlx5_0", "ACTIVE"), ""), &coming),
        LINK_RDMA);
    assert_int_equal(compare("{}", "{\"rdma\": 3, \"net\": [7]}", &coming), LINK_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_counts_as_a_new_link),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
