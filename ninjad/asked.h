/*
 * Where VMs are to be, as the arguments of a call say it: `site`, `vms`, or `host` and `to`.
 */
#ifndef NINJAD_ASKED_H
#define NINJAD_ASKED_H

#include "ninjad/calls.h"

/**
 * Whether one of them is given, and the cluster has all that they name.
 *
 * @return false with err: class ERR_BAD_ARGUMENT or ERR_NOT_FOUND
 */
bool asked_check(const struct call *call, struct ninja_error *err);

/** The command of ninjactl that does it. */
const char *asked_command(const struct call *call);

/** Adds its words; what comes before them is only options. */
void asked_add_words(const struct call *call, struct command_line *line);

/** All in one text, as the journal has it; to be freed. */
char *asked_text(const struct call *call);

#endif
