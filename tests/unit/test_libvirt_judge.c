/* What follows of what two hosts say of a VM that moves: the table of driver_libvirt_adopt.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "host/vmm/driver_libvirt.h"

#define LAST_STATE DOMAIN_OTHER

/* A VM that may have that one device. */
static struct cluster_entry entry = {.device = {.id = (char *)"ua-bypass"}};
static struct cluster_site place = {.vms = &entry};
static struct cluster one = {.sites = &place, .n_sites = 1, .n_vms = 1};
static const struct cluster_device *none[1];
static struct vmm vm = {.cluster = &one, .devices = none};

static struct domain_seen seen(const char *state, const char *reason, bool job)
{
    struct domain_seen domain;
    json_t *answer = json_pack("{s:s, s:s?, s:b, s:[s, s]}", "state", state, "reason", reason,
                               "job", job, "devices", "ua-other", "ua-bypass");
    domain_take(&domain, answer, NULL, &vm, 0);
    json_decref(answer);
    return domain;
}

static const struct {
    struct {
        const char *state, *reason;
        bool job;
    } source, destination;
    enum verdict verdict;
} rows[] = {
    {{"running", "booted", false}, {"absent", NULL, false}, VERDICT_AT_SOURCE},
    {{"running", "migration canceled", false}, {"shutoff", "failed", false}, VERDICT_AT_SOURCE},
    {{"running", "booted", false}, {"paused", "user", false}, VERDICT_LEFTOVER},
    {{"running", "booted", false}, {"paused", "migration", true}, VERDICT_LEFTOVER},
    {{"running", "booted", true}, {"absent", NULL, false}, VERDICT_ON_ITS_WAY},
    {{"running", "booted", true}, {"paused", "migration", true}, VERDICT_ON_ITS_WAY},
    {{"running", "booted", true}, {"paused", "starting up", true}, VERDICT_ON_ITS_WAY},
    {{"paused", "migration", true}, {"paused", "migration", true}, VERDICT_ON_ITS_WAY},
    {{"paused", "migration", true}, {"paused", "user", false}, VERDICT_ON_ITS_WAY},
    {{"paused", "migration", false}, {"paused", "migration", false}, VERDICT_ON_ITS_WAY},
    {{"paused", "migration", false}, {"paused", "user", false}, VERDICT_STUCK},
    {{"shutoff", "migrated", false}, {"paused", "user", false}, VERDICT_SENT},
    {{"absent", NULL, false}, {"paused", "user", false}, VERDICT_SENT},
    {{"shutoff", "migrated", false}, {"running", "unpaused", false}, VERDICT_ARRIVED},
    {{"absent", NULL, false}, {"running", "migrated", false}, VERDICT_ARRIVED},
    {{"paused", "migration", false}, {"running", "migrated", false}, VERDICT_ARRIVED},
    {{"running", "booted", false}, {"running", "migrated", false}, VERDICT_OPERATOR},
    {{"running", "booted", true}, {"running", "booted", false}, VERDICT_OPERATOR},
    {{"paused", "user", false}, {"absent", NULL, false}, VERDICT_OPERATOR},
    {{"paused", "user", false}, {"paused", "user", false}, VERDICT_OPERATOR},
    {{"paused", "migration", false}, {"absent", NULL, false}, VERDICT_OPERATOR},
    {{"absent", NULL, false}, {"absent", NULL, false}, VERDICT_OPERATOR},
    {{"shutoff", "crashed", false}, {"shutoff", "failed", false}, VERDICT_OPERATOR},
    {{"crashed", "other", false}, {"paused", "user", false}, VERDICT_OPERATOR},
    {{"paused", "post-copy", true}, {"paused", "migration", true}, VERDICT_ON_ITS_WAY},
    {{"paused", "migration", true}, {"running", "post-copy", true}, VERDICT_SPLIT},
    {{"paused", "post-copy", true}, {"running", "post-copy", true}, VERDICT_SPLIT},
    {{"paused", "post-copy failed", true}, {"running", "post-copy", true}, VERDICT_SPLIT},
    {{"paused", "post-copy", true}, {"running", "post-copy failed", true}, VERDICT_SPLIT},
    {{"shutoff", "migrated", false}, {"running", "post-copy", true}, VERDICT_SPLIT},
    {{"paused", "post-copy failed", true}, {"paused", "post-copy failed", true}, VERDICT_BROKEN},
    {{"paused", "post-copy failed", true}, {"running", "post-copy failed", true}, VERDICT_BROKEN},
    {{"paused", "post-copy", true}, {"running", "migrated", false}, VERDICT_ARRIVED},
    {{"paused", "post-copy failed", true}, {"running", "migrated", false}, VERDICT_ARRIVED},
    {{"running", "booted", false}, {"running", "post-copy", true}, VERDICT_OPERATOR},
    {{"running", "booted", true}, {"paused", "post-copy failed", true}, VERDICT_OPERATOR},
    {{"paused", "user", false}, {"running", "post-copy", true}, VERDICT_OPERATOR},
    {{"absent", NULL, false}, {"running", "post-copy failed", true}, VERDICT_OPERATOR},
    {{"paused", "post-copy", true}, {"absent", NULL, false}, VERDICT_OPERATOR},
    {{"paused", "post-copy failed", true}, {"shutoff", "failed", false}, VERDICT_OPERATOR},
    {{"paused", "post-copy", true}, {"paused", "user", false}, VERDICT_OPERATOR},
    {{"paused", "I/O error", false}, {"absent", NULL, false}, VERDICT_OPERATOR},
};

static bool runs_there(enum verdict verdict)
{
    return verdict == VERDICT_ARRIVED || verdict == VERDICT_SPLIT || verdict == VERDICT_BROKEN;
}

static void each_row_of_the_table_holds(void **state)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct domain_seen source =
            seen(rows[i].source.state, rows[i].source.reason, rows[i].source.job);
        struct domain_seen destination =
            seen(rows[i].destination.state, rows[i].destination.reason, rows[i].destination.job);
        enum verdict verdict = libvirt_judge(&source, &destination, false);
        if (verdict != rows[i].verdict) {
            fail_msg("row %zu (%s, %s): %d", i, source.words, destination.words, verdict);
        }
        verdict = libvirt_judge(&source, &destination, true);
        assert_int_equal(verdict, runs_there(rows[i].verdict) ? rows[i].verdict : VERDICT_OPERATOR);
    }
}

/* Nothing is let run, or removed, while the same VM may run at the other host. */
static void no_two_copies_are_ever_let_run(void **state)
{
    for (int s = DOMAIN_UNKNOWN; s <= LAST_STATE; s++) {
        for (int d = DOMAIN_UNKNOWN; d <= LAST_STATE; d++) {
            for (int bits = 0; bits < 8; bits++) {
                struct domain_seen source = {.state = (enum domain_state)s, .job = bits & 1};
                struct domain_seen destination = {.state = (enum domain_state)d, .job = bits & 2};
                enum verdict verdict = libvirt_judge(&source, &destination, bits & 4);
                bool source_off = s == DOMAIN_ABSENT || s == DOMAIN_SHUT_OFF;
                if (s == DOMAIN_UNKNOWN || d == DOMAIN_UNKNOWN) {
                    assert_int_equal(verdict, VERDICT_UNKNOWN);
                }
                if (verdict == VERDICT_SENT) { /* the destination is let run */
                    assert_true(source_off && d == DOMAIN_PAUSED && !(bits & 4));
                } else if (verdict == VERDICT_STUCK) { /* the source is ended */
                    assert_true(s == DOMAIN_MIGRATING && !source.job && d == DOMAIN_PAUSED);
                } else if (verdict == VERDICT_LEFTOVER) { /* the destination is ended */
                    assert_true(s == DOMAIN_RUNNING && !source.job && d != DOMAIN_RUNNING);
                } else if (verdict == VERDICT_ARRIVED) { /* the source is ended, later */
                    assert_true(s != DOMAIN_RUNNING && d == DOMAIN_RUNNING);
                } else if (verdict == VERDICT_BROKEN) { /* the copy is resumed */
                    assert_true(s == DOMAIN_BROKEN && d == DOMAIN_BROKEN);
                } else if (verdict == VERDICT_SPLIT) { /* nobody is ended */
                    assert_true(s != DOMAIN_RUNNING && (d == DOMAIN_SPLIT || d == DOMAIN_BROKEN));
                }
            }
        }
    }
}

static void an_answer_is_taken_apart(void **state)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    struct domain_seen domain = seen("running", "booted", true);
    assert_true(domain.device == &entry.device && domain.job && domain.state == DOMAIN_RUNNING);
    assert_string_equal(domain.words, "running (booted)");
    json_t *nothing = json_object();
    domain_take(&domain, nothing, NULL, &vm, 0);
    assert_true(domain.state == DOMAIN_UNKNOWN && domain.err.class == ERR_PROTOCOL);
    json_decref(nothing);
    ninja_error_set(&err, ERR_CONNECT, "no way");
    domain_take(&domain, NULL, &err, &vm, 0);
    assert_true(domain.state == DOMAIN_UNKNOWN && domain.err.class == ERR_CONNECT);
    json_t *strange =
        json_pack("{s:s, s:s, s:[i, n]}", "state", "\033[2J", "reason", "\n", "devices", 1);
    domain_take(&domain, strange, NULL, &vm, 0);
    assert_true(domain.state == DOMAIN_OTHER && domain.device == NULL);
    assert_null(strpbrk(domain.words, "\033\n"));
    json_decref(strange);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_row_of_the_table_holds),
        cmocka_unit_test(no_two_copies_are_ever_let_run),
        cmocka_unit_test(an_answer_is_taken_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
