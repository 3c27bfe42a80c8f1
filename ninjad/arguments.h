/*
 * The arguments of a command: each is checked against a table, and becomes an option of ninjactl.
 */
#ifndef NINJAD_ARGUMENTS_H
#define NINJAD_ARGUMENTS_H

#include <jansson.h>

#include "common/error.h"
#include "host/config/cluster.h"

enum argument_kind {
    ARGUMENT_NAME,     /* of a cluster, site or host */
    ARGUMENT_NAMES,    /* a list of them */
    ARGUMENT_PLACES,   /* {VM: site or host} */
    ARGUMENT_ID,       /* of a migration */
    ARGUMENT_KEY,      /* see journal_key_is_valid() */
    ARGUMENT_LIST,     /* of BTLs */
    ARGUMENT_CHOICE,   /* one of the words of `choices` */
    ARGUMENT_NUMBER,   /* from 0 to max */
    ARGUMENT_FLAG,     /* true or false */
    ARGUMENT_TIMEOUTS, /* {NAME: ms} */
};

struct argument {
    const char *name; /* NULL ends a table */
    enum argument_kind kind;
    const char *option; /* of ninjactl, with its dashes; NULL: it becomes none */
    int max;            /* of a number, or how many names */
    const char *choices; /* each between blanks */
    bool required;
};

/** Whether the object (NULL: none was given) has only what the table has. False with err (class
 * ERR_BAD_ARGUMENT). */
bool arguments_check(json_t *given, const struct argument *table, struct ninja_error *err);

/* The words of a command line, which are freed with it. */
#define COMMAND_LINE_MAX (64 + CLUSTER_MAX_VMS)

struct command_line {
    char *words[COMMAND_LINE_MAX + 1]; /* with NULL after the last one */
    int n;
};

void command_line_add(struct command_line *line, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/** Adds the options that checked arguments stand for. */
void command_line_add_options(struct command_line *line, json_t *given,
                              const struct argument *table);

/** Adds the strings of an array; NULL: none. */
void command_line_add_words(struct command_line *line, json_t *words);

void command_line_clear(struct command_line *line);

#endif
