/*
 * What ninjactl can do, as tables from which options are parsed and every help text is made.
 */
#include <stdio.h>

#include "host/checkpoint/key.h"
#include "host/ctl/ninjactl.h"

/* The next line of an option's help. */
#define FURTHER "\n                               "

const struct option_info ninjactl_options[] = {
    {OPT_CLUSTER, "cluster", "FILE", "the cluster file (default " CLUSTER_DEFAULT_FILE ")"},
    {OPT_STATE_DIR, "state-dir", "DIR",
     "where journals and reports are kept (default " SETTINGS_STATE_DIR ")"},
    {OPT_MODE, "mode", "live|paused",
     "live (default): jobs run while memory is copied; paused: they wait"},
    {OPT_TIMEOUT, "timeout", "NAME=TIME",
     "another time-out than the cluster file's, in ms or as 30s; repeatable"},
    {OPT_BANDWIDTH, "bandwidth", "MIB", "MiB/s that a VM's migration may use; 0: no limit"},
    {OPT_DOWNTIME_LIMIT, "downtime-limit", "MS", "how long a VM may stand still at the end"},
    {OPT_POSTCOPY, "postcopy", NULL,
     "VMs change sides when all memory was sent once, and the rest follows"},
    {OPT_POSTCOPY_AFTER_PRECOPY, "postcopy-after-precopy", NULL, "the same, as virsh calls it"},
    {OPT_POSTCOPY_IF_STUCK, "postcopy-if-stuck", NULL,
     "VMs change sides if they write as fast as their memory is sent"},
    {OPT_POSTCOPY_BANDWIDTH, "postcopy-bandwidth", "MIB",
     "MiB/s for what follows then; 0: no limit"},
    {OPT_AUTO, "auto", NULL,
     "choose between pre-copy and post-copy, by what VMs write and what" FURTHER
     "earlier migrations reached"},
    {OPT_MAX_DOWNTIME, "max-downtime", "MS", "the same; no VM is to stand still for longer"},
    {OPT_MAX_TOTAL, "max-total", "SECONDS", "the same; all memory is to be there by then"},
    {OPT_MAX_BYTES, "max-bytes", "MIB", "the same; no more is to be sent, of all VMs"},
    {OPT_PRIORITY, "priority", "latency|throughput|network",
     "the same; what is to be little: the time in which VMs wait (default)," FURTHER
     "the time until all is there, or what is sent"},
    {OPT_PARALLEL, "parallel", "N", "send a VM's memory over N connections; 0: one, as usual"},
    {OPT_COMPRESS, "compress", "none|zlib|zstd",
     "compress what is sent (over 2 connections, if --parallel is not given)"},
    {OPT_STRICT, "strict", NULL, "exit with 1 if not all that was asked is there at the end"},
    {OPT_DETACH, "detach", NULL,
     "print the migration's ID and return once it has begun;" FURTHER
     "its log is DIR/ID/log; see ninjactl watch and wait"},
    {OPT_KEY, "key", "KEY", "a name of your own for it; refused if a migration has it already"},
    {OPT_CHECKPOINT_DIR, "checkpoint-dir", "DIR",
     "where checkpoints are kept (default " SETTINGS_CHECKPOINT_DIR ")"},
    {OPT_NO_DISKS, "no-disks", NULL,
     "save VMs that write to disks, which are not in the checkpoint"},
    {OPT_KEEP, "keep", "N",
     "when it is made, remove all but the N newest of the cluster, and what" FURTHER
     "interrupted ones left"},
    {OPT_KEY_FILE, "key-file", "FILE|none",
     "the key that images are encrypted with (default none)"},
    {OPT_SITE, "site", "SITE", "where all VMs are restarted (default: where each of them was)"},
    {OPT_SET_CLOCK, "set-clock", NULL, "set the guests' clocks, which are as at the checkpoint"},
    {OPT_DRY_RUN, "dry-run", NULL, "only say what would be done; nothing is touched"},
    {OPT_TO, "to", "SITE|HOST,...", "where VMs may go (default: anywhere else)"},
    {OPT_BTL, "btl", "LIST|best|standby",
     "transports to choose from, e.g. vader,tcp,self (default best);" FURTHER
     "tcp:eth0+10.1.0.0/16 or openib:mlx5_0: on these interfaces only"},
    {OPT_RELEASE, "release", "LIST|all|bypass", "transports to let go (default all)"},
    {OPT_WAIT_TIMEOUT, "timeout", "SECONDS", "how long to wait (default: until the end)"},
    {OPT_LAST, "last", "N", "only the last N"},
    {OPT_SYSFS, "sysfs", "DIR", "where sysfs is mounted (default /sys)"},
    {OPT_HTML, "html", "[FILE]", "write one page for a browser, to FILE or standard output"},
    {OPT_COMPARE, "compare", "ID", "lay that migration beside it, on the left"},
    {OPT_JSON, "json", NULL, "print JSON (docs/ninjactl-json.md)"},
    {OPT_LOG_LEVEL, "log-level", "LEVEL",
     "the most detailed messages: error, warning, info (default), debug"},
    {OPT_VERBOSE, "verbose", NULL, "log what is done in detail, as --log-level debug; also -v"},
    {OPT_NO_HOOKS, "no-hooks", NULL, "run no hook scripts"},
    {OPT_DUMP_CONFIG, "dump-config", NULL,
     "print the settings that are in force and where each is from;" FURTHER "nothing else is done"},
    {OPT_HELP, "help", NULL, "show this help"},
};
const size_t ninjactl_n_options = sizeof(ninjactl_options) / sizeof(ninjactl_options[0]);

_Static_assert(sizeof(ninjactl_options) / sizeof(ninjactl_options[0]) == OPT_END - OPT_CLUSTER,
               "each option is in the table");

#define BIT(id) OPTION_BIT(OPT_##id)
#define LOGGING (BIT(LOG_LEVEL) | BIT(VERBOSE))
#define COMMON  (BIT(CLUSTER) | BIT(STATE_DIR) | LOGGING | BIT(DUMP_CONFIG) | BIT(HELP))
#define LOOKING (COMMON | BIT(JSON) | BIT(TIMEOUT))
#define MIGRATING                                                                                  \
    (LOOKING | BIT(NO_HOOKS) | BIT(MODE) | BIT(BANDWIDTH) | BIT(DOWNTIME_LIMIT) | BIT(POSTCOPY) |  \
     BIT(POSTCOPY_AFTER_PRECOPY) | BIT(POSTCOPY_IF_STUCK) | BIT(POSTCOPY_BANDWIDTH) |              \
     BIT(PARALLEL) | BIT(COMPRESS) | BIT(AUTO) | BIT(MAX_DOWNTIME) | BIT(MAX_TOTAL) |              \
     BIT(MAX_BYTES) | BIT(PRIORITY))

#define PLACES "SITE|VM=SITE..."

#define EXIT_1_STRICT  "  1  failed; with --strict also: degraded\n"
#define EXIT_2_LOOKING "  2  refused: a migration runs, so nobody else can look\n"
#define EXIT_2         "  2  refused, nothing was touched\n"
#define EXIT_3         "  3  rolled back: VMs and jobs run where they were\n"
#define EXIT_4         "  4  needs an operator\n"

const struct command ninjactl_commands[] = {
    {"check", cmd_check, "[SITE]", 0, LOOKING | BIT(BANDWIDTH) | BIT(DOWNTIME_LIMIT) | BIT(SYSFS),
     "look at host, guests and destinations, and say what is missing and how to mend it",
     "  1  something that a migration needs is missing\n" EXIT_2_LOOKING, "check eth"},
    {"devices", cmd_devices, NULL, 0, LOOKING | BIT(SYSFS),
     "show the bypass devices and interconnects of guests, VMMs and sites",
     "  1  a VM or its agent does not answer\n" EXIT_2_LOOKING, "devices --json"},
    {"plan", cmd_plan, PLACES, 0, MIGRATING,
     "say what a migration would do, step by step, and estimate its time",
     "  2  a migration there would be refused\n", "plan eth --mode paused"},
    {"migrate", cmd_migrate, PLACES, COMMAND_ACTS,
     MIGRATING | BIT(STRICT) | BIT(DETACH) | BIT(DRY_RUN) | BIT(KEY),
     "move all VMs to a site, or each named one to its own, with the jobs in them",
     EXIT_1_STRICT EXIT_2 EXIT_3 EXIT_4
     "     with --detach: 0 it was begun; ninjactl wait tells how it ends\n",
     "migrate eth --timeout copy=600s --detach"},
    {"evacuate", cmd_evacuate, "HOST", COMMAND_ACTS | COMMAND_EVACUATES,
     MIGRATING | BIT(STRICT) | BIT(DETACH) | BIT(DRY_RUN) | BIT(KEY) | BIT(TO),
     "move all VMs that are at a host to others that have room",
     EXIT_1_STRICT EXIT_2 EXIT_3 EXIT_4
     "     with --detach: 0 it was begun; ninjactl wait tells how it ends\n",
     "evacuate ib1 --to ib2,eth --dry-run"},
    {"checkpoint", cmd_checkpoint, "[NAME]", COMMAND_ACTS,
     LOOKING | BIT(NO_HOOKS) | BIT(MODE) | BIT(STRICT) | BIT(DETACH) | BIT(KEY) |
         BIT(CHECKPOINT_DIR) | BIT(NO_DISKS) | BIT(KEEP) | BIT(DRY_RUN) | BIT(KEY_FILE),
     "save all VMs at one moment, with the jobs in them, which run on",
     EXIT_1_STRICT "     or it is made, and --keep failed\n" EXIT_2 EXIT_3 EXIT_4,
     "checkpoint before-upgrade"},
    {"restart", cmd_restart, "NAME [VM=SITE]...", COMMAND_ACTS,
     LOOKING | BIT(NO_HOOKS) | BIT(STRICT) | BIT(DETACH) | BIT(KEY) | BIT(CHECKPOINT_DIR) |
         BIT(SITE) | BIT(SET_CLOCK) | BIT(DRY_RUN) | BIT(KEY_FILE),
     "start all VMs, none of which may run, from a checkpoint",
     EXIT_1_STRICT EXIT_2 "  3  no VM runs, as before\n" EXIT_4,
     "restart before-upgrade --site eth"},
    {"checkpoints", cmd_checkpoints, "[verify NAME|remove NAME|keep N]...", 0,
     COMMON | BIT(JSON) | BIT(CHECKPOINT_DIR) | BIT(KEY_FILE),
     "list checkpoints, see whether one is whole, remove one, or all but the N newest",
     "  1  it is not whole, or could not be removed\n  2  refused: it is in use, or the key is not "
     "its\n",
     "checkpoints verify before-upgrade"},
    {"switch", cmd_switch, "[VM...]", COMMAND_ACTS,
     LOOKING | BIT(NO_HOOKS) | BIT(BTL) | BIT(RELEASE),
     "let the jobs choose their transports anew, or only to and from ranks in some VMs",
     "  1  failed after transports were let go; the jobs run on others\n" EXIT_2 EXIT_3 EXIT_4,
     "switch --btl vader,tcp:eth1,self"},
    {"status", cmd_status, NULL, 0, LOOKING,
     "show where VMs run, and the jobs with their ranks and transports",
     "  1  a VM or its agent does not answer\n" EXIT_2_LOOKING, "status"},
    {"sites", cmd_sites, NULL, 0, COMMON | BIT(JSON),
     "list the sites and hosts of the cluster file; nobody is asked", "", "sites"},
    {"list", cmd_list, NULL, COMMAND_NO_CLUSTER_FILE, COMMON | BIT(JSON) | BIT(LAST),
     "list migrations, those that run or were interrupted, too", "  1  failed\n", "list --last 5"},
    {"watch", cmd_watch, "[ID]", COMMAND_NO_CLUSTER_FILE,
     COMMON | BIT(JSON) | BIT(STRICT) | BIT(WAIT_TIMEOUT),
     "print what a migration does, as JSON lines, until it ends",
     "  1  there is no such migration; with --strict also: degraded\n" EXIT_2 EXIT_3
     "  4  needs an operator, or was interrupted\n"
     "  5  it has not ended in time, and goes on\n",
     "watch | jq -r 'select(.type == \"state\").state'"},
    {"wait", cmd_wait, "[ID]", COMMAND_NO_CLUSTER_FILE,
     COMMON | BIT(JSON) | BIT(STRICT) | BIT(WAIT_TIMEOUT),
     "wait until a migration ends; the exit code tells how",
     "  1  there is no such migration; with --strict also: degraded\n" EXIT_2 EXIT_3
     "  4  needs an operator, or was interrupted\n"
     "  5  it has not ended in time, and goes on\n",
     "wait --timeout 600"},
    {"abort", cmd_abort, "[ID]", COMMAND_ACTS, LOOKING | BIT(DETACH) | BIT(NO_HOOKS),
     "roll back the migration that is going on, or that was interrupted",
     EXIT_1_STRICT EXIT_2 EXIT_3 EXIT_4
     "     of one that is going on: 0 it was told; ninjactl wait tells how it ends\n",
     "abort"},
    {"resume", cmd_resume, "[ID]", COMMAND_ACTS,
     LOOKING | BIT(STRICT) | BIT(DETACH) | BIT(NO_HOOKS),
     "take on a migration that was interrupted, to the nearest safe end",
     EXIT_1_STRICT EXIT_2 EXIT_3 EXIT_4, "resume"},
    {"report", cmd_report, "[ID]", COMMAND_NO_CLUSTER_FILE,
     COMMON | BIT(JSON) | BIT(HTML) | BIT(COMPARE),
     "show what the last migration, or that with the ID, did and took",
     "  1  there is no such report\n", "report --html migration.html"},
};
const size_t ninjactl_n_commands = sizeof(ninjactl_commands) / sizeof(ninjactl_commands[0]);

const struct command ninjactl_dump_config = {
    "--dump-config",
    NULL,
    NULL,
    0,
    COMMON | BIT(JSON) | BIT(MODE) | BIT(STRICT) | BIT(SYSFS) | BIT(NO_HOOKS) |
        BIT(CHECKPOINT_DIR) | BIT(KEY_FILE),
    "print the settings that are in force and where each is from",
    "",
    "--dump-config"};

/* Only of the command, and so in the group "ninjactl" of ninja.conf. */
const struct setting_info ninjactl_settings[] = {
    {"strict", SETTING_FLAG, "false", 0, 0, NULL,
     "whether a migration that ends degraded is one that failed"},
    {"checkpoint-dir", SETTING_TEXT, SETTINGS_CHECKPOINT_DIR, 0, 0, NULL,
     "where checkpoints are kept"},
    {"checkpoint-key", SETTING_TEXT, IMAGE_KEY_NONE, 0, 0, NULL,
     "the file of the key that checkpoints are encrypted with"},
    {"colours", SETTING_FLAG, "true", 0, 0, NULL, "whether a terminal is given colours"},
};
const size_t ninjactl_n_settings = sizeof(ninjactl_settings) / sizeof(ninjactl_settings[0]);

static const char exit_codes[] =
    "Exit codes: 0 done; 1 failed (with --strict also: degraded); 2 refused, nothing was touched;\n"
    "3 rolled back; 4 needs an operator; 5 has not ended in time; 64 wrong usage; 65 the cluster\n"
    "file is wrong; 70 out of memory; 74 standard output cannot be written; 78 a setting is\n"
    "wrong, in ninja.conf or the environment.\n";

void print_usage(FILE *out)
{
    fprintf(out, "Usage: ninjactl COMMAND [OPTIONS]\n\n");
    for (size_t i = 0; i < ninjactl_n_commands; i++) {
        const struct command *command = &ninjactl_commands[i];
        char left[32];
        snprintf(left, sizeof(left), "%s %s", command->name, command->word ? command->word : "");
        fprintf(out, "  %-23s %s\n", left, command->help);
    }
    fprintf(out,
            "\nninjactl COMMAND --help tells a command's options. ninjactl --version tells the "
            "version,\nninjactl --dump-config the settings and where they are from.\n%s",
            exit_codes);
}

void print_help(FILE *out, const struct command *command)
{
    fprintf(out, "Usage: ninjactl %s %s%s[OPTIONS]\n%c%s.\n\n", command->name,
            command->word ? command->word : "", command->word ? " " : "",
            command->help[0] - 'a' + 'A', command->help + 1);
    for (size_t i = 0; i < ninjactl_n_options; i++) {
        const struct option_info *option = &ninjactl_options[i];
        char left[48];
        if ((command->options & OPTION_BIT(option->id)) &&
            !(option->id == OPT_CLUSTER && (command->flags & COMMAND_NO_CLUSTER_FILE))) {
            snprintf(left, sizeof(left), "--%s %s", option->name,
                     option->value ? option->value : "");
            fprintf(out, "  %-28s %s\n", left, option->help);
        }
    }
    fprintf(out,
            "\nExit codes:\n  0  done\n%s  64 wrong usage\n%s%s  78 a setting is wrong\n"
            "\nExample:\n  ninjactl %s\n",
            command->exits,
            !(command->flags & COMMAND_NO_CLUSTER_FILE) ? "  65 the cluster file is wrong\n" : "",
            !(command->flags & COMMAND_ACTS) ? "  74 standard output cannot be written\n" : "",
            command->example);
}
