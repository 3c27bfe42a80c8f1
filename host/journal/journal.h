/*
 * Where a migration leaves what it does: STATE-DIR/ID/journal, one JSON object a line, each on
 * disk before what it announces is begun; STATE-DIR/ID/report.json at the end; and the lock
 * STATE-DIR/CLUSTER.lock, which the one migration or switch that may run has locked.
 */
#ifndef NINJA_JOURNAL_H
#define NINJA_JOURNAL_H

#include <jansson.h>
#include <sys/types.h>

#include "common/error.h"

#define JOURNAL_ID_SIZE 40
#define JOURNAL_MAX_KEY 128

struct journal;

/** Whether it may be the key of a migration: 1 to JOURNAL_MAX_KEY letters, digits and "._:/@+-". */
bool journal_key_is_valid(const char *key);

/**
 * Makes the directory STATE-DIR/YYYYMMDD-HHMMSS-N (UTC) and an empty journal in it.
 *
 * @return NULL with err (class ERR_STATE) if that is not possible
 */
struct journal *journal_new(const char *state_dir, struct ninja_error *err);

/** Goes on with the journal of an interrupted migration. NULL with err as above. */
struct journal *journal_open(const char *state_dir, const char *id, struct ninja_error *err);

const char *journal_id(const struct journal *journal);
/** The migration's own directory. */
const char *journal_dir(const struct journal *journal);

/**
 * Appends an entry with the time added, and syncs it.
 *
 * @param entry  taken over
 */
void journal_write(struct journal *journal, json_t *entry);

/** Why an entry could not be written (class ERR_STATE); NULL: all were. */
const struct ninja_error *journal_error(const struct journal *journal);

/** Writes report.json as a whole or not at all. */
bool journal_write_report(struct journal *journal, const json_t *report, struct ninja_error *err);

void journal_free(struct journal *journal);

/**
 * Takes the lock of a cluster.
 *
 * @return what to give to lock_release() when done, or -1 with err: class ERR_BUSY names the pid
 */
int lock_take(const char *state_dir, const char *cluster, struct ninja_error *err);
void lock_release(int lock);

/** The pid that holds the lock; 0: nobody does; -1: this user may not know. */
pid_t lock_holder(const char *state_dir, const char *cluster);

/** Whether a text has the form of an ID. */
bool journal_is_id(const char *text);

/**
 * Lists the migrations of which there is a journal, oldest first.
 *
 * @param ids  out: malloc'ed, for the caller to free
 * @return how many, or -1 with errno: the state directory cannot be read
 */
int journal_list(const char *state_dir, char (**ids)[JOURNAL_ID_SIZE]);

/* A rank takes some hundred bytes of it for each switch and list of jobs; 12,000 have room. */
#define REPORT_MAX_SIZE (64 * 1024 * 1024)

/**
 * Reads a report, of REPORT_MAX_SIZE bytes at most.
 *
 * @param id  NULL: that of the last migration which has one
 * @return a new object, or NULL with err (class ERR_STATE)
 */
json_t *report_read(const char *state_dir, const char *id, struct ninja_error *err);

#endif
