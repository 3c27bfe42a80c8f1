/*
 * A world for whole migrations: two VMs, each with a scripted QEMU at two sites and a scripted
 * agent with two ranks, at "ib" (a device) or "eth" (none). Each program has one at a time.
 */
#ifndef NINJA_MIGRATION_FIXTURE_H
#define NINJA_MIGRATION_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "host/migration/coordinator.h"
#include "tests/unit/fake_agent.h"
#include "tests/unit/fake_qemu.h"

enum {
    IB,
    ETH,
};

struct vm {
    const char *name;
    char agent_path[2][100];
    int at;
    struct fake_qemu qemus[2];
    struct fake_agent agent;
};

struct world {
    struct event_base *base;
    struct cluster *cluster;
    struct vm vms[2];
    struct fake_job job;
    struct survey *survey;
    struct journal *journal;
    struct migration *migration;
    struct checkpoint *checkpoint; /* of the migration */
    const struct image_key *key;   /* of checkpoints and restarts; NULL: none */
    struct ninja_error refused;
    json_t *report;
    const char *abort_at;   /* state at which it is aborted; NULL: not */
    const char *lets_go_at; /* at which the first VM's guest lets go of its device; NULL: not */
    int crash_after;        /* so many changes the coordinator ends; 0: not */
    const char
        *crash_in; /* it ends when the first VM is copied, after it entered that state; NULL: not */
    struct event *crash;
    bool ended;
};

extern char names[2][2][16];       /* [vm][site]: "vm1@ib" */
extern const char *prepare_at_eth; /* the command "prepare" there; NULL: none */
extern const struct migration_handler world_handler;

struct world *make_world(int at);
/** Each VM at a site of its own. */
struct world *make_world_at(const int at[2]);
int setup_at_ib(void **state);
int setup_at_eth(void **state);
int teardown(void **state);
/** For surveys: arg is the world. */
void on_surveyed(void *arg);
/** The survey of a migration. */
void look(struct world *world);
/** A migration from there to its report, or to where the world has its coordinator end. */
enum outcome migrate_what_was_seen(struct world *world, int to, enum migration_mode mode);
/** The same, each VM to a site of its own or PLACEMENT_STAYS. */
enum outcome migrate_each_what_was_seen(struct world *world, const int to[2],
                                        enum migration_mode mode);
/** Both. */
enum outcome migrate_each(struct world *world, const int to[2], enum migration_mode mode);
enum outcome migrate(struct world *world, int to, enum migration_mode mode);
/** Another coordinator takes on what one has begun, and goes forward or back. */
enum outcome take_on_what_was_begun(struct world *world, bool back);
/** A checkpoint NAME of what was seen. */
enum outcome save_what_was_seen(struct world *world, const char *name, enum migration_mode mode);
/** All QEMUs that run end, as if their hosts had lost their power. */
void all_end(struct world *world);
/** A restart of it; looks itself whether it may begin. */
enum outcome restart(struct world *world, const char *name, int to);
/** The directory of checkpoints. */
const char *checkpoints(void);
/** Before the next one. */
void forget_migration(struct world *world);

void assert_job_runs_on(const struct world *world, const char *transport);
void assert_at(const struct world *world, int site, bool device);
/** All VMs are at "ib" with their devices, nobody waits at "eth", and the job runs on a transport.
 */
void assert_rolled_back_to(const struct world *world, const char *transport);
/** The same, and that is the best one. */
void assert_rolled_back(const struct world *world);
/** One line of the log of all fakes comes before another one. */
void assert_order(const char *before, const char *after);

#define AT_IB(f)  cmocka_unit_test_setup_teardown(f, setup_at_ib, teardown)
#define AT_ETH(f) cmocka_unit_test_setup_teardown(f, setup_at_eth, teardown)

#endif
