#include "host/base/units.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* 1.50 is 1.5, and 2.0 is 2. */
static void drop_zeros(char *text)
{
    size_t len = strlen(text);
    while (strchr(text, '.') != NULL && (text[len - 1] == '0' || text[len - 1] == '.')) {
        bool point = text[len - 1] == '.';
        text[--len] = '\0';
        if (point) {
            break;
        }
    }
}

const char *units_ms(char *text, size_t size, double ms)
{
    char number[32];
    if (ms >= 60000) {
        int64_t seconds = (int64_t)(ms / 1000 + 0.5);
        if (seconds % 60 == 0) {
            snprintf(text, size, "%lld min", (long long)seconds / 60);
        } else {
            snprintf(text, size, "%lld min %lld s", (long long)seconds / 60,
                     (long long)seconds % 60);
        }
        return text;
    }
    bool seconds = ms >= 1000;
    double figure = seconds ? ms / 1000 : ms;
    snprintf(number, sizeof(number), "%.*f", seconds ? 2 : figure < 10 ? 1 : 0, figure);
    drop_zeros(number);
    snprintf(text, size, "%s %s", number, seconds ? "s" : "ms");
    return text;
}

const char *units_bytes(char *text, size_t size, double bytes)
{
    static const char *const names[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    size_t unit = 0;
    while (bytes >= 1024 && unit + 1 < sizeof(names) / sizeof(names[0])) {
        bytes /= 1024;
        unit++;
    }
    snprintf(text, size, "%.*f %s", unit == 0 || bytes >= 100 ? 0 : 1, bytes, names[unit]);
    return text;
}

const char *units_rate(char *text, size_t size, double bytes_per_s)
{
    char bytes[24];
    snprintf(text, size, "%s/s", units_bytes(bytes, sizeof(bytes), bytes_per_s));
    return text;
}

const char *units_bytes_short(char *text, size_t size, int64_t bytes)
{
    static const char names[] = "BKMGTPE";
    double value = (double)(bytes > 0 ? bytes : 0);
    int unit = 0;
    while (value >= 999.5 && names[unit + 1] != '\0') {
        value /= 1024;
        unit++;
    }
    if (unit == 0) {
        snprintf(text, size, "%.0f", value);
    } else {
        snprintf(text, size, "%.*f%c", value < 9.95 ? 1 : 0, value, names[unit]);
    }
    return text;
}

const char *units_clock(char *text, size_t size, int64_t s)
{
    if (s < 0) {
        snprintf(text, size, "-");
    } else if (s < 100 * 60) {
        snprintf(text, size, "%d:%02d", (int)(s / 60), (int)(s % 60));
    } else if (s < 100 * 3600) {
        snprintf(text, size, "%dh%02dm", (int)(s / 3600), (int)(s / 60 % 60));
    } else {
        snprintf(text, size, ">99h");
    }
    return text;
}
