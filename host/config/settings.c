#include "host/config/settings_private.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host/base/memory.h"
#include "host/config/cluster.h"

static const char *const layer_names[] = {
    [LAYER_DEFAULT] = "default",         [LAYER_SYSTEM] = "system", [LAYER_USER] = "user",
    [LAYER_ENVIRONMENT] = "environment", [LAYER_OPTION] = "option",
};

/* ---- values ---- */

static bool take_number(const struct setting_info *info, const char *text, int *number)
{
    char *end;
    errno = 0;
    long n = strtol(text, &end, 10);
    *number = (int)n;
    return end != text && *end == '\0' && errno == 0 && n >= info->min && n <= info->max;
}

static bool take_time(const struct setting_info *info, const char *text, int *number)
{
    long long ms = cluster_milliseconds(text);
    *number = (int)ms;
    return ms >= info->min && ms <= info->max;
}

static bool take_flag(const char *text, int *number)
{
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on", "0", "1"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcmp(text, words[i]) == 0) {
            *number = (int)(i % 2);
            return true;
        }
    }
    return false;
}

static bool take_word(const char *words, const char *text, int *number)
{
    size_t len = strlen(text);
    *number = 0;
    for (const char *word = words; len > 0; word++, ++*number) {
        size_t n = strcspn(word, "|");
        if (n == len && strncmp(word, text, n) == 0) {
            return true;
        }
        word += n;
        if (*word == '\0') {
            return false;
        }
    }
    return false;
}

/* Paths and names: what is shown in messages and handed to other programs. */
static bool take_text(const char *text)
{
    size_t len = strlen(text);
    for (size_t i = 0; i < len; i++) {
        if (iscntrl((unsigned char)text[i])) {
            return false;
        }
    }
    return len > 0 && len < SETTINGS_MAX_TEXT;
}

static bool take_value(const struct setting_info *info, const char *text, int *number)
{
    switch (info->type) {
    case SETTING_TEXT:
        return take_text(text);
    case SETTING_WORD:
        return take_word(info->words, text, number);
    case SETTING_NUMBER:
        return take_number(info, text, number);
    case SETTING_TIME:
        return take_time(info, text, number);
    case SETTING_FLAG:
        return take_flag(text, number);
    }
    return false;
}

const char *setting_expected(const struct setting_info *info, char *text, size_t size)
{
    switch (info->type) {
    case SETTING_TEXT:
        snprintf(text, size, "a text of 1 to %d characters in one line", SETTINGS_MAX_TEXT - 1);
        break;
    case SETTING_WORD:
        snprintf(text, size, "one of %s", info->words);
        break;
    case SETTING_NUMBER:
        snprintf(text, size, "a whole number from %d to %d", info->min, info->max);
        break;
    case SETTING_TIME:
        snprintf(text, size, "%d to %d ms, or with a unit as in \"30s\" and \"5min\"", info->min,
                 info->max);
        break;
    case SETTING_FLAG:
        snprintf(text, size, "true or false");
        break;
    }
    return text;
}

bool setting_take(struct setting *setting, const char *text, enum layer layer, const char *where,
                  enum ninja_error_class class, struct ninja_error *err)
{
    char expected[200];
    int number = 0;
    if (!take_value(setting->info, text, &number)) {
        return ninja_error_set(err, class, "expected %s, found \"%.200s\"",
                               setting_expected(setting->info, expected, sizeof(expected)), text);
    }
    if (layer < setting->layer) {
        return true;
    }
    free(setting->text);
    setting->text = xstrdup(setting->info->type == SETTING_FLAG ? number ? "true" : "false" : text);
    setting->number = number;
    setting->layer = layer;
    snprintf(setting->where, sizeof(setting->where), "%s", where);
    return true;
}

/* ---- the layers ---- */

struct settings *settings_new(const char *program, const struct setting_info *own, size_t n_own)
{
    struct settings *settings = xcalloc(1, sizeof(*settings));
    settings->program = program;
    settings->n = settings_n_shared + n_own;
    settings->all = xcalloc(settings->n, sizeof(*settings->all));
    for (size_t i = 0; i < settings->n; i++) {
        struct setting *setting = &settings->all[i];
        setting->own = i >= settings_n_shared;
        setting->info = setting->own ? &own[i - settings_n_shared] : &settings_shared[i];
        if (!setting_take(setting, setting->info->initial, LAYER_DEFAULT, "", ERR_NONE, NULL)) {
            abort();
        }
    }
    return settings;
}

struct setting *settings_find(const struct settings *settings, const char *name)
{
    for (size_t i = 0; i < settings->n; i++) {
        if (strcmp(settings->all[i].info->name, name) == 0) {
            return &settings->all[i];
        }
    }
    return NULL;
}

static const struct setting *must_find(const struct settings *settings, const char *name)
{
    const struct setting *setting = settings_find(settings, name);
    if (setting == NULL) {
        abort();
    }
    return setting;
}

bool settings_give(struct settings *settings, const char *name, const char *value,
                   const char *option, struct ninja_error *err)
{
    struct setting *setting = settings_find(settings, name);
    if (!setting_take(setting, value, LAYER_OPTION, option, ERR_USAGE, err)) {
        return ninja_error_where(err, "%s", option);
    }
    return true;
}

bool settings_give_option(struct settings *settings, const struct setting_option *table, int id,
                          const char *value, bool *known, struct ninja_error *err)
{
    while (table->option != NULL && table->id != id) {
        table++;
    }
    *known = table->option != NULL;
    return !*known || settings_give(settings, table->setting, table->gives ? table->gives : value,
                                    table->option, err);
}

/* "state-dir": NINJA_STATE_DIR. */
static void variable_of(const struct setting_info *info, char *variable, size_t size)
{
    snprintf(variable, size, "NINJA_%s", info->name);
    for (char *c = variable; *c != '\0'; c++) {
        *c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
    }
}

static bool read_environment(struct settings *settings, struct ninja_error *err)
{
    for (size_t i = 0; i < settings->n; i++) {
        struct setting *setting = &settings->all[i];
        char variable[64];
        variable_of(setting->info, variable, sizeof(variable));
        const char *text = getenv(variable);
        if (text != NULL && text[0] != '\0' &&
            !setting_take(setting, text, LAYER_ENVIRONMENT, variable, ERR_CONFIG, err)) {
            return ninja_error_where(err, "%s", variable);
        }
    }
    return true;
}

bool settings_read(struct settings *settings, struct ninja_error *err)
{
    return settings_read_files(settings, err) && read_environment(settings, err);
}

const char *settings_text(const struct settings *settings, const char *name)
{
    return must_find(settings, name)->text;
}

int settings_number(const struct settings *settings, const char *name)
{
    return must_find(settings, name)->number;
}

void settings_free(struct settings *settings)
{
    if (settings == NULL) {
        return;
    }
    for (size_t i = 0; i < settings->n; i++) {
        free(settings->all[i].text);
    }
    free(settings->all);
    free(settings);
}

/* ---- showing them ---- */

static bool is_quoted(const struct setting *setting)
{
    return setting->info->type == SETTING_TEXT || setting->info->type == SETTING_WORD ||
           (setting->info->type == SETTING_TIME &&
            !isdigit(setting->text[strlen(setting->text) - 1]));
}

static void print_value(const struct setting *setting, FILE *out)
{
    if (!is_quoted(setting)) {
        fprintf(out, "%s;", setting->text);
        return;
    }
    fputc('"', out);
    for (const char *c = setting->text; *c != '\0'; c++) {
        fprintf(out, "%s%c", *c == '"' || *c == '\\' ? "\\" : "", *c);
    }
    fputs("\";", out);
}

static void print_settings(const struct settings *settings, bool own, FILE *out)
{
    for (size_t i = 0; i < settings->n; i++) {
        const struct setting *setting = &settings->all[i];
        if (setting->own != own) {
            continue;
        }
        fprintf(out, "%s%s = ", own ? "    " : "", setting->info->name);
        print_value(setting, out);
        fprintf(out, "  # %s\n", setting->where[0] ? setting->where : "default");
    }
}

static const char *fate_of(const struct settings_file *file)
{
    return file->fate == FILE_READ ? "read" : file->fate == FILE_MISSING ? "missing" : file->why;
}

void settings_print(const struct settings *settings, FILE *out)
{
    for (size_t i = 0; i < 2; i++) {
        if (settings->files[i].fate != FILE_UNUSED) {
            fprintf(out, "# %s: %s\n", settings->files[i].path, fate_of(&settings->files[i]));
        }
    }
    print_settings(settings, false, out);
    if (settings->n > settings_n_shared) {
        fprintf(out, "%s = {\n", settings->program);
        print_settings(settings, true, out);
        fprintf(out, "};\n");
    }
}

static json_t *value_to_json(const struct setting *setting)
{
    switch (setting->info->type) {
    case SETTING_NUMBER:
    case SETTING_TIME:
        return json_integer(setting->number);
    case SETTING_FLAG:
        return json_boolean(setting->number);
    default:
        return json_stringn_nocheck(setting->text, strlen(setting->text));
    }
}

json_t *settings_to_json(const struct settings *settings)
{
    json_t *files = json_array(), *all = json_array();
    for (size_t i = 0; i < 2; i++) {
        const struct settings_file *file = &settings->files[i];
        if (file->fate != FILE_UNUSED) {
            json_array_append_new(files, json_pack("{s:s, s:b, s:s}", "path", file->path, "read",
                                                   file->fate == FILE_READ, "text", fate_of(file)));
        }
    }
    for (size_t i = 0; i < settings->n; i++) {
        const struct setting *setting = &settings->all[i];
        json_array_append_new(all, json_pack("{s:s, s:o, s:s, s:s}", "name", setting->info->name,
                                             "value", value_to_json(setting), "origin",
                                             layer_names[setting->layer], "where", setting->where));
    }
    return json_pack("{s:o, s:o}", "files", files, "settings", all);
}
