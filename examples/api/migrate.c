/*
 * A client of ninjad in C: migrates a cluster, shows how it gets on, and ends as the migration
 * does.
 *
 *     cc -o migrate migrate.c -ljansson
 *     ./migrate SOCKET CLUSTER SITE [KEY]
 *
 * With a key it may be started again after a lost connection: it then follows the migration that
 * was begun the first time. Exit status: 0 done; 1 any other end, or an error; 64 wrong usage.
 */
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct daemon {
    FILE *in, *out;
};

static int connect_to(struct daemon *daemon, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        perror(path);
        return 0;
    }
    daemon->in = fdopen(fd, "r");
    daemon->out = fdopen(dup(fd), "w");
    return daemon->in != NULL && daemon->out != NULL;
}

/* Takes the arguments over. */
static void ask(const struct daemon *daemon, const char *command, json_t *arguments)
{
    json_t *request = json_pack("{s:s, s:o}", "execute", command, "arguments", arguments);
    json_dumpf(request, daemon->out, JSON_COMPACT);
    fputc('\n', daemon->out);
    fflush(daemon->out);
    json_decref(request);
}

/* The next line, a new reference; NULL: the daemon left, or answered an error, which is told. */
static json_t *next_line(const struct daemon *daemon)
{
    json_t *line = json_loadf(daemon->in, JSON_DISABLE_EOF_CHECK, NULL);
    json_t *error = json_object_get(line, "error");
    if (line == NULL) {
        fprintf(stderr, "the daemon left; the migration goes on, if it was begun\n");
    } else if (error != NULL) {
        fprintf(stderr, "%s: %s\n", json_string_value(json_object_get(error, "class")),
                json_string_value(json_object_get(error, "desc")));
        json_decref(line);
        line = NULL;
    }
    return line;
}

/* The next answer, after events that nobody waits for. */
static json_t *next_answer(const struct daemon *daemon)
{
    json_t *line;
    while ((line = next_line(daemon)) != NULL && json_object_get(line, "return") == NULL) {
        json_decref(line);
    }
    return line;
}

/* Shows one event; returns whether it was the last one. */
static int show(json_t *line, int *code)
{
    const char *event = json_string_value(json_object_get(line, "event"));
    json_t *data = json_object_get(line, "data");
    if (event != NULL && strcmp(event, "state") == 0) {
        printf("%s\n", json_string_value(json_object_get(data, "state")));
    } else if (event != NULL && strcmp(event, "end") == 0) {
        const char *outcome = json_string_value(json_object_get(data, "outcome"));
        printf("%s %s\n", outcome != NULL ? outcome : "unknown",
               json_string_value(json_object_get(data, "reason")));
        *code = outcome != NULL && strcmp(outcome, "done") == 0 ? 0 : 1;
        return 1;
    }
    fflush(stdout);
    return 0;
}

static int follow(const struct daemon *daemon)
{
    int code = 1, ended = 0;
    json_t *line;
    while (!ended && (line = next_line(daemon)) != NULL) {
        ended = show(line, &code);
        json_decref(line);
    }
    return code;
}

int main(int argc, char **argv)
{
    if (argc < 4 || argc > 5) {
        fprintf(stderr, "usage: migrate SOCKET CLUSTER SITE [KEY]\n");
        return 64;
    }
    struct daemon daemon;
    if (!connect_to(&daemon, argv[1])) {
        return 1;
    }
    ask(&daemon, "migrate",
        json_pack("{s:s, s:s, s:s*}", "cluster", argv[2], "site", argv[3], "key",
                  argc > 4 ? argv[4] : NULL));
    json_t *answer = next_answer(&daemon);
    int code = 1;
    if (answer != NULL) {
        json_t *id = json_object_get(json_object_get(answer, "return"), "id");
        printf("migration %s\n", json_string_value(id));
        ask(&daemon, "watch", json_pack("{s:O}", "id", id));
        code = follow(&daemon);
    }
    json_decref(answer);
    fclose(daemon.in);
    fclose(daemon.out);
    return code;
}
