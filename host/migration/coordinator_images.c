/*
 * The steps that checkpoints and restarts have of their own.
 *
 * The memory of a VM goes through a socket between its VMM and ninja-image, which are both done
 * when one part of the step is: image_parts counts them. A failure of one ends the other, as its
 * end of the socket closes.
 *
 * A checkpoint has no point of no return: up to its manifest all that was done is taken back, and a
 * coordinator that takes it on does that, too. A restart has one, the first VM that runs. What does
 * not run before can be ended without a loss, as it is in its image still.
 */
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "host/base/memory.h"
#include "host/migration/coordinator_private.h"

static const struct vmm_images *images_of(const struct migration_vm *vm)
{
    return vm->vmm->driver->images;
}

static void on_driver_done(void *arg, const struct ninja_error *err)
{
    struct migration_vm *vm = arg;
    gather_done(&vm->m->gather, err);
}

/* In the second half: what did not work is a warning. */
static void on_taken_back(void *arg, const struct ninja_error *err)
{
    struct migration_vm *vm = arg;
    if (err != NULL) {
        add_warning(vm->m, err);
    }
    gather_done(&vm->m->gather, NULL);
}

static struct checkpoint_vm *checkpoint_vm_of(struct migration_vm *vm)
{
    struct checkpoint *checkpoint = vm->m->options.checkpoint;
    for (int i = 0; i < checkpoint->n; i++) {
        if (strcmp(checkpoint->vms[i].name, vmm_name(vm->vmm)) == 0) {
            return &checkpoint->vms[i];
        }
    }
    return NULL;
}

/* ---- the two parts of an image ---- */

static void image_over(struct migration_vm *vm)
{
    struct ninja_error err = vm->image_err;
    if (--vm->image_parts > 0) {
        return;
    }
    image_process_free(vm->image);
    vm->image = NULL;
    stage_end(vm);
    if (vm->m->abort_requested) {
        err = (struct ninja_error)NINJA_ERROR_INIT;
        ninja_error_set(&err, ERR_ABORTED, "aborted on request");
    }
    gather_done(&vm->m->gather, ninja_error_is_set(&err) ? &err : NULL);
}

/* The cause of what the other one says, unless it only saw that the other one had ended. */
static void on_image(void *arg, const struct image_sum *sum, const struct ninja_error *err)
{
    struct migration_vm *vm = arg;
    struct checkpoint_vm *saved = checkpoint_vm_of(vm);
    bool is_cause = err != NULL && err->class != ERR_CLOSED;
    if (is_cause || (err != NULL && !ninja_error_is_set(&vm->image_err))) {
        vm->image_err = *err;
        ninja_error_where(&vm->image_err, "%s", vmm_name(vm->vmm));
    } else if (err == NULL && vm->m->options.kind == OPERATION_CHECKPOINT) {
        saved->image = *sum;
    }
    image_over(vm);
}

static void on_memory(void *arg, const struct ninja_error *err)
{
    struct migration_vm *vm = arg;
    if (err != NULL && !ninja_error_is_set(&vm->image_err)) {
        vm->image_err = *err;
    }
    image_over(vm);
}

/* load: NULL, or what is loaded. Gives the VMM's end, or -1 if the VM's part of the step is over.
 */
static int begin_image(struct migration_vm *vm, const struct image_sum *load)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    int fd = -1;
    const struct checkpoint *checkpoint = vm->m->options.checkpoint;
    char *path = checkpoint_image(checkpoint, vmm_name(vm->vmm));
    vm->image_err = (struct ninja_error)NINJA_ERROR_INIT;
    vm->image = image_process_start(vm->m->base, path, load, checkpoint->key,
                                    timeout_of(vm->m, TIMEOUT_COPY), &fd, on_image, vm, &err);
    free(path);
    if (vm->image == NULL) {
        stage_end(vm);
        gather_done(&vm->m->gather, &err);
        return -1;
    }
    vm->image_parts = 2;
    return fd;
}

/* The second half takes it back once more, and waits for it. */
static void on_ended_early(void *arg, const struct ninja_error *err)
{
}

void abort_images(struct migration *m)
{
    bool saves = m->options.kind == OPERATION_CHECKPOINT;
    for (int i = 0; i < m->n; i++) {
        struct migration_vm *vm = &m->vms[i];
        if (vm->image != NULL) {
            const struct vmm_images *images = images_of(vm);
            image_process_stop(vm->image);
            (saves ? images->proceed : images->discard)(vm->vmm, on_ended_early, vm);
        }
    }
}

/* ---- checkpoint ---- */

void stop_vm(struct migration_vm *vm)
{
    images_of(vm)->stop(vm->vmm, on_driver_done, vm);
}

void save_vm(struct migration_vm *vm)
{
    int fd = begin_image(vm, NULL);
    if (fd >= 0) {
        images_of(vm)->save(vm->vmm, fd, vm->m->options.mode == MODE_LIVE, on_memory, vm);
    }
}

void begin_manifest(struct migration *m)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    if (!checkpoint_write(m->options.checkpoint, &err)) {
        step_failed(m, &err);
        return;
    }
    if (!is_going_back(m)) {
        state_set(&m->states, STATE_ATTACHING);
    }
    step_done(m);
}

void proceed_vm(struct migration_vm *vm)
{
    images_of(vm)->proceed(vm->vmm, on_taken_back, vm);
}

/* One that is written was interrupted afterwards, and is kept. */
void begin_forget(struct migration *m)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    const struct checkpoint *checkpoint = m->options.checkpoint;
    if (!checkpoint_is_written(checkpoint) && !checkpoint_remove(checkpoint, &err) &&
        err.class != ERR_NOT_FOUND) {
        step_failed(m, &err);
    } else {
        step_done(m);
    }
}

/* ---- restart ---- */

/* Where another coordinator loaded it, there is nothing left to do for it. */
void load_vm(struct migration_vm *vm)
{
    const struct checkpoint_vm *saved = checkpoint_vm_of(vm);
    struct ninja_error err = NINJA_ERROR_INIT;
    if (vm->vmm->loaded || saved == NULL) {
        if (!vm->vmm->loaded) {
            ninja_error_set(&err, ERR_OPERATOR,
                            "%s was not loaded when the coordinator ended, and others run already; "
                            "end all QEMUs of the cluster, and restart it again",
                            vmm_name(vm->vmm));
        }
        stage_end(vm);
        gather_done(&vm->m->gather, ninja_error_is_set(&err) ? &err : NULL);
        return;
    }
    int fd = begin_image(vm, &saved->image);
    if (fd >= 0) {
        images_of(vm)->load(vm->vmm, fd, on_memory, vm);
    }
}

static void on_started(void *arg, const struct ninja_error *err)
{
    struct migration_vm *vm = arg;
    if (err == NULL) {
        vm_arrived(vm);
    }
    gather_done(&vm->m->gather, err);
}

static void start_vm(struct migration_vm *vm)
{
    images_of(vm)->start(vm->vmm, on_started, vm);
}

static void on_all_started(void *arg, const struct ninja_error *err)
{
    struct migration *m = arg;
    if (err != NULL && vms_moved(m) == 0) {
        step_failed(m, err);
        return;
    }
    if (err != NULL) { /* what runs is let run, and the rest is for the operator, who is told */
        add_warning(m, err);
    }
    state_set(&m->states, STATE_ATTACHING);
    step_done(m);
}

static bool is_to_be_started(const struct facts *facts, const struct vm_facts *vm)
{
    return vm->moves && vm->loaded;
}

void begin_start(struct migration *m)
{
    each_vm(m, is_to_be_started, STAGE_NONE, start_vm, on_all_started);
}

void discard_vm(struct migration_vm *vm)
{
    images_of(vm)->discard(vm->vmm, on_taken_back, vm);
}

static void on_clock_set(void *arg, json_t *result, const struct ninja_error *err)
{
    on_taken_back(arg, err);
}

void set_clock_of_vm(struct migration_vm *vm)
{
    agent_execute(vm->agent, "guest-set-time",
                  json_pack("{s:I}", "time", (json_int_t)wall_clock_us() * 1000),
                  timeout_of(vm->m, TIMEOUT_COMMAND), on_clock_set, vm);
}
