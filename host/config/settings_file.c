/*
 * Reading ninja.conf.
 *
 * What the file says is done with the rights of who runs the program, so it must belong to him or
 * to root, and nobody else may write to it. For the same reason there is no @include: the file that
 * it names would not have been looked at.
 */
#include <errno.h>
#include <fcntl.h>
#include <libconfig.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/base/plain_file.h"
#include "host/base/text_file.h"
#include "host/config/settings_private.h"

/* Groups that a file may have; each program passes over those of the others. */
static const char *const programs[] = {"ninjactl", "ninjad"};

struct reader {
    struct settings *settings;
    const char *file;
    enum layer layer;
    struct ninja_error *err;
};

static bool wrong_at(const struct reader *reader, int line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static bool wrong_at(const struct reader *reader, int line, const char *fmt, ...)
{
    char what[500];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof(what), fmt, ap);
    va_end(ap);
    return ninja_error_set(reader->err, ERR_CONFIG, "%s:%d: %s", reader->file, line > 0 ? line : 1,
                           what);
}

static int line_of(const config_setting_t *setting)
{
    return (int)config_setting_source_line(setting);
}

/* ---- values ---- */

/* NULL: a value of that type does not go with the setting. */
static const char *text_of(const config_setting_t *value, enum setting_type type, char *buffer,
                           size_t size)
{
    bool number = type == SETTING_NUMBER || type == SETTING_TIME;
    switch (config_setting_type(value)) {
    case CONFIG_TYPE_STRING:
        return type != SETTING_NUMBER && type != SETTING_FLAG ? config_setting_get_string(value)
                                                              : NULL;
    case CONFIG_TYPE_INT:
        snprintf(buffer, size, "%d", config_setting_get_int(value));
        return number ? buffer : NULL;
    case CONFIG_TYPE_INT64:
        snprintf(buffer, size, "%lld", config_setting_get_int64(value));
        return number ? buffer : NULL;
    case CONFIG_TYPE_BOOL:
        return type == SETTING_FLAG ? config_setting_get_bool(value) ? "true" : "false" : NULL;
    default:
        return NULL;
    }
}

static bool read_value(const struct reader *reader, struct setting *setting,
                       const config_setting_t *value)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    char buffer[32], where[SETTINGS_MAX_TEXT + 16], expected[200];
    const char *name = setting->info->name;
    const char *text = text_of(value, setting->info->type, buffer, sizeof(buffer));
    if (text == NULL) {
        return wrong_at(reader, line_of(value), "%s: expected %s", name,
                        setting_expected(setting->info, expected, sizeof(expected)));
    }
    snprintf(where, sizeof(where), "%s:%d", reader->file, line_of(value));
    if (!setting_take(setting, text, reader->layer, where, ERR_CONFIG, &err)) {
        return wrong_at(reader, line_of(value), "%s: %s", name, err.message);
    }
    return true;
}

static bool unknown(const struct reader *reader, const config_setting_t *value, bool own)
{
    char known[400] = "";
    for (size_t i = 0; i < reader->settings->n; i++) {
        size_t len = strlen(known);
        if (own || !reader->settings->all[i].own) {
            snprintf(known + len, sizeof(known) - len, "%s%s", len ? ", " : "",
                     reader->settings->all[i].info->name);
        }
    }
    return wrong_at(reader, line_of(value), "there is no setting \"%.60s\"%s; there are: %s",
                    config_setting_name(value), own ? " in this group" : " outside of a group",
                    known);
}

/* own: the group of this program, which may have all settings. */
static bool read_group(const struct reader *reader, const config_setting_t *group, bool own)
{
    for (int i = 0; i < config_setting_length(group); i++) {
        const config_setting_t *value = config_setting_get_elem(group, (unsigned int)i);
        if (!own && config_setting_is_group(value)) {
            continue;
        }
        struct setting *setting = settings_find(reader->settings, config_setting_name(value));
        if (setting == NULL || (setting->own && !own)) {
            return unknown(reader, value, own);
        }
        if (!read_value(reader, setting, value)) {
            return false;
        }
    }
    return true;
}

static bool is_program(const char *name)
{
    for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
        if (strcmp(programs[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static bool read_root(const struct reader *reader, const config_setting_t *root)
{
    if (!read_group(reader, root, false)) {
        return false;
    }
    for (int i = 0; i < config_setting_length(root); i++) {
        const config_setting_t *group = config_setting_get_elem(root, (unsigned int)i);
        const char *name = config_setting_name(group);
        if (!config_setting_is_group(group)) {
            continue;
        }
        if (!is_program(name)) {
            return wrong_at(reader, line_of(group),
                            "there is no program \"%.60s\" to have a group; there are: ninjactl, "
                            "ninjad",
                            name);
        }
        if (strcmp(name, reader->settings->program) == 0 && !read_group(reader, group, true)) {
            return false;
        }
    }
    return true;
}

/* ---- files ---- */

/* The line of the first @include, as libconfig sees one; 0: there is none. */
static int find_include(const char *text)
{
    for (int line = 1; text != NULL; line++) {
        if (strncmp(text + strspn(text, " \t"), "@include", 8) == 0) {
            return line;
        }
        const char *end = strchr(text, '\n');
        text = end != NULL ? end + 1 : NULL;
    }
    return 0;
}

static bool read_text(const struct reader *reader, const char *text)
{
    config_t config;
    int include = find_include(text);
    if (include > 0) {
        return wrong_at(reader, include, "@include is not for this file");
    }
    config_init(&config);
    bool ok = config_read_string(&config, text) == CONFIG_TRUE;
    if (ok) {
        ok = read_root(reader, config_root_setting(&config));
    } else {
        wrong_at(reader, config_error_line(&config), "%s before here (expected: name = value;)",
                 config_error_text(&config));
    }
    config_destroy(&config);
    return ok;
}

/* Whether its owner and its mode are as they must be. */
static bool check_file(const struct reader *reader, struct settings_file *file, int fd)
{
    struct stat st;
    if (fstat(fd, &st) != 0) {
        return ninja_error_set(reader->err, ERR_CONFIG, "%s: %m", reader->file);
    }
    if (st.st_uid != 0 && st.st_uid != geteuid()) {
        if (reader->layer == LAYER_USER) {
            file->fate = FILE_PASSED_OVER;
            snprintf(file->why, sizeof(file->why), "passed over, as it belongs to user %u",
                     (unsigned)st.st_uid);
            return true;
        }
        return ninja_error_set(reader->err, ERR_CONFIG,
                               "%s: it belongs to user %u; it must belong to root or to who runs "
                               "the command",
                               reader->file, (unsigned)st.st_uid);
    }
    if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        return ninja_error_set(reader->err, ERR_CONFIG,
                               "%s: others may write to it (mode %03o); chmod go-w it",
                               reader->file, (unsigned)st.st_mode & 0777);
    }
    file->fate = FILE_READ;
    return true;
}

/* must: it was named, so it has to be there. */
static bool read_file(struct settings *settings, struct settings_file *file, enum layer layer,
                      bool must, struct ninja_error *err)
{
    struct reader reader = {settings, file->path, layer, err};
    struct ninja_error why = NINJA_ERROR_INIT;
    int fd = plain_file_open(file->path, O_RDONLY, 0, ERR_CONFIG, &why);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR) && !must) {
        file->fate = FILE_MISSING;
        return true;
    }
    if (fd < 0) {
        return ninja_error_set(err, why.class, "%s", why.message);
    }
    bool ok = check_file(&reader, file, fd);
    if (ok && file->fate == FILE_READ) {
        char *text = text_file_read(fd, file->path, SETTINGS_MAX_FILE, ERR_CONFIG, err);
        ok = text != NULL && read_text(&reader, text);
        free(text);
    }
    close(fd);
    return ok;
}

/* False: there is no such place. What is longer than a path can be is no path. */
static bool find_users_file(struct settings_file *file)
{
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    int n = -1;
    if (config != NULL && config[0] == '/') {
        n = snprintf(file->path, sizeof(file->path), "%s/ninja/ninja.conf", config);
    } else if (home != NULL && home[0] == '/') {
        n = snprintf(file->path, sizeof(file->path), "%s/.config/ninja/ninja.conf", home);
    }
    return n > 0 && (size_t)n < sizeof(file->path);
}

bool settings_read_files(struct settings *settings, struct ninja_error *err)
{
    struct settings_file *system = &settings->files[0], *user = &settings->files[1];
    const char *named = getenv("NINJA_CONFIG");
    int n = snprintf(system->path, sizeof(system->path), "%s", named ? named : SYSTEM_CONFIG);
    if (n < 0 || (size_t)n >= sizeof(system->path)) {
        return ninja_error_set(err, ERR_CONFIG, "NINJA_CONFIG: the path is too long");
    }
    if (n > 0 && !read_file(settings, system, LAYER_SYSTEM, named != NULL, err)) {
        return false;
    }
    return !find_users_file(user) || read_file(settings, user, LAYER_USER, false, err);
}
