#include "host/config/keys.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/base/memory.h"
#include "host/base/unix_socket.h"

bool keys_wrong(const struct key_reader *reader, int line, const char *fmt, ...)
{
    char what[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof(what), fmt, ap);
    va_end(ap);
    return ninja_error_set(reader->err, ERR_CLUSTER_FILE, "%s:%d: %s", reader->file,
                           line > 0 ? line : 1, what); /* the file as a whole has line 0 */
}

static int line_of(const config_setting_t *setting)
{
    return (int)config_setting_source_line(setting);
}

static bool check_name(const struct key_reader *reader, const config_setting_t *setting,
                       const char *name)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t len = strlen(name);
    if (len == 0 || len > CLUSTER_MAX_NAME || strspn(name, allowed) != len || name[0] == '.' ||
        name[0] == '-') {
        return keys_wrong(
            reader, line_of(setting),
            "expected a name of letters, digits, '.', '_' and '-' (at most %d, beginning "
            "with a letter, a digit or '_'), found \"%s\"",
            CLUSTER_MAX_NAME, name);
    }
    return true;
}

/* Whoever is to listen there could not, and nobody could connect. */
static bool check_socket(const struct key_reader *reader, const config_setting_t *setting,
                         const char *path)
{
    return strlen(path) <= UNIX_SOCKET_MAX_PATH ||
           keys_wrong(reader, line_of(setting),
                      "the path of a socket has at most %zu characters, \"%s\" has %zu",
                      UNIX_SOCKET_MAX_PATH, path, strlen(path));
}

static const char *name_in_braces(const struct key_names *names, const char *text, size_t *len)
{
    const struct {
        const char *braced, *value;
    } all[] = {
        {"{vm}", names->vm}, {"{host}", names->host}, {"{site}", names->site}, {"{n}", names->n}};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        *len = strlen(all[i].braced);
        if (strncmp(text, all[i].braced, *len) == 0) {
            return all[i].value;
        }
    }
    return NULL;
}

/* The text with names in place of what is in braces, malloc'ed. */
static char *put_names(const struct key_names *names, const char *text)
{
    char *result = NULL;
    size_t size = 0, len;
    if (names == NULL) {
        return xstrdup(text);
    }
    FILE *out = xopen_stream(&result, &size);
    while (*text != '\0') {
        const char *value = name_in_braces(names, text, &len);
        if (value != NULL) {
            fputs(value, out);
            text += len;
        } else {
            fputc(*text++, out);
        }
    }
    fclose(out);
    return result;
}

static bool check_text(const struct key_reader *reader, const struct key *key,
                       const config_setting_t *setting, const char *text)
{
    if (key->value == CLUSTER_NAME && !check_name(reader, setting, text)) {
        return false;
    }
    if (key->value == CLUSTER_SOCKET && !check_socket(reader, setting, text)) {
        return false;
    }
    if (key->value == CLUSTER_URI && strncmp(text, "unix:", 5) == 0 &&
        !check_socket(reader, setting, text + 5)) {
        return false;
    }
    return true;
}

static bool read_text(const struct key_reader *reader, const struct key *key,
                      const config_setting_t *setting)
{
    const char *text = config_setting_get_string(setting);
    if (text == NULL || text[0] == '\0') {
        return keys_wrong(reader, line_of(setting),
                          "expected \"%s\" to be a string that is not empty", key->name);
    }
    char *named = put_names(reader->names, text);
    bool ok = check_text(reader, key, setting, named);
    if (ok) {
        *(char **)key->to = named;
    } else {
        free(named);
    }
    return ok;
}

static bool read_number(const struct key_reader *reader, const struct key *key,
                        const config_setting_t *setting)
{
    int type = config_setting_type(setting);
    long long number = config_setting_get_int64(setting);
    if (type == CONFIG_TYPE_INT) {
        number = config_setting_get_int(setting);
    }
    if ((type != CONFIG_TYPE_INT && type != CONFIG_TYPE_INT64) || number < key->min ||
        number > key->max) {
        return keys_wrong(reader, line_of(setting),
                          "expected \"%s\" to be a whole number from %d to %d", key->name, key->min,
                          key->max);
    }
    *(int *)key->to = (int)number;
    return true;
}

static bool read_list(const struct key_reader *reader, const struct key *key,
                      config_setting_t *setting)
{
    if (!config_setting_is_list(setting)) {
        return keys_wrong(reader, line_of(setting),
                          "expected \"%s\" to be a list of groups: ( { ... }, ... )", key->name);
    }
    for (int i = 0; i < config_setting_length(setting); i++) {
        config_setting_t *element = config_setting_get_elem(setting, (unsigned int)i);
        if (!config_setting_is_group(element)) {
            return keys_wrong(reader, line_of(element),
                              "expected a group, { ... }, in the list \"%s\"", key->name);
        }
    }
    if (config_setting_length(setting) == 0 || config_setting_length(setting) > key->max) {
        return keys_wrong(reader, line_of(setting),
                          "expected \"%s\" to have 1 to %d groups, found %d", key->name, key->max,
                          config_setting_length(setting));
    }
    *(config_setting_t **)key->to = setting;
    return true;
}

static bool read_texts(const struct key_reader *reader, const struct key *key,
                       config_setting_t *setting)
{
    bool ok = config_setting_is_aggregate(setting) && !config_setting_is_group(setting);
    int n = ok ? config_setting_length(setting) : 0;
    for (int i = 0; ok && i < n; i++) {
        const char *text = config_setting_get_string_elem(setting, i);
        ok = text != NULL && text[0] != '\0';
    }
    if (!ok || n == 0 || n > key->max) {
        return keys_wrong(reader, line_of(setting),
                          "expected \"%s\" to be a list of 1 to %d strings that are not empty: "
                          "( \"...\", \"...\" )",
                          key->name, key->max);
    }
    *(config_setting_t **)key->to = setting;
    return true;
}

static bool read_value(const struct key_reader *reader, const struct key *key,
                       config_setting_t *setting)
{
    switch (key->value) {
    case CLUSTER_TEXT:
    case CLUSTER_NAME:
    case CLUSTER_SOCKET:
    case CLUSTER_URI:
        return read_text(reader, key, setting);
    case CLUSTER_NUMBER:
        return read_number(reader, key, setting);
    case CLUSTER_LIST:
        return read_list(reader, key, setting);
    case CLUSTER_TEXTS:
        return read_texts(reader, key, setting);
    case CLUSTER_GROUP:
        if (!config_setting_is_group(setting)) {
            return keys_wrong(reader, line_of(setting), "expected \"%s\" to be a group, { ... }",
                              key->name);
        }
        *(config_setting_t **)key->to = setting;
        return true;
    }
    return false;
}

static bool none_is_missing(const struct key_reader *reader, const config_setting_t *group,
                            const struct key *keys, const char *what)
{
    for (const struct key *key = keys; key->name != NULL; key++) {
        if (key->need == CLUSTER_MAY_MISS || config_setting_get_member(group, key->name) != NULL) {
            continue;
        }
        if (key->need == CLUSTER_DRIVER_NEEDS) {
            return keys_wrong(reader, line_of(group),
                              "expected the key \"%s\" in %s (driver \"%s\")", key->name, what,
                              reader->driver);
        }
        return keys_wrong(reader, line_of(group), "expected the key \"%s\" in %s", key->name, what);
    }
    return true;
}

bool keys_read(const struct key_reader *reader, const config_setting_t *group,
               const struct key *keys, const char *what)
{
    for (int i = 0; i < config_setting_length(group); i++) {
        config_setting_t *setting = config_setting_get_elem(group, (unsigned int)i);
        const struct key *key = keys;
        char known[400] = "";
        while (key->name != NULL && strcmp(key->name, config_setting_name(setting)) != 0) {
            size_t len = strlen(known);
            snprintf(known + len, sizeof(known) - len, "%s%s", len ? ", " : "", key->name);
            key++;
        }
        if (key->name == NULL) {
            return keys_wrong(reader, line_of(setting),
                              "unknown key \"%s\" in %s; expected one of: %s",
                              config_setting_name(setting), what, known);
        }
        if (!read_value(reader, key, setting)) {
            return false;
        }
    }
    return none_is_missing(reader, group, keys, what);
}

struct key *keys_join(const struct key *keys, const struct cluster_key *more, void *own)
{
    size_t n = 0, n_more = 0, at = 1;
    while (keys[n].name != NULL) {
        n++;
    }
    while (more != NULL && more[n_more].name != NULL) {
        n_more++;
    }
    struct key *all = xcalloc(n + n_more + 1, sizeof(*all));
    all[0] = keys[0];
    for (size_t i = 0; i < n_more; i++) {
        all[at++] =
            (struct key){more[i].name, more[i].value, more[i].need, (char *)own + more[i].offset,
                         more[i].min,  more[i].max};
    }
    memcpy(&all[at], &keys[1], (n - 1) * sizeof(*all));
    return all;
}
