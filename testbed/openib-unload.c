/*
 * Makes the test bed's openib component safe to unload, and to end one connection of many, which
 * switches of the transports do.
 *
 * Contexts: librdmacm opens a verbs context for each device and keeps it for the life of the
 * process, and a component that fails while it starts forgets the one it had opened. A device
 * cannot be unplugged while a process has a context of it. The component and a private copy of
 * librdmacm.a are linked into one object with --wrap, so that every context they open is noted
 * here; the unloading of that object closes the rest.
 *
 * Callbacks: closing the component waits until the progress thread of OPAL has said that it
 * disconnected an endpoint, but not until it has returned from the callback that says so, which
 * would then run in code that is gone. So the unloading waits for the thread's next event.
 *
 * Tasks: the component has the main thread do things, such as telling of an error, by events that
 * may still wait when it is unloaded. It gets events of ours, which the unloading takes back.
 *
 * Events: what destroys an id takes its events away that nobody has read yet, also the one for
 * which the progress thread is about to read the channel. That read would wait for good, and the
 * rank with it, so the channels do not block.
 */
#define _GNU_SOURCE
#include <event2/event.h>
#include <fcntl.h>
#include <infiniband/verbs.h>
#include <rdma/rdma_cma.h>
#include <pthread.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#define MAX_CONTEXTS 64
/* A process that exits in the progress thread would wait for itself. */
#define THREAD_LIMIT_MS 5000

/* opal/runtime/opal_progress_threads.h; NULL is the thread that all components share. */
struct event_base *opal_progress_thread_init(const char *name);
int opal_progress_thread_finalize(const char *name);
/* opal/mca/event/event.h: what the main thread runs. */
extern struct event_base *opal_sync_event_base;
#define OUT_OF_RESOURCE (-2) /* opal/constants.h */

struct ibv_context *__real_ibv_open_device(struct ibv_device *device);
int __real_ibv_close_device(struct ibv_context *context);
struct ibv_context *__wrap_ibv_open_device(struct ibv_device *device);
int __wrap_ibv_close_device(struct ibv_context *context);
int __real_rdma_accept(struct rdma_cm_id *id, struct rdma_conn_param *parameters);
int __real_ibv_destroy_qp(struct ibv_qp *qp);
int __wrap_rdma_accept(struct rdma_cm_id *id, struct rdma_conn_param *parameters);
int __wrap_ibv_destroy_qp(struct ibv_qp *qp);

int __wrap_mca_btl_openib_run_in_main(void *(*function)(void *), void *arg);
struct rdma_event_channel *__real_rdma_create_event_channel(void);
struct rdma_event_channel *__wrap_rdma_create_event_channel(void);

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct ibv_context *contexts[MAX_CONTEXTS];

static void replace(const struct ibv_context *old, struct ibv_context *new)
{
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < MAX_CONTEXTS; i++) {
        if (contexts[i] == old) {
            contexts[i] = new;
            break;
        }
    }
    pthread_mutex_unlock(&lock);
}

struct ibv_context *__wrap_ibv_open_device(struct ibv_device *device)
{
    struct ibv_context *context = __real_ibv_open_device(device);

    if (context != NULL)
        replace(NULL, context);
    return context;
}

int __wrap_ibv_close_device(struct ibv_context *context)
{
    replace(context, NULL);
    return __real_ibv_close_device(context);
}

struct rdma_event_channel *__wrap_rdma_create_event_channel(void)
{
    struct rdma_event_channel *channel = __real_rdma_create_event_channel();

    if (channel != NULL)
        fcntl(channel->fd, F_SETFL, fcntl(channel->fd, F_GETFL) | O_NONBLOCK);
    return channel;
}

/* Has a callback get the end of a pipe in the progress thread, and waits until it has closed that.
 */
static void in_progress_thread(event_callback_fn callback, void *arg)
{
    int ends[2];
    struct event_base *base = opal_progress_thread_init(NULL);

    if (base == NULL || pipe2(ends, O_CLOEXEC) != 0)
        return;
    struct event *event = event_new(base, ends[1], EV_WRITE, callback, arg);
    if (event != NULL && event_add(event, NULL) == 0) {
        struct pollfd other = {.fd = ends[0], .events = POLLIN};

        poll(&other, 1, THREAD_LIMIT_MS);
        event_free(event);
    }
    close(ends[0]);
    opal_progress_thread_finalize(NULL);
}

/*
 * The event's callback must not be code of this object either: it is close() itself, which has
 * the pipe's end as its first argument.
 */
static void wait_for_callbacks(void)
{
    in_progress_thread((event_callback_fn)(void (*)(void))close, NULL);
}

struct accepted {
    struct accepted *next;
    struct rdma_cm_id *id;
};
static struct accepted *accepted;

int __wrap_rdma_accept(struct rdma_cm_id *id, struct rdma_conn_param *parameters)
{
    int rc = __real_rdma_accept(id, parameters);
    struct accepted *new = rc == 0 ? malloc(sizeof(*new)) : NULL;

    if (new != NULL) {
        pthread_mutex_lock(&lock);
        *new = (struct accepted){accepted, id};
        accepted = new;
        pthread_mutex_unlock(&lock);
    }
    return rc;
}

static struct rdma_cm_id *take_accepted(const struct ibv_qp *qp)
{
    struct rdma_cm_id *id = NULL;

    pthread_mutex_lock(&lock);
    for (struct accepted **at = &accepted; id == NULL && *at != NULL;) {
        struct accepted *one = *at;
        if (one->id->qp == qp) {
            id = one->id;
            *at = one->next;
            free(one);
        } else {
            at = &one->next;
        }
    }
    pthread_mutex_unlock(&lock);
    return id;
}

static void destroy_id(int end, short what, void *id)
{
    rdma_destroy_id(id);
    close(end);
}

int __wrap_ibv_destroy_qp(struct ibv_qp *qp)
{
    struct rdma_cm_id *id = take_accepted(qp);

    if (id != NULL)
        in_progress_thread(destroy_id, id);
    return __real_ibv_destroy_qp(qp);
}

struct task {
    struct task *next;
    struct event *event;
    void *(*function)(void *);
    void *arg;
};
static struct task *tasks;

static void forget(struct task *task)
{
    pthread_mutex_lock(&lock);
    for (struct task **at = &tasks; *at != NULL; at = &(*at)->next) {
        if (*at == task) {
            *at = task->next;
            break;
        }
    }
    pthread_mutex_unlock(&lock);
    event_free(task->event);
    free(task);
}

static void run_task(int fd, short what, void *arg)
{
    struct task task = *(struct task *)arg;

    forget(arg);
    task.function(task.arg);
}

int __wrap_mca_btl_openib_run_in_main(void *(*function)(void *), void *arg)
{
    struct task *task = calloc(1, sizeof(*task));

    if (task == NULL)
        return OUT_OF_RESOURCE;
    task->event = event_new(opal_sync_event_base, -1, EV_READ, run_task, task);
    if (task->event == NULL) {
        free(task);
        return OUT_OF_RESOURCE;
    }
    task->function = function;
    task->arg = arg;
    pthread_mutex_lock(&lock);
    task->next = tasks;
    tasks = task;
    event_active(task->event, EV_READ, 1);
    pthread_mutex_unlock(&lock);
    return 0;
}

static void take_tasks_back(void)
{
    while (tasks != NULL)
        forget(tasks);
}

static void close_contexts(void)
{
    for (size_t i = 0; i < MAX_CONTEXTS; i++) {
        if (contexts[i] != NULL)
            __real_ibv_close_device(contexts[i]);
        contexts[i] = NULL;
    }
}

__attribute__((destructor)) static void before_unloading(void)
{
    wait_for_callbacks();
    take_tasks_back();
    close_contexts();
}
