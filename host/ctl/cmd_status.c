/*
 * status: where VMs run, and the jobs in them. sites: what the cluster file names.
 */
#include <stdio.h>
#include <string.h>

#include "host/base/json_text.h"
#include "host/ctl/ninjactl.h"

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
               vmm->has_device ? " with device " : "", vmm->has_device ? vmm_device(vmm)->id : "");
        if (ninja_error_is_set(&vms[i].agent_err)) {
            printf("    %s\n", vms[i].agent_err.message);
        } else {
            show_interconnects(vms[i].interconnects);
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
                                          "to", record.to));
        }
        print_object(json);
    } else {
        print_status(&session);
        if (interrupted) {
            printf(
                "migration %s to %s was interrupted while it was %s: ninjactl resume, or abort\n",
                record.id, record.to, record.state);
        }
    }
    if (interrupted) {
        record_clear(&record);
    }
    code = survey_is_complete(session.survey, NULL) ? EXIT_DONE : EXIT_FAILED;
    session_close(&session);
    return code;
}

static void print_sites(json_t *sites, json_t *hosts)
{
    size_t i, j;
    json_t *site, *host;
    json_array_foreach(sites, i, site)
    {
        printf("%s\n", json_string_value(site));
        json_array_foreach(hosts, j, host)
        {
            if (strcmp(json_text_in(host, "site"), json_string_value(site)) == 0) {
                printf("  %s\n", json_text_in(host, "name"));
            }
        }
    }
}

int cmd_sites(const struct args *args)
{
    struct session session;
    int code = session_open(&session, args);
    if (code != EXIT_DONE) {
        return code;
    }
    json_t *all = cluster_to_json(session.cluster);
    if (args->json) {
        print_object(json_incref(all));
    } else {
        print_sites(json_object_get(all, "sites"), json_object_get(all, "hosts"));
    }
    json_decref(all);
    session_close(&session);
    return EXIT_DONE;
}
