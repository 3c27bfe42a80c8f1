/*
 * The row of pml/ob1, whose transports are BTLs. The files ob1_*.c see to what is inside ob1, and
 * opal/mca/btl-hooks sees to the BTLs.
 */
#include "ompi_config.h"

#include "transport_layer.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "crcp_ninja.h"
#include "ob1_drain.h"
#include "ob1_gate.h"
#include "ob1_view.h"
#include "ompi/mca/rte/rte.h"
#include "opal/mca/btl-hooks/btl_hooks.h"

#define MAX_IN_USE 32

static bool verifying; /* what was begun last is verify, not drain or settle */

static bool start(char *why, size_t size)
{
    const char *wrong = ob1_view_open(ompi_process_info.num_procs);
    if (wrong == NULL && !ob1_drain_open()) {
        ob1_drain_close();
        ob1_view_close();
        wrong = "out of memory";
    }
    if (wrong != NULL) {
        snprintf(why, size, "%s", wrong);
        return false;
    }
    btl_hooks_open(ninja_params.bypass);
    return true;
}

static void end(void)
{
    btl_hooks_close();
    ob1_drain_close();
    ob1_view_close();
}

/* ob1 and the BTLs know the gate themselves. */
static void gate(const struct gate_doors *doors)
{
    ob1_gate();
}

static void drain(uint64_t turn, const struct ninja_rank_pair *sent, uint32_t n)
{
    verifying = false;
    ob1_drain_expect(sent, n);
}

static void settle(const struct ninja_rank_pair *held, uint32_t n)
{
    verifying = false;
    ob1_drain_settle(held, n);
}

static bool release(const char *list, char *why, size_t size)
{
    ob1_park();
    return btl_release(list, why, size);
}

static struct ninja_rank_pair *in_use(uint32_t *n, char *names, size_t size)
{
    struct btl_use use[MAX_IN_USE];
    size_t found = btl_in_use(use, MAX_IN_USE), at = 0;
    struct ninja_rank_pair *pairs = calloc(found + 1, sizeof(*pairs));
    names[0] = '\0';
    *n = 0;
    for (; pairs != NULL && *n < found && at < size; (*n)++) {
        pairs[*n] = (struct ninja_rank_pair){*n, use[*n].peers};
        at += (size_t)snprintf(names + at, size - at, "%s%s", at > 0 ? "," : "", use[*n].name);
    }
    return pairs;
}

static bool verify(unsigned limit_ms, char *why, size_t size)
{
    size_t n;
    const bool *peers = ob1_drain_peers(&n);
    verifying = true;
    if (!btl_verify(peers, n, limit_ms)) {
        snprintf(why, size, "out of memory");
        return false;
    }
    return true;
}

static enum layer_outcome advance_verify(void)
{
    btl_progress();
    switch (btl_verdict()) {
    case BTL_REACHED:
        return LAYER_DONE;
    case BTL_UNREACHED:
        return LAYER_FAILED;
    case BTL_WAITING:
        break;
    }
    sched_yield();
    return LAYER_UNDERWAY;
}

static enum layer_outcome advance(void)
{
    if (verifying) {
        return advance_verify();
    }
    return ob1_drain_step() ? LAYER_DONE : LAYER_UNDERWAY;
}

static void describe(char *text, size_t size)
{
    if (verifying) {
        btl_verify_describe(text, size);
    } else {
        ob1_drain_describe(text, size);
    }
}

static void attend(void)
{
    btl_progress();
    btl_verify_attend();
}

const struct transport_layer transport_layer_ob1 = {
    .start = start,
    .end = end,
    .gate = gate,
    .can_choose = btl_check,
    .can_drain = ob1_can_drain,
    .sent = ob1_drain_sent,
    .held = ob1_drain_held,
    .drain = drain,
    .settle = settle,
    .release = release,
    .open = btl_open,
    .connect = btl_connect,
    .in_use = in_use,
    .verify = verify,
    .advance = advance,
    .describe = describe,
    .attend = attend,
    .resume = btl_settle,
};
