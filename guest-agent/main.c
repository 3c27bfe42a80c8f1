#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/fault.h"
#include "common/log.h"
#include "common/output.h"
#include "common/rank_proto.h"
#include "common/usage.h"
#include "guest-agent/agent.h"
#include "guest-agent/shortage.h"

#define NAME           "ninja-agent"
#define DEFAULT_SCRIPT 30
#define DESCRIPTORS    4096

enum option_id {
    OPT_PORT = 'p',
    OPT_LISTEN = 'l',
    OPT_SOCKET = 's',
    OPT_SCRIPTS = 'd',
    OPT_VERBOSE = 'v',
    OPT_HELP = 'h',
    OPT_VERSION = 'V',
    OPT_SCRIPT_TIMEOUT = 256,
    OPT_SYS,
    OPT_PROC
};

static const char usage[] =
    "Usage: " NAME " [OPTION]...\n"
    "The agent of Ninja migration in a VM: between the host and the MPI processes.\n"
    "\n"
    "  -p, --port=PATH          virtio port to the host\n"
    "                           (default: " AGENT_PORT ")\n"
    "  -l, --listen=PATH        listen on a UNIX socket in place of the port\n"
    "  -s, --socket=PATH        UNIX socket for the MPI processes (default: $NINJA_AGENT_SOCKET,\n"
    "                           or " NINJA_RANK_SOCKET ")\n"
    "  -d, --scripts=DIR        scripts to run at detach and attach\n"
    "                           (default: " SCRIPTS_DIR ")\n"
    "      --script-timeout=S   seconds that one script may take (default: 30)\n"
    "      --sysfs=DIR          root of sysfs (default: /sys)\n"
    "      --procfs=DIR         root of procfs (default: /proc)\n"
    "  -v, --verbose            log every message\n"
    "  -h, --help               show this help\n"
    "  -V, --version            show the version\n"
    "\n"
    "Exit status: 0 ended by SIGTERM or SIGINT; 64 wrong usage; 69 could not start;\n"
    "74 standard output cannot be written.\n";

static const struct option options[] = {
    {"port", required_argument, NULL, OPT_PORT},
    {"listen", required_argument, NULL, OPT_LISTEN},
    {"socket", required_argument, NULL, OPT_SOCKET},
    {"scripts", required_argument, NULL, OPT_SCRIPTS},
    {"script-timeout", required_argument, NULL, OPT_SCRIPT_TIMEOUT},
    {"sysfs", required_argument, NULL, OPT_SYS},
    {"procfs", required_argument, NULL, OPT_PROC},
    {"verbose", no_argument, NULL, OPT_VERBOSE},
    {"help", no_argument, NULL, OPT_HELP},
    {"version", no_argument, NULL, OPT_VERSION},
    {NULL, 0, NULL, 0},
};

static uint32_t seconds_as_ms(const char *text)
{
    char *end;
    errno = 0;
    unsigned long s = strtoul(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || text[0] == '-' || s < 1 || s > 3600) {
        usage_wrong(NAME, "--script-timeout must be from 1 to 3600 seconds, not '%s'", text);
    }
    return (uint32_t)s * 1000;
}

static const char *not_empty(const char *value, const char *option)
{
    if (value[0] == '\0') {
        usage_wrong(NAME, "--%s must not be empty", option);
    }
    return value;
}

static void parse(int argc, char **argv, struct agent_config *config, enum ninja_log_level *level)
{
    int id;
    while ((id = getopt_long(argc, argv, "p:l:s:d:vhV", options, NULL)) != -1) {
        switch (id) {
        case OPT_PORT:
            config->port = not_empty(optarg, "port");
            break;
        case OPT_LISTEN:
            config->listen = not_empty(optarg, "listen");
            break;
        case OPT_SOCKET:
            config->socket = not_empty(optarg, "socket");
            break;
        case OPT_SCRIPTS:
            config->scripts = not_empty(optarg, "scripts");
            break;
        case OPT_SCRIPT_TIMEOUT:
            config->script_ms = seconds_as_ms(optarg);
            break;
        case OPT_SYS:
            config->sys = not_empty(optarg, "sysfs");
            break;
        case OPT_PROC:
            config->proc = not_empty(optarg, "procfs");
            break;
        case OPT_VERBOSE:
            *level = NINJA_LOG_DEBUG;
            break;
        case OPT_HELP:
            usage_say(NAME, usage);
            break;
        case OPT_VERSION:
            usage_say(NAME, NAME " " PACKAGE_VERSION "\n");
            break;
        default:
            fputs("Try '" NAME " --help'.\n", stderr);
            exit(EX_USAGE);
        }
    }
    if (optind < argc) {
        usage_wrong(NAME, "unexpected argument '%s'", argv[optind]);
    }
    if (config->port != NULL && config->listen != NULL) {
        usage_wrong(NAME, "--port and --listen exclude each other");
    }
}

static void on_signal(evutil_socket_t signal_number, short what, void *arg)
{
    ninja_log_info("signal %d: ending", (int)signal_number);
    event_base_loopbreak(arg);
}

/* It needs one descriptor for each rank, and some more. */
static void want_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < DESCRIPTORS) {
        limit.rlim_cur = limit.rlim_max < DESCRIPTORS ? limit.rlim_max : DESCRIPTORS;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* Until it serves: whoever sees the sockets may end the agent, which is to remove them. */
static void hold_signals(int how)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(how, &set, NULL);
}

static int serve(struct agent *agent)
{
    struct event *term = evsignal_new(agent->base, SIGTERM, on_signal, agent->base);
    struct event *interrupt = evsignal_new(agent->base, SIGINT, on_signal, agent->base);
    bool ok = term != NULL && interrupt != NULL && event_add(term, NULL) == 0 &&
              event_add(interrupt, NULL) == 0;
    if (ok) {
        hold_signals(SIG_UNBLOCK);
        ninja_log_info("version %s, instance %s, socket %s", PACKAGE_VERSION, agent->instance,
                       agent->config->socket);
        ok = event_base_dispatch(agent->base) >= 0;
    }
    if (!ok) {
        ninja_log_error("the event loop failed");
    }
    if (term != NULL) {
        event_free(term);
    }
    if (interrupt != NULL) {
        event_free(interrupt);
    }
    return ok ? EX_OK : EX_UNAVAILABLE;
}

int main(int argc, char **argv)
{
    const char *socket_env = getenv("NINJA_AGENT_SOCKET");
    struct agent_config config = {
        .socket = socket_env != NULL && socket_env[0] != '\0' ? socket_env : NINJA_RANK_SOCKET,
        .scripts = SCRIPTS_DIR,
        .script_ms = DEFAULT_SCRIPT * 1000,
        .sys = "/sys",
        .proc = "/proc",
    };
    struct ninja_error err = NINJA_ERROR_INIT;
    enum ninja_log_level level = NINJA_LOG_INFO;

    shortage_watch();
    output_begin();
    parse(argc, argv, &config, &level);
    if (config.port == NULL) {
        config.port = AGENT_PORT;
    }
    ninja_log_init(NAME, level);
    ninja_fault_init("agent", -1);
    signal(SIGPIPE, SIG_IGN);
    want_descriptors();
    if (geteuid() != 0) {
        ninja_log_warning("not root: devices held by processes of other users cannot be seen");
    }
    hold_signals(SIG_BLOCK);
    struct agent *agent = agent_new(&config, &err);
    if (agent == NULL) {
        ninja_log_error("cannot start: %s", err.message);
        return EX_UNAVAILABLE;
    }
    int rc = serve(agent);
    agent_free(agent);
    return rc;
}
