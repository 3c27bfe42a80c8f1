/*
 * The text after QEMU's -device: "DRIVER,key=value,...", where ",," stands for a comma.
 */
#ifndef NINJA_DEVICE_H
#define NINJA_DEVICE_H

#include <jansson.h>

#include "common/error.h"

/**
 * Turns the text into the arguments of QMP's device_add, all values as strings.
 *
 * @return a new object with "driver" and "id", or NULL with err (class ERR_DEVICE) saying what was
 *         expected
 */
json_t *device_parse(const char *text, struct ninja_error *err);

#endif
