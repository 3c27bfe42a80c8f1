/*
 * What two hosts say of a VM that moves, and what follows of that.
 *
 * A VM that has been sent is paused at its destination, and nobody but us lets it run there, once
 * its source was seen to be off. So a source that runs never went, and one that is off has gone.
 *
 *     source says          destination says          it is
 *     running              nothing, shut off         at the source
 *     running              paused                    at the source, with a copy to be removed
 *     running, at work     anything but running      on its way
 *     paused to migrate,   anything but running      on its way
 *       at work
 *     paused to migrate    paused to migrate         on its way
 *     paused to migrate    paused                    sent, and the source is stuck
 *     nothing, shut off    paused                    sent
 *     nothing, shut off,   running                   arrived
 *       paused to migrate
 *     split, broken        paused to migrate         on its way
 *     split, broken,       split, broken             split
 *       paused to migrate
 *     nothing, shut off    split                     split
 *     broken               broken                    broken
 *     split, broken        running                   arrived
 *
 * One that changes sides in the middle of the copy (post-copy) is let run at the destination by
 * libvirt, and is never let run again at the source by it: it is split, or broken if the two hosts
 * lost each other.
 *
 * Everything else is for the operator, as is a VM that the journal says ran at the destination and
 * that does not run there now; and a host that does not answer says nothing.
 */
#include <stdio.h>

#include "host/vmm/driver_libvirt.h"

#define AGAIN_MS 1000

static bool is_off(const struct domain_seen *seen)
{
    return seen->state == DOMAIN_ABSENT || seen->state == DOMAIN_SHUT_OFF;
}

static enum verdict judge_running(const struct domain_seen *source,
                                  const struct domain_seen *destination)
{
    if (source->job) {
        return VERDICT_ON_ITS_WAY;
    }
    return is_off(destination) ? VERDICT_AT_SOURCE : VERDICT_LEFTOVER;
}

static enum verdict judge_stopped(const struct domain_seen *source,
                                  const struct domain_seen *destination)
{
    if (source->job || destination->state == DOMAIN_MIGRATING) {
        return VERDICT_ON_ITS_WAY;
    }
    return destination->state == DOMAIN_PAUSED ? VERDICT_STUCK : VERDICT_OPERATOR;
}

static bool has_part(const struct domain_seen *seen)
{
    return seen->state == DOMAIN_SPLIT || seen->state == DOMAIN_BROKEN;
}

/* One of them has a part of its memory. */
static enum verdict judge_parts(const struct domain_seen *source,
                                const struct domain_seen *destination)
{
    if (!has_part(destination)) {
        return destination->state == DOMAIN_RUNNING     ? VERDICT_ARRIVED
               : destination->state == DOMAIN_MIGRATING ? VERDICT_ON_ITS_WAY
                                                        : VERDICT_OPERATOR;
    }
    if (is_off(source)) {
        return destination->state == DOMAIN_SPLIT ? VERDICT_SPLIT : VERDICT_OPERATOR;
    }
    if (!has_part(source) && source->state != DOMAIN_MIGRATING) {
        return VERDICT_OPERATOR;
    }
    bool broken = source->state == DOMAIN_BROKEN && destination->state == DOMAIN_BROKEN;
    return broken ? VERDICT_BROKEN : VERDICT_SPLIT;
}

static enum verdict judge(const struct domain_seen *source, const struct domain_seen *destination)
{
    if (source->state == DOMAIN_UNKNOWN || destination->state == DOMAIN_UNKNOWN) {
        return VERDICT_UNKNOWN;
    }
    if (destination->state == DOMAIN_OTHER) {
        return VERDICT_OPERATOR;
    }
    if (has_part(source) || has_part(destination)) {
        return judge_parts(source, destination);
    }
    if (destination->state == DOMAIN_RUNNING) {
        return is_off(source) || source->state == DOMAIN_MIGRATING ? VERDICT_ARRIVED
                                                                   : VERDICT_OPERATOR;
    }
    if (source->state == DOMAIN_RUNNING) {
        return judge_running(source, destination);
    }
    if (source->state == DOMAIN_MIGRATING) {
        return judge_stopped(source, destination);
    }
    return is_off(source) && destination->state == DOMAIN_PAUSED ? VERDICT_SENT : VERDICT_OPERATOR;
}

enum verdict libvirt_judge(const struct domain_seen *source, const struct domain_seen *destination,
                           bool ran_there)
{
    enum verdict verdict = judge(source, destination);
    bool may_be = verdict == VERDICT_UNKNOWN || verdict == VERDICT_ARRIVED ||
                  verdict == VERDICT_SPLIT || verdict == VERDICT_BROKEN;
    return ran_there && !may_be ? VERDICT_OPERATOR : verdict;
}

/* ---- adopt ---- */

static void adopt_at_source(struct libvirt_vm *v, enum vmm_move move)
{
    v->vmm.site = v->vmm.from;
    v->vmm.from = -1;
    vmm_has_seen_device(&v->vmm, libvirt_seen(v, v->vmm.site)->device);
    vmm_set_move(&v->vmm, move);
    v->copy.begun = v->copy.uncertain = true;
    libvirt_end(v, v->vmm.site, NULL);
}

static void adopt_at_destination(struct libvirt_vm *v, enum vmm_move move)
{
    v->vmm.site = v->vmm.to;
    vmm_has_seen_device(&v->vmm, libvirt_seen(v, v->vmm.to)->device);
    v->vmm.committed = true;
    vmm_set_move(&v->vmm, move);
    libvirt_end(v, v->vmm.site, NULL);
}

static void ask_operator(struct libvirt_vm *v, enum verdict verdict)
{
    const char *from = libvirt_site_name(v, v->vmm.from), *to = libvirt_site_name(v, v->vmm.to);
    struct ninja_error err = NINJA_ERROR_INIT;
    char text[360];
    libvirt_describe(v, v->vmm.from, v->vmm.to, text, sizeof(text));
    if (verdict == VERDICT_UNKNOWN) {
        ninja_error_set(&err, ERR_OPERATOR,
                        "it cannot be told where %s is to run on, as a host does not answer (%s); "
                        "nothing was touched. Give the command again when both hosts do",
                        vmm_name(&v->vmm), text);
    } else {
        ninja_error_set(&err, ERR_OPERATOR,
                        "it cannot be told where %s is to run on (%s)%s; nothing was touched. If "
                        "it runs at %s, or did, virsh resume is for the one there and virsh "
                        "destroy for the one at %s; only if it certainly never ran there, it is "
                        "the other way round. Then give the command again",
                        vmm_name(&v->vmm), text, v->ran_there ? ": it has run there" : "", to,
                        from);
    }
    v->vmm.site = v->vmm.from;
    libvirt_end(v, -1, &err);
}

static void on_seen(struct libvirt_vm *v);

static void look_again(evutil_socket_t fd, short what, void *arg)
{
    struct libvirt_vm *v = arg;
    timer_free(&v->poll);
    libvirt_look_at_both(v, on_seen);
}

static void on_seen(struct libvirt_vm *v)
{
    enum verdict verdict =
        libvirt_judge(libvirt_seen(v, v->vmm.from), libvirt_seen(v, v->vmm.to), v->ran_there);
    switch (verdict) {
    case VERDICT_AT_SOURCE:
    case VERDICT_LEFTOVER:
        adopt_at_source(v, VMM_AT_SOURCE);
        return;
    case VERDICT_ON_ITS_WAY:
    case VERDICT_SENT:
    case VERDICT_STUCK:
        adopt_at_source(v, VMM_ON_ITS_WAY);
        return;
    case VERDICT_ARRIVED:
        adopt_at_destination(v, VMM_ARRIVED);
        return;
    case VERDICT_SPLIT:
    case VERDICT_BROKEN:
        adopt_at_destination(v, VMM_SPLIT);
        return;
    case VERDICT_UNKNOWN:
    case VERDICT_OPERATOR:
        if (v->asked_again) {
            ask_operator(v, verdict);
            return;
        }
        /* The two answered one after the other, and it may have moved in between. */
        v->asked_again = true;
        libvirt_poll(v, AGAIN_MS, look_again);
        return;
    }
}

void libvirt_adopt(struct vmm *vmm, int from, int to, bool ran_there, vmm_done done, void *arg)
{
    struct libvirt_vm *v = (struct libvirt_vm *)vmm;
    vmm->site = vmm->from = from;
    vmm->to = to;
    vmm_set_move(vmm, VMM_AT_SOURCE);
    v->ran_there = ran_there;
    libvirt_begin(v, LV_ADOPT, done, arg);
    look_again(-1, 0, v);
}
