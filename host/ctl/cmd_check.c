/*
 * check: looks at all that a migration needs, before one is begun.
 */
#include "host/ctl/checks.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/printable.h"
#include "host/base/json_text.h"

static void add(struct checks *checks, const char *item, const char *about, bool required, bool ok,
                const char *mend, const char *fmt, va_list ap)
{
    char text[700];
    vsnprintf(text, sizeof(text), fmt, ap);
    ninja_printable(text); /* it may tell what a guest or QEMU said */
    json_array_append_new(checks->list, json_pack("{s:s, s:s, s:b, s:b, s:o, s:s}", "item", item,
                                                  "about", about, "required", required, "ok", ok,
                                                  "text", json_text(text), "mend", mend));
}

void check_ok(struct checks *checks, const char *item, const char *about, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    add(checks, item, about, true, true, "", fmt, ap);
    va_end(ap);
}

void check_miss(struct checks *checks, enum need need, const char *item, const char *about,
                const char *mend, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    add(checks, item, about, need == REQUIRED, false, mend, fmt, ap);
    va_end(ap);
    if (need == REQUIRED) {
        checks->missing++;
    } else {
        checks->notes++;
    }
}

static void print_checks(const struct checks *checks)
{
    size_t i;
    json_t *check;
    json_array_foreach(checks->list, i, check)
    {
        bool ok = json_is_true(json_object_get(check, "ok"));
        bool required = json_is_true(json_object_get(check, "required"));
        printf("%-4s %s: %s\n",
               ok         ? "ok"
               : required ? "FAIL"
                          : "note",
               json_string_value(json_object_get(check, "about")),
               json_string_value(json_object_get(check, "text")));
        if (!ok) {
            printf("       to mend it: %s\n", json_string_value(json_object_get(check, "mend")));
        }
    }
    printf("%d missing, %d to be looked at\n", checks->missing, checks->notes);
}

static bool is_destination(const struct session *session, int site)
{
    for (int i = 0; i < session->cluster->n_vms; i++) {
        if (survey_vms(session->survey)[i].vmm->site != site) {
            return true;
        }
    }
    return false;
}

static void check_all(struct checks *checks, const char *to)
{
    const struct cluster *cluster = checks->session->cluster;
    check_host(checks);
    for (int i = 0; i < cluster->n_vms; i++) {
        check_guest(checks, i);
    }
    check_jobs(checks);
    for (int s = 0; s < cluster->n_sites; s++) {
        if (to != NULL ? cluster_is_in(&cluster->sites[s], to)
                       : is_destination(checks->session, s)) {
            check_site(checks, s);
        }
    }
}

int cmd_check(const struct args *args)
{
    struct session session;
    struct ninja_error err = NINJA_ERROR_INIT;
    int code = session_open_to_look(&session, args);
    if (code != EXIT_DONE) {
        return code;
    }
    if (args->word != NULL && !cluster_has_site(session.cluster, args->word, &err)) {
        complain(&err);
        session_close(&session);
        return EXIT_REFUSED;
    }
    session_look(&session);
    session_survey(&session, NULL);
    struct checks checks = {
        .args = args, .session = &session, .looks = session.looks, .list = json_array()};
    check_all(&checks, args->word);
    if (args->json) {
        print_object(json_pack("{s:s, s:b, s:O}", "cluster", session.cluster->name, "ok",
                               checks.missing == 0, "items", checks.list));
    } else {
        print_checks(&checks);
    }
    json_decref(checks.list);
    session_close(&session);
    return checks.missing > 0 ? EXIT_FAILED : EXIT_DONE;
}
