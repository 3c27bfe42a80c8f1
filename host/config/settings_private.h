/*
 * Inside the settings: the values (settings.c), and what reads files into them (settings_file.c).
 */
#ifndef NINJA_SETTINGS_PRIVATE_H
#define NINJA_SETTINGS_PRIVATE_H

#include "host/config/settings.h"

enum layer {
    LAYER_DEFAULT,
    LAYER_SYSTEM,
    LAYER_USER,
    LAYER_ENVIRONMENT,
    LAYER_OPTION,
};

struct setting {
    const struct setting_info *info;
    bool own; /* of this program alone */
    char *text;
    int number;
    enum layer layer;
    char where[SETTINGS_MAX_TEXT + 32]; /* "FILE:LINE", "NINJA_MODE" or "--mode"; empty: default */
};

enum file_fate {
    FILE_UNUSED, /* there is no such place, as with HOME unset */
    FILE_MISSING,
    FILE_PASSED_OVER,
    FILE_READ,
};

struct settings_file {
    char path[SETTINGS_MAX_TEXT];
    enum file_fate fate;
    char why[80]; /* it was passed over */
};

struct settings {
    const char *program;
    struct setting *all;
    size_t n;
    struct settings_file files[2]; /* the system's, the user's */
};

struct setting *settings_find(const struct settings *settings, const char *name);

/**
 * Takes a value, unless a later layer has said it already.
 *
 * @return false with err, of the class: what was expected and found, without a place
 */
bool setting_take(struct setting *setting, const char *text, enum layer layer, const char *where,
                  enum ninja_error_class class, struct ninja_error *err);

/** What the type may be, for messages: "a whole number from 1 to 9". */
const char *setting_expected(const struct setting_info *info, char *text, size_t size);

/** Finds both files and reads them. */
bool settings_read_files(struct settings *settings, struct ninja_error *err);

#endif
