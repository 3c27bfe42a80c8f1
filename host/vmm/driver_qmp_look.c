/*
 * What a QEMU says of itself, by a connection of its own that is gone afterwards: all questions are
 * asked at once, and when the last one is answered the look is made of the answers.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/base/json_text.h"
#include "host/base/memory.h"
#include "host/config/device.h"
#include "host/vmm/driver_qmp.h"

#define MAX_MEMORY     (1ll << 50) /* bytes; no VM has more */
#define OLDEST_VERSION 50000       /* what is asked and set was there then */

enum question_number {
    ASK_VERSION,
    ASK_STATUS,
    ASK_MEMORY,
    ASK_MIGRATION,
    ASK_PERIPHERALS,
    ASK_MACHINE,
    ASK_BLOCK,
    QUESTIONS,
};

static const struct {
    const char *command, *path, *property;
} questions[] = {
    [ASK_VERSION] = {"query-version", NULL, NULL},
    [ASK_STATUS] = {"query-status", NULL, NULL},
    [ASK_MEMORY] = {"query-memory-size-summary", NULL, NULL},
    [ASK_MIGRATION] = {"query-migrate", NULL, NULL},
    [ASK_PERIPHERALS] = {"qom-list", "/machine/peripheral", NULL},
    [ASK_MACHINE] = {"qom-get", "/machine", "type"},
    [ASK_BLOCK] = {"query-block", NULL, NULL},
};
_Static_assert(sizeof(questions) / sizeof(questions[0]) == QUESTIONS, "a question is missing");

struct qmp_looker {
    struct looker looker;
    struct cluster_devices may; /* what the VM may get there */
    int timeout_ms;
    struct look *look;
    void (*done)(void *arg);
    void *arg;
    struct qmp *qmp;
    struct question {
        struct qmp_looker *looker;
        enum question_number number;
    } asked[QUESTIONS];
    json_t *answers[QUESTIONS]; /* NULL: refused */
    struct device_question {
        struct qmp_looker *looker;
        const struct cluster_device *device;
    } * about; /* each of them */
    int unanswered;
};

/* ---- the look, from the answers ---- */

static void take_text(char *text, size_t size, const json_t *value)
{
    const char *said = json_string_value(value);
    snprintf(text, size, "%s", said != NULL ? said : "");
}

int64_t qmp_memory_in(json_t *answer)
{
    json_int_t base = json_integer_value(json_object_get(answer, "base-memory"));
    json_int_t plugged = json_integer_value(json_object_get(answer, "plugged-memory"));
    bool is_sensible = base > 0 && base <= MAX_MEMORY && plugged >= 0 && plugged <= MAX_MEMORY;
    return is_sensible ? base + plugged : 0;
}

static bool is_part(int number)
{
    return number >= 0 && number < 100;
}

static void take_version(struct look *look, json_t *answer)
{
    int major, minor, micro;
    const char *package = "";
    if (json_unpack(answer, "{s:{s:i, s:i, s:i}, s?:s}", "qemu", "major", &major, "minor", &minor,
                    "micro", &micro, "package", &package) != 0 ||
        !is_part(major) || !is_part(minor) || !is_part(micro)) {
        snprintf(look->version, sizeof(look->version), "?");
        return;
    }
    snprintf(look->version, sizeof(look->version), "%d.%d.%d%s%.60s%s", major, minor, micro,
             package[0] ? " (" : "", package, package[0] ? ")" : "");
    look->version_number = major * 10000 + minor * 100 + micro;
    look->version_is_old = look->version_number < OLDEST_VERSION;
}

static void take_blockers(struct look *look, json_t *answer)
{
    json_t *reasons = json_object_get(answer, "blocked-reasons");
    look->blockers = json_is_array(reasons) ? json_incref(reasons) : json_array();
}

static void take_devices(struct look *look, json_t *answer)
{
    size_t i;
    json_t *child;
    look->devices = json_array();
    json_array_foreach(answer, i, child)
    {
        const char *name = json_string_value(json_object_get(child, "name"));
        const char *type = json_string_value(json_object_get(child, "type"));
        char driver[64];
        if (name != NULL && type != NULL && sscanf(type, "child<%63[^>]>", driver) == 1) {
            json_array_append_new(look->devices, json_pack("{s:o, s:o}", "id", json_text(name),
                                                           "driver", json_text(driver)));
        }
    }
}

static void take_disks(struct look *look, json_t *answer)
{
    size_t i;
    json_t *block;
    look->disks = json_array();
    look->written_disks = json_array();
    json_array_foreach(answer, i, block)
    {
        json_t *inserted = json_object_get(block, "inserted");
        json_t *file = json_object_get(inserted, "file");
        if (json_is_string(file)) {
            json_array_append(look->disks, file);
        }
        if (json_is_string(file) && !json_is_true(json_object_get(inserted, "ro"))) {
            json_array_append(look->written_disks, file);
        }
    }
}

static void take_answers(struct qmp_looker *looker)
{
    struct look *look = looker->look;
    json_t *const *answers = looker->answers;
    take_text(look->state, sizeof(look->state), json_object_get(answers[ASK_STATUS], "status"));
    take_text(look->machine, sizeof(look->machine), answers[ASK_MACHINE]);
    look->waits = strcmp(look->state, "inmigrate") == 0;
    look->memory = qmp_memory_in(answers[ASK_MEMORY]);
    take_version(look, answers[ASK_VERSION]);
    take_blockers(look, answers[ASK_MIGRATION]);
    take_devices(look, answers[ASK_PERIPHERALS]);
    take_disks(look, answers[ASK_BLOCK]);
}

/* ---- asking ---- */

static void cannot_ask(struct look *look, const struct ninja_error *err)
{
    look->err = *err;
    if (err->class == ERR_CONNECT) { /* whoever listens there one day could not be reached either */
        look->mend = "correct the key \"qmp\" in the cluster file, or run ninjactl as a user who "
                     "may connect there";
    }
}

static void over(struct qmp_looker *looker)
{
    qmp_free(looker->qmp);
    looker->qmp = NULL;
    take_answers(looker);
    looker->done(looker->arg);
}

static bool is_without_answer(const struct ninja_error *err)
{
    return err != NULL && (err->class == ERR_CLOSED || err->class == ERR_TIMEOUT);
}

static void answered(struct qmp_looker *looker, const struct ninja_error *err)
{
    if (is_without_answer(err)) {
        looker->look->err = *err;
    }
    if (--looker->unanswered == 0) {
        over(looker);
    }
}

static void on_answer(void *arg, json_t *result, const struct ninja_error *err)
{
    const struct question *question = arg;
    question->looker->answers[question->number] = json_incref(result);
    answered(question->looker, err);
}

static void on_device(void *arg, json_t *result, const struct ninja_error *err)
{
    const struct device_question *question = arg;
    if (err != NULL && !is_without_answer(err)) {
        json_object_set_new(question->looker->look->refused_devices, question->device->text,
                            json_text(err->message));
    }
    answered(question->looker, err);
}

static json_t *arguments_of(enum question_number question)
{
    json_t *arguments = NULL;
    if (questions[question].property != NULL) {
        arguments = json_pack("{s:s, s:s}", "path", questions[question].path, "property",
                              questions[question].property);
    } else if (questions[question].path != NULL) {
        arguments = json_pack("{s:s}", "path", questions[question].path);
    }
    return arguments;
}

static void ask_about_devices(struct qmp_looker *looker)
{
    for (int i = 0; i < looker->may.n; i++) {
        const struct cluster_device *it = &looker->may.list[i];
        json_t *device = device_parse(it->spec, NULL);
        looker->about[i] = (struct device_question){looker, it};
        qmp_execute(looker->qmp, "device-list-properties",
                    json_pack("{s:O}", "typename", json_object_get(device, "driver")),
                    looker->timeout_ms, on_device, &looker->about[i]);
        json_decref(device);
    }
}

static void on_ready(void *arg)
{
    struct qmp_looker *looker = arg;
    looker->unanswered = QUESTIONS + looker->may.n;
    for (enum question_number q = 0; q < QUESTIONS; q++) {
        looker->asked[q] = (struct question){looker, q};
        qmp_execute(looker->qmp, questions[q].command, arguments_of(q), looker->timeout_ms,
                    on_answer, &looker->asked[q]);
    }
    looker->look->refused_devices = json_object();
    ask_about_devices(looker);
}

static void on_end(void *arg, const struct ninja_error *err)
{
    struct qmp_looker *looker = arg;
    cannot_ask(looker->look, err);
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

static void close_looker(struct looker *arg)
{
    struct qmp_looker *looker = (struct qmp_looker *)arg;
    qmp_free(looker->qmp);
    for (int q = 0; q < QUESTIONS; q++) {
        json_decref(looker->answers[q]);
    }
    free(looker->about);
    free(looker);
}

struct looker *qmp_vm_look(struct event_base *base, const struct cluster *cluster, int vm, int site,
                           struct look *look, void (*done)(void *arg), void *arg)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    struct qmp_looker *looker = xcalloc(1, sizeof(*looker));
    *looker = (struct qmp_looker){.looker = {close_looker},
                                  .may = cluster_devices(cluster, vm, site),
                                  .timeout_ms = cluster->timeouts[TIMEOUT_COMMAND],
                                  .look = look,
                                  .done = done,
                                  .arg = arg};
    looker->qmp = qmp_connect(base, vm_sockets_at(cluster, vm, site)->qmp,
                              cluster->timeouts[TIMEOUT_CONNECT], &handler, looker, &err);
    looker->about = xcalloc((size_t)looker->may.n, sizeof(*looker->about));
    if (looker->qmp == NULL) {
        cannot_ask(look, &err);
        close_looker(&looker->looker);
        return NULL;
    }
    return &looker->looker;
}
