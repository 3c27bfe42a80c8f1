#include "ninjad/asked.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/base/memory.h"

static json_t *argument(const struct call *call, const char *name)
{
    return json_object_get(call->args, name);
}

/* ---- checking ---- */

static bool not_found(const struct ninja_error *why, struct ninja_error *err)
{
    return ninja_error_set(err, ERR_NOT_FOUND, "%s", why->message);
}

static bool has_place(const struct call *call, const char *name, struct ninja_error *err)
{
    struct ninja_error why = NINJA_ERROR_INIT;
    return name == NULL || cluster_has_site(call->cluster, name, &why) || not_found(&why, err);
}

static bool has_all(const struct call *call, struct ninja_error *err)
{
    struct ninja_error why = NINJA_ERROR_INIT;
    const char *vm;
    json_t *place;
    size_t i;
    json_object_foreach(argument(call, "vms"), vm, place)
    {
        if (cluster_find_vm(call->cluster, vm, &why) < 0) {
            return not_found(&why, err);
        }
        if (!has_place(call, json_string_value(place), err)) {
            return false;
        }
    }
    json_array_foreach(argument(call, "to"), i, place)
    {
        if (!has_place(call, json_string_value(place), err)) {
            return false;
        }
    }
    return has_place(call, call_text(call, "site"), err) &&
           has_place(call, call_text(call, "host"), err);
}

bool asked_check(const struct call *call, struct ninja_error *err)
{
    bool host = argument(call, "host") != NULL;
    int n = (argument(call, "site") != NULL) + (argument(call, "vms") != NULL) + host;
    if (n != 1) {
        return ninja_error_set(err, ERR_BAD_ARGUMENT,
                               "expected either the argument \"site\", or \"vms\"%s",
                               strcmp(call->command->name, "plan") == 0 ? ", or \"host\"" : "");
    }
    if (argument(call, "to") != NULL && !host) {
        return ninja_error_set(err, ERR_BAD_ARGUMENT, "\"to\" goes with \"host\" only");
    }
    return has_all(call, err);
}

/* ---- the words ---- */

const char *asked_command(const struct call *call)
{
    return argument(call, "host") != NULL ? "evacuate" : call->command->name;
}

/* VM=PLACE in the order of the cluster file, so that the same is always said in the same way. */
static void add_vms(const struct call *call, struct command_line *line)
{
    for (int i = 0; i < call->cluster->n_vms; i++) {
        const char *vm = call->cluster->vms[i];
        json_t *place = json_object_get(argument(call, "vms"), vm);
        if (place != NULL) {
            command_line_add(line, "%s=%s", vm, json_string_value(place));
        }
    }
}

void asked_add_words(const struct call *call, struct command_line *line)
{
    const char *site = call_text(call, "site"), *host = call_text(call, "host");
    if (site != NULL || host != NULL) {
        command_line_add(line, "%s", site != NULL ? site : host);
    } else {
        add_vms(call, line);
    }
}

char *asked_text(const struct call *call)
{
    struct command_line line = {.n = 0};
    size_t size = 0, i;
    char *text = NULL;
    json_t *to;
    FILE *out = xopen_stream(&text, &size);
    asked_add_words(call, &line);
    fprintf(out, "%s", asked_command(call));
    for (int word = 0; word < line.n; word++) {
        fprintf(out, " %s", line.words[word]);
    }
    json_array_foreach(argument(call, "to"), i, to)
    {
        fprintf(out, "%s%s", i == 0 ? " --to " : ",", json_string_value(to));
    }
    fclose(out);
    command_line_clear(&line);
    return text;
}
