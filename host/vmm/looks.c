#include "host/vmm/looks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/base/timer.h"
#include "host/config/device.h"
#include "host/vmm/qmp.h"
#include "host/vmm/vm_sockets.h"

#define MAX_MEMORY (1ll << 50) /* bytes; no VM has more */

static const struct {
    const char *command, *path, *property;
} questions[] = {
    [LOOK_VERSION] = {"query-version", NULL, NULL},
    [LOOK_STATUS] = {"query-status", NULL, NULL},
    [LOOK_MEMORY] = {"query-memory-size-summary", NULL, NULL},
    [LOOK_MIGRATION] = {"query-migrate", NULL, NULL},
    [LOOK_PERIPHERALS] = {"qom-list", "/machine/peripheral", NULL},
    [LOOK_MACHINE] = {"qom-get", "/machine", "type"},
    [LOOK_BLOCK] = {"query-block", NULL, NULL},
    [LOOK_DEVICE] = {"device-list-properties", NULL, NULL},
};
_Static_assert(sizeof(questions) / sizeof(questions[0]) == LOOK_QUESTIONS, "a question is missing");

struct looker {
    struct looks *looks;
    const struct cluster_entry *entry;
    const char *path; /* of QMP; NULL: there is none */
    struct look look;
    struct qmp *qmp; /* NULL: over, or there is no socket */
    struct question {
        struct looker *looker;
        enum look_question question;
    } asked[LOOK_QUESTIONS];
    int unanswered;
};

struct looks {
    const struct cluster *cluster;
    struct looker *lookers; /* by VM, then site */
    struct gather gather;
    void (*done)(void *arg);
    void *arg;
};

static void over(struct looker *looker)
{
    if (looker->qmp != NULL) {
        qmp_free(looker->qmp);
        looker->qmp = NULL;
        gather_done(&looker->looks->gather, NULL);
    }
}

static void on_answer(void *arg, json_t *result, const struct ninja_error *err)
{
    struct question *question = arg;
    struct looker *looker = question->looker;
    looker->look.answers[question->question] = json_incref(result);
    if (err != NULL && (err->class == ERR_CLOSED || err->class == ERR_TIMEOUT)) {
        looker->look.err = *err;
    } else if (err != NULL && question->question == LOOK_DEVICE) {
        looker->look.device_err = *err;
    }
    if (--looker->unanswered == 0) {
        over(looker);
    }
}

static json_t *arguments_of(const struct looker *looker, enum look_question question)
{
    json_t *arguments = NULL;
    if (question == LOOK_DEVICE) {
        json_t *device = device_parse(looker->entry->device, NULL);
        arguments = json_pack("{s:O}", "typename", json_object_get(device, "driver"));
        json_decref(device);
    } else if (questions[question].property != NULL) {
        arguments = json_pack("{s:s, s:s}", "path", questions[question].path, "property",
                              questions[question].property);
    } else if (questions[question].path != NULL) {
        arguments = json_pack("{s:s}", "path", questions[question].path);
    }
    return arguments;
}

static void on_ready(void *arg)
{
    struct looker *looker = arg;
    int timeout = looker->looks->cluster->timeouts[TIMEOUT_COMMAND];
    looker->unanswered = LOOK_QUESTIONS - (looker->entry->device == NULL);
    for (int q = 0; q < LOOK_QUESTIONS; q++) {
        if (q == LOOK_DEVICE && looker->entry->device == NULL) {
            continue;
        }
        looker->asked[q] = (struct question){looker, (enum look_question)q};
        qmp_execute(looker->qmp, questions[q].command, arguments_of(looker, (enum look_question)q),
                    timeout, on_answer, &looker->asked[q]);
    }
}

static void on_end(void *arg, const struct ninja_error *err)
{
    struct looker *looker = arg;
    looker->look.err = *err;
    over(looker);
}

static void on_event(void *arg, const char *name, json_t *data)
{
}

static const struct qmp_handler handler = {
    .on_ready = on_ready,
    .on_event = on_event,
    .on_end = on_end,
};

static void on_all(void *arg, const struct ninja_error *unused)
{
    struct looks *looks = arg;
    looks->done(looks->arg);
}

static struct looker *looker_at(const struct looks *looks, int vm, int site)
{
    return &looks->lookers[vm * looks->cluster->n_sites + site];
}

struct looks *looks_start(struct event_base *base, const struct cluster *cluster,
                          void (*done)(void *arg), void *arg)
{
    struct looks *looks = calloc(1, sizeof(*looks));
    looks->cluster = cluster;
    looks->done = done;
    looks->arg = arg;
    looks->lookers = calloc((size_t)(cluster->n_vms * cluster->n_sites), sizeof(*looks->lookers));
    gather_begin(&looks->gather, base, on_all, looks);
    for (int v = 0; v < cluster->n_vms; v++) {
        for (int s = 0; s < cluster->n_sites; s++) {
            struct looker *looker = looker_at(looks, v, s);
            looker->looks = looks;
            looker->entry = &cluster->sites[s].vms[v];
            looker->path = vm_sockets_at(cluster, v, s)->qmp;
            if (looker->path == NULL) {
                continue;
            }
            looker->qmp = qmp_connect(base, looker->path, cluster->timeouts[TIMEOUT_CONNECT],
                                      &handler, looker, &looker->look.err);
            if (looker->qmp != NULL) {
                gather_add(&looks->gather);
            }
        }
    }
    return looks;
}

const struct look *looks_at(const struct looks *looks, int vm, int site)
{
    const struct looker *looker = looker_at(looks, vm, site);
    return looker->path != NULL ? &looker->look : NULL;
}

const char *look_status(const struct look *look)
{
    const char *status = json_string_value(json_object_get(look->answers[LOOK_STATUS], "status"));
    return status != NULL ? status : "";
}

int64_t look_memory(const struct look *look)
{
    json_t *memory = look->answers[LOOK_MEMORY];
    json_int_t base = json_integer_value(json_object_get(memory, "base-memory"));
    json_int_t plugged = json_integer_value(json_object_get(memory, "plugged-memory"));
    bool known = base > 0 && base <= MAX_MEMORY && plugged >= 0 && plugged <= MAX_MEMORY;
    return known ? base + plugged : -1;
}

static bool is_part(int number)
{
    return number >= 0 && number < 100;
}

int look_version(const struct look *look, char *text, size_t size)
{
    int major, minor, micro;
    const char *package = "";
    if (json_unpack(look->answers[LOOK_VERSION], "{s:{s:i, s:i, s:i}, s?:s}", "qemu", "major",
                    &major, "minor", &minor, "micro", &micro, "package", &package) != 0 ||
        !is_part(major) || !is_part(minor) || !is_part(micro)) {
        snprintf(text, size, "?");
        return -1;
    }
    snprintf(text, size, "%d.%d.%d%s%.60s%s", major, minor, micro, package[0] ? " (" : "", package,
             package[0] ? ")" : "");
    return major * 10000 + minor * 100 + micro;
}

void looks_free(struct looks *looks)
{
    if (looks == NULL) {
        return;
    }
    gather_free(&looks->gather);
    for (int i = 0; i < looks->cluster->n_vms * looks->cluster->n_sites; i++) {
        qmp_free(looks->lookers[i].qmp);
        for (int q = 0; q < LOOK_QUESTIONS; q++) {
            json_decref(looks->lookers[i].look.answers[q]);
        }
    }
    free(looks->lookers);
    free(looks);
}
