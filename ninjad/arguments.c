#include "ninjad/arguments.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/base/memory.h"
#include "host/config/cluster.h"
#include "host/journal/journal.h"

#define DIGITS   "0123456789"
#define LETTERS  "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define MAX_LIST 1024

/* ---- checking ---- */

static bool is_of(const char *text, const char *allowed, size_t max)
{
    size_t len = text != NULL ? strspn(text, allowed) : 0;
    return len > 0 && len <= max && text[len] == '\0';
}

/* So that it is no option, and no path. */
static bool is_name(const char *text)
{
    return is_of(text, LETTERS DIGITS "._-", CLUSTER_MAX_NAME) && text[0] != '-' && text[0] != '.';
}

static bool is_choice(const char *text, const char *choices)
{
    char word[40];
    return is_of(text, LETTERS, sizeof(word) - 3) &&
           snprintf(word, sizeof(word), " %s ", text) > 0 && strstr(choices, word) != NULL;
}

static bool wrong(struct ninja_error *err, const char *name, const char *expected)
{
    return ninja_error_set(err, ERR_BAD_ARGUMENT, "\"%s\" must be %s", name, expected);
}

static bool is_number(json_t *value, json_int_t min, json_int_t max)
{
    return json_is_integer(value) && json_integer_value(value) >= min &&
           json_integer_value(value) <= max;
}

static bool check_timeouts(json_t *value, const char *name, struct ninja_error *err)
{
    const char *key;
    json_t *ms;
    if (!json_is_object(value)) {
        return wrong(err, name, "an object of milliseconds by the names of time-outs");
    }
    json_object_foreach(value, key, ms)
    {
        int i = 0;
        while (i < TIMEOUTS && strcmp(cluster_timeout_name((enum timeout)i), key) != 0) {
            i++;
        }
        if (i == TIMEOUTS) {
            return ninja_error_set(err, ERR_BAD_ARGUMENT,
                                   "\"%s\": there is no time-out \"%.40s\"; see ninja-cluster(5)",
                                   name, key);
        }
        if (!is_number(ms, 1, CLUSTER_MAX_TIMEOUT_MS)) {
            return ninja_error_set(
                err, ERR_BAD_ARGUMENT,
                "\"%s\": \"%s\" must be a whole number of milliseconds from 1 to "
                "%d",
                name, key, CLUSTER_MAX_TIMEOUT_MS);
        }
    }
    return true;
}

static bool check_names(json_t *value, const char *name, int max, struct ninja_error *err)
{
    char expected[64];
    size_t i;
    json_t *one;
    bool ok = json_array_size(value) > 0 && json_array_size(value) <= (size_t)max;
    json_array_foreach(value, i, one)
    {
        ok = ok && is_name(json_string_value(one));
    }
    snprintf(expected, sizeof(expected), "a list of 1 to %d names", max);
    return ok || wrong(err, name, expected);
}

static bool check_places(json_t *value, const char *name, struct ninja_error *err)
{
    const char *vm;
    json_t *place;
    bool ok = json_object_size(value) > 0 && json_object_size(value) <= CLUSTER_MAX_VMS;
    json_object_foreach(value, vm, place)
    {
        ok = ok && is_name(vm) && is_name(json_string_value(place));
    }
    return ok || wrong(err, name, "an object of names of sites and hosts by the names of VMs");
}

static bool check(json_t *value, const struct argument *argument, struct ninja_error *err)
{
    const char *text = json_string_value(value);
    char expected[200];
    switch (argument->kind) {
    case ARGUMENT_NAME:
        return is_name(text) ||
               wrong(err, argument->name,
                     "a name: letters, digits, \".\", \"_\" and \"-\", not beginning with \".\" or "
                     "\"-\"");
    case ARGUMENT_NAMES:
        return check_names(value, argument->name, argument->max, err);
    case ARGUMENT_PLACES:
        return check_places(value, argument->name, err);
    case ARGUMENT_ID:
        return is_of(text, DIGITS "-", JOURNAL_ID_SIZE - 1) ||
               wrong(err, argument->name, "the ID of a migration, as list shows it");
    case ARGUMENT_KEY:
        snprintf(expected, sizeof(expected), "1 to %d letters, digits and \"._:/@+-\"",
                 JOURNAL_MAX_KEY);
        return (text != NULL && journal_key_is_valid(text)) || wrong(err, argument->name, expected);
    case ARGUMENT_LIST:
        return is_of(text, LETTERS DIGITS "_,:+./@-", MAX_LIST) ||
               wrong(err, argument->name,
                     "a list as of ninjactl switch, such as \"vader,tcp,self\"");
    case ARGUMENT_CHOICE:
        snprintf(expected, sizeof(expected), "one of the words:%.*s",
                 (int)strlen(argument->choices) - 1, argument->choices);
        return is_choice(text, argument->choices) || wrong(err, argument->name, expected);
    case ARGUMENT_NUMBER:
        snprintf(expected, sizeof(expected), "a whole number from 0 to %d", argument->max);
        return is_number(value, 0, argument->max) || wrong(err, argument->name, expected);
    case ARGUMENT_FLAG:
        return json_is_boolean(value) || wrong(err, argument->name, "true or false");
    case ARGUMENT_TIMEOUTS:
        return check_timeouts(value, argument->name, err);
    }
    return false;
}

static bool unknown(const char *key, const struct argument *table, struct ninja_error *err)
{
    char known[300] = "";
    for (const struct argument *it = table; it->name != NULL; it++) {
        size_t len = strlen(known);
        snprintf(known + len, sizeof(known) - len, "%s%s", len > 0 ? ", " : "", it->name);
    }
    return ninja_error_set(err, ERR_BAD_ARGUMENT,
                           "there is no argument \"%.60s\" here; there are: %s", key,
                           known[0] != '\0' ? known : "none");
}

bool arguments_check(json_t *given, const struct argument *table, struct ninja_error *err)
{
    const char *key;
    json_t *value;
    json_object_foreach(given, key, value)
    {
        const struct argument *argument = table;
        while (argument->name != NULL && strcmp(argument->name, key) != 0) {
            argument++;
        }
        if (argument->name == NULL) {
            return unknown(key, table, err);
        }
        if (!check(value, argument, err)) {
            return false;
        }
    }
    for (const struct argument *it = table; it->name != NULL; it++) {
        if (it->required && json_object_get(given, it->name) == NULL) {
            return ninja_error_set(err, ERR_BAD_ARGUMENT, "the argument \"%s\" is missing",
                                   it->name);
        }
    }
    return true;
}

/* ---- the command line ---- */

void command_line_add(struct command_line *line, const char *fmt, ...)
{
    va_list ap;
    if (line->n == COMMAND_LINE_MAX) {
        abort(); /* the tables of arguments have no room for so many */
    }
    va_start(ap, fmt);
    line->words[line->n++] = xvasprintf(fmt, ap);
    va_end(ap);
}

void command_line_add_words(struct command_line *line, json_t *words)
{
    size_t i;
    json_t *word;
    json_array_foreach(words, i, word)
    {
        command_line_add(line, "%s", json_string_value(word));
    }
}

static void add_names(struct command_line *line, json_t *names, const char *option)
{
    char *text = NULL;
    size_t size = 0, i;
    json_t *name;
    FILE *out = xopen_stream(&text, &size);
    json_array_foreach(names, i, name)
    {
        fprintf(out, "%s%s", i > 0 ? "," : "", json_string_value(name));
    }
    fclose(out);
    command_line_add(line, "%s=%s", option, text);
    free(text);
}

static void add_option(struct command_line *line, json_t *value, const struct argument *argument)
{
    const char *name;
    json_t *ms;
    switch (argument->kind) {
    case ARGUMENT_NUMBER:
        command_line_add(line, "%s=%lld", argument->option, (long long)json_integer_value(value));
        break;
    case ARGUMENT_FLAG:
        if (json_is_true(value)) {
            command_line_add(line, "%s", argument->option);
        }
        break;
    case ARGUMENT_NAMES:
        add_names(line, value, argument->option);
        break;
    case ARGUMENT_TIMEOUTS:
        json_object_foreach(value, name, ms)
        {
            command_line_add(line, "%s=%s=%lld", argument->option, name,
                             (long long)json_integer_value(ms));
        }
        break;
    default:
        command_line_add(line, "%s=%s", argument->option, json_string_value(value));
    }
}

void command_line_add_options(struct command_line *line, json_t *given,
                              const struct argument *table)
{
    for (const struct argument *it = table; it->name != NULL; it++) {
        json_t *value = json_object_get(given, it->name);
        if (value != NULL && it->option != NULL) {
            add_option(line, value, it);
        }
    }
}

void command_line_clear(struct command_line *line)
{
    for (int i = 0; i < line->n; i++) {
        free(line->words[i]);
    }
    line->n = 0;
}
