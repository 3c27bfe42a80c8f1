/*
 * Where each VM goes that is to move, and which device it gets there, as far as what was asked for
 * leaves a choice.
 */
#ifndef NINJA_CHOICE_H
#define NINJA_CHOICE_H

#include "host/config/placement.h"
#include "host/migration/survey.h"

/**
 * Chooses `to` of a placement, and the devices of the VMs of the survey. A VM that is at a place to
 * which it may go stays there.
 *
 * @return false with err: class ERR_NO_ROOM names who has no room where, and what lacks there;
 *         ERR_NOTHING_TO_DO if nobody is at a host that is to be left; or why a VM was not located
 */
bool choice_make(struct placement *placement, const struct cluster *cluster, struct survey *survey,
                 struct ninja_error *err);

#endif
