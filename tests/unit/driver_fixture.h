/*
 * A world for the driver "qmp": one VM with a scripted QEMU at each of two sites. It runs at "ib".
 */
#ifndef NINJA_DRIVER_FIXTURE_H
#define NINJA_DRIVER_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "host/base/timer.h"
#include "host/vmm/driver.h"
#include "tests/unit/fake_qemu.h"

enum {
    IB,
    ETH,
};

struct world {
    struct event_base *base;
    struct cluster *cluster;
    struct fake_qemu qemus[2];
    struct vmm *vmm;
    bool over;
    struct ninja_error err;
};

int setup(void **state);
int teardown(void **state);
/** For operations: arg is the world. */
void on_done(void *arg, const struct ninja_error *err);
/** Until an operation that was begun is over. Returns the class of its error; "" is none. */
const char *wait_for_it(struct world *world);
/** How both QEMUs are found; NULL: it is gone. */
void found(struct world *world, const char *source, const char *migration, const char *destination);
const char *adopt(struct world *world, bool ran_there);
const char *cancel(struct world *world);

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
