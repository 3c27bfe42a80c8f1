/*
 * A migration seen from outside, by what it writes in its directory, until it ends. Nothing is
 * asked of the process that runs it, so any number may look on.
 */
#ifndef NINJA_WATCH_H
#define NINJA_WATCH_H

#include <jansson.h>
#include <stdbool.h>

/* How often to look for more, and how soon what was written is seen. */
#define WATCH_LOOK_MS 200

struct watch;

enum watch_verdict {
    WATCH_GOES_ON,
    WATCH_ENDED,       /* it has an outcome, and a report, if there will ever be one */
    WATCH_INTERRUPTED, /* nobody works on it any more, and it has no outcome */
};

/**
 * Begins with the first line of the journal, and with the progress from now on.
 *
 * @param state_dir  borrowed for the life of the watch
 * @return a new watch
 */
struct watch *watch_new(const char *state_dir, const char *id);

/**
 * The next line, as docs/ninjactl-json.md describes those of `watch`, but for its "version".
 *
 * @return a new object, or NULL: there is none now
 */
json_t *watch_next(struct watch *watch);

/** To be asked after watch_next() gave NULL; final unless it goes on. */
enum watch_verdict watch_verdict(struct watch *watch);

const char *watch_id(const struct watch *watch);
/** The last state that was entered; empty: none is known yet. */
const char *watch_state(const struct watch *watch);
/** Empty if it has none. */
const char *watch_outcome(const struct watch *watch);
const char *watch_reason(const struct watch *watch);

/** NULL is allowed. */
void watch_free(struct watch *watch);

#endif
