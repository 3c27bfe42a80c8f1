/*
 * ninjad: its options.
 */
#include "config.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "common/log.h"
#include "common/output.h"
#include "common/usage.h"
#include "host/base/memory.h"
#include "host/base/logs.h"
#include "host/config/cluster.h"
#include "host/config/settings.h"
#include "ninjad/service.h"

#define NAME "ninjad"
#define NONE "none" /* of a path */

enum option_id {
    OPT_CLUSTER = 'c',
    OPT_STATE_DIR = 's',
    OPT_LISTEN = 'l',
    OPT_GROUP = 'g',
    OPT_METRICS = 'm',
    OPT_VERBOSE = 'v',
    OPT_HELP = 'h',
    OPT_VERSION = 'V',
    OPT_LISTEN_RO = 256,
    OPT_NINJACTL,
    OPT_RESUME,
    OPT_EXIT_IDLE,
    OPT_MAX_WORKERS,
    OPT_MAX_CLIENTS,
    OPT_DUMP_CONFIG,
};

/* Only of the service, and so in the group "ninjad" of ninja.conf. */
static const struct setting_info own_settings[] = {
    {"listen", SETTING_TEXT, NONE, 0, 0, NULL, "a socket beside those that systemd passes"},
    {"listen-readonly", SETTING_TEXT, NONE, 0, 0, NULL, "the same, for looking only"},
    {"group", SETTING_TEXT, NINJAD_GROUP, 0, 0, NULL, "who may use the service"},
    {"metrics", SETTING_TEXT, NONE, 0, 0, NULL, "the file for Prometheus"},
    {"ninjactl", SETTING_TEXT, NINJACTL, 0, 0, NULL, "the program that does the work"},
    {"resume", SETTING_FLAG, "false", 0, 0, NULL, "whether interrupted migrations are taken on"},
    {"exit-idle", SETTING_NUMBER, "0", 0, 24 * 3600, NULL, "seconds; 0: never"},
    {"max-workers", SETTING_NUMBER, "8", 1, 64, NULL, "commands that run at once"},
    {"max-clients", SETTING_NUMBER, "64", 1, 512, NULL, "connections at once"},
};

/* Options that are settings. */
static const struct setting_option option_settings[] = {
    {OPT_STATE_DIR, "--state-dir", "state-dir", NULL},
    {OPT_LISTEN, "--listen", "listen", NULL},
    {OPT_LISTEN_RO, "--listen-readonly", "listen-readonly", NULL},
    {OPT_GROUP, "--group", "group", NULL},
    {OPT_METRICS, "--metrics", "metrics", NULL},
    {OPT_NINJACTL, "--ninjactl", "ninjactl", NULL},
    {OPT_RESUME, "--resume", "resume", "true"},
    {OPT_EXIT_IDLE, "--exit-idle", "exit-idle", NULL},
    {OPT_MAX_WORKERS, "--max-workers", "max-workers", NULL},
    {OPT_MAX_CLIENTS, "--max-clients", "max-clients", NULL},
    {OPT_VERBOSE, "--verbose", "log-level", "debug"},
    {0},
};

static const char usage[] =
    "Usage: " NAME " [OPTION]...\n"
    "The service of Ninja migration: its API for resource managers, on a UNIX socket.\n"
    "\n"
    "  -c, --cluster=FILE       a cluster file, for each cluster that clients may name\n"
    "                           (default: " CLUSTER_DEFAULT_FILE ")\n"
    "  -s, --state-dir=DIR      where journals and reports are kept\n"
    "                           (default: " SETTINGS_STATE_DIR ")\n"
    "  -l, --listen=PATH        listen on a UNIX socket, besides those that systemd passes\n"
    "      --listen-readonly=PATH  the same, for everyone, and for looking only\n"
    "  -g, --group=NAME         the group that may use the service (default: " NINJAD_GROUP ")\n"
    "  -m, --metrics=FILE       write metrics for Prometheus there (node_exporter: *.prom)\n"
    "      --resume             take on migrations that were interrupted, each once\n"
    "      --exit-idle=S        end after S seconds without clients, if systemd has the socket\n"
    "      --max-workers=N      commands that run at once (default: 8)\n"
    "      --max-clients=N      connections at once (default: 64)\n"
    "      --ninjactl=PROGRAM   the program that does the work (default: " NINJACTL ")\n"
    "  -v, --verbose            log every request\n"
    "      --dump-config        print the settings that are in force and where each is from\n"
    "  -h, --help               show this help\n"
    "  -V, --version            show the version\n"
    "\n"
    "What is not said here is looked for in the environment and in ninja.conf(5), group ninjad.\n"
    "SIGHUP: read the cluster files again.\n"
    "Exit status: 0 ended by SIGTERM or SIGINT; 64 wrong usage; 69 could not start;\n"
    "70 out of memory; 74 standard output cannot be written;\n"
    "78 a setting is wrong, in ninja.conf or the environment.\n";

static const struct option long_options[] = {
    {"cluster", required_argument, NULL, OPT_CLUSTER},
    {"state-dir", required_argument, NULL, OPT_STATE_DIR},
    {"listen", required_argument, NULL, OPT_LISTEN},
    {"listen-readonly", required_argument, NULL, OPT_LISTEN_RO},
    {"group", required_argument, NULL, OPT_GROUP},
    {"metrics", required_argument, NULL, OPT_METRICS},
    {"resume", no_argument, NULL, OPT_RESUME},
    {"exit-idle", required_argument, NULL, OPT_EXIT_IDLE},
    {"max-workers", required_argument, NULL, OPT_MAX_WORKERS},
    {"max-clients", required_argument, NULL, OPT_MAX_CLIENTS},
    {"ninjactl", required_argument, NULL, OPT_NINJACTL},
    {"verbose", no_argument, NULL, OPT_VERBOSE},
    {"dump-config", no_argument, NULL, OPT_DUMP_CONFIG},
    {"help", no_argument, NULL, OPT_HELP},
    {"version", no_argument, NULL, OPT_VERSION},
    {NULL, 0, NULL, 0},
};

static void add_cluster(struct options *options, const char *file)
{
    if (file[0] == '\0') {
        usage_wrong(NAME, "--cluster must not be empty");
    }
    if (options->n_clusters == OPTIONS_MAX_CLUSTERS) {
        usage_wrong(NAME, "at most %d times --cluster", OPTIONS_MAX_CLUSTERS);
    }
    options->clusters[options->n_clusters++] = file;
}

static void give_setting(struct settings *settings, int id)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    bool known;
    if (!settings_give_option(settings, option_settings, id, optarg, &known, &err)) {
        usage_wrong(NAME, "%s", err.message);
    }
}

/* Returns whether the settings are only to be shown. */
static bool parse(int argc, char **argv, struct settings *settings, struct options *options)
{
    int id;
    bool dump = false;
    while ((id = getopt_long(argc, argv, "c:s:l:g:m:vhV", long_options, NULL)) != -1) {
        switch (id) {
        case OPT_CLUSTER:
            add_cluster(options, optarg);
            break;
        case OPT_DUMP_CONFIG:
            dump = true;
            break;
        case OPT_HELP:
            usage_say(NAME, usage);
            break;
        case OPT_VERSION:
            usage_say(NAME, NAME " " PACKAGE_VERSION "\n");
            break;
        case '?':
            fputs("Try '" NAME " --help'.\n", stderr);
            exit(EX_USAGE);
        default:
            give_setting(settings, id);
        }
    }
    if (optind < argc) {
        usage_wrong(NAME, "unexpected argument '%s'", argv[optind]);
    }
    return dump;
}

/* NULL: none. */
static const char *path_of(const struct settings *settings, const char *name)
{
    const char *path = settings_text(settings, name);
    return strcmp(path, NONE) != 0 ? path : NULL;
}

static void take_settings(struct options *options, const struct settings *settings)
{
    if (options->n_clusters == 0) {
        add_cluster(options, settings_text(settings, "cluster-file"));
    }
    options->state_dir = settings_text(settings, "state-dir");
    options->listen = path_of(settings, "listen");
    options->listen_ro = path_of(settings, "listen-readonly");
    options->group = settings_text(settings, "group");
    options->metrics = path_of(settings, "metrics");
    options->ninjactl = settings_text(settings, "ninjactl");
    options->resume = settings_number(settings, "resume") != 0;
    options->exit_idle_s = settings_number(settings, "exit-idle");
    options->max_workers = settings_number(settings, "max-workers");
    options->max_clients = settings_number(settings, "max-clients");
}

static int run(const struct settings *settings, struct options *options)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    take_settings(options, settings);
    ninja_log_init(NAME, (enum ninja_log_level)settings_number(settings, "log-level"));
    if (!log_to((enum log_target)settings_number(settings, "log"), NAME, &err)) {
        fprintf(stderr, NAME ": %s\n", err.message);
        return EX_CONFIG;
    }
    signal(SIGPIPE, SIG_IGN);
    return service_run(options);
}

int main(int argc, char **argv)
{
    memory_begin();
    struct settings *settings =
        settings_new(NAME, own_settings, sizeof(own_settings) / sizeof(own_settings[0]));
    struct options options = {.n_clusters = 0};
    struct ninja_error err = NINJA_ERROR_INIT;
    int code = EX_OK;
    output_begin();
    ninja_log_init(NAME, NINJA_LOG_INFO);
    bool dump = parse(argc, argv, settings, &options);
    if (!settings_read(settings, &err)) {
        fprintf(stderr, NAME ": %s\n", err.message);
        code = EX_CONFIG;
    } else if (dump) {
        settings_print(settings, stdout);
        code = output_end(NAME) ? EX_OK : EX_IOERR;
    } else {
        code = run(settings, &options);
    }
    settings_free(settings);
    return code;
}
