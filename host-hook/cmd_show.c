/*
 * check, plan and status: the commands that only look.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host-hook/json_lines.h"
#include "host-hook/json_text.h"
#include "host-hook/ninjactl.h"

/* ---- status ---- */

static void print_interconnects(json_t *interconnects)
{
    size_t i;
    json_t *entry;
    json_array_foreach(json_object_get(interconnects, "rdma"), i, entry)
    {
        printf("    rdma %s/%lld %s (%s)\n", json_string_value(json_object_get(entry, "name")),
               (long long)json_integer_value(json_object_get(entry, "port")),
               json_string_value(json_object_get(entry, "state")),
               json_string_value(json_object_get(entry, "link_layer")));
    }
    json_array_foreach(json_object_get(interconnects, "net"), i, entry)
    {
        size_t k;
        json_t *address;
        printf("    net  %s %s", json_string_value(json_object_get(entry, "name")),
               json_string_value(json_object_get(entry, "state")));
        json_array_foreach(json_object_get(entry, "addresses"), k, address)
        {
            printf(" %s", json_string_value(address));
        }
        printf("\n");
    }
}

static void print_job(const struct job *job, struct agent *const *agents)
{
    printf("job %s: %d ranks%s\n", job->name, job->size,
           job->finalizing ? ", in MPI_Finalize" : "");
    for (int r = 0; r < job->size; r++) {
        const struct job_rank *rank = &job->ranks[r];
        const char *name;
        json_t *peers;
        if (rank->vm < 0) {
            printf("    rank %d: not known to any agent\n", r);
            continue;
        }
        printf("    rank %d in %s (process %d): %s", r, agent_vm(agents[rank->vm]), rank->pid,
               rank->state);
        json_object_foreach(rank->transports, name, peers)
        {
            printf(" %s:%lld", name, (long long)json_integer_value(peers));
        }
        printf("\n");
    }
}

static void print_status(struct session *session)
{
    struct survey_vm *vms = survey_vms(session->survey);
    const struct jobs *jobs = survey_jobs(session->survey);
    for (int i = 0; i < session->cluster->n_vms; i++) {
        const struct vmm *vmm = vms[i].vmm;
        if (vmm->site < 0) {
            printf("%s\n", vms[i].vmm_err.message);
            continue;
        }
        printf("%s runs at %s%s%s\n", vmm_name(vmm), session->cluster->sites[vmm->site].name,
               vmm->has_device ? " with device " : "",
               vmm->has_device ? vmm_entry(vmm)->device_id : "");
        if (ninja_error_is_set(&vms[i].agent_err)) {
            printf("    %s\n", vms[i].agent_err.message);
        } else {
            print_interconnects(vms[i].interconnects);
        }
    }
    for (int i = 0; i < jobs->n; i++) {
        print_job(&jobs->jobs[i], survey_agents(session->survey));
    }
    for (int i = 0; i < jobs->n_unmanaged; i++) {
        const struct unmanaged *it = &jobs->unmanaged[i];
        printf("%s: process %d (%s)%s%s holds %s and is no rank that can be switched\n",
               session->cluster->vms[it->vm], it->pid, it->command, it->job[0] ? " of job " : "",
               it->job, it->open);
    }
}

int cmd_status(const struct args *args)
{
    struct session session;
    int code = session_open_to_look(&session, args);
    if (code != EXIT_DONE) {
        return code;
    }
    session_survey(&session, NULL);
    struct record record;
    bool interrupted = lock_holder(args->state_dir, session.cluster->name) == 0 &&
                       record_find(args->state_dir, session.cluster, NULL, &record, NULL);
    if (args->json) {
        json_t *json = survey_to_json(session.survey);
        if (interrupted) {
            json_object_set_new(json, "interrupted",
                                json_pack("{s:s, s:s, s:s}", "id", record.id, "state", record.state,
                                          "to", session.cluster->sites[record.to].name));
        }
        print_object(json);
    } else {
        print_status(&session);
        if (interrupted) {
            printf(
                "migration %s to %s was interrupted while it was %s: ninjactl resume, or abort\n",
                record.id, session.cluster->sites[record.to].name, record.state);
        }
    }
    if (interrupted) {
        record_clear(&record);
    }
    code = survey_is_complete(session.survey, NULL) ? EXIT_DONE : EXIT_FAILED;
    session_close(&session);
    return code;
}

/* ---- plan ---- */

int cmd_plan(const struct args *args)
{
    struct session session;
    struct ninja_error err = NINJA_ERROR_INIT;
    struct migration_options options = {.mode = args->mode};
    int code = session_open_to_look(&session, args);
    if (code != EXIT_DONE) {
        return code;
    }
    options.to = cluster_find_site(session.cluster, args->word, &err);
    if (options.to >= 0) {
        session_survey(&session, NULL);
        if (migration_check(session.survey, session.cluster, &options, &err)) {
            size_t i;
            json_t *line, *plan = migration_plan(session.survey, session.cluster, &options);
            json_array_foreach(plan, i, line)
            {
                if (!args->json) {
                    printf("%2zu. %s\n", i + 1, json_string_value(line));
                }
            }
            if (args->json) {
                print_json(plan);
            }
            json_decref(plan);
        }
    }
    if (ninja_error_is_set(&err)) {
        complain(&err);
        code = EXIT_REFUSED;
    }
    session_close(&session);
    return code;
}

/* ---- check ---- */

struct checks {
    json_t *list;
    bool failed;
};

static void note(struct checks *checks, bool ok, const char *about, const char *text,
                 const char *mend)
{
    checks->failed |= !ok;
    json_array_append_new(checks->list, json_pack("{s:s, s:b, s:o, s:s}", "about", about, "ok", ok,
                                                  "text", json_text(text), "mend", mend));
}

static void check_vm(struct checks *checks, struct session *session, int i)
{
    const struct survey_vm *vm = &survey_vms(session->survey)[i];
    const char *name = session->cluster->vms[i];
    char text[400];
    if (vm->vmm->site < 0) {
        note(checks, false, name, vm->vmm_err.message,
             "start the VM, or correct the key \"qmp\" or \"agent\" in the cluster file");
        return;
    }
    snprintf(text, sizeof(text), "runs at %s, %s", session->cluster->sites[vm->vmm->site].name,
             vm->vmm->has_device          ? "with its bypass device"
             : vmm_entry(vm->vmm)->device ? "without the device that the cluster file names"
                                          : "which has no bypass device for it");
    bool as_named = vm->vmm->has_device || vmm_entry(vm->vmm)->device == NULL;
    note(checks, true, name, text,
         as_named ? "" : "plug the device in; a migration away works without it, too");
    if (ninja_error_is_set(&vm->agent_err)) {
        note(checks, false, name, vm->agent_err.message,
             "start ninja-agent in the VM and give the VM a virtio-serial port "
             "org.ninja.agent.0");
        return;
    }
    snprintf(text, sizeof(text), "agent %s answers (%s)", agent_version(vm->agent),
             agent_hostname(vm->agent));
    note(checks, true, name, text, "");
    if (strcmp(agent_version(vm->agent), PACKAGE_VERSION) != 0) {
        snprintf(text, sizeof(text), "the agent's version is %s, ours %s", agent_version(vm->agent),
                 PACKAGE_VERSION);
        note(checks, true, name, text, "install the same version on both sides");
    }
}

static bool has_active_port(json_t *interconnects)
{
    size_t i;
    json_t *port;
    json_array_foreach(json_object_get(interconnects, "rdma"), i, port)
    {
        const char *state = json_string_value(json_object_get(port, "state"));
        if (state != NULL && strcmp(state, "ACTIVE") == 0) {
            return true;
        }
    }
    return false;
}

static void check_link(struct checks *checks, struct session *session, int i)
{
    const struct survey_vm *vm = &survey_vms(session->survey)[i];
    if (vm->interconnects != NULL && vm->vmm->has_device && !has_active_port(vm->interconnects)) {
        note(checks, true, session->cluster->vms[i],
             "has a bypass device, but no RDMA port is ACTIVE in the guest",
             "look at its driver and cable, and at the attach scripts in /etc/ninja/agent.d");
    }
}

static void check_jobs(struct checks *checks, struct session *session)
{
    const struct jobs *jobs = survey_jobs(session->survey);
    struct ninja_error err = NINJA_ERROR_INIT;
    char text[400];
    if (!jobs_are_complete(jobs, &err)) {
        note(checks, false, "jobs", err.message,
             "wait until all ranks are through MPI_Init; name every VM of the job in the cluster "
             "file");
    } else {
        snprintf(text, sizeof(text), "%d MPI job%s can be switched", jobs->n,
                 jobs->n == 1 ? "" : "s");
        note(checks, true, "jobs", text, "");
    }
    err = (struct ninja_error)NINJA_ERROR_INIT;
    if (!jobs_none_unmanaged(jobs, NULL, survey_agents(session->survey), &err)) {
        note(checks, false, "jobs", err.message, "start jobs with mpirun --mca crcp ninja");
    }
}

static void check_destination(struct checks *checks, struct session *session, int to)
{
    const struct cluster *cluster = session->cluster;
    const struct cluster_site *site = &cluster->sites[to];
    char text[400];
    for (int i = 0; i < cluster->n_vms; i++) {
        const struct vmm *vmm = survey_vms(session->survey)[i].vmm;
        if (vmm->site == to || site->vms[i].qmp == NULL) {
            continue;
        }
        bool waits = json_lines_answers(site->vms[i].qmp);
        snprintf(text, sizeof(text), "%s can be received at %s: %s", cluster->vms[i], site->name,
                 site->prepare ? "the command \"prepare\" starts a QEMU"
                 : waits       ? "a QEMU answers there"
                               : "no QEMU answers there and there is no command \"prepare\"");
        note(checks, site->prepare != NULL || waits, site->name, text,
             "start the receiving QEMU with -incoming defer, or give the site a \"prepare\"");
    }
}

static void check_state_dir(struct checks *checks, const struct args *args, struct session *session)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    int lock = lock_take(args->state_dir, session->cluster->name, &err);
    if (lock >= 0) {
        lock_release(lock);
        note(checks, true, "host", "the state directory can be written", "");
    } else {
        note(checks, false, "host", err.message, "name another one with --state-dir");
    }
}

static void print_checks(const struct checks *checks)
{
    size_t i;
    json_t *check;
    json_array_foreach(checks->list, i, check)
    {
        bool ok = json_is_true(json_object_get(check, "ok"));
        const char *mend = json_string_value(json_object_get(check, "mend"));
        printf("%-4s %s: %s\n",
               !ok       ? "FAIL"
               : mend[0] ? "note"
                         : "ok",
               json_string_value(json_object_get(check, "about")),
               json_string_value(json_object_get(check, "text")));
        if (mend[0] != '\0') {
            printf("       to mend it: %s\n", mend);
        }
    }
}

int cmd_check(const struct args *args)
{
    struct session session;
    struct ninja_error err = NINJA_ERROR_INIT;
    struct checks checks = {.list = json_array()};
    int code = session_open_to_look(&session, args), to = -1;
    if (code != EXIT_DONE) {
        json_decref(checks.list);
        return code;
    }
    if (args->word != NULL && (to = cluster_find_site(session.cluster, args->word, &err)) < 0) {
        complain(&err);
        json_decref(checks.list);
        session_close(&session);
        return EXIT_REFUSED;
    }
    session_survey(&session, NULL);
    note(&checks, true, "host", "the cluster file is right", "");
    check_state_dir(&checks, args, &session);
    for (int i = 0; i < session.cluster->n_vms; i++) {
        check_vm(&checks, &session, i);
        check_link(&checks, &session, i);
    }
    check_jobs(&checks, &session);
    if (to >= 0) {
        check_destination(&checks, &session, to);
    }
    if (args->json) {
        print_json(checks.list);
    } else {
        print_checks(&checks);
    }
    json_decref(checks.list);
    session_close(&session);
    return checks.failed ? EXIT_FAILED : EXIT_DONE;
}
