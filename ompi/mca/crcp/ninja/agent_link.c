/*
 * The connection to the agent, which is a struct rank_link. Only the thread that is at the safe
 * point uses it, but for agent_link_send_apart(). While no thread is there, the lookout waits for
 * something to read, or, if there is no agent, until it is time to try again.
 */
#include "ompi_config.h"

#include "crcp_ninja.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/rank_link.h"
#include "ompi/mca/rte/rte.h"

#define RETRY_SECONDS 2
#define RETRY_WAIT_MS 200 /* a retry must not hold up the application */

static struct rank_link link_ = {.fd = -1, .passed = -1};
/* What may close the descriptor is done under it, for agent_link_send_apart(). */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

bool agent_link_is_up(void)
{
    return link_.fd >= 0;
}

int agent_link_descriptor(void)
{
    return link_.passed;
}

static const char *job_name(void)
{
    static char number[16];
    const char *name = getenv("PMIX_NAMESPACE");
    if (name == NULL || *name == '\0') {
        snprintf(number, sizeof(number), "%u", (unsigned)OMPI_PROC_MY_NAME->jobid);
        name = number;
    }
    return name;
}

static void connect_and_greet(int milliseconds)
{
    pthread_mutex_lock(&lock);
    if (rank_link_connect(&link_)) {
        rank_link_await(&link_, milliseconds);
    }
    pthread_mutex_unlock(&lock);
}

static void retry_if_due(void)
{
    if (rank_link_wait_ms(&link_) == 0) {
        connect_and_greet(RETRY_WAIT_MS);
    }
}

void agent_link_open(const struct member *member)
{
    const struct rank_identity who = {
        .path = ninja_params.agent_socket,
        .job = job_name(),
        .version = NINJA_VERSION,
        .rank = OMPI_PROC_MY_NAME->vpid,
        .size = ompi_process_info.num_procs,
        .member = member,
    };
    rank_link_init(&link_, &who, steps_say, NULL);
    connect_and_greet(ninja_params.hello_timeout);
    if (link_.state == RANK_LINK_UP) {
        return;
    }
    bool refused = link_.state == RANK_LINK_REFUSED;
    ninja_warn("%s ninja-agent at %s: %s. The job runs, but %s", refused ? "refused by the" : "no",
               ninja_params.agent_socket, link_.why,
               refused ? "cannot be migrated." : "cannot be migrated until the agent is started.");
}

void agent_link_close(void)
{
    pthread_mutex_lock(&lock);
    rank_link_close(&link_);
    pthread_mutex_unlock(&lock);
}

void agent_link_watch(void)
{
    if (link_.fd >= 0) {
        lookout_watch(link_.fd, -1);
    } else if (link_.state != RANK_LINK_REFUSED) {
        lookout_watch(-1, RETRY_SECONDS * 1000);
    }
}

bool agent_link_receive(struct ninja_rank_msg *msg)
{
    retry_if_due();
    pthread_mutex_lock(&lock);
    bool came = rank_link_receive(&link_, msg);
    pthread_mutex_unlock(&lock);
    return came;
}

void agent_link_send(const struct ninja_rank_msg *msg)
{
    pthread_mutex_lock(&lock);
    rank_link_send(&link_, msg);
    pthread_mutex_unlock(&lock);
}

bool agent_link_send_apart(const struct ninja_rank_msg *msg)
{
    pthread_mutex_lock(&lock);
    bool sent = link_.fd >= 0 && ninja_rank_send(link_.fd, msg) == 0;
    pthread_mutex_unlock(&lock);
    return sent;
}

void agent_link_wait(int milliseconds)
{
    if (link_.fd >= 0) {
        struct pollfd p = {link_.fd, POLLIN, 0};
        poll(&p, 1, milliseconds);
        return;
    }
    poll(NULL, 0, milliseconds);
    retry_if_due();
}
