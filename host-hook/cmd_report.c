/*
 * report: what a migration left in the state directory.
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
