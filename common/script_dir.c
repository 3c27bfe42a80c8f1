#include "common/script_dir.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int all(const struct dirent *entry)
{
    return 1;
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

int script_dir_list(const char *dir, struct dirent ***names)
{
    int n = scandir(dir, names, all, by_bytes);
    if (n < 0) {
        *names = NULL;
    }
    return n;
}

void script_dir_free(struct dirent **names, int n)
{
    for (int i = 0; i < n; i++) {
        free(names[i]);
    }
    free(names);
}

bool script_dir_has(const char *dir, const char *name)
{
    char path[PATH_MAX];
    struct stat st;
    size_t len = strlen(name);
    if (name[0] == '.' || name[len - 1] == '~' || strstr(name, ".dpkg-") != NULL ||
        strstr(name, ".rpm") != NULL) {
        return false;
    }
    int n = snprintf(path, sizeof(path), "%s/%s", dir, name);
    return n > 0 && (size_t)n < sizeof(path) && stat(path, &st) == 0 && S_ISREG(st.st_mode) &&
           access(path, X_OK) == 0;
}
