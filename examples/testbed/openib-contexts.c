/*
 * Closes the verbs contexts that the test bed's openib component left open.
 *
 * librdmacm opens a context for each device and keeps it for the life of the process, and a
 * component that fails while it starts forgets the one it had opened. A device cannot be unplugged
 * while a process has a context of it. The component and a private copy of librdmacm.a are
 * linked into one object with --wrap, so that every context they open is noted here; the unloading
 * of that object, which is when the component is closed, closes the rest.
 */
#include <infiniband/verbs.h>
#include <pthread.h>
#include <stddef.h>

#define MAX_CONTEXTS 64

struct ibv_context *__real_ibv_open_device(struct ibv_device *device);
int __real_ibv_close_device(struct ibv_context *context);
struct ibv_context *__wrap_ibv_open_device(struct ibv_device *device);
int __wrap_ibv_close_device(struct ibv_context *context);

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

__attribute__((destructor)) static void close_contexts(void)
{
    for (size_t i = 0; i < MAX_CONTEXTS; i++) {
        if (contexts[i] != NULL)
            __real_ibv_close_device(contexts[i]);
        contexts[i] = NULL;
    }
}
