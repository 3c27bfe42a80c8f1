/*
 * Theory of operation
 *
 * All that matters is in the state directory: what was begun, whether it runs, how it ended. So
 * this process may end and start again at any time, and clients and migrations do not depend on it.
 *
 * Migrations are looked at every RUNNING_MS while one runs, otherwise every METRICS_MS, and soon
 * after something changed; then metrics and the status are written anew.
 */
#include "config.h"

#include "ninjad/service.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <systemd/sd-daemon.h>

#include "common/clock.h"
#include "common/log.h"
#include "host/base/memory.h"
#include "host/base/json_text.h"
#include "host/base/timer.h"
#include "ninjad/api.h"
#include "ninjad/clusters.h"
#include "ninjad/metrics.h"
#include "ninjad/past.h"
#include "ninjad/server.h"

#define CHANGED_MS 100
#define RUNNING_MS 2000
#define IDLE_MS    1000 /* how often to look whether to end */

struct service {
    struct ninjad ninjad;
    struct event *signals[3], *watchdog;
};

/* ---- keeping house ---- */

static void tell_status(const struct ninjad *ninjad)
{
    sd_notifyf(0, "STATUS=%d clients, %d running, %d interrupted, %d need an operator",
               server_clients(ninjad->server), past_count(ninjad->past, PAST_RUNNING),
               past_count(ninjad->past, PAST_INTERRUPTED), past_count(ninjad->past, PAST_OPERATOR));
}

static bool is_idle(const struct ninjad *ninjad)
{
    int64_t since = server_idle_since(ninjad->server);
    return ninjad->options->exit_idle_s > 0 && since >= 0 &&
           TAILQ_EMPTY(calls_list(ninjad->calls)) &&
           now_ms() - since >= (int64_t)ninjad->options->exit_idle_s * 1000;
}

/*
 * A migration that waits for an operator is never taken on unasked: there is something to mend
 * first. One that was interrupted is taken on once in the life of this process, as its cause may
 * come again.
 */
static void tell_stuck(struct ninjad *ninjad)
{
    json_t *entry;
    while ((entry = past_next_stuck(ninjad->past)) != NULL) {
        char id[JOURNAL_ID_SIZE];
        bool interrupted = past_outcome_of(entry) == PAST_INTERRUPTED;
        bool resume = interrupted && ninjad->options->resume;
        snprintf(id, sizeof(id), "%s", json_text_in(entry, "id"));
        ninja_log_warning(
            "migration %s of %s %s%s; %s", id, json_text_in(entry, "cluster"),
            interrupted ? "was interrupted" : "needs an operator: ", json_text_in(entry, "reason"),
            resume        ? "it is taken on"
            : interrupted ? "\"resume\" takes it on, \"abort\" takes it back"
                          : "when that is mended, \"resume\" takes it on");
        if (resume) {
            api_resume(ninjad, id);
        }
    }
}

static void on_house_timer(evutil_socket_t fd, short what, void *arg)
{
    struct ninjad *ninjad = arg;
    timer_free(&ninjad->house_timer);
    past_refresh(ninjad->past, NULL);
    tell_stuck(ninjad);
    metrics_write(ninjad->metrics);
    tell_status(ninjad);
    if (is_idle(ninjad)) {
        ninja_log_info("nobody needed it for %d s: ending", ninjad->options->exit_idle_s);
        event_base_loopbreak(ninjad->base);
        return;
    }
    int64_t ms = ninjad->options->exit_idle_s > 0             ? IDLE_MS
                 : past_count(ninjad->past, PAST_RUNNING) > 0 ? RUNNING_MS
                                                              : METRICS_MS;
    timer_free(&ninjad->house_timer); /* a call may have asked for it meanwhile */
    ninjad->house_timer = timer_start(ninjad->base, ms, on_house_timer, ninjad);
}

void ninjad_changed(struct ninjad *ninjad)
{
    timer_free(&ninjad->house_timer);
    ninjad->house_timer = timer_start(ninjad->base, CHANGED_MS, on_house_timer, ninjad);
}

static void on_watchdog(evutil_socket_t fd, short what, void *arg)
{
    sd_notify(0, "WATCHDOG=1");
}

static void start_watchdog(struct service *service)
{
    uint64_t us;
    if (sd_watchdog_enabled(1, &us) > 0) {
        us /= 2;
        struct timeval interval = {(time_t)(us / 1000000), (suseconds_t)(us % 1000000)};
        service->watchdog = event_new(service->ninjad.base, -1, EV_PERSIST, on_watchdog, NULL);
        event_add(service->watchdog, &interval);
        sd_notify(0, "WATCHDOG=1");
    }
}

/* ---- signals ---- */

static void on_end(evutil_socket_t signal_number, short what, void *arg)
{
    struct ninjad *ninjad = arg;
    ninja_log_info("signal %d: ending; migrations go on", (int)signal_number);
    event_base_loopbreak(ninjad->base);
}

static void on_reload(evutil_socket_t signal_number, short what, void *arg)
{
    struct ninjad *ninjad = arg;
    sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%lld", (long long)now_us());
    clusters_read(ninjad->clusters);
    ninja_log_info("read the cluster files again");
    sd_notify(0, "READY=1");
    ninjad_changed(ninjad);
}

static void catch_signals(struct service *service)
{
    static const struct {
        int number;
        event_callback_fn callback;
    } caught[] = {{SIGTERM, on_end}, {SIGINT, on_end}, {SIGHUP, on_reload}};
    for (int i = 0; i < 3; i++) {
        service->signals[i] = evsignal_new(service->ninjad.base, caught[i].number,
                                           caught[i].callback, &service->ninjad);
        event_add(service->signals[i], NULL);
    }
}

/* ---- from beginning to end ---- */

static bool open_all(struct service *service, struct ninja_error *err)
{
    struct ninjad *ninjad = &service->ninjad;
    ninjad->base = xchecked(event_base_new());
    ninjad->clusters = clusters_new(ninjad->options);
    ninjad->past = past_new(ninjad->options->state_dir);
    ninjad->calls = calls_new(ninjad);
    ninjad->metrics = metrics_new(ninjad);
    catch_signals(service);
    ninjad->server = server_new(ninjad, err);
    if (ninjad->server != NULL && ninjad->options->exit_idle_s > 0 &&
        !server_is_activated(ninjad->server)) {
        return ninja_error_set(err, ERR_USAGE,
                               "--exit-idle needs a socket of systemd's, which starts it again");
    }
    return ninjad->server != NULL;
}

static void close_all(struct service *service)
{
    struct ninjad *ninjad = &service->ninjad;
    calls_free(ninjad->calls);
    server_free(ninjad->server);
    metrics_free(ninjad->metrics);
    past_free(ninjad->past);
    clusters_free(ninjad->clusters);
    timer_free(&ninjad->house_timer);
    timer_free(&ninjad->follow_timer);
    for (int i = 0; i < 3; i++) {
        if (service->signals[i] != NULL) {
            event_free(service->signals[i]);
        }
    }
    if (service->watchdog != NULL) {
        event_free(service->watchdog);
    }
    if (ninjad->base != NULL) {
        event_base_free(ninjad->base);
    }
}

int service_run(const struct options *options)
{
    struct service service = {.ninjad = {.options = options}};
    struct ninja_error err = NINJA_ERROR_INIT;
    int code = EX_OK;
    if (open_all(&service, &err)) {
        json_t *names = clusters_names(service.ninjad.clusters);
        ninja_log_info("version %s, %zu clusters, state in %s", PACKAGE_VERSION,
                       json_array_size(names), options->state_dir);
        json_decref(names);
        start_watchdog(&service);
        sd_notify(0, "READY=1");
        on_house_timer(-1, EV_TIMEOUT, &service.ninjad);
        event_base_dispatch(service.ninjad.base);
        sd_notify(0, "STOPPING=1");
    } else {
        ninja_log_error("cannot start: %s", err.message);
        code = err.class == ERR_USAGE ? EX_USAGE : EX_UNAVAILABLE;
    }
    close_all(&service);
    return code;
}
