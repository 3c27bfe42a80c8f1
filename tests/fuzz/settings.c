/* ninja.conf, and the same text as a value on the command line. */
#include "host/config/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"

/* libconfig forgets the string that a syntax error ends. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:strbuf_append\nleak:libconfig_yylex\n";
}

static const struct setting_info own[] = {
    {"strict", SETTING_FLAG, "false", 0, 0, NULL, ""},
    {"clients", SETTING_NUMBER, "8", 1, 100, NULL, ""},
};

static void check_settings(const struct settings *settings)
{
    json_t *json = settings_to_json(settings);
    FUZZ_CHECK(json_array_size(json_object_get(json, "settings")) == settings_n_shared + 2);
    json_decref(json);
    for (size_t i = 0; i < settings_n_shared; i++) {
        FUZZ_CHECK(settings_text(settings, settings_shared[i].name)[0] != '\0');
    }
    int clients = settings_number(settings, "clients");
    int timeout = settings_number(settings, "hook-timeout");
    FUZZ_CHECK(clients >= 1 && clients <= 100 && timeout >= 1);
}

static void read_file(struct settings *settings, const uint8_t *data, size_t size)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    char path[64];
    int fd = memfd_create("settings", MFD_CLOEXEC);
    FUZZ_CHECK(fd >= 0 && write(fd, data, size) == (ssize_t)size && fchmod(fd, 0600) == 0);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    setenv("NINJA_CONFIG", path, 1);
    setenv("XDG_CONFIG_HOME", "/proc/self/none", 1);
    FUZZ_CHECK(settings_read(settings, &err) != ninja_error_is_set(&err));
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    struct settings *settings = settings_new("ninjactl", own, 2);
    char *text = strndup((const char *)data, size);
    read_file(settings, data, size);
    for (size_t i = 0; i < settings_n_shared; i++) {
        settings_give(settings, settings_shared[i].name, text, "--option", &err);
    }
    check_settings(settings);
    free(text);
    settings_free(settings);
    return 0;
}
