/*
 * Inside ninjactl: its options, its commands, and what they share.
 */
#ifndef NINJA_NINJACTL_H
#define NINJA_NINJACTL_H

#include <event2/event.h>
#include <jansson.h>
#include <stdint.h>

#include "host/config/settings.h"
#include "host/ctl/complaints.h"
#include "host/ctl/detach.h"
#include "host/migration/coordinator.h"
#include "host/migration/policy.h"

/* docs/ninjactl-json.md: grows when a key changes its meaning or goes. */
#define NINJACTL_JSON_VERSION 1

#define MAX_TIMEOUT_OPTIONS 32
#define MAX_KEEP            10000 /* checkpoints */

struct args {
    struct settings *settings; /* the next six, and strict, are of them */
    const char *cluster_file, *state_dir;
    const char *sysfs;
    const char *checkpoint_dir;
    const char *key_file; /* of checkpoints; IMAGE_KEY_NONE: they are not encrypted */
    enum migration_mode mode;
    const char *word; /* SITE or ID; NULL if not given */
    char **words;     /* all of them */
    int n_words;
    bool json, strict, detach, dry_run, dump_config;
    bool evacuates;   /* the word is a host to be left; otherwise words are placements */
    const char *to;   /* then: NULL: anywhere */
    bool no_disks;    /* of a checkpoint: what VMs write to disks is not saved */
    int keep;         /* the same: how many stay when it is made; 0: all */
    bool set_clock;   /* of a restart */
    const char *site; /* of a restart; NULL: as the words say */
    const char *btl, *release;
    int bandwidth, downtime_limit;             /* -1: as in the cluster file */
    int parallel;                              /* -1: the same */
    const char *compress;                      /* NULL: the same */
    bool postcopy;                             /* or as in the cluster file */
    bool postcopy_if_stuck;                    /* the same */
    int postcopy_bandwidth;                    /* -1: the same */
    bool automatic;                            /* how memory is sent is chosen; limits imply it */
    int max_downtime_ms, max_total_s, max_mib; /* 0: no limit */
    const char *priority;                      /* NULL: the first one */
    const char *key;                           /* NULL: none */
    const char *timeouts[MAX_TIMEOUT_OPTIONS];
    int n_timeouts;
    int wait_seconds; /* -1: no limit */
    int last;         /* 0: all */
    bool html;
    const char *html_file; /* NULL: standard output */
    const char *compare;   /* ID; NULL: nothing is compared */
};

int cmd_check(const struct args *args);
int cmd_devices(const struct args *args);
int cmd_plan(const struct args *args);
int cmd_sites(const struct args *args);
int cmd_status(const struct args *args);
int cmd_migrate(const struct args *args);
int cmd_evacuate(const struct args *args);
int cmd_switch(const struct args *args);
int cmd_abort(const struct args *args);
int cmd_resume(const struct args *args);
int cmd_report(const struct args *args);
int cmd_list(const struct args *args);
int cmd_watch(const struct args *args);
int cmd_wait(const struct args *args);
int cmd_checkpoint(const struct args *args);
int cmd_restart(const struct args *args);
int cmd_checkpoints(const struct args *args);

/* ---- the table of commands (commands.c) ---- */

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
    OPT_POSTCOPY_AFTER_PRECOPY,
    OPT_POSTCOPY_IF_STUCK,
    OPT_POSTCOPY_BANDWIDTH,
    OPT_AUTO,
    OPT_MAX_DOWNTIME,
    OPT_MAX_TOTAL,
    OPT_MAX_BYTES,
    OPT_PRIORITY,
    OPT_PARALLEL,
    OPT_COMPRESS,
    OPT_STRICT,
    OPT_DETACH,
    OPT_DRY_RUN,
    OPT_TO,
    OPT_BTL,
    OPT_RELEASE,
    OPT_WAIT_TIMEOUT,
    OPT_LAST,
    OPT_HTML,
    OPT_COMPARE,
    OPT_SYSFS,
    OPT_LOG_LEVEL,
    OPT_NO_HOOKS,
    OPT_DUMP_CONFIG,
    OPT_KEY,
    OPT_CHECKPOINT_DIR,
    OPT_NO_DISKS,
    OPT_KEEP,
    OPT_KEY_FILE,
    OPT_SITE,
    OPT_SET_CLOCK,
    OPT_HELP,
    OPT_END,
};

typedef uint64_t option_set;
#define OPTION_BIT(id) ((option_set)1 << (id))
_Static_assert(OPT_END <= 64 && OPT_END <= ':', "an option_set has a bit for each, and ninjactl.c "
                                                "takes none for what getopt_long() complains by");

enum command_flag {
    COMMAND_ACTS = 1,            /* its exit code tells what became of jobs, printed or not */
    COMMAND_NO_CLUSTER_FILE = 2, /* it reads none, and takes --cluster only as all commands do */
    COMMAND_EVACUATES = 4,       /* its word is a host, see struct args */
};

struct option_info {
    enum option_id id;
    const char *name, *value, *help; /* value: NULL if it takes none; in brackets: it need not */
};

struct command {
    const char *name;
    int (*run)(const struct args *args);
    const char *word;    /* its argument; in brackets if it may be left out; NULL: none; "..." at
                            its end: several may be given */
    int flags;           /* of enum command_flag */
    option_set options;  /* OPTION_BIT() of each */
    const char *help;    /* begins with a lower-case letter */
    const char *exits;   /* the exit codes besides 0, 64, 65 and 78, a line each */
    const char *example; /* what follows "ninjactl " */
};

extern const struct option_info ninjactl_options[];
extern const size_t ninjactl_n_options; /* less than OPT_END */
extern const struct command ninjactl_commands[];
extern const size_t ninjactl_n_commands;
extern const struct command ninjactl_dump_config; /* in place of a command */
extern const struct setting_info ninjactl_settings[];
extern const size_t ninjactl_n_settings;

void print_usage(FILE *out);
void print_help(FILE *out, const struct command *command);

/* ---- what most commands begin with (session.c) ---- */

struct session {
    struct event_base *base;
    struct hooks hooks;
    struct cluster *cluster;
    struct looks *looks; /* NULL: not looked */
    struct survey *survey;
    bool is_automatic;           /* how memory is sent is chosen, within ... */
    struct policy_limits limits; /* ... these */
    struct forecast *forecast;   /* NULL: nothing was chosen */
    struct progress *progress;   /* of the migration that runs; NULL: none does */
    int lock;                    /* -1: not taken */
    struct log_file *log;        /* of that migration; NULL: none */
};

/** Reads the cluster file and applies the options; says what is wrong. Returns an exit code. */
int session_open(struct session *session, const struct args *args);

/** As session_open(), but refused while a migration or switch has the QMP sockets for itself. */
int session_open_to_look(struct session *session, const struct args *args);

/**
 * Reads where VMs are to be; choice_make() follows, after the survey.
 *
 * @param placement  to be cleared, also if it failed
 */
bool session_read_placement(const struct session *session, const struct args *args,
                            struct placement *placement, struct ninja_error *err);

/** What was asked for, as on the command line; to be freed. */
char *session_asked(const struct args *args);

/** Takes the cluster's lock; says who has it. Returns an exit code. */
int session_lock(struct session *session, const struct args *args);

/** Says so if a migration was begun with the key of the command line. Returns an exit code. */
int session_refuse_used_key(const struct args *args);

/** Says so if a migration of this cluster was interrupted. Returns an exit code. */
int session_refuse_interrupted(const struct session *session, const struct args *args);

/** Asks the QEMUs of all sites what they are; ends always. Before the survey, which needs them. */
void session_look(struct session *session);

/** Looks at the cluster; ends always. interrupted: as for survey_start(). */
void session_survey(struct session *session, const struct record *interrupted);

/** The same before a restart: every VM must be nowhere. */
void session_survey_nowhere(struct session *session);

/** Takes the options about it. False with err: class ERR_USAGE. */
bool session_take_limits(struct session *session, const struct args *args, struct ninja_error *err);

/**
 * If it was asked for, chooses how the memory of each VM that moves is sent, which takes seconds.
 * After the look and the survey.
 *
 * @param to  where each VM is to be
 */
bool session_choose_methods(struct session *session, const struct args *args, const int *to,
                            struct ninja_error *err);

/** What was chosen for each VM, by its name, as a new object; NULL: nothing was. */
json_t *session_methods(const struct session *session);

void session_close(struct session *session);

/** Runs a command that knows --detach, in the background from detach_accept() on. */
typedef int session_command(const struct args *args, struct detach *detach);

/**
 * Runs a command, with --detach in a child that this process leaves behind as soon as it has called
 * detach_accept(); the ID is then printed. Returns an exit code.
 *
 * @param run  gets a detach of NULL without --detach
 */
int session_may_detach(const struct args *args, session_command *run);

/**
 * Logs what becomes of a migration in the journal's directory; with a detach all that is printed
 * goes there, too. Returns an exit code.
 */
int session_log_to(struct session *session, const struct journal *journal,
                   const struct detach *detach);

/* ---- the run of a migration (session_run.c) ---- */

/** What a migration that is to be run is started with; its arg is the session. */
extern const struct migration_handler session_migration_handler;

/**
 * Begins a migration, checkpoint or restart that was checked, and runs it as session_run() does.
 *
 * @param options  its checkpoint, if there is one, gets the ID of the journal
 */
int session_begin(struct session *session, const struct migration_options *options,
                  const struct args *args, struct detach *detach);

/** Waits for the end of a migration, shows and writes its report. Returns an exit code. */
int session_run(struct session *session, struct migration *migration, struct journal *journal,
                const struct args *args);

/** The exit code of a migration with that outcome, by its name. */
int exit_code_named(const char *outcome, bool strict);

/* ---- what all commands share (ninjactl.c, session.c, show.c) ---- */

/** Reads a whole number; complains of another one, found where `where` says. */
bool read_number(const char *where, const char *text, int min, int max, int *value);

struct image_key;

/**
 * The key of checkpoints that the settings name.
 *
 * @param room   for it; to be given to image_key_forget(), also if it failed
 * @param found  out: room, or NULL: they name none
 */
bool read_key(const struct args *args, struct image_key *room, const struct image_key **found,
              struct ninja_error *err);

/* SIGINT, SIGTERM and SIGHUP call back from the event loop. */
struct interrupts {
    struct event *events[3];
};

void interrupts_catch(struct interrupts *interrupts, struct event_base *base,
                      event_callback_fn callback, void *arg);
void interrupts_release(struct interrupts *interrupts);

/** Prints a JSON value; borrowed. */
void print_json(const json_t *json);

/** Prints an object with the key "version" before its own; takes it over. */
void print_object(json_t *object);

/** Prints what an agent answered to ninja-interconnects, an indented line for each. */
void show_interconnects(json_t *interconnects);

#endif
