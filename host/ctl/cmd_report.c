/*
 * report: what a migration left in the state directory, or two of them side by side.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/base/whole_file.h"
#include "host/ctl/ninjactl.h"
#include "host/report/report.h"
#include "host/report/report_figures.h"
#include "host/report/report_html.h"

static json_t *read_report(const struct args *args, const char *id)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    json_t *report = report_read(args->state_dir, id, &err);
    json_int_t version = json_integer_value(json_object_get(report, "version"));
    if (report != NULL && !args->json && version > REPORT_VERSION) {
        ninja_error_set(&err, ERR_STATE,
                        "the report is of version %lld, and this program knows version %d; a newer "
                        "ninjactl shows it, or --json as it is",
                        (long long)version, REPORT_VERSION);
        json_decref(report);
        report = NULL;
    }
    if (report == NULL) {
        complain(&err);
    }
    return report;
}

/* Also as /dev/stdout, or whatever else it is called: then it is written to, not replaced. */
static bool is_standard_output(const char *file)
{
    struct stat named, standard;
    return file == NULL || strcmp(file, "-") == 0 ||
           (stat(file, &named) == 0 && fstat(STDOUT_FILENO, &standard) == 0 &&
            named.st_dev == standard.st_dev && named.st_ino == standard.st_ino);
}

static int write_page(const struct args *args, char *page, size_t size)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    if (!is_standard_output(args->html_file)) {
        whole_file_write_to(args->html_file, page, size, &err);
    } else {
        fwrite(page, 1, size, stdout);
    }
    free(page);
    if (ninja_error_is_set(&err)) {
        complain(&err);
        return EXIT_FAILED;
    }
    return EXIT_DONE;
}

static int show(const struct args *args, json_t *report)
{
    size_t size = 0;
    if (args->html) {
        char *page = report_html(report, &size);
        return write_page(args, page, size);
    }
    if (args->json) {
        print_json(report);
    } else {
        report_print(stdout, report);
    }
    return EXIT_DONE;
}

static int compare(const struct args *args, json_t *first, json_t *second)
{
    size_t size = 0;
    if (args->html) {
        char *page = report_html_compare(first, second, &size);
        return write_page(args, page, size);
    }
    if (args->json) {
        print_object(compare_to_json(first, second));
    } else {
        compare_print(stdout, first, second);
    }
    return EXIT_DONE;
}

int cmd_report(const struct args *args)
{
    if (args->json && args->html) {
        complain_of("--json or --html, not both");
        return EXIT_USAGE;
    }
    json_t *first = args->compare != NULL ? read_report(args, args->compare) : NULL;
    if (args->compare != NULL && first == NULL) {
        return EXIT_FAILED;
    }
    json_t *report = read_report(args, args->word);
    int code = report == NULL  ? EXIT_FAILED
               : first != NULL ? compare(args, first, report)
                               : show(args, report);
    json_decref(first);
    json_decref(report);
    return code;
}
