/*
 * report and list: what migrations left in the state directory.
 */
#include "host-hook/ninjactl.h"
#include "host-hook/report.h"

int cmd_report(const struct args *args)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    json_t *report = report_read(args->state_dir, args->word, &err);
    if (report == NULL) {
        complain(&err);
        return EXIT_FAILED;
    }
    if (args->json) {
        print_json(report);
    } else {
        report_print(stdout, report);
    }
    json_decref(report);
    return EXIT_DONE;
}

static const char *text_of(json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

int cmd_list(const struct args *args)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    json_t *list = report_list(args->state_dir, &err);
    size_t i;
    json_t *line;
    if (list == NULL) {
        complain(&err);
        return EXIT_FAILED;
    }
    if (args->json) {
        print_json(list);
    } else {
        json_array_foreach(list, i, line)
        {
            printf("%-20s %-7s %s -> %s  %s%s%s\n", text_of(line, "id"), text_of(line, "mode"),
                   text_of(line, "from"), text_of(line, "to"), text_of(line, "outcome"),
                   text_of(line, "reason")[0] ? ": " : "", text_of(line, "reason"));
        }
    }
    json_decref(list);
    return EXIT_DONE;
}
