#include "host/checkpoint/image_process.h"

#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/process.h"
#include "host/base/json_text.h"
#include "host/base/memory.h"

#define MAX_ANSWER 8192

struct image_process {
    struct process *process;
    int output;
    image_done done;
    void *arg;
};

static json_t *answer_of(const struct image_process *process)
{
    char text[MAX_ANSWER];
    ssize_t n = pread(process->output, text, sizeof(text), 0);
    return n > 0 ? json_loadb(text, (size_t)n, JSON_DISABLE_EOF_CHECK, NULL) : NULL;
}

static void take_error(json_t *answer, int status, struct ninja_error *err)
{
    json_t *error = json_object_get(answer, "error");
    if (error != NULL) {
        ninja_error_set(err, ninja_error_class_of(json_text_in(error, "class")), "%s",
                        json_text_in(error, "desc"));
    } else {
        ninja_error_set(err, ERR_COMMAND, "ninja-image ended with %s %d",
                        WIFSIGNALED(status) ? "signal" : "status",
                        WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    }
}

static void on_ended(void *arg, int status, bool timed_out)
{
    struct image_process *process = arg;
    struct ninja_error err = NINJA_ERROR_INIT;
    struct image_sum sum = {0};
    json_int_t bytes, stored;
    const char *blake2b;
    json_t *answer = answer_of(process);
    if (timed_out) {
        ninja_error_set(&err, ERR_TIMEOUT, "the image was not complete in time");
    } else if (status == 0 && json_unpack(answer, "{s:I, s:I, s:s}", "bytes", &bytes, "stored",
                                          &stored, "blake2b", &blake2b) == 0) {
        sum.bytes = bytes;
        sum.stored = stored;
        snprintf(sum.blake2b, sizeof(sum.blake2b), "%s", blake2b);
    } else {
        take_error(answer, status, &err);
    }
    json_decref(answer);
    bool ok = !ninja_error_is_set(&err);
    process->done(process->arg, ok ? &sum : NULL, ok ? NULL : &err);
}

static struct process *start(struct event_base *base, const char *path,
                             const struct image_sum *load, const struct image_key *key, int input,
                             int timeout_ms, struct image_process *process, struct ninja_error *err)
{
    char bytes[24], stored[24], blake2b[CHECKSUM_SIZE];
    char save_word[] = "save", load_word[] = "load";
    char *argv[] = {(char *)process_program("NINJA_IMAGE", NINJA_IMAGE_PROGRAM),
                    save_word,
                    (char *)path,
                    (char *)(key != NULL ? key->path : IMAGE_KEY_NONE),
                    (char *)(key != NULL ? key->id : ""),
                    NULL,
                    NULL,
                    NULL,
                    NULL};
    if (load != NULL) {
        snprintf(bytes, sizeof(bytes), "%lld", (long long)load->bytes);
        snprintf(stored, sizeof(stored), "%lld", (long long)load->stored);
        snprintf(blake2b, sizeof(blake2b), "%s", load->blake2b);
        argv[1] = load_word;
        argv[5] = bytes;
        argv[6] = stored;
        argv[7] = blake2b;
    }
    struct process_options options = {argv,          environ,   input, process->output,
                                      STDERR_FILENO, timeout_ms};
    return process_start(base, &options, on_ended, process, err);
}

struct image_process *image_process_start(struct event_base *base, const char *path,
                                          const struct image_sum *load, const struct image_key *key,
                                          int timeout_ms, int *fd, image_done done, void *arg,
                                          struct ninja_error *err)
{
    int pair[2];
    struct image_process *process = xcalloc(1, sizeof(*process));
    process->done = done;
    process->arg = arg;
    process->output = memfd_create("answer", MFD_CLOEXEC);
    if (process->output < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        ninja_error_set(err, ERR_COMMAND, "ninja-image: %m");
        image_process_free(process);
        return NULL;
    }
    process->process = start(base, path, load, key, pair[1], timeout_ms, process, err);
    close(pair[1]);
    if (process->process == NULL) {
        close(pair[0]);
        image_process_free(process);
        return NULL;
    }
    *fd = pair[0];
    return process;
}

void image_process_stop(struct image_process *process)
{
    process_stop(process->process);
}

void image_process_free(struct image_process *process)
{
    if (process == NULL) {
        return;
    }
    if (process->process != NULL) {
        process_free(process->process);
    }
    if (process->output >= 0) {
        close(process->output);
    }
    free(process);
}
