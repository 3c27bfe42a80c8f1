/*
 * The connection to the agent. Only the thread that is at the safe point uses it. While no thread
 * is there, the lookout waits for something to read, or, if there is no agent, until it is time to
 * try again.
 */
#include "ompi_config.h"

#include "crcp_ninja.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fault.h"
#include "ompi/mca/rte/rte.h"
#include "ompi/runtime/params.h"

#define RETRY_SECONDS 2

static struct {
    int fd;
    int passed; /* the descriptor that came with the last message, or -1 */
    bool refused;
    int64_t next_try_ms;
    pthread_mutex_t lock; /* of fd, for agent_link_send_apart() */
} link_ = {.fd = -1, .passed = -1, .lock = PTHREAD_MUTEX_INITIALIZER};

bool agent_link_is_up(void)
{
    return link_.fd >= 0;
}

int agent_link_descriptor(void)
{
    return link_.passed;
}

static void close_passed(void)
{
    if (link_.passed >= 0) {
        close(link_.passed);
        link_.passed = -1;
    }
}

static void set_fd(int fd)
{
    pthread_mutex_lock(&link_.lock);
    if (link_.fd >= 0) {
        close(link_.fd);
    }
    link_.fd = fd;
    pthread_mutex_unlock(&link_.lock);
}

static void disconnect(void)
{
    close_passed();
    set_fd(-1);
}

static void try_again_later(void)
{
    link_.next_try_ms = now_ms() + 1000;
}

static void lost(const char *why)
{
    ninja_verbose(1, "lost the agent: %s", why);
    disconnect();
    try_again_later();
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

static int say_hello(int fd)
{
    char text[512];
    struct ninja_rank_pair rank = {OMPI_PROC_MY_NAME->vpid, ompi_process_info.num_procs};
    snprintf(text, sizeof(text), "%s\n%s", job_name(), NINJA_VERSION);
    struct ninja_rank_msg hello = {
        .type = NINJA_RANK_HELLO,
        .arg = (uint32_t)getpid(),
        .epoch = steps_epoch(),
        .status = steps_state(),
        .n_a = 1,
        .a = &rank,
        .text = text,
    };
    return ninja_rank_send(fd, &hello);
}

static int connect_to_agent(void)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    size_t length = strlen(ninja_params.agent_socket);
    if (length >= sizeof(addr.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(addr.sun_path, ninja_params.agent_socket, length + 1);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -1;
    }
    int size = (int)NINJA_RANK_MAX_MESSAGE;
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0 || say_hello(fd) != 0) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

/* Waits for the answer to hello. Returns it, or NULL with a reason. */
static const char *await_welcome(int fd, int milliseconds)
{
    static char reason[256];
    struct pollfd p = {fd, POLLIN, 0};
    struct ninja_rank_msg msg;

    if (poll(&p, 1, milliseconds) <= 0) {
        return "no answer to hello in time";
    }
    if (ninja_rank_recv(fd, MSG_DONTWAIT, &msg, NULL) <= 0) {
        return "no sensible answer to hello (is it of the same version?)";
    }
    const char *why = NULL;
    if (msg.type == NINJA_RANK_REFUSED) {
        snprintf(reason, sizeof(reason), "%s", msg.text);
        link_.refused = true;
        why = reason;
    } else if (msg.type != NINJA_RANK_WELCOME) {
        why = "it speaks another protocol";
    }
    ninja_rank_msg_clear(&msg);
    return why;
}

static const char *connect_and_greet(int milliseconds)
{
    int fd = connect_to_agent();
    if (fd < 0) {
        return strerror(errno);
    }
    const char *why = await_welcome(fd, milliseconds);
    if (why != NULL) {
        close(fd);
        return why;
    }
    set_fd(fd);
    ninja_verbose(1, "the agent at %s knows this rank", ninja_params.agent_socket);
    return NULL;
}

/* A retry must not hold up the application: the answer is waited for only a moment. */
static void retry(void)
{
    if (link_.fd < 0 && !link_.refused) {
        const char *why = connect_and_greet(200);
        if (why != NULL) {
            ninja_verbose(10, "no agent at %s: %s", ninja_params.agent_socket, why);
            try_again_later();
        }
    }
}

static void retry_if_due(void)
{
    if (link_.fd < 0 && now_ms() >= link_.next_try_ms) {
        retry();
    }
}

void agent_link_open(void)
{
    const char *why = connect_and_greet(ninja_params.hello_timeout);
    if (why == NULL) {
        return;
    }
    ninja_warn("%s ninja-agent at %s: %s. The job runs, but %s",
               link_.refused ? "refused by the" : "no", ninja_params.agent_socket, why,
               link_.refused ? "cannot be migrated."
                             : "cannot be migrated until the agent is started.");
    try_again_later();
}

void agent_link_close(void)
{
    disconnect();
}

void agent_link_watch(void)
{
    if (link_.fd >= 0) {
        lookout_watch(link_.fd, -1);
    } else if (!link_.refused) {
        lookout_watch(-1, RETRY_SECONDS * 1000);
    }
}

bool agent_link_receive(struct ninja_rank_msg *msg)
{
    retry_if_due();
    if (link_.fd < 0) {
        return false;
    }
    close_passed();
    int rc = ninja_rank_recv(link_.fd, MSG_DONTWAIT, msg, &link_.passed);
    if (rc == 1 && ninja_fault(NINJA_FAULT_MESSAGE, "%s received",
                               ninja_rank_type_name(msg->type)) == NINJA_FAULT_LOST) {
        ninja_rank_msg_clear(msg);
        return agent_link_receive(msg);
    }
    if (rc == 1) {
        ninja_verbose(20, "%s, epoch %u round %u", ninja_rank_type_name(msg->type), msg->epoch,
                      msg->round);
        return true;
    }
    if (rc == 0) {
        lost("it closed the connection");
    } else if (errno != EAGAIN) {
        lost(strerror(errno));
    }
    return false;
}

void agent_link_send(const struct ninja_rank_msg *msg)
{
    enum ninja_fault fault =
        ninja_fault(NINJA_FAULT_MESSAGE, "%s sent", ninja_rank_type_name(msg->type));
    if (fault == NINJA_FAULT_LOST) {
        return;
    }
    if (fault == NINJA_FAULT_REPEATED && link_.fd >= 0) {
        ninja_rank_send(link_.fd, msg);
    }
    if (link_.fd >= 0 && ninja_rank_send(link_.fd, msg) != 0) {
        lost(strerror(errno));
    }
}

bool agent_link_send_apart(const struct ninja_rank_msg *msg)
{
    pthread_mutex_lock(&link_.lock);
    bool sent = link_.fd >= 0 && ninja_rank_send(link_.fd, msg) == 0;
    pthread_mutex_unlock(&link_.lock);
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
