/*
 * ninjad: its options.
 */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "common/log.h"
#include "host-hook/cluster.h"
#include "host-hook/journal.h"
#include "ninjad/service.h"

#define NAME "ninjad"

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
};

static const char usage[] =
    "Usage: " NAME " [OPTION]...\n"
    "The service of Ninja migration: its API for resource managers, on a UNIX socket.\n"
    "\n"
    "  -c, --cluster=FILE       a cluster file, for each cluster that clients may name\n"
    "                           (default: " CLUSTER_DEFAULT_FILE ")\n"
    "  -s, --state-dir=DIR      where journals and reports are kept\n"
    "                           (default: " JOURNAL_DEFAULT_DIR ")\n"
    "  -l, --listen=PATH        listen on a UNIX socket, besides those that systemd passes\n"
    "      --listen-readonly=PATH  the same, for everyone, and for looking only\n"
    "  -g, --group=NAME         the group that may use the service (default: " SETTINGS_GROUP ")\n"
    "  -m, --metrics=FILE       write metrics for Prometheus there (node_exporter: *.prom)\n"
    "      --resume             take on migrations that were interrupted, each once\n"
    "      --exit-idle=S        end after S seconds without clients, if systemd has the socket\n"
    "      --max-workers=N      commands that run at once (default: 8)\n"
    "      --max-clients=N      connections at once (default: 64)\n"
    "      --ninjactl=PROGRAM   the program that does the work (default: " NINJACTL ")\n"
    "  -v, --verbose            log every request\n"
    "  -h, --help               show this help\n"
    "  -V, --version            show the version\n"
    "\n"
    "SIGHUP: read the cluster files again.\n"
    "Exit status: 0 ended by SIGTERM or SIGINT; 64 wrong usage; 69 could not start.\n";

static const struct option options[] = {
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
    {"help", no_argument, NULL, OPT_HELP},
    {"version", no_argument, NULL, OPT_VERSION},
    {NULL, 0, NULL, 0},
};

static void __attribute__((noreturn, format(printf, 1, 2))) wrong_usage(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fputs(NAME ": ", stderr);
    vfprintf(stderr, fmt, ap);
    fputs("\nTry '" NAME " --help'.\n", stderr);
    va_end(ap);
    exit(EX_USAGE);
}

static int number(const char *option, const char *text, int max)
{
    char *end;
    errno = 0;
    long n = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || n < 1 || n > max) {
        wrong_usage("--%s must be a whole number from 1 to %d, not '%s'", option, max, text);
    }
    return (int)n;
}

static const char *not_empty(const char *value, const char *option)
{
    if (value[0] == '\0') {
        wrong_usage("--%s must not be empty", option);
    }
    return value;
}

static void say(const char *text)
{
    fputs(text, stdout);
    exit(fflush(stdout) == 0 ? EX_OK : EX_IOERR);
}

static void add_cluster(struct settings *settings, const char *file)
{
    if (settings->n_clusters == SETTINGS_MAX_CLUSTERS) {
        wrong_usage("at most %d times --cluster", SETTINGS_MAX_CLUSTERS);
    }
    settings->clusters[settings->n_clusters++] = not_empty(file, "cluster");
}

static void set_option(struct settings *settings, int id)
{
    switch (id) {
    case OPT_CLUSTER:
        add_cluster(settings, optarg);
        break;
    case OPT_STATE_DIR:
        settings->state_dir = not_empty(optarg, "state-dir");
        break;
    case OPT_LISTEN:
        settings->listen = not_empty(optarg, "listen");
        break;
    case OPT_LISTEN_RO:
        settings->listen_ro = not_empty(optarg, "listen-readonly");
        break;
    case OPT_GROUP:
        settings->group = not_empty(optarg, "group");
        break;
    case OPT_METRICS:
        settings->metrics = not_empty(optarg, "metrics");
        break;
    case OPT_RESUME:
        settings->resume = true;
        break;
    case OPT_EXIT_IDLE:
        settings->exit_idle_s = number("exit-idle", optarg, 24 * 3600);
        break;
    case OPT_MAX_WORKERS:
        settings->max_workers = number("max-workers", optarg, 64);
        break;
    case OPT_MAX_CLIENTS:
        settings->max_clients = number("max-clients", optarg, 512);
        break;
    case OPT_NINJACTL:
        settings->ninjactl = not_empty(optarg, "ninjactl");
        break;
    case OPT_VERBOSE:
        ninja_log_init(NAME, NINJA_LOG_DEBUG);
        break;
    case OPT_HELP:
        say(usage);
        break;
    case OPT_VERSION:
        say(NAME " " PACKAGE_VERSION "\n");
        break;
    default:
        fputs("Try '" NAME " --help'.\n", stderr);
        exit(EX_USAGE);
    }
}

int main(int argc, char **argv)
{
    struct settings settings = {
        .state_dir = JOURNAL_DEFAULT_DIR,
        .group = SETTINGS_GROUP,
        .ninjactl = NINJACTL,
        .max_workers = 8,
        .max_clients = 64,
    };
    int id;
    ninja_log_init(NAME, NINJA_LOG_INFO);
    while ((id = getopt_long(argc, argv, "c:s:l:g:m:vhV", options, NULL)) != -1) {
        set_option(&settings, id);
    }
    if (optind < argc) {
        wrong_usage("unexpected argument '%s'", argv[optind]);
    }
    if (settings.n_clusters == 0) {
        settings.clusters[settings.n_clusters++] = CLUSTER_DEFAULT_FILE;
    }
    signal(SIGPIPE, SIG_IGN);
    return service_run(&settings);
}
