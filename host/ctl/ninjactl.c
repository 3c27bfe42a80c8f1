/*
 * ninjactl: the command. Its words and options are in commands.c; here they are parsed.
 */
#include "config.h"

#include "host/ctl/ninjactl.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/fault.h"
#include "common/log.h"
#include "common/output.h"
#include "host/base/memory.h"
#include "host/base/logs.h"
#include "host/config/transfer.h"

bool read_number(const char *where, const char *text, int min, int max, int *value)
{
    char *end;
    long n = strtol(text, &end, 10);
    if (end == text || *end != '\0' || n < min || n > max) {
        complain_of("%s: expected a whole number from %d to %d, found \"%s\"", where, min, max,
                    text);
        return false;
    }
    *value = (int)n;
    return true;
}

/* ---- where the value of an option goes ---- */

enum option_kind {
    IS_FLAG, /* given or not: to a bool */
    IS_TEXT,
    IS_NUMBER, /* to an int, within limits */
    IS_COUNT,  /* the same, and at least 1 */
    IS_KEY,    /* a text that the journal takes for one */
    IS_TIMEOUT,
};

/* Those of commands that are no settings. */
struct option_target {
    enum option_id id;
    enum option_kind kind;
    size_t offset;        /* in struct args */
    int max;              /* of a number or count; the least is 0 or 1, unless ... */
    const char *transfer; /* ... the limits are those of this number of struct transfer */
};

#define TARGET(member) offsetof(struct args, member)

static const struct option_target targets[] = {
    {OPT_JSON, IS_FLAG, TARGET(json), 0, NULL},
    {OPT_POSTCOPY, IS_FLAG, TARGET(postcopy), 0, NULL},
    {OPT_POSTCOPY_AFTER_PRECOPY, IS_FLAG, TARGET(postcopy), 0, NULL},
    {OPT_POSTCOPY_IF_STUCK, IS_FLAG, TARGET(postcopy_if_stuck), 0, NULL},
    {OPT_POSTCOPY_BANDWIDTH, IS_NUMBER, TARGET(postcopy_bandwidth), 0, "post-copy-bandwidth"},
    {OPT_AUTO, IS_FLAG, TARGET(automatic), 0, NULL},
    {OPT_MAX_DOWNTIME, IS_COUNT, TARGET(max_downtime_ms), TRANSFER_MAX_DOWNTIME, NULL},
    {OPT_MAX_TOTAL, IS_COUNT, TARGET(max_total_s), 7 * 24 * 3600, NULL},
    {OPT_MAX_BYTES, IS_COUNT, TARGET(max_mib), 1000000000, NULL},
    {OPT_PRIORITY, IS_TEXT, TARGET(priority), 0, NULL},
    {OPT_PARALLEL, IS_NUMBER, TARGET(parallel), 0, "parallel"},
    {OPT_COMPRESS, IS_TEXT, TARGET(compress), 0, NULL},
    {OPT_DETACH, IS_FLAG, TARGET(detach), 0, NULL},
    {OPT_DRY_RUN, IS_FLAG, TARGET(dry_run), 0, NULL},
    {OPT_TO, IS_TEXT, TARGET(to), 0, NULL},
    {OPT_DUMP_CONFIG, IS_FLAG, TARGET(dump_config), 0, NULL},
    {OPT_NO_DISKS, IS_FLAG, TARGET(no_disks), 0, NULL},
    {OPT_KEEP, IS_COUNT, TARGET(keep), MAX_KEEP, NULL},
    {OPT_SET_CLOCK, IS_FLAG, TARGET(set_clock), 0, NULL},
    {OPT_SITE, IS_TEXT, TARGET(site), 0, NULL},
    {OPT_KEY, IS_KEY, TARGET(key), 0, NULL},
    {OPT_BTL, IS_TEXT, TARGET(btl), 0, NULL},
    {OPT_RELEASE, IS_TEXT, TARGET(release), 0, NULL},
    {OPT_BANDWIDTH, IS_NUMBER, TARGET(bandwidth), 0, "bandwidth"},
    {OPT_DOWNTIME_LIMIT, IS_NUMBER, TARGET(downtime_limit), 0, "downtime-limit"},
    {OPT_WAIT_TIMEOUT, IS_NUMBER, TARGET(wait_seconds), 7 * 24 * 3600, NULL},
    {OPT_HTML, IS_FLAG, TARGET(html), 0, NULL},
    {OPT_HTML, IS_TEXT, TARGET(html_file), 0, NULL},
    {OPT_COMPARE, IS_TEXT, TARGET(compare), 0, NULL},
    {OPT_LAST, IS_NUMBER, TARGET(last), 1000000, NULL},
    {OPT_TIMEOUT, IS_TIMEOUT, 0, 0, NULL},
};

static const char *name_of(enum option_id id)
{
    const struct option_info *option = ninjactl_options;
    while (option->id != id) {
        option++;
    }
    return option->name;
}

static bool set_number(const struct option_target *to, const char *text, int *value)
{
    int min = to->kind == IS_COUNT, max = to->max;
    char where[32];
    if (to->transfer != NULL) {
        const struct transfer_number *limits = transfer_number(to->transfer);
        min = limits->min;
        max = limits->max;
    }
    snprintf(where, sizeof(where), "--%s", name_of(to->id));
    return read_number(where, text, min, max, value);
}

static bool set_key(const char *text, const char **key)
{
    *key = text;
    if (!journal_key_is_valid(text)) {
        complain_of("--key: expected 1 to %d letters, digits and \"._:/@+-\"", JOURNAL_MAX_KEY);
        return false;
    }
    return true;
}

static bool add_timeout(struct args *args, const char *text)
{
    if (args->n_timeouts == MAX_TIMEOUT_OPTIONS) {
        complain_of("at most %d times --timeout", MAX_TIMEOUT_OPTIONS);
        return false;
    }
    args->timeouts[args->n_timeouts++] = text;
    return true;
}

static bool set_target(struct args *args, const struct option_target *to, const char *text)
{
    void *target = (char *)args + to->offset;
    switch (to->kind) {
    case IS_FLAG:
        *(bool *)target = true;
        return true;
    case IS_TEXT:
        *(const char **)target = text;
        return true;
    case IS_NUMBER:
    case IS_COUNT:
        return set_number(to, text, target);
    case IS_KEY:
        return set_key(text, target);
    case IS_TIMEOUT:
        return add_timeout(args, text);
    }
    return false;
}

static bool set_option(struct args *args, enum option_id id, const char *value)
{
    bool known = false, ok = true;
    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]) && ok; i++) {
        if (targets[i].id == id) {
            known = true;
            ok = set_target(args, &targets[i], value);
        }
    }
    return known && ok;
}

/* Options that are settings. */
static const struct setting_option option_settings[] = {
    {OPT_CLUSTER, "--cluster", "cluster-file", NULL},
    {OPT_STATE_DIR, "--state-dir", "state-dir", NULL},
    {OPT_MODE, "--mode", "mode", NULL},
    {OPT_STRICT, "--strict", "strict", "true"},
    {OPT_SYSFS, "--sysfs", "sysfs", NULL},
    {OPT_CHECKPOINT_DIR, "--checkpoint-dir", "checkpoint-dir", NULL},
    {OPT_KEY_FILE, "--key-file", "checkpoint-key", NULL},
    {OPT_NO_HOOKS, "--no-hooks", "hooks", "false"},
    {OPT_LOG_LEVEL, "--log-level", "log-level", NULL},
    {OPT_VERBOSE, "--verbose", "log-level", "debug"},
    {0},
};

static bool take_option(struct args *args, enum option_id id, const char *value)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    bool known;
    if (!settings_give_option(args->settings, option_settings, (int)id, value, &known, &err)) {
        complain(&err);
        return false;
    }
    return known || set_option(args, id, value);
}

static int value_of(const struct option_info *option)
{
    return option->value == NULL     ? no_argument
           : option->value[0] == '[' ? optional_argument
                                     : required_argument;
}

/* The word behind an option whose value may be left out is its value, unless it is an ID. */
static const char *value_behind(int argc, char **argv)
{
    const char *next = optind < argc ? argv[optind] : NULL;
    if (next == NULL || (next[0] == '-' && next[1] != '\0') || journal_is_id(next)) {
        return NULL;
    }
    optind++;
    return next;
}

/* In place of getopt_long(), which would write to standard error. word: where it stopped. */
static void complain_of_option(const struct command *command, const struct option *longs,
                               const char *word, bool lacks_value)
{
    const struct option *known = longs;
    while (known->name != NULL && known->val != optopt) {
        known++;
    }
    if (known->name != NULL) {
        complain_of("%s: option '--%s' %s", command->name, known->name,
                    lacks_value ? "requires an argument" : "takes no argument");
    } else if (optopt != 0) {
        complain_of("%s: unrecognized option '-%c'", command->name, optopt);
    } else {
        complain_of("%s: unrecognized option '%s'", command->name, word);
    }
}

/* -1: run the command; otherwise an exit code. */
static int parse(const struct command *command, int argc, char **argv, struct args *args)
{
    struct option longs[OPT_END] = {{0}}; /* the last one ends them */
    int n = 0, id;
    for (size_t i = 0; i < ninjactl_n_options; i++) {
        const struct option_info *option = &ninjactl_options[i];
        if (command->options & OPTION_BIT(option->id)) {
            longs[n++] = (struct option){option->name, value_of(option), NULL, (int)option->id};
        }
    }
    while ((id = getopt_long(argc, argv, ":v", longs, NULL)) != -1) {
        if (id == OPT_HELP) {
            print_help(stdout, command);
            return EXIT_DONE;
        }
        id = id == 'v' ? OPT_VERBOSE : id;
        if (id == OPT_HTML && optarg == NULL) {
            optarg = (char *)value_behind(argc, argv);
        }
        if (id == '?' || id == ':') {
            complain_of_option(command, longs, argv[optind - 1], id == ':');
        }
        if (id == '?' || id == ':' || !take_option(args, (enum option_id)id, optarg)) {
            fprintf(stderr, "Try ninjactl %s --help\n", command->name);
            return EXIT_USAGE;
        }
    }
    int words = argc - optind;
    bool several = command->word != NULL && strstr(command->word, "...") != NULL;
    if (words > (command->word ? 1 : 0) && !several) {
        complain_of("%s: unexpected argument \"%s\"", command->name, argv[argc - 1]);
        return EXIT_USAGE;
    }
    args->word = words ? argv[optind] : NULL;
    args->words = argv + optind;
    args->n_words = words;
    if (args->word == NULL && command->word != NULL && command->word[0] != '[' &&
        !args->dump_config) {
        complain_of("%s needs a %s; try ninjactl %s --help", command->name, command->word,
                    command->name);
        return EXIT_USAGE;
    }
    return -1;
}

static int dump_config(const struct args *args)
{
    if (args->json) {
        print_object(settings_to_json(args->settings));
    } else {
        settings_print(args->settings, stdout);
    }
    return EXIT_DONE;
}

static int run_with_settings(const struct command *command, struct args *args, bool *acts)
{
    const struct settings *settings = args->settings;
    struct ninja_error err = NINJA_ERROR_INIT;
    if (args->dump_config) {
        return dump_config(args);
    }
    args->cluster_file = settings_text(settings, "cluster-file");
    args->state_dir = settings_text(settings, "state-dir");
    args->sysfs = settings_text(settings, "sysfs");
    args->checkpoint_dir = settings_text(settings, "checkpoint-dir");
    args->key_file = settings_text(settings, "checkpoint-key");
    args->mode = (enum migration_mode)settings_number(settings, "mode");
    args->strict = settings_number(settings, "strict") != 0;
    ninja_log_init("ninjactl", (enum ninja_log_level)settings_number(settings, "log-level"));
    if (!log_to((enum log_target)settings_number(settings, "log"), "ninjactl", &err)) {
        complain(&err);
        return EXIT_CONFIG;
    }
    *acts = (command->flags & COMMAND_ACTS) != 0 && !args->dry_run;
    return command->run(args);
}

static int run(const struct command *command, int argc, char **argv, bool *acts)
{
    struct args args = {
        .settings = settings_new("ninjactl", ninjactl_settings, ninjactl_n_settings),
        .btl = "best",
        .release = "all",
        .bandwidth = -1,
        .postcopy_bandwidth = -1,
        .downtime_limit = -1,
        .parallel = -1,
        .wait_seconds = -1,
        .evacuates = (command->flags & COMMAND_EVACUATES) != 0,
    };
    struct ninja_error err = NINJA_ERROR_INIT;
    int code = parse(command, argc, argv, &args);
    if (code < 0 && settings_read(args.settings, &err)) {
        code = run_with_settings(command, &args, acts);
    } else if (code < 0) {
        complain(&err);
        code = EXIT_CONFIG;
    }
    settings_free(args.settings);
    return code;
}

/* acts: whether it is a command that acted, or tried to. */
static int take_words(int argc, char **argv, bool *acts)
{
    if (argc < 2) {
        print_usage(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) {
        print_usage(stdout);
        return EXIT_DONE;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("ninjactl %s\n", PACKAGE_VERSION);
        return EXIT_DONE;
    }
    for (int i = 1; i < argc && argv[1][0] == '-'; i++) {
        if (strcmp(argv[i], "--dump-config") == 0) {
            return run(&ninjactl_dump_config, argc, argv, acts);
        }
    }
    for (size_t i = 0; i < ninjactl_n_commands; i++) {
        if (strcmp(argv[1], ninjactl_commands[i].name) == 0) {
            return run(&ninjactl_commands[i], argc - 1, argv + 1, acts);
        }
    }
    complain_of("there is no command \"%s\"; try ninjactl --help", argv[1]);
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    bool acts = false;
    memory_begin();
    output_begin();
    ninja_log_init("ninjactl", NINJA_LOG_INFO);
    ninja_fault_init("coordinator", -1);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file that is too large is an error like a full disk */
    int code = complaints_begin() ? take_words(argc, argv, &acts) : EXIT_CONFIG;
    code = output_end("ninjactl") || acts || code != EXIT_DONE ? code : EXIT_OUTPUT;
    complaints_end(code);
    return code;
}
