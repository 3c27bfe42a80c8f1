/*
 * Messages with their fields for systemd's journal.
 */
#include "host/base/logs.h"

#include <stdio.h>
#include <string.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include "common/log.h"

#define SOCKET    "/run/systemd/journal/socket"
#define MAX_FIELD 2200
#define FIELDS    (NINJA_LOG_FIELDS + 3)

static const char *identifier;

static void add(struct iovec *fields, int *n, char (*texts)[MAX_FIELD], const char *name,
                const char *value)
{
    if (value[0] != '\0') {
        snprintf(texts[*n], MAX_FIELD, "%s=%s", name, value);
        fields[*n] = (struct iovec){.iov_base = texts[*n], .iov_len = strlen(texts[*n])};
        ++*n;
    }
}

static void write_line(void *arg, const struct ninja_log_line *line)
{
    static const char *const names[NINJA_LOG_FIELDS] = {
        [NINJA_LOG_MIGRATION] = "NINJA_MIGRATION",
        [NINJA_LOG_CLUSTER] = "NINJA_CLUSTER",
        [NINJA_LOG_STAGE] = "NINJA_STAGE",
        [NINJA_LOG_VM] = "NINJA_VM",
    };
    char texts[FIELDS][MAX_FIELD], priority[8];
    struct iovec fields[FIELDS];
    int n = 0;
    snprintf(priority, sizeof(priority), "%d", ninja_log_priority(line->level));
    add(fields, &n, texts, "MESSAGE", line->text);
    add(fields, &n, texts, "PRIORITY", priority);
    add(fields, &n, texts, "SYSLOG_IDENTIFIER", identifier);
    for (int i = 0; i < NINJA_LOG_FIELDS; i++) {
        add(fields, &n, texts, names[i], line->fields[i]);
    }
    sd_journal_sendv(fields, n);
}

static bool to_journal(const char *program, struct ninja_error *err)
{
    static const struct ninja_log_sink sink = {.write = write_line};
    if (access(SOCKET, W_OK) != 0) {
        return ninja_error_set(err, ERR_CONFIG, "log: messages cannot go to the journal: %s: %m",
                               SOCKET);
    }
    identifier = program;
    ninja_log_output(&sink);
    return true;
}

bool log_to(enum log_target target, const char *program, struct ninja_error *err)
{
    if (target == LOG_AUTO && ninja_log_is_in_journal()) {
        to_journal(program, NULL); /* or as lines, which get there as well */
    }
    return target != LOG_JOURNAL || to_journal(program, err);
}
