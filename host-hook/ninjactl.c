/*
 * ninjactl: the command. Options are one table, and each command says which of them it takes.
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

enum option_id {
    OPT_CLUSTER = 1,
    OPT_STATE_DIR,
    OPT_JSON,
    OPT_VERBOSE,
    OPT_MODE,
    OPT_TIMEOUT,
    OPT_BANDWIDTH,
    OPT_DOWNTIME_LIMIT,
    OPT_POSTCOPY,
    OPT_STRICT,
    OPT_BTL,
    OPT_RELEASE,
    OPT_HELP,
};

/* The next line of an option's help. */
#define FURTHER "\n                               "

static const struct {
    enum option_id id;
    const char *name, *value, *help;
} options[] = {
    {OPT_CLUSTER, "cluster", "FILE", "the cluster file (default " CLUSTER_DEFAULT_FILE ")"},
    {OPT_STATE_DIR, "state-dir", "DIR",
     "where journals and reports are kept (default " JOURNAL_DEFAULT_DIR ")"},
    {OPT_MODE, "mode", "live|paused",
     "live (default): jobs run while memory is copied; paused: they wait"},
    {OPT_TIMEOUT, "timeout", "NAME=MS", "another time-out than the cluster file's; repeatable"},
    {OPT_BANDWIDTH, "bandwidth", "MIB", "MiB/s that a VM's migration may use; 0: no limit"},
    {OPT_DOWNTIME_LIMIT, "downtime-limit", "MS", "how long a VM may stand still at the end"},
    {OPT_POSTCOPY, "postcopy", NULL,
     "VMs change sides when all memory was sent once, and the rest follows"},
    {OPT_STRICT, "strict", NULL, "exit with 1 if not all that was asked is there at the end"},
    {OPT_BTL, "btl", "LIST|best|standby",
     "transports to choose from, e.g. vader,tcp,self (default best);" FURTHER
     "tcp:eth0+10.1.0.0/16 or openib:mlx5_0: on these interfaces only"},
    {OPT_RELEASE, "release", "LIST|all|bypass", "transports to let go (default all)"},
    {OPT_JSON, "json", NULL, "print JSON"},
    {OPT_VERBOSE, "verbose", NULL, "log what is done in detail"},
    {OPT_HELP, "help", NULL, "show this help"},
};
#define N_OPTIONS (sizeof(options) / sizeof(options[0]))

#define BIT(id) (1u << (id))
#define COMMON  (BIT(OPT_CLUSTER) | BIT(OPT_STATE_DIR) | BIT(OPT_VERBOSE) | BIT(OPT_HELP))
#define MIGRATING                                                                                  \
    (BIT(OPT_MODE) | BIT(OPT_TIMEOUT) | BIT(OPT_BANDWIDTH) | BIT(OPT_DOWNTIME_LIMIT) |             \
     BIT(OPT_POSTCOPY))

static const struct command {
    const char *name;
    int (*run)(const struct args *args);
    const char *word; /* its argument; in brackets if it may be left out */
    unsigned options;
    const char *help;
} commands[] = {
    {"check", cmd_check, "[SITE]", COMMON | BIT(OPT_JSON) | BIT(OPT_TIMEOUT),
     "look at hosts, guests and destination, and say what is missing"},
    {"plan", cmd_plan, "SITE", COMMON | BIT(OPT_JSON) | MIGRATING,
     "say what a migration would do, step by step"},
    {"migrate", cmd_migrate, "SITE", COMMON | BIT(OPT_JSON) | BIT(OPT_STRICT) | MIGRATING,
     "move all VMs, and the jobs in them, to a site"},
    {"switch", cmd_switch, NULL,
     COMMON | BIT(OPT_JSON) | BIT(OPT_TIMEOUT) | BIT(OPT_BTL) | BIT(OPT_RELEASE),
     "let the jobs choose their transports anew, without a migration"},
    {"status", cmd_status, NULL, COMMON | BIT(OPT_JSON) | BIT(OPT_TIMEOUT),
     "show where VMs run, and the jobs with their ranks and transports"},
    {"abort", cmd_abort, "[ID]", COMMON | BIT(OPT_JSON) | BIT(OPT_TIMEOUT),
     "roll back the migration that is going on, or that was interrupted"},
    {"resume", cmd_resume, "[ID]", COMMON | BIT(OPT_JSON) | BIT(OPT_TIMEOUT) | BIT(OPT_STRICT),
     "take on a migration that was interrupted, to the nearest safe end"},
    {"report", cmd_report, "[ID]", COMMON | BIT(OPT_JSON),
     "show what the last migration, or that with the ID, did and took"},
    {"list", cmd_list, NULL, COMMON | BIT(OPT_JSON), "list the migrations that have a report"},
};
#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static const char exit_codes[] =
    "Exit codes: 0 done; 1 failed (with --strict also: degraded); 2 refused, nothing was touched;\n"
    "3 rolled back; 4 needs an operator; 64 wrong usage; 65 the cluster file is wrong.\n";

static void print_usage(FILE *out)
{
    fprintf(out, "Usage: ninjactl COMMAND [OPTIONS]\n\n");
    for (size_t i = 0; i < N_COMMANDS; i++) {
        char left[32];
        snprintf(left, sizeof(left), "%s %s", commands[i].name,
                 commands[i].word ? commands[i].word : "");
        fprintf(out, "  %-15s %s\n", left, commands[i].help);
    }
    fprintf(out,
            "\nninjactl COMMAND --help tells a command's options. ninjactl --version tells the "
            "version.\n%s",
            exit_codes);
}

static void print_help(FILE *out, const struct command *command)
{
    fprintf(out, "Usage: ninjactl %s %s%s[OPTIONS]\n%c%s.\n\n", command->name,
            command->word ? command->word : "", command->word ? " " : "",
            command->help[0] - 'a' + 'A', command->help + 1);
    for (size_t i = 0; i < N_OPTIONS; i++) {
        char left[48];
        if (command->options & BIT(options[i].id)) {
            snprintf(left, sizeof(left), "--%s %s", options[i].name,
                     options[i].value ? options[i].value : "");
            fprintf(out, "  %-28s %s\n", left, options[i].help);
        }
    }
    fprintf(out, "\n%s", exit_codes);
}

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
    case OPT_STRICT:
        args->strict = true;
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
    struct option longs[N_OPTIONS + 1] = {{0}};
    int n = 0, id;
    for (size_t i = 0; i < N_OPTIONS; i++) {
        if (command->options & BIT(options[i].id)) {
            longs[n++] =
                (struct option){options[i].name, options[i].value ? required_argument : no_argument,
                                NULL, (int)options[i].id};
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
    for (size_t i = 0; i < N_COMMANDS; i++) {
        if (strcmp(argv[1], commands[i].name) == 0) {
            return run(&commands[i], argc - 1, argv + 1);
        }
    }
    fprintf(stderr, "ninjactl: there is no command \"%s\"; try ninjactl --help\n", argv[1]);
    return EXIT_USAGE;
}
