/*
 * ninjactl: the command. Its words and options are in commands.c; here they are parsed.
 */
#include "config.h"

#include "host-hook/ninjactl.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/fault.h"
#include "common/log.h"

static bool number(const char *option, const char *text, int max, int *value)
{
    char *end;
    long n = strtol(text, &end, 10);
    if (end == text || *end != '\0' || n < 0 || n > max) {
        fprintf(stderr, "ninjactl: --%s: expected a whole number from 0 to %d, found \"%s\"\n",
                option, max, text);
        return false;
    }
    *value = (int)n;
    return true;
}

static bool set_option(struct args *args, enum option_id id, const char *value)
{
    switch (id) {
    case OPT_CLUSTER:
        args->cluster_file = value;
        return true;
    case OPT_STATE_DIR:
        args->state_dir = value;
        return true;
    case OPT_JSON:
        args->json = true;
        return true;
    case OPT_VERBOSE:
        ninja_log_init("ninjactl", NINJA_LOG_DEBUG);
        return true;
    case OPT_POSTCOPY:
        args->postcopy = true;
        return true;
    case OPT_PARALLEL:
        return number("parallel", value, CLUSTER_MAX_PARALLEL, &args->parallel);
    case OPT_COMPRESS:
        args->compress = value;
        return true;
    case OPT_STRICT:
        args->strict = true;
        return true;
    case OPT_DETACH:
        args->detach = true;
        return true;
    case OPT_DRY_RUN:
        args->dry_run = true;
        return true;
    case OPT_SYSFS:
        args->sysfs = value;
        return true;
    case OPT_BTL:
        args->btl = value;
        return true;
    case OPT_RELEASE:
        args->release = value;
        return true;
    case OPT_BANDWIDTH:
        return number("bandwidth", value, 1000000, &args->bandwidth);
    case OPT_DOWNTIME_LIMIT:
        return number("downtime-limit", value, 2000000, &args->downtime_limit);
    case OPT_WAIT_TIMEOUT:
        return number("timeout", value, 7 * 24 * 3600, &args->wait_seconds);
    case OPT_LAST:
        return number("last", value, 1000000, &args->last);
    case OPT_TIMEOUT:
        if (args->n_timeouts == MAX_TIMEOUT_OPTIONS) {
            fprintf(stderr, "ninjactl: at most %d times --timeout\n", MAX_TIMEOUT_OPTIONS);
            return false;
        }
        args->timeouts[args->n_timeouts++] = value;
        return true;
    case OPT_MODE:
        args->mode = strcmp(value, "paused") == 0 ? MODE_PAUSED : MODE_LIVE;
        if (strcmp(value, mode_name(args->mode)) != 0) {
            fprintf(stderr, "ninjactl: --mode: expected live or paused, found \"%s\"\n", value);
            return false;
        }
        return true;
    case OPT_HELP:
        break;
    }
    return false;
}

/* -1: run the command; otherwise an exit code. */
static int parse(const struct command *command, int argc, char **argv, struct args *args)
{
    struct option longs[32] = {{0}};
    int n = 0, id;
    for (size_t i = 0; i < ninjactl_n_options && n < 31; i++) {
        const struct option_info *option = &ninjactl_options[i];
        if (command->options & OPTION_BIT(option->id)) {
            longs[n++] =
                (struct option){option->name, option->value ? required_argument : no_argument, NULL,
                                (int)option->id};
        }
    }
    while ((id = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (id == OPT_HELP) {
            print_help(stdout, command);
            return EXIT_DONE;
        }
        if (id == '?' || !set_option(args, (enum option_id)id, optarg)) {
            fprintf(stderr, "Try ninjactl %s --help\n", command->name);
            return EXIT_USAGE;
        }
    }
    int words = argc - optind;
    if (words > (command->word ? 1 : 0)) {
        fprintf(stderr, "ninjactl: %s: unexpected argument \"%s\"\n", command->name,
                argv[argc - 1]);
        return EXIT_USAGE;
    }
    args->word = words ? argv[optind] : NULL;
    if (args->word == NULL && command->word != NULL && command->word[0] != '[') {
        fprintf(stderr, "ninjactl: %s needs a %s; try ninjactl %s --help\n", command->name,
                command->word, command->name);
        return EXIT_USAGE;
    }
    return -1;
}

static int run(const struct command *command, int argc, char **argv)
{
    struct args args = {
        .cluster_file = CLUSTER_DEFAULT_FILE,
        .state_dir = JOURNAL_DEFAULT_DIR,
        .btl = "best",
        .release = "all",
        .bandwidth = -1,
        .downtime_limit = -1,
        .parallel = -1,
        .wait_seconds = -1,
        .sysfs = "/sys",
    };
    int code = parse(command, argc, argv, &args);
    return code >= 0 ? code : command->run(&args);
}

int main(int argc, char **argv)
{
    ninja_log_init("ninjactl", NINJA_LOG_INFO);
    ninja_fault_init("coordinator", -1);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file that is too large is an error like a full disk */
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
    for (size_t i = 0; i < ninjactl_n_commands; i++) {
        if (strcmp(argv[1], ninjactl_commands[i].name) == 0) {
            return run(&ninjactl_commands[i], argc - 1, argv + 1);
        }
    }
    fprintf(stderr, "ninjactl: there is no command \"%s\"; try ninjactl --help\n", argv[1]);
    return EXIT_USAGE;
}
