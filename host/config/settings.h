/*
 * What a program is set to, from five layers, each of which goes before those above it here:
 *
 *     default       the table below
 *     system        /etc/ninja/ninja.conf
 *     user          ~/.config/ninja/ninja.conf
 *     environment   NINJA_<NAME>, in capitals and with _ for -
 *     option        the command line
 *
 * Both files may say what is for all programs at the top, and what is for one of them in a group of
 * its name, which goes before the top. See ninja.conf(5).
 */
#ifndef NINJA_SETTINGS_H
#define NINJA_SETTINGS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "common/error.h"

#define SETTINGS_STATE_DIR "/var/lib/ninja" /* where migrations leave journal and report */
#define SETTINGS_CHECKPOINT_DIR SETTINGS_STATE_DIR "/checkpoints"
#define SETTINGS_MAX_FILE  (64 * 1024)
#define SETTINGS_MAX_TEXT  1024

enum setting_type {
    SETTING_TEXT,   /* not empty */
    SETTING_WORD,   /* one of some */
    SETTING_NUMBER, /* a whole number */
    SETTING_TIME,   /* milliseconds, or with a unit: ms, s, min */
    SETTING_FLAG,   /* true or false */
};

struct setting_info {
    const char *name;
    enum setting_type type;
    const char *initial; /* as one would write it */
    int min, max;        /* of a number; of a time in ms */
    const char *words;   /* "one|two" */
    const char *help;
};

/* Those of all programs of the host side: settings_shared.c. */
extern const struct setting_info settings_shared[];
extern const size_t settings_n_shared;

struct settings;

/**
 * All at their defaults.
 *
 * @param program  names its group in the files; borrowed, as is `own`
 * @param own      settings that only this program has; they stand in its group alone
 */
struct settings *settings_new(const char *program, const struct setting_info *own, size_t n_own);

/**
 * Takes a value from the command line, before or after settings_read().
 *
 * @param option  as it was given, "--mode"; borrowed
 * @return false with err, class ERR_USAGE
 */
bool settings_give(struct settings *settings, const char *name, const char *value,
                   const char *option, struct ninja_error *err);

/* An option of the command line that is a setting. A table of them ends with one without a name. */
struct setting_option {
    int id;
    const char *option, *setting;
    const char *gives; /* what it sets; NULL: its value */
};

/**
 * Takes the option with that id; settings_give() of what the table says of it.
 *
 * @param known  out: whether the table has it; otherwise nothing was taken
 */
bool settings_give_option(struct settings *settings, const struct setting_option *table, int id,
                          const char *value, bool *known, struct ninja_error *err);

/**
 * Reads the files and the environment. A file that is missing says nothing; the user's one is
 * passed over if it belongs to somebody else, as with sudo. NINJA_CONFIG names another file in
 * place of the system's; empty: none.
 *
 * @return false with err, class ERR_CONFIG: "FILE:LINE: ..." or "NINJA_X: ..."
 */
bool settings_read(struct settings *settings, struct ninja_error *err);

/** The value as text; borrowed. As with settings_number(), the name must be in a table. */
const char *settings_text(const struct settings *settings, const char *name);

/** A number, a time in ms, a flag as 0 or 1, or the place of a word among those there are. */
int settings_number(const struct settings *settings, const char *name);

/** Each setting with its value and where that is from, in the syntax of the file. */
void settings_print(const struct settings *settings, FILE *out);

/** A new object: "files" and "settings"; docs/ninjactl-json.md. */
json_t *settings_to_json(const struct settings *settings);

/** NULL is allowed. */
void settings_free(struct settings *settings);

#endif
